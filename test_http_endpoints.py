#!/usr/bin/env python3
"""Try every endpoint of a running server, and print what each answered.

    python3 test_http_endpoints.py
    python3 test_http_endpoints.py --http https://stt.example.org --key wlk_... \
        --live wss://stt.example.org/live \
        --audio talk.wav --audio-url https://example.org/talk.mp3

It needs the package `requests` and nothing else; with `websockets` it tries the WebSockets too.
Without --audio it sends the sample of the repository, or a tone where that is missing. The exit
code is 0 if everything answered as it should. An endpoint that the server describes and that is
not tried here counts as a failure.
"""

import argparse
import io
import json
import math
import struct
import sys
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

try:
    from websockets.sync.client import connect
except ImportError:
    connect = None  # type: ignore[assignment]  # the rows of WebSockets are skipped

SAMPLE = Path(__file__).parent / "src/whisperlive_hybrid/assets/samples/en.flac"
TIMEOUT_S = 120.0
RATE = 16_000
FRAME = 8192
"""Bytes of one live message: a quarter of a second."""
SHOWN = 60
"""Characters of an answer that are printed."""


class WrongAnswer(Exception):
    """An endpoint has answered, but not as it should."""


class Skipped(Exception):
    """What cannot be tried here, and why."""


@dataclass(frozen=True)
class Recording:
    """What is sent to every endpoint."""

    name: str
    content: bytes

    @property
    def pcm(self) -> bytes | None:
        """The samples for a live stream, int16; None unless it is a WAV of mono 16 kHz."""
        if not self.name.endswith(".wav"):
            return None
        with wave.open(io.BytesIO(self.content)) as wav:
            is_plain = (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, RATE)
            return wav.readframes(wav.getnframes()) if is_plain else None


def make_tone(seconds: float = 1.0) -> Recording:
    """Return a WAV of one tone: no speech, but every endpoint can read it."""
    n = round(seconds * RATE)
    samples = (round(8000 * math.sin(2 * math.pi * 440 * i / RATE)) for i in range(n))
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return Recording("tone.wav", file.getvalue())


@dataclass(frozen=True)
class Server:
    """The server under test, and what to send to it."""

    http_url: str
    live_url: str
    key: str | None
    recording: Recording
    audio_url: str | None

    @property
    def headers(self) -> dict[str, str]:
        """What shows the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def ask(self, method: str, path: str, want: int = 200, **given: Any) -> requests.Response:  # noqa: ANN401 (those of `requests`)
        """Send a request; raise `WrongAnswer` unless its status is the wanted one."""
        url = self.http_url + path
        reply = requests.request(method, url, headers=self.headers, timeout=TIMEOUT_S, **given)
        if reply.status_code != want:
            raise WrongAnswer(f"{reply.status_code}, not {want}: {reply.text}")
        return reply

    def upload(self, path: str, want: int = 200, **fields: str) -> requests.Response:
        """Send the recording with some fields."""
        files = {"file": (self.recording.name, self.recording.content)}
        return self.ask("POST", path, want, files=files, data=fields)


Try = Callable[[Server], object]
"""Tries one endpoint; returns what to print of its answer."""

AUDIO = "/v1/audio/transcriptions"


def last_event(server: Server) -> str:
    """Read a stream of events to its end."""
    lines = server.upload(AUDIO, model="whisper-1", stream="true").text.strip().splitlines()
    event = json.loads(lines[-1].removeprefix("data: "))
    if event["type"] != "transcript.text.done":
        raise WrongAnswer(lines[-1])
    return f"{event['type']}: {event['text']}"


def legacy_text(reply: requests.Response) -> str:
    """The text of an answer of /transcribe."""
    body = reply.json()
    if not body["success"]:
        raise WrongAnswer(reply.text)
    return " ".join(segment["text"] for segment in body["segments"])


def transcribe_url(server: Server) -> str:
    """Have a URL fetched; without one, see that a private address is refused."""
    if server.audio_url:
        return legacy_text(server.ask("POST", "/transcribe/url", json={"url": server.audio_url}))
    server.ask("POST", "/transcribe/url", 400, json={"url": "http://10.0.0.1/talk.mp3"})
    return "refuses a private address (--audio-url tries a download)"


def endpoints(server: Server) -> Iterator[tuple[str, Try]]:
    """Every endpoint with what tries it, by its name in the server's own description."""
    yield "GET /", lambda s: s.ask("GET", "/").json()["version"]
    yield "GET /health", lambda s: s.ask("GET", "/health").json()["status"]
    yield "GET /ready", lambda s: s.ask("GET", "/ready").json()["ready"]
    if "GET /metrics" in described(server):  # it can be switched off
        yield "GET /metrics", lambda s: f"{len(s.ask('GET', '/metrics').text.splitlines())} lines"
    yield "GET /v1/server", lambda s: s.ask("GET", "/v1/server").json()["status"]
    yield "GET /v1/models", lambda s: s.ask("GET", "/v1/models").json()["data"][0]["id"]
    yield "GET /v1/models/{model}", lambda s: s.ask("GET", "/v1/models/whisper-1").json()["id"]
    yield f"POST {AUDIO}", lambda s: s.upload(AUDIO, model="whisper-1").json()["text"]
    yield f"POST {AUDIO} (srt)", lambda s: s.upload(AUDIO, response_format="srt").text
    yield f"POST {AUDIO} (stream)", last_event
    translations = "/v1/audio/translations"
    yield f"POST {translations}", lambda s: s.upload(translations, model="whisper-1").json()["text"]
    yield "POST /transcribe", lambda s: legacy_text(s.upload("/transcribe"))
    yield "POST /transcribe/url", transcribe_url
    yield from job_endpoints()
    yield f"WS {server.live_url}", stream_live
    yield "GET /v1/usage", lambda s: s.ask("GET", "/v1/usage?days=1").json()["data"][0]["requests"]


def job_endpoints() -> Iterator[tuple[str, Try]]:
    """The endpoints of a job, from its submission to its removal."""
    job_id = ""

    def submit(server: Server) -> str:
        nonlocal job_id
        job_id = str(server.upload("/v1/jobs", 202).json()["id"])
        return job_id

    def find(server: Server) -> str:
        listed = [each["id"] for each in server.ask("GET", "/v1/jobs").json()["data"]]
        if job_id not in listed:
            raise WrongAnswer("The job is not in the list.")
        return f"{len(listed)} jobs"

    def at(ending: str = "") -> str:
        return f"/v1/jobs/{job_id}{ending}"

    yield "POST /v1/jobs", submit
    yield "GET /v1/jobs", find
    yield "GET /v1/jobs/{job_id}/events", lambda s: s.ask("GET", at("/events")).text.split("\n")[-3]
    yield "WS /v1/jobs/{job_id}/ws", lambda s: watch(s, at("/ws"))
    yield "GET /v1/jobs/{job_id}", lambda s: s.ask("GET", at()).json()["status"]
    yield "GET /v1/jobs/{job_id}/result", lambda s: s.ask("GET", at("/result")).json()["text"]
    # It has ended by itself.
    yield "POST /v1/jobs/{job_id}/cancel", lambda s: s.ask("POST", at("/cancel"), 409).status_code
    yield "DELETE /v1/jobs/{job_id}", lambda s: s.ask("DELETE", at()).json()["deleted"]


def watch(server: Server, path: str) -> str:
    """Return the type of a job's last event over a WebSocket."""
    with open_socket(server, server.http_url.replace("http", "ws", 1) + path) as socket:
        return str(json.loads(list(socket)[-1])["type"])


def stream_live(server: Server) -> str:
    """Send the recording as a live stream, as fast as the server takes it."""
    pcm = server.recording.pcm
    text = ""
    with open_socket(server, server.live_url) as socket:
        socket.send(json.dumps({"uid": "endpoints", "language": None, "audio_format": "int16"}))
        answer = json.loads(socket.recv(TIMEOUT_S))
        if answer.get("message") != "SERVER_READY":
            raise WrongAnswer(json.dumps(answer))
        sent = pcm or make_tone().pcm or b""
        for start in range(0, len(sent), FRAME):
            socket.send(sent[start : start + FRAME])
        socket.send(b"END_OF_AUDIO")
        for message in socket:
            segments = json.loads(message).get("segments", [])
            text = "".join(each["text"] for each in segments) or text
    if pcm is None:
        return "a tone (speech: --audio with a WAV, mono, 16 kHz)"
    return text or "no text"


def open_socket(server: Server, url: str) -> Any:  # noqa: ANN401 (a class of `websockets`, if that is there)
    """Connect to a WebSocket, or skip it."""
    if connect is None:
        raise Skipped("needs the package websockets")
    return connect(url, additional_headers=server.headers)


def described(server: Server) -> set[str]:
    """Return the endpoints that the server says it has."""
    paths = server.ask("GET", "/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def attempt(server: Server, endpoint: str, trial: Try) -> str:
    """Try one endpoint, print its line, and return its mark."""
    began = time.perf_counter()
    try:
        mark, answer = "ok", str(trial(server))
    except Skipped as reason:
        mark, answer = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 (whatever an endpoint does wrong is a line of the table)
        mark, answer = "FAILED", f"{type(error).__name__}: {error}"
    line = " ".join(answer.split())
    if mark != "FAILED" and len(line) > SHOWN:
        line = f"{line[:SHOWN]}…"
    print_line(endpoint, mark, f"{(time.perf_counter() - began) * 1000:.0f}", line)
    return mark


def print_line(endpoint: str, mark: str, milliseconds: str, answer: str) -> None:
    """Print one line of the table."""
    print(f"{endpoint:<40} {mark:<8} {milliseconds:>6}  {answer}".rstrip())  # noqa: T201 (its output)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--http", default="http://localhost:8080", help="the HTTP port")
    parser.add_argument("--live", help="the WebSocket port; by default 5050 of the same host")
    parser.add_argument("--key", help="an API key, where the server asks for one")
    parser.add_argument("--audio", type=Path, help="a recording to send")
    parser.add_argument("--audio-url", help="a recording that the server may download")
    return parser.parse_args(arguments)


def live_url_beside(http_url: str) -> str:
    """Return the address of the WebSocket port that belongs to an HTTP port by default."""
    parts = urlsplit(http_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, f"{parts.hostname}:5050", "", "", ""))


def main(arguments: Sequence[str]) -> int:
    """Try all endpoints; return the exit code."""
    given = read_options(arguments)
    http_url = given.http.rstrip("/")
    audio = given.audio or (SAMPLE if SAMPLE.exists() else None)
    recording = Recording(audio.name, audio.read_bytes()) if audio else make_tone()
    live_url = given.live or live_url_beside(http_url)
    server = Server(http_url, live_url, given.key, recording, given.audio_url)
    try:
        untried = described(server)
    except (requests.RequestException, WrongAnswer) as error:
        print(f"No server at {http_url}: {error}")  # noqa: T201 (its output)
        return 1
    print_line("endpoint", "", "ms", "answer")
    marks = []
    for endpoint, trial in endpoints(server):
        marks.append(attempt(server, endpoint, trial))
        untried.discard(endpoint)
    for endpoint in sorted(untried):
        marks.append("FAILED")
        print_line(endpoint, "FAILED", "", "is not tried by this script")
    tried = [mark for mark in marks if mark != "skipped"]
    n_skipped = len(marks) - len(tried)
    print(  # noqa: T201 (its output)
        f"{tried.count('ok')} of {len(tried)} as they should be"
        + (f", {n_skipped} skipped." if n_skipped else ".")
    )
    return 1 if "FAILED" in tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
