"""The progress of a plain upload, as events for whoever knows the id that its client chose."""

import re
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.failure import Failure

Json = dict[str, object]

PROGRESS_ID: Final = "X-Progress-Id"
"""The header that asks for progress to be shown."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,128}")
_OF_JOBS: Final = "job_"
"""How the ids begin that the server gives."""


class Stage(Enum):
    """How far an upload is; the values are the types of its events."""

    PROGRESS = "upload.progress"
    COMPLETED = "upload.completed"
    FAILED = "upload.failed"


@dataclass(frozen=True, slots=True)
class UploadNews:
    """Where an upload stands; seconds of audio."""

    id: str
    stage: Stage = Stage.PROGRESS
    done: float = 0.0
    total: float | None = None
    """None while its length is unknown."""
    text: str = ""
    """The end of its text so far."""
    failure: Failure | None = None


def progress_id(written: str) -> str:
    """Check an id; raises `BadRequest` for one that is none."""
    if not is_progress_id(written):
        raise BadRequest(
            f"Invalid {PROGRESS_ID} {written[:140]!r}: it must be 8 to 128 characters of "
            f"A-Z, a-z, 0-9, _ and -, and not begin with {_OF_JOBS}.",
            param=PROGRESS_ID,
            code="invalid_value",
        )
    return written


def is_progress_id(written: str) -> bool:
    """Whether a client may choose it; no job has such an id."""
    return _ID.fullmatch(written) is not None and not written.startswith(_OF_JOBS)


def upload_event(news: UploadNews) -> Json:
    """One event; `error` only where there is one."""
    event: Json = {
        "type": news.stage.value,
        "id": news.id,
        "done": round(news.done, 3),
        "total": None if news.total is None else round(news.total, 3),
        "text": news.text.strip(),
    }
    return event | ({"error": asdict(news.failure)} if news.failure else {})
