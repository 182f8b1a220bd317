"""The daemon: many cameras on one engine, asked and listened to over HTTP.

service.py   the cameras that are watched, and the thread that owns the engine
hub.py       the newest events, and who listens to them
pictures.py  each camera's newest judged picture
app.py       HTTP: puts the routes together, behind guard.py
"""
