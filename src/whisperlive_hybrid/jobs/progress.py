"""The jobs that run here, and those who watch: a job's newest state, and each one's new text."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from whisperlive_hybrid.jobs.model import Job, Source, Status
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.text.formats import tail


class LiveJob:
    """A job while it runs here."""

    def __init__(self, job: Job) -> None:
        self.job = replace(job, text="")  # an earlier run's text will come again, all of it
        self.parts: list[str] = []
        """The text of all its files so far, in the pieces in which it came."""
        self.scope = anyio.CancelScope()
        self.left = anyio.Event()
        """Set when nothing of it runs any more."""
        self._is_new_line = False

    def show(self, source: Source) -> None:
        """Take the new state of a file."""
        self.job = self.job.with_source(source)

    def begin_file(self) -> None:
        """What comes next is said in another file: on a line of its own."""
        self._is_new_line = bool(self.parts)

    def say(self, text: str) -> None:
        """Take new text; the first of a file has no space before it."""
        if self._is_new_line or not self.parts:
            text = text.lstrip()
        if text:
            text = f"\n{text}" if self._is_new_line else text
            self._is_new_line = False
            self.parts.append(text)
            self.job = replace(self.job, text=tail(self.job.text + text))


@dataclass(frozen=True, slots=True)
class JobNews:
    """A state of a job that is worth showing."""

    job: Job
    delta: str = ""
    """What was said since this watcher's last news."""
    is_last: bool = False


Look = Callable[[str], Coroutine[Any, Any, Job | None]]
"""Read a job from the store."""


class JobBoard:
    """What runs here, by job id, and the notifiers of those who wait for something."""

    def __init__(self) -> None:
        self.running: dict[str, LiveJob] = {}
        self.arrived = Notifier()
        """Rings for every new job."""
        self.ended = Notifier()
        """Rings at the end of every job."""
        self.closed = anyio.Event()
        """Set when the server stops."""
        self._notifiers: dict[str, list[Notifier]] = {}

    def notify(self, job_id: str) -> None:
        """Something about this job has changed."""
        for notifier in self._notifiers.get(job_id, ()):
            notifier.notify()

    def close(self) -> None:
        """The server stops: what runs is to stop, and every watcher has seen its last news."""
        self.closed.set()
        for job_id in list(self._notifiers):
            self.notify(job_id)

    @contextmanager
    def notifier(self, job_id: str) -> Iterator[Notifier]:
        """A notifier of changes of a job, for as long as the block lasts."""
        notifier = Notifier()
        self._notifiers.setdefault(job_id, []).append(notifier)
        try:
            yield notifier
        finally:
            self._notifiers[job_id].remove(notifier)
            if not self._notifiers[job_id]:
                del self._notifiers[job_id]


class JobWatch:
    """One watcher of one job; only the newest state waits for it, however slow it is."""

    def __init__(self, board: JobBoard, notifier: Notifier, look: Look, job: Job) -> None:
        """`job` is its state when the watcher came."""
        self._board = board
        self._notifier = notifier
        self._look = look
        self._latest = job
        self._shown: Job | None = None
        self._live = board.running.get(job.id)
        self._n_said = 0
        self._is_over = False

    async def next(self) -> JobNews | None:
        """The current state at first, then whatever is new; None after the last. Safe to cancel."""
        while not (self._is_over or self._board.closed.is_set()):
            changed = self._notifier.next()
            self._latest = await self._newest()
            if news := self._news(self._latest):
                return news
            await changed.wait()
        return None

    async def _newest(self) -> Job:
        if live := self._board.running.get(self._latest.id):
            self._live = live
            return live.job
        # Deleted, hence cancelled before, unless it had ended by itself.
        stored = await self._look(self._latest.id)
        return stored or replace(self._latest, status=Status.CANCELLED)

    def _news(self, job: Job) -> JobNews | None:
        said = self._live.parts[self._n_said :] if self._live else []
        if said or not (job.status.is_finished or job == self._shown):
            self._n_said += len(said)
            self._shown = job
            return JobNews(job, "".join(said))
        if job.status.is_finished:
            self._is_over = True
            return JobNews(job, is_last=True)
        return None
