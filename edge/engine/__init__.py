"""The policy: prompts, positions, windows, reuse and sampling, in numpy.

Everything clever about conversations and streams is here, once, over any runner. Never imports torch.
"""
