"""The daemon's HTTP: all routes, how errors are told, the page; behind its guard.

Errors have OpenAI's form: {"error": {"message", "type", "code"}}.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from edge.daemon.chat import chat_routes
from edge.daemon.dashscope import PATH as DASHSCOPE
from edge.daemon.dashscope import dashscope_routes
from edge.daemon.events import event_routes
from edge.daemon.guard import COOKIE, Guard, Rules, TooLarge, same
from edge.daemon.health import health_routes
from edge.daemon.ollama import ollama_routes
from edge.daemon.service import Service
from edge.daemon.streams import stream_routes
from edge.errors import (
    AccessDenied,
    EdgeError,
    ModelError,
    NameTaken,
    NoSuchStream,
    NotAllowed,
    PromptTooLong,
    SearchTooSlow,
)
from edge.media.access import UNTRUSTED, Access
from stream.errors import NoPictureYet, NotWatched, StreamError

PAGE = Path(__file__).parent / "page" / "index.html"
STATUS: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (NoSuchStream, 404),
    (NameTaken, 409),
    (NotAllowed, 403),
    (AccessDenied, 403),
    (PromptTooLong, 413),
    (NoPictureYet, 503),
    (NotWatched, 503),
    (ModelError, 503),
    (SearchTooSlow, 503),
    (StreamError, 422),
    (EdgeError, 400),
    (ValueError, 400),
)
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Login(BaseModel):
    token: str


def create_app(
    service: Service,
    rules: Rules | None = None,
    access: Access = UNTRUSTED,
    reload: Callable[[], str] | None = None,
) -> ASGIApp:
    """
    Args:
        reload: reads the configuration again, and tells what changed.
        access: what messages may name, beside what they carry in themselves.
    """
    rules = rules or Rules()
    app = FastAPI(title="qwen2vl-edge", description="Qwen2-VL watches live video.", docs_url=None, redoc_url=None)
    app.include_router(chat_routes(service, access))
    app.include_router(ollama_routes(service, access))
    app.include_router(dashscope_routes(service, access))
    app.include_router(stream_routes(service))
    app.include_router(event_routes(service))
    app.include_router(health_routes(service))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE, headers=PAGE_HEADERS)

    @app.post("/v1/config/reload")
    def reload_config() -> dict[str, str]:
        """Reads the file again: only cameras that changed notice. A bad file changes nothing."""
        if reload is None:
            raise NotAllowed("there is no configuration to read again.")
        return {"changed": reload()}

    @app.post("/login", include_in_schema=False)
    def login(given: Login) -> Response:
        """A cookie for the page: pictures and event streams cannot send a header."""
        known = [token for token in (rules.token, rules.read_token) if token is not None]
        if not any([same(given.token, token) for token in known]):
            raise NotAllowed("that is not the token.")
        response = Response(status_code=204)
        response.set_cookie(COOKIE, given.token, httponly=True, samesite="strict")
        return response

    for kind in (EdgeError, StreamError, ValueError):
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TooLarge, _too_large)
    return Guard(app, rules, asking=("/v1/chat/completions", "/api/chat", DASHSCOPE))


async def _told(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    return _answer(status, str(error), getattr(error, "code", "EDGE_BAD_REQUEST"))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(str(place) for place in each['loc'][1:])}: {each['msg']}" for each in error.errors())
    return _answer(422, said, "EDGE_BAD_REQUEST")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, error.detail, "EDGE_HTTP", dict(error.headers or {}))


async def _too_large(request: Request, error: Exception) -> JSONResponse:
    return _answer(413, "the request is longer than it said, or than is taken.", "EDGE_TOO_LARGE")


def _answer(status: int, said: str, code: str, headers: dict[str, str] | None = None) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return JSONResponse({"error": {"message": said, "type": kind, "code": code}}, status, headers)
