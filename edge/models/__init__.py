"""The models that can be run. A family is a folder here and one line in `edge.models.family.FAMILIES`.

`family` says what a family must tell about itself; `builder`, `weights` and `random` bring any of them into memory.
"""
