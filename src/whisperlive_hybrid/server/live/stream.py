"""A live stream: an admitted client, from SERVER_READY to the last of its text."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio
import structlog
from websockets.asyncio.server import ServerConnection

from whisperlive_hybrid.audio.pcm import PcmFormat, PcmReader
from whisperlive_hybrid.auth.quotas import Meter
from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.client import Decoder, EngineClient
from whisperlive_hybrid.errors import BadRequest, WhisperLiveError
from whisperlive_hybrid.live.captions import Gap, LanguageFound, Text
from whisperlive_hybrid.live.session import LiveOptions, LiveSession
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol import whisperlive as wire
from whisperlive_hybrid.server.live.report import Ending, StreamReport
from whisperlive_hybrid.server.live.websocket import Client, send, session_id
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.server_metrics import DoorMetrics
from whisperlive_hybrid.telemetry.tracing import NO_TRACER, Tracer
from whisperlive_hybrid.text.endings import live_endings
from whisperlive_hybrid.transcribe import VoiceDetector
from whisperlive_hybrid.types import SAMPLE_RATE, DecodeOptions, Samples, Thresholds

NORMAL_CLOSURE: Final = 1000
SERVICE_RESTART: Final = 1012

_DOUBTFUL: Final = "the audio is not float32 in [-1, 1]: its client should say audio_format"

log = structlog.get_logger(__name__)


async def believe_costs() -> bool:
    """Measure nothing: the costs that the engine knows are as good as new."""
    return True


@dataclass(frozen=True, slots=True)
class LiveMeans:
    """What all live streams share."""

    engine: EngineClient
    pool: ModelPool
    detector: VoiceDetector
    settings: Settings
    meter: Meter
    metrics: DoorMetrics = field(default_factory=lambda: Metrics().doors)
    tracer: Tracer = NO_TRACER
    refresh_costs: Callable[[], Awaitable[bool]] = believe_costs
    """Measures what live work costs now; false if that took too long."""


class LiveStream:
    """One client, which has shaken hands and was admitted."""

    def __init__(
        self,
        means: LiveMeans,
        socket: ServerConnection,
        handshake: wire.Handshake,
        client: Client,
        decoder: Decoder,
        report_speech: Callable[[float], None],
    ) -> None:
        """`report_speech` is called with the seconds of speech in each frame."""
        self._means = means
        self._decoder = decoder
        self._report_speech = report_speech
        self._socket = socket
        self._handshake = handshake
        self._client = client
        self._fault: BadRequest | None = None
        self._report = StreamReport(means.metrics, means.tracer, session_id(socket))

    async def run(self) -> int:
        """Hear the client out; return the code to close with."""
        handshake = self._handshake
        log.info(
            "client admitted",
            language=handshake.language,
            is_multilingual=handshake.switch_threshold is not None,
            task=handshake.task.value,
            asked_model=handshake.model,
            model=self._decoder.capabilities.model,
        )
        if handshake.not_yet:
            log.warning("not supported yet and left out", keys=handshake.not_yet)
        if handshake.asks_for_multilingual_model:
            log.info("multilingual is ignored, since only clients of 2023 send it without use_vad")
        with self._report as report:
            try:
                await self._converse()
            except* WhisperLiveError as group:
                error = group.exceptions[0]
                log.warning("stream failed", reason=str(error))
                report.failed(error)
                await self._send(wire.error(handshake.uid, str(error)))
            if self._client.ending is None:
                return NORMAL_CLOSURE
            report.ending = self._client.ending
            if report.ending is Ending.DRAINING:
                return SERVICE_RESTART
            await self._send(wire.disconnect(handshake.uid))
            return NORMAL_CLOSURE

    async def _converse(self) -> None:
        uid = self._handshake.uid
        writer = wire.SegmentWriter(uid, self._handshake.window)

        async def publish(news: LanguageFound | Text | Gap) -> None:
            match news:
                case LanguageFound():
                    await self._send(wire.language_detected(uid, news.language))
                case Text():
                    self._report.completed(len(news.completed))
                    for message in writer.messages(news.completed, news.tentative, news.stable):
                        await self._send(message)
                case Gap():
                    self._report.gap(news)

        means, decoder = self._means, self._decoder
        options = _live_options(self._handshake, means.settings.live_patience_s)
        async with anyio.create_task_group() as tasks:
            session = LiveSession(
                decoder,
                means.detector,
                options,
                publish,
                tasks,
                self._report,
                lambda: means.engine.update_interval_s,
            )
            await self._send(wire.server_ready(uid, decoder.capabilities.model))
            tasks.start_soon(self._listen, session)
            await session.run()
        if self._fault is not None:
            raise self._fault

    async def _listen(self, session: LiveSession) -> None:
        """Feed the session until the client has said everything, or may not say more.

        A message that means nothing ends it as well, but what was said before it gets its text.
        """
        by_default = PcmFormat.INT16 if self._means.settings.raw_pcm_input else None
        declared = self._handshake.audio_format
        pcm = PcmReader(declared or by_default)
        is_told = False
        while (frame := await self._client.next_frame(self._socket)) is not None:
            try:
                event = wire.receive(frame)
            except BadRequest as error:
                self._fault = error
                break
            if isinstance(event, wire.EndOfAudio):
                break
            await self._hear(pcm.read(event.payload), session)
            if pcm.is_doubtful and not is_told:
                log.warning(_DOUBTFUL, declared=declared)
                is_told = True
        await self._hear(pcm.flush(), session)
        await session.finish()

    async def _hear(self, samples: Samples, session: LiveSession) -> None:
        """Feed the session, and book it; a client that has used up its day is heard out."""
        self._report.heard(len(samples))
        await session.hear(samples)
        if session.is_in_speech:
            self._report_speech(len(samples) / SAMPLE_RATE)
        meter, caller = self._means.meter, self._client.caller
        meter.add(caller.account, Usage(live_s=len(samples) / SAMPLE_RATE))
        if not meter.has_audio_left(caller):
            self._client.stop(Ending.DAY_USED_UP)

    async def _send(self, message: str) -> None:
        await send(self._socket, message, self._means.settings.ping_s)


def _live_options(handshake: wire.Handshake, patience_s: float) -> LiveOptions:
    return LiveOptions(
        DecodeOptions(
            language=handshake.language,
            switch_threshold=handshake.switch_threshold,
            task=handshake.task,
            prompt=handshake.initial_prompt,
            hotwords=handshake.hotwords,
            words=handshake.word_timestamps,
            thresholds=Thresholds(no_speech=handshake.no_speech_thresh),
        ),
        handshake.vad,
        live_endings(patience_s),
    )
