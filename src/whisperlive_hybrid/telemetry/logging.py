"""Logging of the whole process: structured events on standard error."""

import logging
import sys
from typing import Literal

import structlog

from whisperlive_hybrid.engine.observer import Mark, ModelCall, WindowRequest
from whisperlive_hybrid.types import DecodeResult, Urgency, join_text


def configure_logging(*, form: Literal["console", "json"], level: str) -> None:
    """Render all log lines, those of libraries included, in one format on standard error."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # They log every request; the access log has one line for each already.
    for chatty in ("uvicorn", "httpx", "httpcore", "multipart"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
    # It logs a stack trace for every port scan; the live server logs its own defects itself.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


log = structlog.get_logger(__name__)


class TextLog:
    """An `Observer` that logs the text of every window, except updates of open utterances.

    No other code logs text, and this does only if WHISPERLIVE_LOG_TEXT is set.
    """

    def on_request(self, request: WindowRequest) -> Mark:
        """Do nothing: there is no text yet."""
        del request

    def on_call(self, call: ModelCall) -> None:
        """Do nothing: a call has no text of its own."""

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Log the text, with the ids that the caller has bound to its context."""
        del mark
        if isinstance(answer, DecodeResult) and request.urgency is not Urgency.UPDATE:
            log.info("window read", text=join_text(answer.segments), language=answer.language.code)
