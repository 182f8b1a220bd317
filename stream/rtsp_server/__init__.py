"""A small camera on loopback: serves an H.264 clip over RTSP as cameras do, and misbehaves on request."""

from __future__ import annotations

from stream.rtsp_server.server import RtspServer, with_login

__all__ = ["RtspServer", "with_login"]
