"""Writes what was said into the log, for operators who have asked for it."""

import structlog

from whisperlive_hybrid.engine.observer import Asked, Mark, ModelCall
from whisperlive_hybrid.types import Reading, Urgency, joined_text

log = structlog.get_logger(__name__)


class TextLog:
    """An `Observer` that logs the text of every window, guesses at open utterances left out.

    The one place where text goes into the log, and only there at all with WHISPERLIVE_LOG_TEXT.
    """

    def asked(self, asked: Asked) -> Mark:
        """Nothing is known yet."""
        del asked

    def called(self, call: ModelCall) -> None:
        """Not of interest."""

    def answered(self, asked: Asked, mark: Mark, answer: Reading | BaseException) -> None:
        """Log the text; on the line are the ids of the caller."""
        del mark
        if isinstance(answer, Reading) and asked.urgency is not Urgency.UPDATE:
            log.info(
                "window read", text=joined_text(answer.segments), language=answer.language.code
            )
