from collections.abc import AsyncIterator, Iterator

import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.errors import Overloaded, Stalled, TooLarge
from whisperlive_hybrid.server.http.body_limits import (
    BodySizeMiddleware,
    BodyTimeout,
    RequestIdMiddleware,
    UploadSlotsMiddleware,
)

pytestmark = pytest.mark.anyio


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the number of bytes of the body, or with the reason of its refusal."""
    n_bytes, more = 0, True
    try:
        while more:
            message = await receive()
            n_bytes += len(message["body"])
            more = message["more_body"]
    except TooLarge as error:
        await PlainTextResponse(error.message, 413)(scope, receive, send)
    else:
        await PlainTextResponse(str(n_bytes))(scope, receive, send)


def patient() -> BodyTimeout:
    """Timeouts that no test exceeds."""
    return BodyTimeout(min_bytes_per_s=1, longest_s=60)


def client(app: ASGIApp) -> httpx.AsyncClient:
    """A client inside the process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


async def chunks(n: int) -> AsyncIterator[bytes]:
    """Make a body of n bytes that announces no length."""
    for _ in range(n):
        yield b"x"


async def test_a_body_up_to_the_limit_passes() -> None:
    """The limit itself is still allowed, announced or not."""
    async with client(BodySizeMiddleware(echo, limit=5)) as http:
        assert (await http.post("/", content=b"12345")).text == "5"
        assert (await http.post("/", content=chunks(5))).text == "5"


async def test_a_body_without_length_is_counted() -> None:
    """Chunked uploads are refused at the first byte too many, not at the end."""
    async with client(BodySizeMiddleware(echo, limit=5)) as http:
        reply = await http.post("/", content=chunks(1000))
    assert reply.status_code == 413
    assert reply.text == "Maximum content size limit (5) exceeded (6 bytes read)"


async def test_an_announced_length_is_refused_unread() -> None:
    """Nothing is received, so a client that waits for 100 Continue sends nothing."""

    async def receive() -> Message:
        pytest.fail("the body was asked for")

    replies: list[Message] = []

    async def send(message: Message) -> None:
        replies.append(message)

    scope = {"type": "http", "headers": [(b"content-length", b"6")]}
    await BodySizeMiddleware(echo, limit=5)(scope, receive, send)
    assert replies[0]["status"] == 413
    assert b"6 bytes announced" in replies[1]["body"]


async def test_a_lying_length_is_counted() -> None:
    """A length that is too small or no number does not lift the limit."""
    for lie in ("1", "many", "-6", "²"):
        scope: Scope = {"type": "http", "headers": [(b"content-length", lie.encode("latin-1"))]}
        bodies: Iterator[Message] = iter([{"type": "http.request", "body": b"123456"}])
        statuses: list[Message] = []

        async def receive(bodies: Iterator[Message] = bodies) -> Message:
            return next(bodies)

        async def send(message: Message, statuses: list[Message] = statuses) -> None:
            statuses.append(message)

        await BodySizeMiddleware(echo, limit=5)(scope, receive, send)
        assert statuses[0]["status"] == 413


async def upload_and_wait(
    scope: Scope, receive: Receive, send: Send, gate: anyio.Event, entered: anyio.Event
) -> None:
    """Take a body, then hold on to it."""
    await receive()
    entered.set()
    await gate.wait()
    await PlainTextResponse("done")(scope, receive, send)


async def test_uploads_in_work_are_bounded() -> None:
    """One too many is refused unread, until another one has ended; requests without are not."""
    gate, entered = anyio.Event(), anyio.Event()

    async def hold(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await receive()
            await PlainTextResponse("here")(scope, receive, send)
        else:
            await upload_and_wait(scope, receive, send, gate, entered)

    async with (
        client(UploadSlotsMiddleware(hold, limit=1, timeout=patient)) as http,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(http.post, "/")
        await entered.wait()
        for _ in range(2):  # a refusal takes no slot
            with pytest.raises(Overloaded, match="1 uploads are in work") as e:
                await http.post("/", content=b"never read")
        assert e.value.retry_after_s > 0
        assert (await http.get("/")).text == "here"
        gate.set()
    async with client(UploadSlotsMiddleware(hold, limit=1, timeout=patient)) as http:
        for _ in range(3):
            assert (await http.post("/")).text == "done"


async def test_a_failed_upload_gives_its_slot_back() -> None:
    """Also when the route raises."""

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await receive()
        raise TooLarge("no")

    async with client(UploadSlotsMiddleware(fail, limit=1, timeout=patient)) as http:
        for _ in range(3):
            with pytest.raises(TooLarge):
                await http.post("/")


async def test_an_upload_that_stalls_gives_its_slot_back() -> None:
    """Idle connections could take all slots; a client that waits for its response is not idle."""
    parts: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Message:
        if not parts:
            await anyio.sleep_forever()
        return parts.pop()

    async def send(_: Message) -> None:
        pytest.fail("nothing is to be sent")

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        while (await receive()).get("more_body"):
            pass
        with anyio.move_on_after(0.05) as patience:
            await receive()
        assert patience.cancelled_caught

    http = UploadSlotsMiddleware(read, limit=1, timeout=lambda: BodyTimeout(1024, longest_s=0.01))
    for _ in range(2):
        with pytest.raises(Stalled, match="did not come to its end"):
            await http({"type": "http", "method": "POST"}, receive, send)
    parts.append({"type": "http.request", "body": b"x", "more_body": False})
    await http({"type": "http", "method": "POST"}, receive, send)


async def test_every_reply_has_a_request_id() -> None:
    """An id of its own, the milliseconds it took, and the API's version."""
    ticks = iter([1.0, 1.25, 2.0, 2.5])
    async with client(RequestIdMiddleware(echo, clock=lambda: next(ticks))) as http:
        first, second = await http.get("/"), await http.get("/")
    assert first.headers["openai-processing-ms"] == "250"
    assert first.headers["openai-version"] == "2020-10-01"
    prefix, number = first.headers["x-request-id"].split("_")
    assert (prefix, len(number), int(number, 16) > 0) == ("req", 32, True)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(
    "guard",
    [
        lambda a: BodySizeMiddleware(a, limit=0),
        lambda a: UploadSlotsMiddleware(a, 0, patient),
        RequestIdMiddleware,
    ],
)
async def test_only_requests_are_guarded(guard: type[RequestIdMiddleware]) -> None:
    """The start and stop of the server pass unseen."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], receive, send))

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        del message

    await guard(app)({"type": "lifespan"}, receive, send)
    assert seen == [("lifespan", receive, send)]
