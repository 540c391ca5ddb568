"""Progress of uploads that ask for it: the board of states, and those who watch it.

A watcher looks at the newest state and then waits for the next, so a slow one misses states in
between and holds none of them in memory.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Final

import anyio

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.errors import BadRequest, Conflict, Overloaded
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.text.formats import tail

Json = dict[str, object]

PROGRESS_ID: Final = "X-Progress-Id"
"""The header that asks for progress to be shown."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,128}")
_OF_JOBS: Final = "job_"
"""How the ids begin that the server gives."""


class Stage(Enum):
    """The stage of an upload; the values are the types of its events."""

    PROGRESS = "upload.progress"
    COMPLETED = "upload.completed"
    FAILED = "upload.failed"


@dataclass(frozen=True, slots=True)
class UploadState:
    """The state of an upload; times in seconds of audio."""

    id: str
    stage: Stage = Stage.PROGRESS
    done: float = 0.0
    total: float | None = None
    """None while its length is unknown."""
    text: str = ""
    """The end of its text so far."""
    failure: ErrorInfo | None = None


def progress_id(written: str) -> str:
    """Return an id if it is valid; raise `BadRequest` if not."""
    if not is_progress_id(written):
        raise BadRequest(
            f"Invalid {PROGRESS_ID} {written[:140]!r}: it must be 8 to 128 characters of "
            f"A-Z, a-z, 0-9, _ and -, and not begin with {_OF_JOBS}.",
            param=PROGRESS_ID,
            code="invalid_value",
        )
    return written


def is_progress_id(written: str) -> bool:
    """Return whether a client may choose an id; no job has such a one."""
    return _ID.fullmatch(written) is not None and not written.startswith(_OF_JOBS)


def upload_event(state: UploadState) -> Json:
    """Return the event of a state; it has `error` only after a failure."""
    event: Json = {
        "type": state.stage.value,
        "id": state.id,
        "done": round(state.done, 3),
        "total": None if state.total is None else round(state.total, 3),
        "text": state.text.strip(),
    }
    return event | ({"error": asdict(state.failure)} if state.failure else {})


LONGEST_BOARD: Final = 1000
"""Uploads, and uploads that are awaited, in memory at the same time."""

SHOWN_AFTER_END_S: Final = 60.0
"""How long the end of an upload can still be read afterwards."""

_RETRY_S: Final = 10.0


_Key = tuple[str, str]
"""The account of the caller's key, "" without keys; and the id."""


class _Entry:
    """One id: awaited, in progress or ended."""

    def __init__(self) -> None:
        self.state: UploadState | None = None
        self.notifier = Notifier()
        self.watchers = 0
        self.ended_at = math.inf

    @property
    def is_idle(self) -> bool:
        """Whether it can be deleted: it has no watcher and is not in progress."""
        return not self.watchers and (self.state is None or self.ended_at < math.inf)


class UploadProgress:
    """Publishes the progress of one upload."""

    def __init__(self, entry: _Entry, state: UploadState) -> None:
        self._entry = entry
        self._state = state
        self._put(state)

    def expect(self, total: float | None) -> None:
        """Publish the length that the file claims."""
        self._put(replace(self._state, total=total))

    def advance(self, done: float, text: str) -> None:
        """Publish up to where it is decoded, and the text since the last call."""
        self._put(replace(self._state, done=done, text=tail(self._state.text + text)))

    def end(self, failure: ErrorInfo | None) -> None:
        """Publish that it has ended."""
        stage = Stage.COMPLETED if failure is None else Stage.FAILED
        done = self._state.total or self._state.done if failure is None else self._state.done
        self._put(replace(self._state, stage=stage, done=done, failure=failure))

    def _put(self, state: UploadState) -> None:
        self._state = self._entry.state = state
        self._entry.notifier.notify()


class UploadWatch:
    """Watches one upload."""

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry
        self._shown: UploadState | None = None

    async def next(self) -> UploadState | None:
        """Return the newest state not returned yet; None after the last. Safe to cancel."""
        while self._shown is None or self._shown.stage is Stage.PROGRESS:
            changed = self._entry.notifier.next()
            state = self._entry.state
            if state is not None and state is not self._shown:
                self._shown = state
                return state
            await changed.wait()
        return None


class UploadBoard:
    """Uploads by the id that their client chose; in memory, and bounded.

    Ids of different keys are kept apart. An admin's key also finds the uploads of others.
    """

    def __init__(
        self, clock: Callable[[], float] = anyio.current_time, limit: int = LONGEST_BOARD
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._entries: dict[_Key, _Entry] = {}

    @contextmanager
    def upload(self, caller: Caller, upload_id: str) -> Iterator[UploadProgress]:
        """Publish an upload while the context lasts; an exception is published as its failure.

        Raise `Conflict` if an upload of that id is in progress.
        """
        key = _own(caller, upload_id)
        entry = self._entry(key)
        if entry.state is not None:
            if entry.state.stage is Stage.PROGRESS:
                raise Conflict(
                    f"An upload with {PROGRESS_ID} {upload_id!r} is under way already.",
                    param=PROGRESS_ID,
                    code="progress_id_in_use",
                )
            entry = self._entries[key] = _Entry()  # watchers of the old one have seen its end
        progress = UploadProgress(entry, UploadState(upload_id))
        try:
            yield progress
        except Exception as error:
            progress.end(ErrorInfo.of(error))
            raise
        except BaseException:  # cancelled: the client has gone, or the server stops
            progress.end(ErrorInfo("The upload was given up.", "server_error"))
            raise
        else:
            progress.end(None)
        finally:
            entry.ended_at = self._clock()

    @contextmanager
    def watch(self, caller: Caller, upload_id: str) -> Iterator[UploadWatch]:
        """Watch an upload, also before it begins. Raise `Overloaded` if too many are watched."""
        key = self._visible(caller, upload_id)
        entry = self._entry(key)
        entry.watchers += 1
        try:
            yield UploadWatch(entry)
        finally:
            entry.watchers -= 1
            if entry.state is None and not entry.watchers:
                self._entries.pop(key, None)

    def _visible(self, caller: Caller, upload_id: str) -> _Key:
        own = _own(caller, upload_id)
        if caller.sees_only is not None or own in self._entries:
            return own
        return next((key for key in self._entries if key[1] == upload_id), own)

    def _entry(self, key: _Key) -> _Entry:
        self._forget_old()
        if key not in self._entries:
            self._make_room()
            self._entries[key] = _Entry()
        return self._entries[key]

    def _forget_old(self) -> None:
        old = self._clock() - SHOWN_AFTER_END_S
        for key, entry in list(self._entries.items()):
            if entry.is_idle and entry.ended_at <= old:
                del self._entries[key]

    def _make_room(self) -> None:
        """Delete the upload that ended first; those in progress or watched stay."""
        if len(self._entries) < self._limit:
            return
        ended = {key: entry.ended_at for key, entry in self._entries.items() if entry.is_idle}
        if not ended:
            raise Overloaded("Too many uploads are watched.", retry_after_s=_RETRY_S)
        del self._entries[min(ended, key=ended.__getitem__)]


def _own(caller: Caller, upload_id: str) -> _Key:
    return caller.sees_only or "", upload_id
