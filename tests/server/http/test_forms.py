"""The multipart reader, held to any cutting of a body into pieces and any damage to it."""

import itertools
import string
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message
from watched_files import WatchedFile, watch_uploads

from whisperlive_hybrid.errors import BadRequest, OutOfSpace
from whisperlive_hybrid.server.http.forms import read_upload

quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

Outcome = tuple[tuple[tuple[str, str], ...], str, bytes] | str
"""Fields, file name and file of an upload; or the message with which it was refused."""


@dataclass(frozen=True)
class Form:
    """A body up to its last two dashes, what follows, and what must be read from it."""

    boundary: str
    closed: bytes
    epilogue: bytes
    fields: tuple[tuple[str, str], ...]
    file: bytes

    @property
    def body(self) -> bytes:
        """All that is sent."""
        return self.closed + self.epilogue


@pytest.fixture(autouse=True)
def _watched_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch every temporary file."""
    watch_uploads(monkeypatch)


def outcome(boundary: str, pieces: Sequence[bytes], *, hangs_up: bool = False) -> Outcome:
    """What the reader makes of a body that arrives in these pieces; it leaves no file behind."""
    last: Message = {"type": "http.disconnect"} if hangs_up else {"type": "http.request"}
    messages = iter(
        [*({"type": "http.request", "body": piece, "more_body": True} for piece in pieces), last]
    )

    async def receive() -> Message:
        return next(messages)

    async def read() -> Outcome:
        content_type = f'multipart/form-data; boundary="{boundary}"'.encode()
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type)]}
        try:
            async with read_upload(Request(scope, receive)) as upload:
                made = upload.file.read()
                assert upload.size == len(made)
                return upload.fields, upload.filename, made
        except BadRequest as refusal:
            return refusal.message

    try:
        return anyio.run(read)
    finally:
        assert all(file.closed for file in WatchedFile.opened)
        WatchedFile.opened.clear()


boundaries = st.text(string.ascii_letters + string.digits + "'()+_,-./:=?", min_size=1, max_size=70)
names = st.text(string.ascii_letters + "_[]", min_size=1, max_size=12).filter(
    lambda name: name != "file"
)
headers = st.sampled_from(["", "Content-Type: text/plain\r\n", "X-Junk: --\r\nX-More: ;\r\n"])


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Good forms: fields and one file in any order, any bytes, junk where the RFC allows it."""
    boundary = draw(boundaries)
    delimiter = f"\r\n--{boundary}".encode()
    # Pieces of the delimiter make the hardest files.
    parts_of_it = st.integers(0, len(delimiter) - 1).map(lambda n: delimiter[:n])
    file = b"".join(draw(st.lists(st.binary(max_size=700) | parts_of_it, max_size=5)))
    fields = draw(st.lists(st.tuples(names, st.text(max_size=30)), max_size=4))
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n{draw(headers)}\r\n'.encode()
        + value.encode()
        for name, value in fields
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="a"\r\n{draw(headers)}\r\n'
    parts.insert(draw(st.integers(0, len(parts))), head.encode() + file)
    body = b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--"
    body = body if draw(st.booleans()) else body[2:]
    return Form(boundary, body, draw(st.binary(max_size=40)), tuple(fields), file)


def is_readable(form: Form) -> bool:
    """Whether the delimiter is in none of the values by chance."""
    delimiter = f"\r\n--{form.boundary}".encode()
    return (b"\r\n" + form.closed).count(delimiter) == len(form.fields) + 2


def cut(body: bytes, places: Sequence[float]) -> list[bytes]:
    """A body in pieces."""
    borders = [0, *sorted(round(place * len(body)) for place in places), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(borders)]


cuts = st.lists(st.floats(0, 1), max_size=30)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads are stored in TMPDIR; a full disk is an error of its own, logged without a stack."""
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/dev/full", "w+b", 0))  # noqa: PTH123, SIM115 (the kernel's own full disk)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    with pytest.raises(OutOfSpace, match="disk of this server is full"):
        outcome("x", [head, bytes(5000), b"\r\n--x--"])


@quick
@given(form=forms().filter(is_readable), places=cuts)
def test_a_good_form_is_read_alike_in_any_pieces(form: Form, places: list[float]) -> None:
    """The fields in their order and the file to the bit."""
    expected = (form.fields, "a", form.file)
    assert outcome(form.boundary, cut(form.body, places)) == expected


@quick
@given(form=forms().filter(is_readable))
def test_a_good_form_is_read_byte_by_byte(form: Form) -> None:
    """The smallest pieces of all."""
    pieces = [form.body[i : i + 1] for i in range(len(form.body))][:3000]
    rest = form.body[3000:]
    assert outcome(form.boundary, [*pieces, rest]) == (form.fields, "a", form.file)


@quick
@given(
    form=forms(),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4))),
    end=st.floats(0, 1),
    places=cuts,
)
def test_a_damaged_form_is_read_or_refused(
    form: Form, wounds: list[tuple[float, int, bytes]], end: float, places: list[float]
) -> None:
    """Nothing else is raised; how the body was cut decides at most the words of a refusal."""
    body = bytearray(form.body)
    for where, n_lost, gained in wounds:
        place = round(where * len(body))
        body[place : place + n_lost] = gained
    damaged = bytes(body[: round(end * len(body))])
    in_pieces, whole = (
        outcome(form.boundary, cut(damaged, places)),
        outcome(form.boundary, [damaged]),
    )
    both_refused = isinstance(in_pieces, str) and isinstance(whole, str)
    assert both_refused or in_pieces == whole


@quick
@given(form=forms().filter(is_readable), end=st.floats(0, 1), hangs_up=st.booleans())
def test_a_part_of_a_form_is_no_form(form: Form, end: float, *, hangs_up: bool) -> None:
    """Before the last two dashes the upload is cut off, or its client has disconnected."""
    part = form.closed[: round(end * (len(form.closed) - 1))]
    if hangs_up:
        with pytest.raises(ClientDisconnect):
            outcome(form.boundary, [part], hangs_up=True)
    else:
        assert outcome(form.boundary, [part]) == (
            "The upload was cut off before its closing boundary."
        )
