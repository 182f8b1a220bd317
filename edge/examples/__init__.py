"""Examples to learn from or to be judged by: questions about pictures, with their answers where somebody knows them.

From a JSONL file of conversations, from a folder of clips and pictures, or drawn. Calibration shows them to a model
while it is quantized, a comparison asks them of two. Knows no weights.
"""
