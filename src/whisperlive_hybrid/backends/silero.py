"""Voice activity detection with Silero VAD v6, the ONNX file in the faster-whisper package.

The network takes 512 samples with the 64 before them and an LSTM state from frame to frame.
Measured: the probabilities are bit for bit the same however the frames are grouped into calls, so
a live stream and a file of the same audio have the same ones; a second of audio takes 1.6 ms of one
core in groups of 16 frames and more, 2.9 ms frame by frame.

Lasting silence skips the network, since a muted client sends it for hours. The audio after it is
treated as a new recording. (The state does not settle by itself: after 6 s of zeros the
probabilities of the next onset still differed each time.) Silence is a peak below `SILENT_PEAK`,
not zeros: the speech mode of Opus decodes digital silence to noise of 2.8e-5.

The level of quiet and overdriven audio is corrected for the network only (`audio.level`).
Overdriven frames are run twice, and the higher probability is used: after a limiter that raised the
noise the expanded samples give better ones, without noise the others do.
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
"""Samples of the previous frame that the network takes again."""

SILENT_PEAK: Final = 2.0**-14
"""Two steps of 16-bit audio, -84 dB of full scale: dither, and zeros after a lossy codec."""

LASTING_FRAMES: Final = 64
"""Frames after which silence is lasting: 2 s, more than any pause that ends an utterance."""

_STATE_SHAPE: Final = (1, 1, 128)


class SileroVad:
    """The network, loaded once and shared by all streams; thread-safe."""

    def __init__(self) -> None:
        import faster_whisper  # noqa: PLC0415 (it imports CTranslate2, which must be tuned first)

        # The options of faster-whisper: one thread, since the model's workers take the cores.
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        path = Path(faster_whisper.__file__).with_name("assets") / "silero_vad_v6.onnx"
        self._session = onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"], sess_options=options
        )

    def open(self) -> "SileroStream":
        """Return a stream with a new state."""
        return SileroStream(self._session)


class SileroStream:
    """The probabilities of one stream, frame by frame; for one thread at a time."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._rest: Samples = np.zeros(0, np.float32)
        self._n_silent = 0  # frames of silence in a row, which go on after a reset
        self._reset()

    def _reset(self) -> None:
        """Treat the next samples as the beginning of a recording."""
        self._context: Samples = np.zeros(CONTEXT, np.float32)
        self._level = VoiceLevel()
        self._network = _Network(self._session)
        self._expanded_network: _Network | None = None

    def push(self, samples: Samples) -> list[float]:
        """Return the probability of speech in each frame that `samples` complete."""
        waiting = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        n_frames = len(waiting) // FRAME
        self._rest = waiting[n_frames * FRAME :]
        if n_frames == 0:
            return []
        frames = waiting[: n_frames * FRAME].reshape(n_frames, FRAME)
        lasting: list[bool] = []
        for is_silent in np.abs(frames).max(axis=1) < SILENT_PEAK:
            self._n_silent = self._n_silent + 1 if is_silent else 0
            lasting.append(self._n_silent > LASTING_FRAMES)
        probabilities: list[float] = []
        start = 0
        for is_lasting, run in itertools.groupby(lasting):
            end = start + len(list(run))
            if is_lasting:
                self._reset()
                probabilities += [0.0] * (end - start)
            else:
                probabilities += self._predict(frames[start:end])
            start = end
        return probabilities

    def _predict(self, frames: Samples) -> list[float]:
        """Run the network on (n, FRAME) samples."""
        network_input = np.empty((len(frames), CONTEXT + FRAME), np.float32)
        network_input[:, CONTEXT:] = frames
        network_input[0, :CONTEXT] = self._context
        network_input[1:, :CONTEXT] = frames[:-1, -CONTEXT:]
        self._context = frames[-1, -CONTEXT:].copy()
        overdriven = self._level.adjust(frames, network_input)
        probabilities = self._network.run(network_input)
        start = 0
        for is_overdriven, run in itertools.groupby(overdriven):
            end = start + len(list(run))
            if is_overdriven:
                self._expanded_network = self._expanded_network or _Network(self._session)
                again = self._expanded_network.run(expand(network_input[start:end]))
                probabilities[start:end] = map(max, probabilities[start:end], again)
            else:
                self._expanded_network = None
            start = end
        return probabilities

    def flush(self) -> list[float]:
        """Return the probability of an incomplete last frame, padded with silence."""
        if not len(self._rest):
            return []
        return self.push(np.zeros(FRAME - len(self._rest), np.float32))


class _Network:
    """The network with its state from frame to frame."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._hidden: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._cell: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)

    def run(self, inputs: Samples) -> list[float]:
        """Return the probabilities of speech in (n, CONTEXT + FRAME) samples."""
        probabilities, self._hidden, self._cell = self._session.run(
            None, {"input": inputs, "h": self._hidden, "c": self._cell}
        )
        values: list[float] = probabilities.reshape(-1).tolist()
        return values
