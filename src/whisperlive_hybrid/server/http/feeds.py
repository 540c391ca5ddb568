"""What can be watched by an id: a job, or a plain upload whose client chose the id."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio

from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.errors import NotFound
from whisperlive_hybrid.jobs.board import JobWatch
from whisperlive_hybrid.jobs.desk import JobDesk
from whisperlive_hybrid.progress import UploadBoard, UploadWatch
from whisperlive_hybrid.protocol.jobs import job_end, job_progress
from whisperlive_hybrid.protocol.uploads import Stage, is_progress_id, upload_event
from whisperlive_hybrid.server.http.events import Feed, Json

BEGINS_WITHIN_S: Final = 30.0
"""How long a watcher waits for an upload that has not begun."""

DeskFor = Callable[[Caller], JobDesk]
"""The desk of jobs as a caller sees it."""


class JobFeed:
    """The events of a job."""

    def __init__(self, watch: JobWatch) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """The newest event."""
        news = await self._watch.next()
        if news is None:
            return None
        self.is_over = news.is_last
        return job_end(news.job) if news.is_last else job_progress(news.job, news.delta)


class UploadFeed:
    """The events of an upload."""

    def __init__(self, watch: UploadWatch) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """The newest event."""
        news = await self._watch.next()
        if news is None:
            return None
        self.is_over = news.stage is not Stage.PROGRESS
        return upload_event(news)


class Feeds:
    """Opens the feed that an id stands for."""

    def __init__(
        self, desk_for: DeskFor, uploads: UploadBoard, begins_within_s: float = BEGINS_WITHIN_S
    ) -> None:
        self._desk_for = desk_for
        self._uploads = uploads
        self._begins_within_s = begins_within_s

    def open(
        self, caller: Caller, watched_id: str
    ) -> AbstractAsyncContextManager[tuple[Json, Feed]]:
        """Enter the feed at its first event.

        Raises `NotFound`, also for what is another's, and for what never begins.
        """
        is_upload = is_progress_id(watched_id)
        opened = self._of_upload if is_upload else self._of_job
        return opened(caller, watched_id)

    @asynccontextmanager
    async def _of_job(self, caller: Caller, job_id: str) -> AsyncIterator[tuple[Json, Feed]]:
        async with self._desk_for(caller).watch(job_id) as watch:
            feed = JobFeed(watch)
            yield await _first(feed, job_id), feed

    @asynccontextmanager
    async def _of_upload(self, caller: Caller, upload_id: str) -> AsyncIterator[tuple[Json, Feed]]:
        with self._uploads.watch(caller, upload_id) as watch:
            feed = UploadFeed(watch)
            first = None
            with anyio.move_on_after(self._begins_within_s):
                first = await _first(feed, upload_id)
            if first is None:
                raise NotFound(
                    f"No upload {upload_id!r} has begun within {self._begins_within_s:g} s.",
                    code="upload_not_found",
                )
            yield first, feed


async def _first(feed: Feed, watched_id: str) -> Json:
    """The current state, which is there at once for what has begun."""
    first = await feed.next()
    if first is None:
        raise NotFound(f"The server stops; ask for {watched_id!r} again.", code="server_draining")
    return first
