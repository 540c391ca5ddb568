"""The encoder's output of silence behind that of a shortened context.

A decoder that was trained on 1,500 positions loses its footing where it finds fewer. Those of
silence, which are computed once, cost it less than encoding them anew for every window.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.models.files import ModelCard

FILLED_BACKENDS: Final = frozenset({"faster_whisper", "openvino"})
"""Those that hand out the encoder's output, and take it back filled up."""


def with_silent_tail(
    output: npt.NDArray[Any], silence: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """Fill (windows, positions, width) up with the last positions of `silence`.

    `silence` is (1, full positions, width), or None where nothing is to be filled up.
    """
    if silence is None or output.shape[1] >= silence.shape[1]:
        return output
    tail = silence[:, output.shape[1] :]
    return np.concatenate([output, np.broadcast_to(tail, (len(output), *tail.shape[1:]))], axis=1)


def short_context_languages(card: ModelCard) -> frozenset[str] | None:
    """Return the languages in which a card allows shortened contexts; None for all."""
    given = card.short_context_languages
    return None if given is None else frozenset(given)
