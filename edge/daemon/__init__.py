"""The daemon: many cameras on one engine, asked and listened to over HTTP.

service.py     the cameras that are watched, and the thread that owns the engine
hub.py         the newest events, and who listens to them
pictures.py    each camera's newest judged picture
app.py         HTTP: puts the routes together, behind guard.py; each file of routes is one form or one subject:
               chat.py (OpenAI's), ollama.py, dashscope.py, streams.py, events.py, health.py
store.py       events on the disk
supervisor.py  what systemd is told
"""
