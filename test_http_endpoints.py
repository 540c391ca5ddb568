#!/usr/bin/env python3
"""Try every endpoint of a running server, and print a table of what each answered.

    python test_http_endpoints.py
    python test_http_endpoints.py --http https://stt.example.org --live wss://stt.example.org/live \
        --key wlk_... --audio talk.mp3 --audio-url https://example.org/talk.mp3

It needs `httpx`, `websockets`, `av` and `rich`, which the server has installed. The exit code is 0
if everything answered as it should. An endpoint that the server describes and that is not tried
here counts as a failure, so the table is always whole.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import av
import httpx
from rich.console import Console
from rich.table import Table
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SAMPLE = Path(__file__).parent / "src/whisperlive_hybrid/assets/samples/en.flac"
PATIENCE_S = 120.0
SAID = 60
"""Characters of an answer that the table shows."""


class NotAsItShouldBe(Exception):
    """An endpoint has answered, but wrongly."""


FAULTS = (NotAsItShouldBe, httpx.HTTPError, WebSocketException, OSError, LookupError, ValueError)
"""What a failing endpoint looks like from here; the last two: an answer of another shape."""


@dataclass(frozen=True)
class Row:
    """What became of one try."""

    endpoint: str
    passed: bool
    said: str
    ms: float


@dataclass(frozen=True)
class Server:
    """The server under test, and what to send to it."""

    http: httpx.Client
    live_url: str
    key: str | None
    audio: Path
    audio_url: str | None

    def ask(self, method: str, path: str, want: int = 200, **given: object) -> httpx.Response:
        """Ask, and insist on a status."""
        response = self.http.request(method, path, **given)  # type: ignore[arg-type]  # httpx's own
        if response.status_code != want:
            raise NotAsItShouldBe(f"{response.status_code}, not {want}: {response.text}")
        return response

    def upload(self, path: str, want: int = 200, **fields: str) -> httpx.Response:
        """Send the recording with some fields."""
        with self.audio.open("rb") as file:
            files = {"file": (self.audio.name, file)}
            return self.ask("POST", path, want, files=files, data=fields)

    @property
    def proof(self) -> dict[str, str]:
        """The header that shows the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


Try = Callable[[Server], str]
"""Tries an endpoint and returns what to show of its answer."""


def index(server: Server) -> str:
    """What the server is."""
    return f"{server.ask('GET', '/').json()['version']}"


def health(server: Server) -> str:
    """Whether it lives."""
    found = server.ask("GET", "/health").json()
    return f"{found['status']}: {found['model']['name']} on {found['device']}"


def ready(server: Server) -> str:
    """Whether it wants work."""
    return "yes" if server.ask("GET", "/ready").json()["ready"] else "no"


def metrics(server: Server) -> str:
    """The figures for Prometheus."""
    lines = server.ask("GET", "/metrics").text.splitlines()
    return f"{sum(not line.startswith('#') for line in lines)} series"


def state(server: Server) -> str:
    """The same moment as JSON."""
    found = server.ask("GET", "/v1/server").json()
    return f"{found['status']} for {found['uptime_s']} s, {found['live_clients']} live clients"


def models(server: Server) -> str:
    """Which models may be named."""
    return ", ".join(each["id"] for each in server.ask("GET", "/v1/models").json()["data"])


def model(server: Server) -> str:
    """One of them."""
    return str(server.ask("GET", "/v1/models/whisper-1").json()["id"])


def usage(server: Server) -> str:
    """What was taken today, by now some."""
    today = server.ask("GET", "/v1/usage?days=1").json()["data"][0]
    return f"{today['requests']} requests, {today['audio_seconds']} s of audio"


def transcription(server: Server) -> str:
    """What was said, as JSON."""
    return str(server.upload("/v1/audio/transcriptions", model="whisper-1").json()["text"])


def subtitles(server: Server) -> str:
    """What was said, as subtitles."""
    path = "/v1/audio/transcriptions"
    return server.upload(path, model="whisper-1", response_format="srt").text.splitlines()[1]


def streamed(server: Server) -> str:
    """What was said, as events while it is read."""
    events = server.upload("/v1/audio/transcriptions", model="whisper-1", stream="true").text
    last = json.loads(events.strip().splitlines()[-1].removeprefix("data: "))
    return f"{last['type']}: {last['text']}"


def translation(server: Server) -> str:
    """What was said, in English."""
    return str(server.upload("/v1/audio/translations", model="whisper-1").json()["text"])


def legacy(server: Server) -> str:
    """The older API."""
    return _legacy_text(server.upload("/transcribe"))


def legacy_url(server: Server) -> str:
    """A recording from elsewhere; without one at hand, that a private address is refused."""
    if server.audio_url:
        return _legacy_text(server.ask("POST", "/transcribe/url", json={"url": server.audio_url}))
    server.ask("POST", "/transcribe/url", 400, json={"url": "http://10.0.0.1/talk.mp3"})
    return "refuses a private address (give --audio-url to download one)"


def _legacy_text(response: httpx.Response) -> str:
    return " ".join(segment["text"] for segment in response.json()["segments"])


def job(server: Server) -> Iterator[tuple[str, Try]]:
    """A job from its submission to its removal, one endpoint after another."""
    made = ""

    def submit(_: Server) -> str:
        nonlocal made
        made = str(server.upload("/v1/jobs", 202).json()["id"])
        return made

    def at(ending: str = "") -> str:
        return f"/v1/jobs/{made}{ending}"

    def listed(_: Server) -> str:
        found = [each["id"] for each in server.ask("GET", "/v1/jobs").json()["data"]]
        if made not in found:
            raise NotAsItShouldBe("The job is not in the list.")
        return f"{len(found)} jobs"

    def events(_: Server) -> str:
        return server.ask("GET", at("/events")).text.strip().splitlines()[-1]

    def cancelled(_: Server) -> str:
        server.ask("POST", at("/cancel"), 409)
        return "409: it has ended by itself"

    yield "POST /v1/jobs", submit
    yield "GET /v1/jobs", listed
    yield "GET /v1/jobs/{job_id}/events", events
    yield "WS /v1/jobs/{job_id}/ws", lambda _: _watched(server, at("/ws"))
    yield "GET /v1/jobs/{job_id}", lambda _: str(server.ask("GET", at()).json()["status"])
    yield "GET /v1/jobs/{job_id}/result", lambda _: str(server.ask("GET", at("/result")).text)
    yield "POST /v1/jobs/{job_id}/cancel", cancelled
    yield "DELETE /v1/jobs/{job_id}", lambda _: str(server.ask("DELETE", at()).json()["deleted"])


def _watched(server: Server, path: str) -> str:
    """The last event of a job over a WebSocket."""
    url = str(server.http.base_url.join(path)).replace("http", "ws", 1)
    with connect(url, additional_headers=server.proof) as socket:
        return str(json.loads(list(socket)[-1])["type"])


def live(server: Server) -> str:
    """A live stream, spoken as fast as the server listens."""
    handshake = {"uid": "endpoints", "language": None, "task": "transcribe", "model": "small"}
    text = ""
    with connect(server.live_url, additional_headers=server.proof) as socket:
        socket.send(json.dumps({**handshake, "use_vad": True}))
        answer = json.loads(socket.recv(PATIENCE_S))
        if answer.get("message") != "SERVER_READY":
            raise NotAsItShouldBe(json.dumps(answer))
        for chunk in pcm(server.audio):
            socket.send(chunk)
        socket.send(b"END_OF_AUDIO")
        for message in socket:
            segments = json.loads(message).get("segments", [])
            text = "".join(each["text"] for each in segments) or text
    if not text:
        raise NotAsItShouldBe("No text came.")
    return text


def pcm(audio: Path) -> Iterator[bytes]:
    """The samples of a recording: float32, mono, 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
    with av.open(str(audio)) as container:
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                yield part.to_ndarray().tobytes()


def tries(server: Server) -> Iterator[tuple[str, Try]]:
    """Everything that there is, by its name in the server's own description."""
    yield "GET /", index
    yield "GET /health", health
    yield "GET /ready", ready
    if "GET /metrics" in described(server):  # it can be switched off
        yield "GET /metrics", metrics
    yield "GET /v1/server", state
    yield "GET /v1/models", models
    yield "GET /v1/models/{model}", model
    yield "POST /v1/audio/transcriptions", transcription
    yield "POST /v1/audio/transcriptions (srt)", subtitles
    yield "POST /v1/audio/transcriptions (stream)", streamed
    yield "POST /v1/audio/translations", translation
    yield "POST /transcribe", legacy
    yield "POST /transcribe/url", legacy_url
    yield from job(server)
    yield f"WS {server.live_url}", live
    yield "GET /v1/usage", usage


def outcome(server: Server, endpoint: str, trial: Try) -> Row:
    """Try one endpoint."""
    began = time.perf_counter()
    try:
        said, passed = trial(server), True
    except FAULTS as error:
        said, passed = f"{type(error).__name__}: {error}", False
    return Row(endpoint, passed, " ".join(said.split()), (time.perf_counter() - began) * 1000)


def described(server: Server) -> set[str]:
    """The endpoints that the server says it has."""
    paths = server.ask("GET", "/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def shown(rows: Sequence[Row]) -> Table:
    """The table to print."""
    table = Table("endpoint", "", "ms", "answer")
    table.columns[2].justify = "right"
    for row in rows:
        said = row.said if len(row.said) <= SAID or not row.passed else f"{row.said[:SAID]}…"
        mark = "[green]ok[/green]" if row.passed else "[red]FAILED[/red]"
        table.add_row(row.endpoint, mark, f"{row.ms:.0f}", said)
    return table


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--http", default="http://localhost:8080", help="the file door")
    parser.add_argument("--live", help="the live door; by default port 5050 of the same host")
    parser.add_argument("--key", help="an API key, where the server asks for one")
    parser.add_argument("--audio", type=Path, default=SAMPLE, help="a recording to send")
    parser.add_argument("--audio-url", help="a recording that the server may download")
    return parser.parse_args(arguments)


def beside(http_url: str) -> str:
    """The live door that stands beside a file door by default."""
    parts = urlsplit(http_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, f"{parts.hostname}:5050", "", "", ""))


def main(arguments: Sequence[str]) -> int:
    """Try them all; return the exit code."""
    given = options(arguments)
    client = httpx.Client(base_url=given.http, timeout=PATIENCE_S)
    server = Server(
        client, given.live or beside(given.http), given.key, given.audio, given.audio_url
    )
    client.headers.update(server.proof)
    console = Console()
    with closing(client):
        try:
            missing = described(server)
        except (httpx.HTTPError, NotAsItShouldBe) as error:
            console.print(f"No server at {given.http}: {error}", style="red")
            return 1
        rows = []
        for endpoint, trial in tries(server):
            rows.append(outcome(server, endpoint, trial))
            missing.discard(endpoint)
        rows += [Row(each, False, "is not tried by this script", 0) for each in sorted(missing)]
    console.print(shown(rows))
    n_failed = sum(not row.passed for row in rows)
    console.print(f"{len(rows) - n_failed} of {len(rows)} as they should be.")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
