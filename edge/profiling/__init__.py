"""Where a frame's time and memory go, measured on the product's own path; and what the device could give at best."""
