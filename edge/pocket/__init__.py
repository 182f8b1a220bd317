"""The embedded model: a tiny trained Qwen2-VL in `model/`, so that everything runs at once, anywhere.

It knows coloured shapes (`stream.sources.scene`) and nothing else; `benchmarks/pocket` made it.
"""
