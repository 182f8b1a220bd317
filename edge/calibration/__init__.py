"""What a model is shown while it is quantized: prompts through the real template, and the way through its blocks."""
