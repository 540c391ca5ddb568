"""A client of /v1/jobs: one method for each request, with retries while the server is busy."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

import anyio
import httpx
from pydantic import BaseModel, ValidationError

from whisperlive_hybrid import __version__
from whisperlive_hybrid.cli.batch.formats import BODIES, OutputFormat, to_pretty_json
from whisperlive_hybrid.errors import NotFound, RemoteFailed, ServerUnusable
from whisperlive_hybrid.protocol.openai.cue_fields import cue_params
from whisperlive_hybrid.text.cues import CueStyle


class EventParser:
    """Parses server-sent events: bytes in, the data of complete events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[str]:
        """Return the data of the events that `received` completes."""
        # Not `splitlines`: JSON may contain other characters that Python takes for line ends.
        *lines, self._rest = (self._rest + received).split(b"\n")
        events = []
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif line in {b"", b"\r"} and self._data:  # an empty line ends an event
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data = []
        return events


JOBS: Final = "v1/jobs"

_BUSY: Final = (429, 503)
_UNAUTHORIZED: Final = (401, 403)
_MISSING: Final = (404, 405)
_GATEWAY: Final = (502, 504)
"""A proxy does not reach the server, possibly while the server restarts."""

_CONNECT_S: Final = 10.0
_RESPONSE_S: Final = 300.0
"""A server stores an upload before it responds, which takes long for large files."""

Fields = Sequence[tuple[str, str]]
Send = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeouts and retries of a client."""

    busy_s: float = 600.0
    """Longest total wait, in s, of one request for a busy server."""
    attempts: int = 8
    """Attempts of one request whose connection breaks; one if the server never responded."""
    pause_s: float = 1.0
    """Before the second attempt; doubled before each further one, up to 8 times as long."""
    silence_s: float = 45.0
    """Read timeout of a stream of events, in s; the server pings every 15 s."""

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self.pause_s * 2.0 ** min(failures - 1, 3)


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """The state of a job of one recording."""

    id: str
    is_over: bool
    failure: str | None
    """Why an ended job has no result."""
    done: float
    """Seconds of audio that are transcribed, of `total`."""
    total: float | None


class JobsClient:
    """A client of one server.

    Every method raises `ServerUnusable` if the server cannot be reached or refuses every request
    of this client, `RemoteFailed` for any other refusal, and `NotFound` for a missing job.
    """

    def __init__(self, http: httpx.AsyncClient, retry_policy: RetryPolicy) -> None:
        self._http = http
        self.retry_policy = retry_policy
        self._has_responded = False

    async def submit_file(self, file: BinaryIO, filename: str, fields: Fields) -> RemoteJob:
        """Upload a recording in chunks, from its beginning at each attempt."""

        async def send() -> httpx.Response:
            form = _group_fields(fields)
            return await self._http.post(JOBS, data=form, files={"file": (filename, file)})

        return await self._submit(send)

    async def submit_url(self, url: str, fields: Fields) -> RemoteJob:
        """Submit a recording that the server downloads."""

        async def send() -> httpx.Response:
            return await self._http.post(JOBS, data=_group_fields([*fields, ("url", url)]))

        return await self._submit(send)

    async def get_job(self, job_id: str) -> RemoteJob:
        """Request the state of a job."""
        return _parse_job(
            _parse_json(await self._request(lambda: self._http.get(f"{JOBS}/{job_id}")))
        )

    async def stream_events(self, job_id: str) -> AsyncGenerator[RemoteJob]:
        """Yield the states of a job until the server or the network ends the stream of events."""
        timeout = httpx.Timeout(_RESPONSE_S, connect=_CONNECT_S, read=self.retry_policy.silence_s)
        parser = EventParser()
        try:
            async with self._http.stream(
                "GET", f"{JOBS}/{job_id}/events", timeout=timeout
            ) as response:
                if not response.is_success:  # the caller requests the state, which raises the error
                    return
                async for received in response.aiter_bytes():
                    for event in parser.feed(received):
                        yield _parse_event(event)
        except httpx.RequestError:  # the caller requests the state and connects again
            return

    async def download_result(
        self, job_id: str, output_format: OutputFormat, style: CueStyle | None = None
    ) -> str:
        """Download a result as the content of a file, the same that a local run writes."""
        params = {"format": BODIES[output_format].value, "file": "0"}
        if output_format.has_cues:
            params |= cue_params(style or CueStyle())
        response = await self._request(
            lambda: self._http.get(f"{JOBS}/{job_id}/result", params=params)
        )
        if output_format is OutputFormat.JSON:
            return to_pretty_json(_parse_json(response))
        return response.content.decode("utf-8")

    async def delete(self, job_id: str) -> None:
        """Cancel a job if it is unfinished, and delete it."""
        await self._request(lambda: self._http.delete(f"{JOBS}/{job_id}"))

    async def _submit(self, send: Send) -> RemoteJob:
        try:
            return _parse_job(_parse_json(await self._request(send)))
        except NotFound as error:  # the model or the route is missing, for every recording
            no_route = f"{self._http.base_url} offers no jobs (/v1/jobs)."
            raise ServerUnusable(error.message if error.code else no_route) from error

    async def _request(self, send: Send) -> httpx.Response:
        """Send a request again while the server is busy, for at most `busy_s` seconds."""
        waited_s = 0.0
        while True:
            response = await self._send(send)
            retry_after = response.headers.get("retry-after", "")
            is_busy = response.status_code in _BUSY
            if not (is_busy and retry_after.isascii() and retry_after.isdecimal()):
                break
            pause_s = float(retry_after)
            if waited_s + pause_s > self.retry_policy.busy_s:
                break
            await anyio.sleep(pause_s)
            waited_s += pause_s
        _raise_for_status(response)
        return response

    async def _send(self, send: Send) -> httpx.Response:
        """Send a request, again while the connection breaks or a proxy reports a bad gateway."""
        failures = 0
        while True:
            try:
                response = await send()
            except httpx.RequestError as error:
                failures += 1
                # A server that never responded is probably a wrong URL: fail at once.
                if failures >= self.retry_policy.attempts or not self._has_responded:
                    reason = (str(error) or type(error).__name__).rstrip(".")
                    raise ServerUnusable(
                        f"No response from {self._http.base_url}: {reason}."
                    ) from error
            else:
                self._has_responded = True
                failures += 1
                if response.status_code not in _GATEWAY or failures >= self.retry_policy.attempts:
                    return response
            await anyio.sleep(self.retry_policy.pause(failures))


@asynccontextmanager
async def open_client(
    url: str, api_key: str | None, retry_policy: RetryPolicy
) -> AsyncIterator[JobsClient]:
    """Open a client of the server at `url`."""
    # httpx follows no redirects by default, which would send the key to another host.
    headers = {"user-agent": f"whisperlive-hybrid/{__version__}"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    timeout = httpx.Timeout(_RESPONSE_S, connect=_CONNECT_S)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=timeout, limits=httpx.Limits(max_connections=None)
    ) as http:
        yield JobsClient(http, retry_policy)


class _Failure(BaseModel):
    message: str
    code: str | None = None


class _Progress(BaseModel):
    done: float = 0.0
    total: float | None = None


class _File(BaseModel):
    error: _Failure | None = None


class _Job(BaseModel):
    """A job object; other fields are ignored."""

    id: str
    status: str
    progress: _Progress = _Progress()
    error: _Failure | None = None
    files: list[_File] = []


class _Event(BaseModel):
    job: _Job


class _ErrorResponse(BaseModel):
    error: _Failure


_UNFINISHED: Final = ("queued", "running")


def _parse_job(body: object) -> RemoteJob:
    try:
        return _to_remote_job(_Job.model_validate(body))
    except ValidationError as error:
        raise RemoteFailed("The server's response is not a job object.") from error


def _parse_event(event: str) -> RemoteJob:
    try:
        return _to_remote_job(_Event.model_validate_json(event).job)
    except ValidationError as error:
        raise RemoteFailed("The server's event does not contain a job object.") from error


def _to_remote_job(job: _Job) -> RemoteJob:
    is_over = job.status not in _UNFINISHED
    # The error of a file is more specific than that of its job.
    failures = [file.error for file in job.files if file.error] + ([job.error] if job.error else [])
    failure = failures[0].message if failures else None
    if job.status != "completed":
        failure = failure or f"The job was {job.status}."
    return RemoteJob(
        job.id, is_over, failure if is_over else None, job.progress.done, job.progress.total
    )


def _group_fields(fields: Fields) -> dict[str, list[str]]:
    """Group fields by name, as httpx takes them; a name may occur several times."""
    form: dict[str, list[str]] = {}
    for name, value in fields:
        form.setdefault(name, []).append(value)
    return form


def _raise_for_status(response: httpx.Response) -> None:
    """Raise the error of a refused request, with the server's message if there is one."""
    if response.is_success:
        return
    try:
        failure = _ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        failure = _Failure(message=f"The server responded with status {response.status_code}.")
    if response.status_code in _UNAUTHORIZED:
        raise ServerUnusable(f"{response.request.url.host} refuses access: {failure.message}")
    if response.status_code in _MISSING:
        raise NotFound(failure.message, code=failure.code)
    raise RemoteFailed(failure.message)


def _parse_json(response: httpx.Response) -> object:
    try:
        body: object = json.loads(response.content)
    except ValueError as error:
        raise RemoteFailed("The server's response is not valid JSON.") from error
    return body
