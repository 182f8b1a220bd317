"""Programs for this very processor, made when a model is loaded. LLVM comes as a library (`llvmlite`); no compiler is
needed.

ir.py                a writer of LLVM's text: values, loops
row_products.py      few rows times packed numbers, in bfloat16
fixed_point.py       rows to integers
integer_products.py  few rows times packed numbers, as integers
unpacking.py         four bits to eight
byte_rows.py         rows as bytes, for:
byte_products.py     many rows times a matrix of bytes
norms.py             rows scaled to unit mean square
rows.py              what `edge.operations` calls of it
machine_code.py      text to an address
team.py              an address, run by the threads that PyTorch has already
"""
