"""The jobs that run in this process, and subscriptions to their progress."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from whisperlive_hybrid.jobs.model import Job, JobSource, Status
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.text.formats import tail


class RunningJob:
    """A job while it runs in this process."""

    def __init__(self, job: Job) -> None:
        self.job = replace(job, text="")  # after a restart all text is added again
        self.parts: list[str] = []
        """The text of all files so far, in the pieces in which it was added."""
        self.scope = anyio.CancelScope()
        self.stopped = anyio.Event()
        """Set when no task of the job runs any more."""
        self._is_new_line = False

    def update_source(self, source: JobSource) -> None:
        """Set the new state of a file."""
        self.job = self.job.with_source(source)

    def start_file(self) -> None:
        """Start a new line: the text that follows is that of another file."""
        self._is_new_line = bool(self.parts)

    def add_text(self, text: str) -> None:
        """Append text; the first text of a file loses its leading space."""
        # Text of a segment begins with a space.
        if self._is_new_line or not self.parts:
            text = text.lstrip()
        if text:
            # Only the end of the text: lists and events contain no more, and `parts` has all of it.
            text = f"\n{text}" if self._is_new_line else text
            self._is_new_line = False
            self.parts.append(text)
            self.job = replace(self.job, text=tail(self.job.text + text))


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A new state of a job, for one subscriber."""

    job: Job
    delta: str = ""
    """Text added since this subscriber's previous update."""
    is_last: bool = False


LoadJob = Callable[[str], Coroutine[Any, Any, Job | None]]
"""Loads a job from the store by its id."""


class RunningJobs:
    """The jobs that run in this process, by id, and the notifiers of their changes."""

    def __init__(self) -> None:
        self.by_id: dict[str, RunningJob] = {}
        self.arrived = Notifier()
        """Notified of every new job."""
        self.ended = Notifier()
        """Notified of the end of every job."""
        self.closed = anyio.Event()
        """Set when the server stops."""
        self._notifiers: dict[str, list[Notifier]] = {}

    def notify(self, job_id: str) -> None:
        """Notify the subscribers of a job that it has changed."""
        for notifier in self._notifiers.get(job_id, ()):
            notifier.notify()

    def close(self) -> None:
        """Stop all jobs and end all subscriptions, because the server stops."""
        self.closed.set()
        for job_id in list(self._notifiers):
            self.notify(job_id)

    @contextmanager
    def notifier(self, job_id: str) -> Iterator[Notifier]:
        """Register a notifier of changes of a job while inside."""
        notifier = Notifier()
        self._notifiers.setdefault(job_id, []).append(notifier)
        try:
            yield notifier
        finally:
            # No empty lists are left behind, or the ids of all jobs ever watched would accumulate.
            self._notifiers[job_id].remove(notifier)
            if not self._notifiers[job_id]:
                del self._notifiers[job_id]


class JobSubscription:
    """A subscription to one job.

    Nothing is queued: a slow subscriber skips states and gets the newest one, with all text.
    """

    def __init__(
        self, running: RunningJobs, notifier: Notifier, load_job: LoadJob, job: Job
    ) -> None:
        """`job` is its state at the time of the subscription."""
        self._running = running
        self._notifier = notifier
        self._load_job = load_job
        self._job = job
        self._sent: Job | None = None
        self._live = running.by_id.get(job.id)
        self._n_parts_sent = 0
        self._is_over = False

    async def next(self) -> JobUpdate | None:
        """Return the current state at first, then every change; None at the end.

        Safe to cancel: no update is lost.
        """
        while not (self._is_over or self._running.closed.is_set()):
            # Before the state is read, so that no change between the two is missed.
            changed = self._notifier.next()
            if live := self._running.by_id.get(self._job.id):
                self._live = live
                self._job = live.job
            else:
                stored = await self._load_job(self._job.id)
                # A job that is gone was deleted, hence cancelled unless it had ended before.
                self._job = stored or replace(self._job, status=Status.CANCELLED)
            if update := self._update():
                return update
            await changed.wait()
        return None

    def _update(self) -> JobUpdate | None:
        """Return the update to send now; the last one follows once all text is sent."""
        job = self._job
        parts = self._live.parts[self._n_parts_sent :] if self._live else []
        if parts or not (job.status.is_finished or job == self._sent):
            self._n_parts_sent += len(parts)
            self._sent = job
            return JobUpdate(job, "".join(parts))
        if job.status.is_finished:
            self._is_over = True
            return JobUpdate(job, is_last=True)
        return None
