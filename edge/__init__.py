"""The device: runs a Qwen2-VL and serves it."""
