"""Errors to replies: the door's own shape for whatever goes wrong, wherever it was raised."""

from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.protocol.errors import headers_of, map_error
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.server.http.access_log import record_failure

LEGACY_PATH: Final = "/transcribe"
"""It and all below it have errors of their own shape."""

_UNROUTABLE: Final = {
    404: "Invalid URL ({method} {path})",
    405: "Not allowed to {method} on {path}.",
}
"""OpenAI's words by status."""


async def refused(request: Request, error: Exception) -> Response:
    """The reply to an error of ours, or to a defect (any other exception)."""
    record_failure(request.scope, error)
    return error_response(request.url.path, error)


def error_response(path: str, error: Exception) -> Response:
    """The same by path alone; as an ASGI application it answers the upgrade of a WebSocket too."""
    body = legacy.error_body(error) if _is_legacy(path) else bodies.error_body(error)
    return JSONResponse(body, map_error(error).status, headers_of(error))


async def handle_http_exception(request: Request, error: Exception) -> Response:
    """The reply to what the web framework refuses: path, method, broken form."""
    assert isinstance(error, HTTPException)  # noqa: S101 (it is registered for nothing else)
    message = _UNROUTABLE.get(error.status_code, "{detail}").format(
        method=request.method, path=request.url.path, detail=error.detail
    )
    record_failure(request.scope, BadRequest(message))
    if _is_legacy(request.url.path):
        body = legacy.error_body(BadRequest(message))
    else:
        body = bodies.error_object(message)
    return JSONResponse(body, error.status_code, error.headers)


async def handle_validation_error(request: Request, error: Exception) -> Response:
    """The reply to parameters that the framework has checked: 400, and only the first fault."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (as above)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    fault = BadRequest(f"{' -> '.join(place)}: {first['msg']}", param=place[-1])
    return await refused(request, fault)


async def handle_disconnect(request: Request, error: Exception) -> Response:
    """The client has gone: nobody reads this reply, but its status is logged."""
    del request, error
    return Response(status_code=499)


def _is_legacy(path: str) -> bool:
    return f"{path}/".startswith(f"{LEGACY_PATH}/")
