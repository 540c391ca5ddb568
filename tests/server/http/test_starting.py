"""What the HTTP port says while the model is downloaded and loaded."""

import pytest
from httpx2 import Response  # what starlette's client gives
from starlette.testclient import TestClient, WebSocketDenialResponse

from whisperlive_hybrid.models.store import PullProgress
from whisperlive_hybrid.server.http.starting import RETRY_AFTER_S, StartingApp

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def ask(
    app: StartingApp, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> Response:
    """Send a request."""
    return TestClient(app).request(method, path, headers=headers)


@pytest.fixture
def app() -> StartingApp:
    """An application of a start with the model base, at 40 of 148 MB."""
    app = StartingApp("base")
    app.show(PullProgress("base", 40_000_000, 148_000_000))
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/v1/models"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/transcribe"),
        ("GET", "/nowhere"),
        ("OPTIONS", "/"),
    ],
)
def test_programs_are_told_to_come_again(app: StartingApp, method: str, path: str) -> None:
    """With 503 and Retry-After, on which clients of the OpenAI API wait by themselves."""
    reply = ask(app, path, method)
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == str(RETRY_AFTER_S)
    assert reply.headers["cache-control"] == "no-store"
    assert "Downloading model base: 40 of 148 MB." in reply.text
    assert reply.headers["content-type"] == "application/json"


def test_each_asker_gets_the_form_that_it_knows(app: StartingApp) -> None:
    """Balancers read /ready, containers /health, and clients OpenAI's errors."""
    assert ask(app, "/ready").json() == {
        "ready": False,
        "failing": ["model"],
        "checks": {"model": False},
        "starting": {
            "text": "Downloading model base: 40 of 148 MB.",
            "done": 40_000_000,
            "total": 148_000_000,
        },
    }
    assert ask(app, "/health").json()["status"] == "starting"
    assert ask(app, "/v1/models").json()["error"]["code"] == "starting"


def test_browsers_get_a_page_with_the_progress(app: StartingApp) -> None:
    """It looks again by itself, also without scripts; its answer is a 503 all the same."""
    reply = ask(app, "/", headers=BROWSER)
    assert reply.status_code == 503
    assert reply.headers["content-type"].startswith("text/html")
    assert "Downloading model base: 40 of 148 MB." in reply.text
    assert 'value="40000000" max="148000000"' in reply.text
    assert f'http-equiv="refresh" content="{RETRY_AFTER_S}"' in reply.text
    assert ask(app, "/", "HEAD", BROWSER).status_code == 503


def test_a_websocket_is_refused_with_the_same_status(app: StartingApp) -> None:
    """A client of a realtime API comes again as one of the others does."""
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        TestClient(app).websocket_connect("/v1/realtime"),
    ):
        pass
    assert refused.value.status_code == 503


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (None, "Loading model base."),
        (PullProgress("base", 100, 100), "Loading model base."),
        (PullProgress("someone/other", 7_000_000, None), "someone/other: 7 MB."),
    ],
)
def test_the_words_follow_the_start(progress: PullProgress | None, words: str) -> None:
    """A model on this machine is loaded only; of some the size is not known."""
    app = StartingApp("base")
    if progress:
        app.show(progress)
    assert words in ask(app, "/").text
    assert words in ask(app, "/", headers=BROWSER).text


def test_names_are_no_markup_and_no_paths() -> None:
    """The name that an operator has configured is public, so it is escaped."""
    assert "<b>" not in ask(StartingApp("<b>base"), "/", headers=BROWSER).text
    assert "Loading model mine." in ask(StartingApp("/data/secret/mine"), "/").text
