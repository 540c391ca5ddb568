"""The work that the HTTP door has taken: how much there is, and whether more is taken."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.errors import Draining


class Work:
    """Counts the requests whose body was asked for, until their replies have ended.

    While the server drains, these are what it waits for, and no new ones are let in. Requests
    without a body, such as those for the state of a job, go on being answered.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.n_requests = 0
        self._all_done = anyio.Event()

    def begin(self) -> None:
        """One more; raises `Draining`."""
        if self.is_draining:
            raise Draining
        self.n_requests += 1

    def end(self) -> None:
        """One less."""
        self.n_requests -= 1
        if self.is_draining and not self.n_requests:
            self._all_done.set()

    async def drain(self) -> None:
        """Take nothing more, and wait until all is done."""
        self.is_draining = True
        if self.n_requests:
            await self._all_done.wait()


class CountWork:
    """Counts requests as work when their body is asked for; the refusal comes out there too."""

    def __init__(self, app: ASGIApp, work: Work) -> None:
        self._app = app
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        is_counted = False

        async def counted() -> Message:
            nonlocal is_counted
            if not is_counted:
                self._work.begin()
                is_counted = True
            return await receive()

        try:
            await self._app(scope, counted, send)
        finally:
            if is_counted:
                self._work.end()
