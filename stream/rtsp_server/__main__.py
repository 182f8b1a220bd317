"""`python -m stream.rtsp_server clip.mp4`: a clip as a camera, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import threading

from stream.errors import StreamError
from stream.rtsp_server.server import RtspServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stream.rtsp_server", description="Serves a clip as RTSP.")
    parser.add_argument("clip", help="a video with h264 pictures")
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--auth", choices=["digest", "digest-sha256", "basic"], default="digest")
    wanted = parser.parse_args()
    login = {"user": wanted.user, "password": wanted.password, "auth": wanted.auth}
    try:
        server = RtspServer(wanted.clip, port=wanted.port, **login)
    except (StreamError, OSError) as error:
        parser.error(str(error))
    with server:
        print(f"Serving {wanted.clip} at {server.url} until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
