"""Live streams, from the first message to the last of the text, in any protocol."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.audio.pcm import PcmReader
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.engine.capacity import FASTEST_UPDATES_S
from whisperlive_hybrid.errors import BadRequest, Overloaded, WhisperLiveError
from whisperlive_hybrid.live.session import LiveOptions, LiveSession
from whisperlive_hybrid.protocol.live import (
    BadHandshake,
    EndOfAudio,
    Gap,
    LiveCodec,
    ServerEvent,
    SessionEvent,
    StreamEnded,
    StreamFailed,
    StreamReady,
    StreamRejected,
    StreamRequest,
    TextUpdate,
)
from whisperlive_hybrid.server.live.admission import (
    Admission,
    Admitted,
    Rejected,
    RejectReason,
)
from whisperlive_hybrid.server.live.report import Ending, StreamReport
from whisperlive_hybrid.server.live.transport import (
    INTERNAL_ERROR,
    NORMAL_CLOSURE,
    SERVICE_RESTART,
    ClientLeft,
    Transport,
)
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.server_metrics import Endpoint, ServerMetrics
from whisperlive_hybrid.telemetry.tracing import NO_TRACER, Tracer
from whisperlive_hybrid.text.endings import EndingOptions
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

_DOUBTFUL: Final = "the audio is not float32 in [-1, 1]: its client should say audio_format"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LiveStreams:
    """Serves live streams of any protocol over any transport."""

    admission: Admission
    detector: VoiceDetector
    quotas: Quotas
    endings: EndingOptions = field(default_factory=EndingOptions)
    metrics: ServerMetrics = field(default_factory=lambda: Metrics().server)
    tracer: Tracer = NO_TRACER
    handshake_s: float = 10.0
    """For the first message."""
    update_interval: Callable[[], float] = lambda: FASTEST_UPDATES_S
    """Seconds of new speech that are worth another update of a stream now."""

    async def serve(self, transport: Transport, codec: LiveCodec) -> None:
        """Serve a connection from its first message to its end; no failure leaves it."""
        with (
            structlog.contextvars.bound_contextvars(
                session_id=transport.id, caller=transport.caller.account
            ),
            self.tracer.join(dict(transport.trace_headers)),
        ):
            try:
                await transport.close(await self._serve(transport, codec))
            except* ClientLeft:
                log.info("client left without END_OF_AUDIO")
            except* Exception as group:
                self.metrics.count_failure(Endpoint.LIVE, group)
                log.exception("connection failed")
                await transport.close(INTERNAL_ERROR)

    async def _serve(self, transport: Transport, codec: LiveCodec) -> int:
        """Open, admit and run a stream; return the code to close with."""
        try:
            request = await self._open(transport, codec)
            async with self.admission.admit(request.model, transport.caller) as admitted:
                stream = _Stream(self, transport, codec, request, admitted)
                return await stream.run()
        except BadRequest as error:
            self.metrics.count_failure(Endpoint.LIVE, error)
            log.info("client refused", reason=error.message)
            await _send(transport, codec, StreamFailed(error.message))
        except Rejected as error:
            self.metrics.count_refusal(Endpoint.LIVE, error.reason.value)
            self.admission.log_rejection(error)
            await _send(transport, codec, StreamRejected(error.retry_after_s))
            if error.reason is RejectReason.DRAINING:
                return SERVICE_RESTART
        except Overloaded as error:
            self.metrics.count_failure(Endpoint.LIVE, error)
            log.info("client refused", reason=error.message)
            await _send(transport, codec, StreamRejected(error.retry_after_s))
        return NORMAL_CLOSURE

    async def _open(self, transport: Transport, codec: LiveCodec) -> StreamRequest:
        with anyio.move_on_after(self.handshake_s):
            return codec.open(await transport.receive())
        raise BadHandshake(f"No handshake came in {self.handshake_s:g} s.")


async def _send(transport: Transport, codec: LiveCodec, event: ServerEvent) -> None:
    for frame in codec.render(event):
        await transport.send(frame)


class _Stream:
    """One admitted client."""

    def __init__(
        self,
        streams: LiveStreams,
        transport: Transport,
        codec: LiveCodec,
        request: StreamRequest,
        admitted: Admitted,
    ) -> None:
        self._streams = streams
        self._transport = transport
        self._codec = codec
        self._request = request
        self._admitted = admitted
        self._client = admitted.client
        self._fault: BadRequest | None = None
        self._report = StreamReport(streams.metrics, streams.tracer, transport.id)

    async def run(self) -> int:
        """Decode until the client has sent everything, or is stopped; return the close code."""
        request, options = self._request, self._request.options
        log.info(
            "client admitted",
            language=options.language,
            is_multilingual=options.switch_threshold is not None,
            task=options.task.value,
            asked_model=request.model,
            model=self._admitted.decoder.capabilities.model,
        )
        if request.unsupported:
            log.warning("not supported yet and left out", keys=request.unsupported)
        for note in request.notes:
            log.info(note)
        with self._report as report:
            try:
                await self._run_session()
            except* WhisperLiveError as group:
                error = group.exceptions[0]
                log.warning("stream failed", reason=str(error))
                report.fail(error)
                await self._send(StreamFailed(str(error)))
            if self._client.ending is None:
                return NORMAL_CLOSURE
            report.ending = self._client.ending
            if report.ending is Ending.DRAINING:
                return SERVICE_RESTART
            await self._send(StreamEnded())
            return NORMAL_CLOSURE

    async def _run_session(self) -> None:
        streams, decoder = self._streams, self._admitted.decoder
        request = self._request
        async with anyio.create_task_group() as tasks:
            session = LiveSession(
                decoder,
                streams.detector,
                LiveOptions(request.options, request.vad, streams.endings),
                self._publish,
                tasks,
                self._report,
                streams.update_interval,
            )
            await self._send(StreamReady(decoder.capabilities.model))
            tasks.start_soon(self._receive, session)
            await session.run()
        if self._fault is not None:
            raise self._fault

    async def _publish(self, event: SessionEvent) -> None:
        match event:
            case TextUpdate():
                self._report.add_segments(len(event.completed))
            case Gap():
                self._report.add_gap(event)
        await self._send(event)

    async def _receive(self, session: LiveSession) -> None:
        """Feed the session until the client has sent everything, or is stopped."""
        pcm = PcmReader(self._request.audio_format, self._request.sample_rate)
        has_warned = False
        async for payload in self._payloads():
            await self._feed(pcm.read(payload), session)
            if pcm.is_doubtful and not has_warned:
                log.warning(_DOUBTFUL, declared=self._request.audio_format)
                has_warned = True
        await self._feed(pcm.flush(), session)
        await session.finish()

    async def _payloads(self) -> AsyncIterator[bytes]:
        """Yield the audio of the client.

        A message that makes no sense ends it as well; what was sent before it gets its text.
        """
        while (frame := await self._client.next_frame(self._transport)) is not None:
            try:
                events = self._codec.receive(frame)
            except BadRequest as error:
                self._fault = error
                return
            for event in events:
                if isinstance(event, EndOfAudio):
                    return
                yield event.payload

    async def _feed(self, samples: Samples, session: LiveSession) -> None:
        """Feed the session and record usage; stop a client that has used up its day."""
        self._report.add_audio(len(samples))
        await session.receive(samples)
        if session.is_in_speech:
            self._admitted.report_speech(len(samples) / SAMPLE_RATE)
        quotas, caller = self._streams.quotas, self._client.caller
        quotas.add(caller.account, Usage(live_s=len(samples) / SAMPLE_RATE))
        if not quotas.has_audio_left(caller):
            self._client.stop(Ending.DAY_USED_UP)

    async def _send(self, event: ServerEvent) -> None:
        await _send(self._transport, self._codec, event)
