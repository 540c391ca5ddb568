"""The client's side of /v1/jobs: one method for each request, patient with a busy server."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

import anyio
import httpx
from pydantic import BaseModel, ValidationError

from whisperlive_hybrid import __version__
from whisperlive_hybrid.cli.batch.formats import BODIES, OutputFormat, pretty
from whisperlive_hybrid.errors import NotFound, RemoteFailed, ServerUnusable
from whisperlive_hybrid.protocol.openai.cue_fields import cue_params
from whisperlive_hybrid.text.cues import CueStyle


class EventParser:
    """Bytes in, the data of complete events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[str]:
        """The data of the events that `received` completes.

        Lines end at LF or CR LF; a JSON text may hold other characters that Python calls ends.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        ended = (self._line(line.removesuffix(b"\r")) for line in lines)
        return [event.decode("utf-8", "replace") for event in ended if event is not None]

    def _line(self, line: bytes) -> bytes | None:
        """Take in a line; the data of an event if it ends one."""
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None


JOBS: Final = "v1/jobs"

_BUSY: Final = (429, 503)
_NOT_OURS: Final = (401, 403)
_MISSING: Final = (404, 405)
_GATEWAY: Final = (502, 504)
"""A proxy that does not reach the server, maybe while it restarts."""

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 300.0
"""A server stores an upload before it answers, and takes in large ones at its own pace."""

Fields = Sequence[tuple[str, str]]
Send = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client puts up with a server."""

    busy_s: float = 600.0
    """Seconds that a busy server may make one request wait, all in all."""
    attempts: int = 8
    """Of one request whose connection breaks; only one if the server has never answered."""
    pause_s: float = 1.0
    """Before the second attempt; twice as long before each further one, up to 8 times."""
    silence_s: float = 45.0
    """Of a stream of events, after which it is taken for dead; the server pings every 15 s."""

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return self.pause_s * 2.0 ** min(failures - 1, 3)


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job of one recording, as far as its client cares."""

    id: str
    is_over: bool
    failure: str | None
    """Why there is no result; None while it is not over, and where there is one."""
    done: float
    """Seconds of audio that are read, of `total`."""
    total: float | None


class JobsClient:
    """Speaks to one server.

    Every method raises `ServerUnusable` if the server cannot be reached or refuses this client
    altogether, `RemoteFailed` for any other refusal, and `NotFound` for a job that is not there.
    """

    def __init__(self, http: httpx.AsyncClient, patience: Patience) -> None:
        self._http = http
        self.patience = patience
        self._has_answered = False

    async def submit_file(self, file: BinaryIO, filename: str, fields: Fields) -> RemoteJob:
        """Upload a recording in pieces, from its beginning at each attempt."""

        async def send() -> httpx.Response:
            form = _form(fields)
            return await self._http.post(JOBS, data=form, files={"file": (filename, file)})

        return await self._submitted(send)

    async def submit_url(self, url: str, fields: Fields) -> RemoteJob:
        """Have the server fetch a recording."""

        async def send() -> httpx.Response:
            return await self._http.post(JOBS, data=_form([*fields, ("url", url)]))

        return await self._submitted(send)

    async def job(self, job_id: str) -> RemoteJob:
        """Its state."""
        return _job(_json(await self._asked(lambda: self._http.get(f"{JOBS}/{job_id}"))))

    async def events(self, job_id: str) -> AsyncGenerator[RemoteJob]:
        """Its states as the server tells them; ends when the server or the connection ends it."""
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S, read=self.patience.silence_s)
        parser = EventParser()
        try:
            async with self._http.stream(
                "GET", f"{JOBS}/{job_id}/events", timeout=timeout
            ) as reply:
                if not reply.is_success:  # asking for the state will tell what is wrong
                    return
                async for received in reply.aiter_bytes():
                    for event in parser.feed(received):
                        yield _told_job(event)
        except httpx.RequestError:
            return

    async def result(self, job_id: str, wanted: OutputFormat, style: CueStyle | None = None) -> str:
        """The text of a file of that format, as it is written when no server is asked."""
        params = {"format": BODIES[wanted].value, "file": "0"}
        if wanted.has_cues:
            params |= cue_params(style or CueStyle())
        reply = await self._asked(lambda: self._http.get(f"{JOBS}/{job_id}/result", params=params))
        if wanted is OutputFormat.JSON:
            return pretty(_json(reply))
        return reply.content.decode("utf-8")

    async def delete(self, job_id: str) -> None:
        """Cancel it if need be, and have it thrown away."""
        await self._asked(lambda: self._http.delete(f"{JOBS}/{job_id}"))

    async def _submitted(self, send: Send) -> RemoteJob:
        try:
            return _job(_json(await self._asked(send)))
        except NotFound as error:  # a model, or the route: so it is for every recording
            no_route = f"{self._http.base_url} offers no jobs (/v1/jobs)."
            raise ServerUnusable(error.message if error.code else no_route) from error

    async def _asked(self, send: Send) -> httpx.Response:
        """Ask until there is an answer that is not "later", as long as patience lasts."""
        waited_s = 0.0
        while True:
            reply = await self._answered(send)
            later_s = _later(reply)
            if later_s is None or waited_s + later_s > self.patience.busy_s:
                _check(reply)
                return reply
            await anyio.sleep(later_s)
            waited_s += later_s

    async def _answered(self, send: Send) -> httpx.Response:
        failures = 0
        while True:
            try:
                reply = await send()
            except httpx.RequestError as error:
                failures += 1
                if failures >= self.patience.attempts or not self._has_answered:
                    raise self._unreachable(error) from error
            else:
                self._has_answered = True
                failures += 1
                if reply.status_code not in _GATEWAY or failures >= self.patience.attempts:
                    return reply
            await anyio.sleep(self.patience.pause(failures))

    def _unreachable(self, error: httpx.RequestError) -> ServerUnusable:
        reason = str(error) or type(error).__name__
        return ServerUnusable(f"No answer from {self._http.base_url}: {reason.rstrip('.')}.")


@asynccontextmanager
async def open_client(
    url: str, api_key: str | None, patience: Patience
) -> AsyncIterator[JobsClient]:
    """A client of the server at `url`; redirects are not followed, as the key would go along."""
    headers = {"user-agent": f"whisperlive-hybrid/{__version__}"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=timeout, limits=httpx.Limits(max_connections=None)
    ) as http:
        yield JobsClient(http, patience)


class _Failure(BaseModel):
    message: str
    code: str | None = None


class _Progress(BaseModel):
    done: float = 0.0
    total: float | None = None


class _File(BaseModel):
    error: _Failure | None = None


class _Job(BaseModel):
    """A job object; what we do not need may be there or not."""

    id: str
    status: str
    progress: _Progress = _Progress()
    error: _Failure | None = None
    files: list[_File] = []


class _Event(BaseModel):
    job: _Job


class _Refusal(BaseModel):
    error: _Failure


_UNFINISHED: Final = ("queued", "running")


def _job(body: object) -> RemoteJob:
    try:
        return _converted(_Job.model_validate(body))
    except ValidationError as error:
        raise RemoteFailed("The server's answer is no job.") from error


def _told_job(event: str) -> RemoteJob:
    try:
        return _converted(_Event.model_validate_json(event).job)
    except ValidationError as error:
        raise RemoteFailed("The server's event is none of a job.") from error


def _converted(job: _Job) -> RemoteJob:
    is_over = job.status not in _UNFINISHED
    failures = [file.error for file in job.files if file.error] + ([job.error] if job.error else [])
    failure = failures[0].message if failures else None
    if job.status != "completed":
        failure = failure or f"The job was {job.status}."
    return RemoteJob(
        job.id, is_over, failure if is_over else None, job.progress.done, job.progress.total
    )


def _form(fields: Fields) -> dict[str, list[str]]:
    """Fields as httpx takes them; a name may be there several times."""
    form: dict[str, list[str]] = {}
    for name, value in fields:
        form.setdefault(name, []).append(value)
    return form


def _later(reply: httpx.Response) -> float | None:
    """Seconds after which a busy server wants to be asked again; None if it did not say so."""
    written = reply.headers.get("retry-after", "")
    is_later = reply.status_code in _BUSY and written.isascii() and written.isdecimal()
    return float(written) if is_later else None


def _check(reply: httpx.Response) -> None:
    if reply.is_success:
        return
    message, code = _told(reply)
    if reply.status_code in _NOT_OURS:
        raise ServerUnusable(f"{reply.request.url.host} refuses us: {message}")
    if reply.status_code in _MISSING:
        raise NotFound(message, code=code)
    raise RemoteFailed(message)


def _told(reply: httpx.Response) -> tuple[str, str | None]:
    """The server's own words if it has any, and its code for what is wrong."""
    try:
        failure = _Refusal.model_validate_json(reply.content).error
    except ValidationError:
        return f"The server answered with status {reply.status_code}.", None
    return failure.message, failure.code


def _json(reply: httpx.Response) -> object:
    try:
        body: object = json.loads(reply.content)
    except ValueError as error:
        raise RemoteFailed("The server's answer is no JSON.") from error
    return body
