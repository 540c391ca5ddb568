"""The responses of the HTTP port while the model is downloaded and loaded."""

import html
from pathlib import Path
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from whisperlive_hybrid.models.store import PullProgress
from whisperlive_hybrid.server.http.web_page import wants_page

RETRY_AFTER_S: Final = 2
"""A model that is on the machine loads in about this time."""

_HEADERS: Final = {"retry-after": str(RETRY_AFTER_S), "cache-control": "no-store"}

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>WhisperLive Hybrid Server is starting</title>
<style>
  :root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }}
  main {{ max-width: 30rem; margin: 20vh auto 0; padding: 0 1rem; }}
  progress {{ width: 100%; }}
</style>
<noscript><meta http-equiv="refresh" content="{retry}"></noscript>
<main>
  <h1>The server is starting</h1>
  <p id="state" role="status">{text}</p>
  <progress id="bar" aria-label="Download" {bar}></progress>
</main>
<script>
  async function look() {{
    try {{
      const reply = await fetch("ready", {{ cache: "no-store" }});
      const state = await reply.json();
      if (!state.starting) return location.reload();
      document.getElementById("state").textContent = state.starting.text;
      const bar = document.getElementById("bar");
      if (state.starting.total) {{
        bar.max = state.starting.total;
        bar.value = state.starting.done;
      }} else {{
        bar.removeAttribute("value");
      }}
    }} catch {{
      // The server takes over the port between two requests; retry.
    }}
    setTimeout(look, 1000);
  }}
  setTimeout(look, 1000);
</script>
</html>
"""


class StartingApp:
    """An ASGI application that answers every request with 503 and the progress of the start."""

    def __init__(self, model: str) -> None:
        """`model` is a name or a path from the settings; only the end of a path is shown."""
        # The response is public, so it does not show the directories of the machine.
        self._model = Path(model).name if Path(model).is_absolute() else model
        self._progress: PullProgress | None = None

    def show(self, progress: PullProgress) -> None:
        """Show the progress of a download; may be called from any thread."""
        self._progress = progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or the handshake of a WebSocket."""
        request, method = HTTPConnection(scope), scope.get("method", "GET")
        text, done, total = self._describe()
        response: Response
        if request.url.path == "/ready":
            body = {
                "ready": False,
                "failing": ["model"],
                "checks": {"model": False},
                "starting": {"text": text, "done": done, "total": total},
            }
            response = JSONResponse(body, 503, _HEADERS)
        # Programs that accept anything get JSON.
        elif method in ("GET", "HEAD") and wants_page(request):
            bar = f'value="{done}" max="{total}"' if total else ""
            page = _PAGE.format(text=html.escape(text), bar=bar, retry=RETRY_AFTER_S)
            response = HTMLResponse(page, 503, _HEADERS)
        elif request.url.path == "/health":
            response = JSONResponse({"status": "starting", "detail": text}, 503, _HEADERS)
        else:
            error = {"message": text, "type": "server_error", "param": None, "code": "starting"}
            response = JSONResponse({"error": error}, 503, _HEADERS)
        await response(scope, receive, send)

    def _describe(self) -> tuple[str, int, int | None]:
        """Return the current step as a text, and its bytes done and in total."""
        progress = self._progress
        if progress is None or (progress.total and progress.done >= progress.total):
            return f"Loading model {self._model}.", 0, None
        size = f" of {progress.total / 1e6:.0f}" if progress.total else ""
        text = f"Downloading model {progress.model}: {progress.done / 1e6:.0f}{size} MB."
        return text, progress.done, progress.total
