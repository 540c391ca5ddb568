"""Downloads and webhooks on real sockets of this machine, which the tests' allow-list names."""

import gzip
import io
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from fake_web_server import Answer, FakeWebServer, answer, serve_answers

from whisperlive_hybrid.config import FetchSettings
from whisperlive_hybrid.errors import BadRequest, Overloaded, RemoteFailed, TooLarge, Unsupported
from whisperlive_hybrid.fetch import fetcher as module
from whisperlive_hybrid.fetch.fetcher import (
    MAX_REDIRECTS,
    WRITE_BYTES,
    DownloadedFile,
    UrlFetcher,
    open_fetcher,
)

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SETTINGS = FetchSettings(fetch_allow="127.0.0.1")
MOST_BYTES = 2**20


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every name is this machine, but for those that begin with "internal"."""
    del port
    return ["10.0.0.1"] if host.startswith("internal") else ["127.0.0.1"]


async def unresolved(host: str, port: int) -> Sequence[str]:
    """Nothing may be asked for."""
    raise AssertionError((host, port))


async def hang(stream: ByteStream) -> None:
    """Answer nothing until the other side has gone."""
    await stream.receive()


@dataclass(slots=True)
class World:
    """A fetcher, and a server that it may reach."""

    fetcher: UrlFetcher
    remote: FakeWebServer

    def url(self, path: str = "/", scheme: str = "http", host: str = "media.example") -> str:
        """A path of the server."""
        return f"{scheme}://{host}:{self.remote.port}{path}"

    async def download(self, path: str = "/", scheme: str = "http") -> tuple[DownloadedFile, bytes]:
        """Return the result, and the content of the file."""
        file = io.BytesIO()
        download = await self.fetcher.download(self.url(path, scheme), file)
        return download, file.getvalue()

    async def post(self, path: str) -> int:
        """The status of a small webhook."""
        return await self.fetcher.post(self.url(path), b"{}", {})


@asynccontextmanager
async def world(
    answers: dict[str, Answer], settings: FetchSettings = SETTINGS, tls: trustme.CA | None = None
) -> AsyncIterator[World]:
    """With `tls` the server has a certificate of that authority, which the fetcher trusts."""
    serverside, clientside = tls_contexts(tls) if tls else (None, None)
    async with (
        serve_answers(answers, serverside) as remote,
        open_fetcher(settings, MOST_BYTES, resolve=resolve, tls=clientside) as fetcher,
    ):
        yield World(fetcher, remote)


def tls_contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server called media.example and for its clients."""
    serverside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("media.example").configure_cert(serverside)
    clientside = ssl.create_default_context()
    authority.configure_trust(clientside)
    return serverside, clientside


async def refusal(answered: Answer, settings: FetchSettings = SETTINGS) -> BadRequest:
    """Return the error of a download that gets this response."""
    async with world({"/": answered}, settings) as here:
        with pytest.raises(BadRequest) as refused:
            await here.download()
    assert refused.value.param == "url"
    assert "127.0.0.1" not in refused.value.message
    return refused.value


# What is downloaded


async def test_a_recording_is_written_to_the_file() -> None:
    """With its size, its name, and where it was found."""
    async with world({"/a/talk.mp3?sig=1": answer(b"sound")}) as here:
        download, written = await here.download("/a/talk.mp3?sig=1")
        assert download == DownloadedFile("talk.mp3", 5, here.url("/a/talk.mp3?sig=1"))
    assert written == b"sound"


async def test_the_server_may_name_the_recording() -> None:
    """By Content-Disposition, as a label without directories."""
    named = answer(b"sound", content_disposition='attachment; filename="../a call.wav"')
    async with world({"/x": named}) as here:
        download, _ = await here.download("/x")
    assert download.filename == "a call.wav"


async def test_long_recordings_arrive_whole() -> None:
    """In any number of pieces, up to the very limit, with a length or in chunks."""
    body = bytes(range(256)) * (MIB // 256)
    assert len(body) > 2 * WRITE_BYTES

    async def chunked(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, MIB, MIB // 8):
            await stream.send(b"%x\r\n%b\r\n" % (MIB // 8, body[start : start + MIB // 8]))
        await stream.send(b"0\r\n\r\n")

    async with world({"/length": answer(body), "/chunks": chunked}) as here:
        for path in here.remote.answers:
            download, written = await here.download(path)
            assert download.size == MIB
            assert written == body


async def test_nothing_but_the_question_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment, no cookie of an earlier answer, no password of ours."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, dead)
    first = answer(status="302 Found", location="/b", set_cookie="id=1; path=/")
    async with world({"/a": first, "/b": answer(b"sound")}) as here:
        await here.download("/a")
        await here.download("/b")
        for asked in here.remote.asked:
            assert asked.method == "GET"
            assert set(asked.headers) == {"host", "user-agent", "accept-encoding", "connection"}
            assert asked.headers["host"] == f"media.example:{here.remote.port}"
            assert asked.headers["accept-encoding"] == "identity"


# Redirects


async def test_redirects_are_followed() -> None:
    """As many as are allowed; the recording keeps the name that was asked for."""
    answers: dict[str, Answer] = {
        f"/{n}": answer(status=f"{status} Elsewhere", location=f"{n + 1}")
        for n, status in enumerate((301, 302, 303, 307, 308))
    }
    assert len(answers) == MAX_REDIRECTS
    async with world(answers | {"/5": answer(b"sound")}) as here:
        download, written = await here.download("/0")
        assert download == DownloadedFile("0", 5, here.url("/5"))
    assert written == b"sound"


async def test_redirects_come_to_an_end() -> None:
    """One more than is allowed is refused, so a circle is."""
    async with world({"/": answer(status="302 Found", location="/")}) as here:
        with pytest.raises(BadRequest, match=f"more than {MAX_REDIRECTS} redirects"):
            await here.download()
        assert len(here.remote.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://169.254.169.254/latest/meta-data/", r"169\.254\.169\.254 may not be reached"),
        ("http://internal.example/", r"internal\.example may not be reached"),
        ("http://[::1]/", "::1 may not be reached"),
        ("file:///etc/passwd", "must begin with http"),
        ("http://user:pass@media.example/", "user name or a password"),
    ],
)
async def test_a_redirect_to_a_forbidden_place_is_refused(location: str, expected: str) -> None:
    """Every target passes all checks; the sockets of the tests would refuse the connection."""
    addresses: list[str] = []

    async def literal_or_name(host: str, port: int) -> Sequence[str]:
        addresses.append(host)
        return [host] if host[0] in "1:" else await resolve(host, port)

    async with (
        serve_answers({"/": answer(status="302 Found", location=location)}) as remote,
        open_fetcher(SETTINGS, MOST_BYTES, resolve=literal_or_name) as fetcher,
    ):
        with pytest.raises(BadRequest, match=expected):
            await fetcher.download(f"http://media.example:{remote.port}/", io.BytesIO())
    assert addresses.count("media.example") == 1


# What is refused


@pytest.mark.parametrize(
    ("status", "expected", "may_work_later"),
    [
        ("404 Not Found", "answered 404 Not Found.", False),
        ("403 <b>Ours</b>", "answered 403 Forbidden.", False),
        ("206 Partial Content", "answered 206 Partial Content.", False),
        ("304 Not Modified", "answered 304 Not Modified.", False),
        ("302 Found", "answered 302 Found.", False),
        ("499 Whatever", "answered 499.", False),
        ("429 Too Many Requests", "answered 429 Too Many Requests.", True),
        ("503 Service Unavailable", "answered 503 Service Unavailable.", True),
    ],
)
async def test_other_statuses_are_reported(
    status: str, expected: str, may_work_later: bool
) -> None:
    """The message has the host and the status; only some statuses may succeed later."""
    refused = await refusal(answer(b"", status))
    assert refused.message == f"The server at media.example {expected}"
    assert isinstance(refused, RemoteFailed) == may_work_later


async def test_an_empty_file_is_reported() -> None:
    """It would be a riddle as audio."""
    assert "empty file" in (await refusal(answer(b""))).message


async def test_a_declared_length_past_the_limit_is_refused_before_reading() -> None:
    """The server never gets to send its body."""

    async def head_only(stream: ByteStream) -> None:
        await stream.send(answer(length=MIB + 1))
        await hang(stream)

    refused = await refusal(head_only)
    assert isinstance(refused, TooLarge)
    assert refused.message == (
        "Maximum content size limit (1048576) exceeded (1048577 bytes declared by media.example)"
    )


async def test_an_endless_body_is_cut_off_at_the_limit() -> None:
    """Nothing past the limit is written, and the connection is closed."""

    async def endless(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(bytes(64 * 1024))

    file = io.BytesIO()
    async with world({"/": endless}) as here:
        with pytest.raises(TooLarge):
            await here.fetcher.download(here.url(), file)
        await here.remote.left.wait()
    assert len(file.getvalue()) <= MIB


async def test_a_body_shorter_than_declared_is_no_recording() -> None:
    """Half of it would be transcribed as if it were all."""
    refused = await refusal(answer(b"half", length=8))
    assert isinstance(refused, RemoteFailed)
    assert "broke off" in refused.message


async def test_bytes_past_the_declared_length_are_not_read() -> None:
    """The length counts."""
    async with world({"/": answer(b"soundnoise", length=5)}) as here:
        assert (await here.download())[1] == b"sound"


async def test_compressed_answers_are_refused() -> None:
    """We ask for none, and a bomb of 1 MiB would be a gigabyte."""
    bomb = gzip.compress(bytes(8 * MIB))
    assert len(bomb) < MIB
    refused = await refusal(answer(bomb, content_encoding="gzip"))
    assert "compressed ('gzip')" in refused.message


async def test_compressed_files_are_taken_as_they_are() -> None:
    """Nothing is unpacked on the way to the file."""
    packed = gzip.compress(bytes(8 * MIB))
    async with world({"/": answer(packed, content_encoding="identity")}) as here:
        assert (await here.download())[1] == packed


@pytest.mark.parametrize("answered", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\nx"])
async def test_a_response_that_is_not_http_is_reported(answered: bytes) -> None:
    """An answer that breaks off in its head, too."""
    refused = await refusal(answered)
    assert isinstance(refused, RemoteFailed)
    assert "does not speak HTTP" in refused.message


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time-out between two pieces."""
    monkeypatch.setitem(module._TIMEOUTS, "read", 0.01)
    refused = await refusal(hang)
    assert isinstance(refused, RemoteFailed)
    assert "was silent for 20 s" in refused.message


async def test_a_slow_server_is_given_up() -> None:
    """The whole download has a deadline, however often a byte comes."""

    async def drip(stream: ByteStream) -> None:
        await stream.send(answer(length=1000))
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.02)  # as long as the 1000 bytes would take 20 s

    settings = SETTINGS.model_copy(update={"fetch_timeout_s": 0.1})
    refused = await refusal(drip, settings)
    assert isinstance(refused, RemoteFailed)
    assert refused.message == "The server at media.example was not done within 0.1 s."


async def test_a_closed_port_is_reported() -> None:
    """By the host's name."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with open_fetcher(SETTINGS, MOST_BYTES, resolve=resolve) as fetcher:
        with pytest.raises(RemoteFailed, match=r"media\.example refused the connection"):
            await fetcher.download(f"http://media.example:{port}/", io.BytesIO())


async def test_loopback_is_closed_unless_it_is_listed() -> None:
    """In any spelling; by default, clients reach none of our addresses."""
    async with (
        serve_answers({"/": answer(b"secret")}) as remote,
        open_fetcher(FetchSettings(), MOST_BYTES) as fetcher,
    ):
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(BadRequest, match="may not be reached"):
                await fetcher.download(f"http://{host}:{remote.port}/", io.BytesIO())
        assert remote.asked == []


async def test_every_download_is_judged_anew() -> None:
    """A name that has become internal is refused, also right after a download."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def turning(host: str, port: int) -> Sequence[str]:
        del host, port
        return answers.pop(0)

    async with (
        serve_answers({"/": answer(b"sound")}) as remote,
        open_fetcher(SETTINGS, MOST_BYTES, resolve=turning) as fetcher,
    ):
        url = f"http://media.example:{remote.port}/"
        await fetcher.download(url, io.BytesIO())
        with pytest.raises(BadRequest, match="may not be reached"):
            await fetcher.download(url, io.BytesIO())
        assert len(remote.asked) == 1


async def test_only_so_many_downloads_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more waits a while, then is asked to come back: that is not the URL's fault."""
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    monkeypatch.setitem(module._TIMEOUTS, "pool", 0.01)
    reached = anyio.Event()

    async def held(stream: ByteStream) -> None:
        reached.set()
        await hang(stream)

    async with world({"/": held}) as here, anyio.create_task_group() as tasks:
        tasks.start_soon(here.download)
        await reached.wait()
        with pytest.raises(Overloaded):
            await here.download()
        tasks.cancel_scope.cancel()


async def test_a_cancelled_download_closes_its_connection() -> None:
    """The client has disconnected."""
    begun = anyio.Event()

    async def half(stream: ByteStream) -> None:
        await stream.send(answer(b"half", length=8))
        begun.set()
        await hang(stream)

    async with world({"/": half}) as here:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.download)
            await begun.wait()
            tasks.cancel_scope.cancel()
        await here.remote.left.wait()


# TLS


async def test_tls_is_spoken_to_the_name() -> None:
    """The certificate is checked against the host of the URL, not against an address."""
    async with world({"/": answer(b"sound")}, tls=trustme.CA()) as here:
        download, written = await here.download(scheme="https")
        assert (download.url, written) == (here.url(scheme="https"), b"sound")


async def test_a_certificate_of_another_name_is_refused() -> None:
    """With OpenSSL's reason."""
    async with world({"/": answer(b"sound")}, tls=trustme.CA()) as here:
        url = here.url(scheme="https", host="other.example")
        with pytest.raises(RemoteFailed, match=r"certificate of other\.example is not accepted: H"):
            await here.fetcher.download(url, io.BytesIO())
        assert here.remote.asked == []


async def test_an_unknown_authority_is_refused() -> None:
    """The default trusts what the system trusts, and checks."""
    serverside, _ = tls_contexts(trustme.CA())
    async with (
        serve_answers({"/": answer(b"sound")}, serverside) as remote,
        open_fetcher(SETTINGS, MOST_BYTES, resolve=resolve) as fetcher,
    ):
        with pytest.raises(RemoteFailed, match=r"certificate of media\.example is not accepted"):
            await fetcher.download(f"https://media.example:{remote.port}/", io.BytesIO())


async def test_a_server_without_tls_is_reported() -> None:
    """When it is asked with https."""

    async def plain_http(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer(b"", "400 Bad Request"))

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no Django here)
        async with (
            open_fetcher(SETTINGS, MOST_BYTES, resolve=resolve) as fetcher,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, plain_http)
            with pytest.raises(RemoteFailed, match="failed to set up TLS"):
                await fetcher.download(f"https://media.example:{port}/", io.BytesIO())
            tasks.cancel_scope.cancel()


async def test_a_damaged_tls_record_is_reported() -> None:
    """After the handshake it is no different from a broken connection."""

    async def spoil(stream: ByteStream) -> None:
        assert isinstance(stream, TLSStream)
        await stream.transport_stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        await hang(stream)

    async with world({"/": spoil}, tls=trustme.CA()) as here:
        with pytest.raises(RemoteFailed, match="broke off its answer"):
            await here.download(scheme="https")


async def test_a_redirect_from_https_to_http_is_refused() -> None:
    """Who asked for a private line gets no open one."""
    down = answer(status="302 Found", location="http://media.example/")
    async with world({"/": down}, tls=trustme.CA()) as here:
        with pytest.raises(BadRequest, match="from https to http"):
            await here.download(scheme="https")


# Webhooks


async def test_a_webhook_gets_its_content() -> None:
    """The given headers are sent, and the status is returned."""
    async with world({"/hook?id=1": answer(b"thanks", "202 Accepted")}) as here:
        headers = {"Content-Type": "application/json", "X-Signature": "abc"}
        assert await here.fetcher.post(here.url("/hook?id=1"), b'{"a": 1}', headers) == 202
        (asked,) = here.remote.asked
    assert (asked.method, asked.body) == ("POST", b'{"a": 1}')
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-signature"] == "abc"


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "500 Internal Server Error"])
async def test_a_webhook_is_neither_followed_nor_judged(status: str) -> None:
    """The caller interprets the status."""
    async with world({"/hook": answer(status=status, location="/other")}) as here:
        assert await here.post("/hook") == int(status[:3])
        assert [asked.target for asked in here.remote.asked] == ["/hook"]


async def test_what_a_webhook_answers_is_not_read() -> None:
    """It may be endless; the connection is closed at its head."""

    async def endless(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(bytes(64 * 1024))

    async with world({"/hook": endless}) as here:
        assert await here.post("/hook") == 200
        await here.remote.left.wait()


async def test_webhooks_reach_nothing_internal() -> None:
    """The rules are those of downloads."""
    async with open_fetcher(SETTINGS, MOST_BYTES, resolve=resolve) as fetcher:
        for url in ("http://internal.example/hook", "http://[fd00:ec2::254]/hook"):
            with pytest.raises(BadRequest, match="may not be reached"):
                await fetcher.post(url, b"{}", {})


async def test_a_silent_webhook_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a deadline of its own."""
    monkeypatch.setattr(module, "POST_S", 0.05)
    async with world({"/hook": hang}) as here:
        with pytest.raises(RemoteFailed, match=r"was not done within 0\.05 s"):
            await here.post("/hook")


# Before anything is asked


@pytest.mark.parametrize(
    "url", ["ftp://media.example/", "http://127.0.0.1/", "http://[::ffff:10.0.0.1]/", "nonsense"]
)
async def test_a_hopeless_url_is_refused_without_asking_anybody(url: str) -> None:
    """So a job with such a webhook can be refused when it is handed in."""
    async with open_fetcher(FetchSettings(), MOST_BYTES, resolve=unresolved) as fetcher:
        with pytest.raises(BadRequest) as refused:
            fetcher.check(url)
        assert refused.value.param == "url"
        fetcher.check("https://internal.example/hook")  # it is checked when it is resolved


async def test_fetching_can_be_switched_off() -> None:
    """Then every URL is refused, also listed ones, before its name is looked up."""
    settings = SETTINGS.model_copy(update={"fetch": False})
    async with open_fetcher(settings, MOST_BYTES, resolve=unresolved) as fetcher:
        with pytest.raises(Unsupported, match="fetches nothing from URLs"):
            fetcher.check("http://127.0.0.1/")
        with pytest.raises(Unsupported):
            await fetcher.download("http://127.0.0.1/", io.BytesIO())
        with pytest.raises(Unsupported):
            await fetcher.post("http://127.0.0.1/", b"{}", {})


async def test_a_mistyped_allow_list_stops_the_start() -> None:
    """Rather than leaving an intranet closed, or open, by accident."""
    with pytest.raises(BadRequest, match=r"10\.0\.0\.0/99"):
        async with open_fetcher(FetchSettings(fetch_allow="10.0.0.0/99"), MOST_BYTES):
            pass
