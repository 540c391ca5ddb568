"""Responses to errors, in the shape of the API that the path belongs to."""

from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.protocol.errors import headers_of, map_error
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.server.http.access_log import CLIENT_CLOSED_REQUEST, record_failure

LEGACY_PATH: Final = "/transcribe"
"""This path and all below it have an error format of their own."""

_HTTP_MESSAGES: Final = {
    404: "Invalid URL ({method} {path})",
    405: "Not allowed to {method} on {path}.",
}
"""OpenAI's messages by status."""


def error_response(path: str, error: Exception) -> Response:
    """Return the response to an error; as an ASGI application it rejects WebSockets too."""
    body = legacy.error_body(error) if _is_legacy(path) else bodies.error_body(error)
    return JSONResponse(body, map_error(error).status, headers_of(error))


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or the handshake of a WebSocket with an error, from a middleware."""
    record_failure(scope, error)
    await error_response(scope["path"], error)(scope, receive, send)


async def handle_error(request: Request, error: Exception) -> Response:
    """Return the response to an error of this package, or to a bug (any other exception)."""
    record_failure(request.scope, error)
    return error_response(request.url.path, error)


async def handle_http_exception(request: Request, error: Exception) -> Response:
    """Return the response to an error of the web framework: unknown path or method, bad form."""
    assert isinstance(error, HTTPException)  # noqa: S101 (it is registered for nothing else)
    message = _HTTP_MESSAGES.get(error.status_code, "{detail}").format(
        method=request.method, path=request.url.path, detail=error.detail
    )
    record_failure(request.scope, BadRequest(message))
    if _is_legacy(request.url.path):
        body = legacy.error_body(BadRequest(message))
    else:
        body = bodies.error_object(message)
    return JSONResponse(body, error.status_code, error.headers)


async def handle_validation_error(request: Request, error: Exception) -> Response:
    """Return the response to parameters that FastAPI rejects: 400 with the first error."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (as above)
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    bad_request = BadRequest(f"{' -> '.join(location)}: {first['msg']}", param=location[-1])
    return await handle_error(request, bad_request)


async def handle_disconnect(request: Request, error: Exception) -> Response:
    """Return the response to a client that has disconnected: only its status, which is logged."""
    del request, error
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def _is_legacy(path: str) -> bool:
    return f"{path}/".startswith(f"{LEGACY_PATH}/")
