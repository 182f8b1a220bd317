"""The file of a daemon, `edge serve -c edge.yaml`: one model, cameras by name, what each is asked.

keys.py       what may stand there: pydantic models
reading.py    YAML to these; every mistake with its line, and what was meant
reference.py  every key with its meaning, as a page
"""
