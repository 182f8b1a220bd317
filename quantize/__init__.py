"""Weights and file formats: INT4 and INT8 variants of Qwen2-VL. Knows no video and no daemon."""
