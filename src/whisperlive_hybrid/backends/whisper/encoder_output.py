"""The encoder's output of a window, and the silent tail that completes a shortened context.

A decoder that was trained on 1,500 positions makes more errors where it finds fewer. The output of
silence is computed once and appended, which costs less than encoding it again for every window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.base import Encoded
from whisperlive_hybrid.types import TIME_MARK_S

SILENT_TAIL_BACKENDS: Final = frozenset({"faster_whisper", "openvino"})
"""The backends whose runtime returns the encoder's output and takes it back with a tail."""


@dataclass(frozen=True, slots=True, eq=False)
class EncoderOutput:
    """Encoder output of one window: (1, positions, width), in main memory."""

    output: npt.NDArray[Any]
    context_s: float

    @property
    def seen_s(self) -> float:
        """The seconds that the decoder sees, silent tail included."""
        return float(self.output.shape[1] * TIME_MARK_S)


def stack_outputs(encoded: Sequence[Encoded]) -> npt.NDArray[Any]:
    """Return (windows, positions, width); items of other backends are left out.

    The runtime then refuses the batch for its length, and the engine repeats it item by item.
    """
    outputs = [item.output for item in encoded if isinstance(item, EncoderOutput)]
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def append_silence(output: npt.NDArray[Any], silence: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Extend (windows, positions, width) by the last positions of `silence`.

    `silence` is (1, full positions, width), or None for models without a silent tail.
    """
    if silence is None or output.shape[1] >= silence.shape[1]:
        return output
    tail = silence[:, output.shape[1] :]
    return np.concatenate([output, np.broadcast_to(tail, (len(output), *tail.shape[1:]))], axis=1)
