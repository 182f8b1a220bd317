"""Qwen2-VL in plain PyTorch: shapes from a config, weights from a Hugging Face folder. Knows no prompt."""
