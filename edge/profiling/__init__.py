"""Where a frame's time and memory go, measured on the product's own path; and what the device could give at best.

Measures; what is made of a report is in `edge.reports`.
"""
