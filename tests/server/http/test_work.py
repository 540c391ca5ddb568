import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from whisperlive_hybrid.errors import Draining
from whisperlive_hybrid.server.http.body_limits import InFlightMiddleware, InFlightRequests

pytestmark = pytest.mark.anyio


def client(app: ASGIApp) -> httpx.AsyncClient:
    """A client inside the process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, then respond."""
    await receive()
    await PlainTextResponse("done")(scope, receive, send)


async def test_a_drain_waits_for_what_was_taken_and_takes_nothing_more() -> None:
    """The request in work is answered, the next one is refused, then the drain ends."""
    work, begun, may_end = InFlightRequests(), anyio.Event(), anyio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        await may_end.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async with client(InFlightMiddleware(held, work)) as http, anyio.create_task_group() as tasks:
        tasks.start_soon(http.post, "/")
        await begun.wait()
        assert work.n_requests == 1
        tasks.start_soon(work.drain)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Draining):
            await http.post("/")
        assert work.n_requests == 1
        may_end.set()
    assert work.n_requests == 0


async def test_a_drain_without_work_is_over_at_once() -> None:
    """An idle server stops without a pause."""
    with anyio.fail_after(30):
        await InFlightRequests().drain()


async def test_looking_is_no_work() -> None:
    """A drain neither waits for it nor refuses it."""
    work = InFlightRequests()
    await work.drain()
    async with client(InFlightMiddleware(read, work)) as http:
        assert (await http.get("/")).text == "done"
        assert work.n_requests == 0


async def test_work_that_fails_is_over() -> None:
    """A drain must not wait for a request that has failed."""
    work = InFlightRequests()

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await receive()
        raise ZeroDivisionError

    async with client(InFlightMiddleware(fail, work)) as http:
        with pytest.raises(ZeroDivisionError):
            await http.post("/")
    assert work.n_requests == 0
