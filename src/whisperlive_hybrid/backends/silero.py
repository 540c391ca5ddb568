"""Voice activity: Silero VAD v6, the ONNX file that the faster-whisper package carries.

The network eats 512 samples with the 64 before them and carries an LSTM state from frame to frame.
Measured: the probabilities are bit for bit the same however the frames are grouped into calls, so
a live stream and a file of the same audio are judged alike; 1.6 ms of one core per second of audio
in groups of 16 frames and more, 2.9 ms frame by frame.

Silence that lasts costs nothing, since a muted client sends it for hours: the network is not asked,
and what comes after it is judged as if the recording began there. (The state does not come to rest
by itself: after 6 s of zeros it still judged the next onset differently each time.) Silence means
below `SILENT_PEAK`, not zeros: the speech mode of Opus decodes digital silence to noise of 2.8e-5.

Quiet and overdriven audio is brought to a level of its own for the network, and for it alone
(`audio.level`). Overdriven frames are judged twice, and the higher probability counts: behind a
limiter that raised the noise the expanded samples are judged better, without noise the others.
"""

import itertools
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from whisperlive_hybrid.audio.level import VoiceLevel, expand
from whisperlive_hybrid.speech.regions import FRAME
from whisperlive_hybrid.types import Samples

CONTEXT: Final = 64
"""Samples of the frame before that the network sees again."""

SILENT_PEAK: Final = 2.0**-14
"""Two steps of 16-bit audio, -84 dB of full scale: dither and what lossy codecs make of zeros."""

LASTING_FRAMES: Final = 64
"""Silence is lasting after 2 s of it, far beyond any pause that ends an utterance."""

_STATE_SHAPE: Final = (1, 1, 128)


class SileroVad:
    """The network, loaded once and shared by all streams; thread-safe."""

    def __init__(self) -> None:
        import faster_whisper  # noqa: PLC0415 (its import loads CTranslate2, which must be tuned first)

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        path = Path(faster_whisper.__file__).with_name("assets") / "silero_vad_v6.onnx"
        self._session = onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"], sess_options=options
        )

    def open(self) -> "VoiceStream":
        """Begin a stream with fresh state."""
        return VoiceStream(self._session)


class VoiceStream:
    """The probabilities of one stream, frame by frame; used by one thread at a time."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._rest: Samples = np.zeros(0, np.float32)
        self._n_silent = 0  # frames of silence in a row
        self._begin()

    def _begin(self) -> None:
        """Forget what was heard."""
        self._context: Samples = np.zeros(CONTEXT, np.float32)
        self._level = VoiceLevel()
        self._network = _Network(self._session)
        self._second_look: _Network | None = None

    def push(self, samples: Samples) -> list[float]:
        """The probability of speech in each frame that `samples` complete."""
        waiting = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        n_frames = len(waiting) // FRAME
        self._rest = waiting[n_frames * FRAME :]
        if n_frames == 0:
            return []
        frames = waiting[: n_frames * FRAME].reshape(n_frames, FRAME)
        is_silent = (np.abs(frames).max(axis=1) < SILENT_PEAK).tolist()
        judged: list[float] = []
        start = 0
        for is_lasting, run in itertools.groupby(is_silent, key=self._is_lasting):
            end = start + len(list(run))
            if is_lasting:
                self._begin()
                judged += [0.0] * (end - start)
            else:
                judged += self._judge(frames[start:end])
            start = end
        return judged

    def _is_lasting(self, is_silent: bool) -> bool:
        """Count one more frame, and return whether silence has lasted."""
        self._n_silent = self._n_silent + 1 if is_silent else 0
        return self._n_silent > LASTING_FRAMES

    def _judge(self, frames: Samples) -> list[float]:
        """Ask the network about (n, FRAME) samples."""
        network_input = np.empty((len(frames), CONTEXT + FRAME), np.float32)
        network_input[:, CONTEXT:] = frames
        network_input[0, :CONTEXT] = self._context
        network_input[1:, :CONTEXT] = frames[:-1, -CONTEXT:]
        self._context = frames[-1, -CONTEXT:].copy()
        overdriven = self._level.adjust(frames, network_input)
        judged = self._network.judge(network_input)
        start = 0
        for is_overdriven, run in itertools.groupby(overdriven):
            end = start + len(list(run))
            if is_overdriven:
                self._second_look = self._second_look or _Network(self._session)
                again = self._second_look.judge(expand(network_input[start:end]))
                judged[start:end] = map(max, judged[start:end], again)
            else:
                self._second_look = None
            start = end
        return judged

    def flush(self) -> list[float]:
        """The probability of the last frame, filled up with silence, if one has begun."""
        if not len(self._rest):
            return []
        return self.push(np.zeros(FRAME - len(self._rest), np.float32))


class _Network:
    """The network with the state that it carries from frame to frame."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._hidden: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._cell: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)

    def judge(self, inputs: Samples) -> list[float]:
        """Return the probabilities of speech in (n, CONTEXT + FRAME) samples."""
        probabilities, self._hidden, self._cell = self._session.run(
            None, {"input": inputs, "h": self._hidden, "c": self._cell}
        )
        judged: list[float] = probabilities.reshape(-1).tolist()
        return judged
