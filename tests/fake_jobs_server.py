"""A fake jobs API on real sockets and without a model, for tests of its clients."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

TIMEOUT_S = 60

Reply = tuple[int, dict[str, str], bytes]


def error_reply(status: int, message: str, **headers: str) -> Reply:
    """Return an error response of the HTTP API."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps({"error": error}).encode()


@dataclass
class StoredJob:
    """A job of the fake server."""

    id: str
    name: str
    content: bytes
    fields: dict[str, list[str]]
    status: str = "running"

    def body(self) -> dict[str, Any]:
        """Return the JSON of the HTTP API."""
        error = {"message": f"{self.name} is noise.", "type": "invalid_request_error"}
        failure = error if self.status == "failed" else None
        return {
            "id": self.id,
            "object": "job",
            "status": self.status,
            "progress": {"done": 2.0 if self.status == "completed" else 1.0, "total": 2.0},
            "text": "",
            "error": failure,
            "files": [{"index": 0, "name": self.name, "status": self.status, "error": failure}],
        }


@dataclass
class FakeJobsServer:
    """State of the fake server: recorded requests, its jobs, and what it should do."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""
    keys: set[str] = field(default_factory=set)
    """All Authorization headers."""
    jobs: dict[str, StoredJob] = field(default_factory=dict)
    refusals: list[Reply] = field(default_factory=list)
    """Responses to the next submissions, instead of a job."""
    fails: set[str] = field(default_factory=set)
    """Names of files whose jobs fail."""
    cut_streams: int = 0
    """Number of event streams that end after their first event."""
    has_events: bool = True
    numbers: Iterator[int] = field(default_factory=count)
    go_on: threading.Event = field(default_factory=threading.Event)
    """Jobs end when it is set, which it is at the start."""
    watched: threading.Event = field(default_factory=threading.Event)
    """Set when a client has opened an event stream."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, job: StoredJob) -> None:
        """End a job once `go_on` is set."""
        assert self.go_on.wait(TIMEOUT_S)
        job.status = "failed" if job.name in self.fails else "completed"

    def count(self, method: str) -> int:
        """Return the number of requests of a method."""
        return sum(request.startswith(f"{method} ") for request in self.asked)


@contextmanager
def run_fake_jobs_server() -> Iterator[FakeJobsServer]:
    """Serve on a free port of this machine while inside."""
    state = FakeJobsServer()
    state.go_on.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = False
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(state: FakeJobsServer) -> type[BaseHTTPRequestHandler]:  # noqa: C901 (methods, counted as one)
    class Handler(BaseHTTPRequestHandler):
        """One connection; closed after its answer."""

        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_POST(self) -> None:
            """Submit a job."""
            form = self._form()
            self._note()
            with state.lock:
                if state.refusals:
                    self._answer(state.refusals.pop(0))
                    return
                job = _job(f"job_{next(state.numbers)}", form)
                state.jobs[job.id] = job
            self._json(202, job.body())

        def do_GET(self) -> None:
            """Return a job, its events or its result."""
            self._note()
            place = urlsplit(self.path)
            job_id, _, what = place.path.removeprefix("/v1/jobs/").partition("/")
            job = state.jobs.get(job_id)
            if job is None or (what == "events" and not state.has_events):
                self._answer(error_reply(404, f"There is no {self.path}."))
            elif what == "events":
                with suppress(ConnectionError):  # the client may close the stream early
                    self._events(job)
            elif what == "result":
                self._result(job, parse_qs(place.query)["format"][0])
            else:
                if not state.has_events:
                    state.finish(job)
                self._json(200, job.body())

        def do_DELETE(self) -> None:
            """Delete a job."""
            self._note()
            state.jobs.pop(self.path.rpartition("/")[2])
            self._json(200, {"deleted": True})

        def _note(self) -> None:
            state.asked.append(f"{self.command} {self.path}")
            state.keys.add(self.headers.get("authorization", ""))

        def _form(self) -> Any:  # noqa: ANN401 (a message of the email package)
            body = self.rfile.read(int(self.headers["content-length"]))
            head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
            return BytesParser(policy=HTTP).parsebytes(head + body)

        def _events(self, job: StoredJob) -> None:
            state.watched.set()
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._event({"type": "job.progress", "job": job.body()})
            with state.lock:
                is_cut = state.cut_streams > 0
                state.cut_streams -= is_cut
            if not is_cut:
                state.finish(job)
                self._event({"type": f"job.{job.status}", "job": job.body()})
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def _event(self, event: dict[str, Any]) -> None:
            data = f"data: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def _result(self, job: StoredJob, wanted: str) -> None:
            if wanted == "verbose_json":
                self._json(200, {"text": job.content.decode(), "duration": 2.0})
            else:
                body = f"{wanted} of {job.content.decode()}\n".encode()
                self._answer((200, {"content-type": "text/plain; charset=utf-8"}, body))

        def _json(self, status: int, body: object) -> None:
            self._answer((status, {"content-type": "application/json"}, json.dumps(body).encode()))

        def _answer(self, reply: Reply) -> None:
            status, headers, body = reply
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _job(job_id: str, form: Any) -> StoredJob:  # noqa: ANN401 (as above)
    name, content = "", b""
    fields: dict[str, list[str]] = {}
    if not form.is_multipart():
        fields = parse_qs(form.get_payload(), keep_blank_values=True)
        return StoredJob(job_id, fields["url"][0], b"", fields)
    for part in form.iter_parts():
        key = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if key == "file":
            name, content = part.get_filename(), payload
        else:
            fields.setdefault(key, []).append(payload.decode())
    return StoredJob(job_id, name, content, fields)
