"""A running server as its operator sees it: figures that add up, logs without a word, a drain."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from metrics_scrape import Scrape
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from paths import CLIPS
from running_server import Server, start_server, wait_for_exit
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.types import SAMPLE_RATE

EN, DE = CLIPS / "en-0.flac", CLIPS / "de-0.flac"
SECRET = "tok_5ecret"  # noqa: S105 (opens nothing)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class TraceReceiver(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP, as a collector does."""

    def do_POST(self) -> None:
        """Keep the spans, and answer."""
        collector = self.server
        assert isinstance(collector, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                collector.spans += scope.spans
        collector.paths.add(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's signature)
        """Say nothing."""


class Collector(ThreadingHTTPServer):
    """A collector on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TraceReceiver)
        self.spans: list[Span] = []
        self.paths: set[str] = set()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs while inside."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@dataclass
class Day:
    """What one server was asked, and what it left behind."""

    before: Scrape
    after: Scrape
    state: dict[str, object]
    said: set[str]
    live_s: float
    file_s: float
    job_s: float
    n_requests: int
    job_id: str
    lines: list[dict[str, object]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    collector_paths: set[str] = field(default_factory=set)


def samples(clip: Path) -> bytes:
    """The samples of a clip as a client sends them."""
    with clip.open("rb") as media, open_audio(media) as audio:
        return b"".join(block.tobytes() for block in audio.blocks())


def seconds(*clips: Path) -> float:
    """How long clips are."""
    return sum(len(samples(clip)) for clip in clips) / 4 / SAMPLE_RATE


def scrape(server: Server) -> Scrape:
    """What /metrics says now."""
    return Scrape(httpx.get(f"{server.http_url}/metrics").text)


def speak(server: Server, clip: Path) -> set[str]:
    """Send a clip to the live door; the texts of all segments that came back."""
    audio, texts = samples(clip), set[str]()
    with connect(f"{server.live_url}/?token={SECRET}", compression=None) as live:
        live.send(json.dumps({"uid": SECRET, "language": None, "initial_prompt": ""}))
        for first in range(0, len(audio), 16384):
            live.send(audio[first : first + 16384])
        live.send(b"END_OF_AUDIO")
        for message in live:
            texts |= {each["text"].strip() for each in json.loads(message).get("segments", ())}
    return texts


def upload(server: Server, clip: Path) -> httpx.Response:
    """Send a clip to the file door, with everything on it that must not be logged."""
    return httpx.post(
        f"{server.http_url}/v1/audio/transcriptions",
        files={"file": (f"{SECRET}.flac", clip.read_bytes())},
        headers={
            "authorization": f"Bearer {SECRET}",
            "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01",
        },
    )


def submit(server: Server, *clips: Path) -> tuple[str, str]:
    """Hand in a job and wait for its end; its id and its text."""
    files = [("files[]", (f"{SECRET}.flac", clip.read_bytes())) for clip in clips]
    job = httpx.post(f"{server.http_url}/v1/jobs", files=files).json()
    httpx.get(f"{server.http_url}/v1/jobs/{job['id']}/events?token={SECRET}", timeout=60)
    return job["id"], httpx.get(f"{server.http_url}/v1/jobs/{job['id']}").json()["text"]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One server from its start to its end: a live stream, a file, a job, and things refused."""
    log = tmp_path_factory.mktemp("log") / "log"
    with collecting() as collector:
        server = start_server(
            tmp_path_factory.mktemp("data"),
            log,
            WHISPERLIVE_LOG_FORMAT="json",
            WHISPERLIVE_LOG_LEVEL="debug",
            WHISPERLIVE_OTEL="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        )
        before = scrape(server)
        said = speak(server, EN) | speak(server, DE)
        reply = upload(server, EN)
        assert reply.status_code == 200
        said.add(reply.json()["text"])
        job_id, text = submit(server, EN, DE)
        said |= set(text.splitlines())
        noise = {"file": b"no audio at all"}
        for path in ("/v1/audio/transcriptions", "/transcribe"):
            assert httpx.post(f"{server.http_url}{path}", files=noise).status_code == 400
        assert httpx.get(f"{server.http_url}/nowhere/{SECRET}").status_code == 404
        state = httpx.get(f"{server.http_url}/v1/server").json()
        after = scrape(server)
        server.process.send_signal(signal.SIGTERM)
        assert wait_for_exit(server) == 0
        yield Day(
            before,
            after,
            state,
            said,
            live_s=seconds(EN, DE),
            file_s=seconds(EN),
            job_s=seconds(EN, DE),
            n_requests=8,  # a file, three of a job, two without audio, one nowhere, one state
            job_id=job_id,
            lines=[json.loads(line) for line in log.read_text().splitlines()],
            spans=collector.spans,
            collector_paths=collector.paths,
        )


def test_audio_adds_up_to_what_was_sent(day: Day) -> None:
    """To the sample, at every door."""
    name = "whisperlive_audio_seconds_total"
    assert day.before.total(name) == 0
    for door, sent in (("live", day.live_s), ("http", day.file_s), ("jobs", day.job_s)):
        assert day.after.total(name, door=door) == pytest.approx(sent, abs=1e-3), door


def test_each_request_and_each_stream_is_counted_once(day: Day) -> None:
    """The scrape that tells is not counted yet, the one before is."""
    name = "whisperlive_http_requests_total"
    of_scrapes = day.after.total(name, route="/metrics")
    assert of_scrapes == 1
    assert day.after.total(name) - of_scrapes == day.n_requests
    seconds_of = "whisperlive_http_request_duration_seconds_count"
    assert day.after.total(seconds_of) == day.after.total(name)
    assert day.after.total(name, route="/v1/audio/transcriptions", status="200") == 1
    assert day.after.total("whisperlive_live_streams_total", end="end_of_audio") == 2
    assert day.after.total("whisperlive_live_streams_total") == 2
    assert day.after.total("whisperlive_errors_total", door="http", kind="bad_audio") == 2
    assert day.after.total("whisperlive_jobs", status="completed") == 1


def test_the_engine_figures_agree_with_each_other(day: Day) -> None:
    """Each batch has the windows that waited for it, and every final utterance was timed."""
    parts = day.after.total("whisperlive_batch_size_sum")
    assert parts == day.after.total("whisperlive_queue_wait_seconds_count") > 0
    calls = day.after.total("whisperlive_model_call_duration_seconds_count")
    assert calls == day.after.total("whisperlive_batch_size_count")
    assert day.after.total("whisperlive_windows_total", urgency="bulk", outcome="failed") == 0
    assert day.after.total("whisperlive_final_latency_seconds_count") >= 2
    assert 0 < day.after.total("whisperlive_real_time_factor", model="demo") < 10


def test_nothing_was_dropped_or_refused_and_nothing_is_left(day: Day) -> None:
    """At rest again."""
    assert day.after.total("whisperlive_dropped_audio_gaps_total") == 0
    assert day.after.total("whisperlive_refused_total") == 0
    for gauge in ("live_clients", "uploads", "queue_depth", "live_lateness_seconds"):
        assert day.after.total(f"whisperlive_{gauge}") == 0, gauge


def test_the_json_state_says_the_same(day: Day) -> None:
    """A page and Prometheus are told one story."""
    assert day.state["backend"] == "faster_whisper"
    assert day.state["live_clients"] == 0
    jobs = day.state["jobs"]
    assert isinstance(jobs, dict)
    assert jobs["completed"] == 1


def test_neither_text_nor_tokens_are_logged(day: Day) -> None:
    """Not a word that was said, no key, no query, no name of a file, even at debug."""
    assert len(day.said) >= 2
    logged = "\n".join(json.dumps(line, ensure_ascii=False) for line in day.lines).lower()
    assert SECRET not in logged
    for text in day.said:
        assert len(text) > 3
        assert text.lower() not in logged
    sentences = [text for text in day.said if len(text.split()) > 2]
    for sentence in sentences:
        for pair in zip(sentence.split(), sentence.split()[1:], strict=False):
            assert " ".join(pair).lower() not in logged


def test_every_line_of_work_has_an_id(day: Day) -> None:
    """Of a request, a stream, or a job; one access line for each request."""
    of_server = {"draining", "stopped", "live work measured"}
    for line in day.lines:
        if line["event"] in of_server or line["level"] == "debug":
            continue
        ids = {"request_id", "session_id", "job_id"} & line.keys()
        assert ids, line
    requests = [line for line in day.lines if line["event"] == "request"]
    assert len({line["request_id"] for line in requests}) == len(requests)
    assert len([line for line in requests if line["level"] == "info"]) == day.n_requests
    streams = [line for line in day.lines if line["event"] == "stream ended"]
    assert len({line["session_id"] for line in streams}) == 2
    assert {line["end"] for line in streams} == {"end_of_audio"}
    total_s = sum(float(str(line["audio_s"])) for line in streams)
    assert total_s == pytest.approx(day.live_s, abs=0.01)
    of_job = {line["event"] for line in day.lines if line.get("job_id") == day.job_id}
    assert of_job == {"job taken in", "read a file of a job", "job ended"}


def test_traces_arrive_over_http(day: Day) -> None:
    """OTLP, to the path of the specification; every window has a parent in its own trace."""
    assert day.collector_paths == {"/v1/traces"}
    by_id = {span.span_id: span for span in day.spans}
    names = {span.name for span in day.spans}
    roots = {"POST /v1/audio/transcriptions", "live utterance", "live update", "job file"}
    assert (
        roots - {"live update"} | {"engine window", "engine wait", "model encode", "model generate"}
        <= names
    )
    for span in day.spans:
        if span.name == "engine window":
            parent = by_id[span.parent_span_id]
            assert parent.trace_id == span.trace_id
            assert parent.name in roots
    joined = [span for span in day.spans if span.trace_id.hex() == TRACE_ID]
    assert {"POST /v1/audio/transcriptions", "engine window"} <= {span.name for span in joined}
    written = str(day.spans).lower()
    assert SECRET not in written
    assert not any(text.lower() in written for text in day.said if len(text.split()) > 1)


def test_text_is_logged_where_the_operator_asks_for_it(tmp_path: Path) -> None:
    """With the id of the request that it belongs to."""
    log = tmp_path / "log"
    settings = {"WHISPERLIVE_LOG_FORMAT": "json", "WHISPERLIVE_LOG_TEXT": "true"}
    server = start_server(tmp_path / "data", log, **settings)
    reply = upload(server, EN)
    server.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(server) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    read = [line for line in lines if line["event"] == "window read"]
    assert " ".join(line["text"] for line in read) == reply.json()["text"]
    assert {line["request_id"] for line in read} == {reply.headers["x-request-id"]}


def test_a_server_that_drains_says_so_until_its_work_is_done(tmp_path: Path) -> None:
    """Not ready, but alive; new work is refused, the upload in flight is answered, exit 0."""
    server = start_server(tmp_path)
    body = EN.read_bytes()
    head = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-type: multipart/form-data; boundary=b\r\ncontent-length: %d\r\n"
        b"expect: 100-continue\r\n\r\n"
    )
    form = (
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + body
        + b"\r\n--b--\r\n"
    )
    port = int(server.http_url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as half,
        connect(server.live_url, compression=None) as live,
    ):
        half.sendall(head % len(form))
        assert half.recv(65536).startswith(b"HTTP/1.1 100 ")  # it is in work
        half.sendall(form[:1000])
        live.send(json.dumps({"uid": "a", "language": "en"}))
        live.recv()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            live.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        ready = httpx.get(f"{server.http_url}/ready")
        assert (ready.status_code, ready.json()["failing"]) == (503, ["accepting"])
        assert httpx.get(f"{server.http_url}/health").status_code == 200
        assert httpx.get(f"{server.http_url}/v1/server").json()["status"] == "draining"
        refusal = upload(server, EN)
        assert refusal.status_code == 503
        assert refusal.json()["error"]["code"] == "server_draining"
        assert int(refusal.headers["retry-after"]) > 0
        assert httpx.post(f"{server.http_url}/v1/jobs", files={"file": body}).status_code == 503
        half.sendall(form[1000:])
        reply = b"".join(iter(lambda: half.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b'"text":' in reply
    assert wait_for_exit(server) == 0
