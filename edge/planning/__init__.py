"""What a model will take on a device, from formulas: arithmetic, memory traffic, memory, time."""
