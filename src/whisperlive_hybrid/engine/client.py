"""The one seam between use cases and models: `await decoder.decode(window, options, urgency)`.

The model behind it may be in this process, as with the engine, or on another machine: a window and
its options are plain values, and the same window may be asked for again.
"""

from typing import Protocol

from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.types import DecodeOptions, Reading, Urgency, Window


class Decoder(Protocol):
    """Reads windows with one model."""

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> Reading:
        """Read one window; times of the answer are on the window's clock.

        `continues` says that another window of the same recording was accepted before.

        Raises `Unsupported` for options that the model cannot honour, `Overloaded` when too many
        windows of files wait, `Draining` once the server shuts down, and `BackendFailed` when the
        runtime fails on this window.
        """
