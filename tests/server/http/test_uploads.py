import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.server.http.upload_progress import (
    Stage,
    UploadState,
    is_progress_id,
    progress_id,
    upload_event,
)


@pytest.mark.parametrize("written", ["12345678", "a" * 128, "A-b_c-3d"])
def test_ids_that_clients_may_choose(written: str) -> None:
    """Letters, digits, hyphens and underscores, long enough not to be guessed by accident."""
    assert progress_id(written) == written


@pytest.mark.parametrize(
    "written", ["", "1234567", "a" * 129, "with space", "../../etc", "ümläute1", "job_" + "0" * 32]
)
def test_other_ids_are_refused_with_the_rule(written: str) -> None:
    """Also those that could be a job's: one id is never two things."""
    with pytest.raises(BadRequest, match="8 to 128 characters"):
        progress_id(written)
    assert not is_progress_id(written)


def test_events_tell_how_far_it_is() -> None:
    """With the keys that clients know; an error only where there is one."""
    assert upload_event(UploadState("my-upload", Stage.PROGRESS, 1.23456, None, " so far")) == {
        "type": "upload.progress",
        "id": "my-upload",
        "done": 1.235,
        "total": None,
        "text": "so far",
    }
    failed = UploadState("my-upload", Stage.FAILED, failure=ErrorInfo("No.", "server_error"))
    assert upload_event(failed)["error"] == {
        "message": "No.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
