import pytest

from whisperlive_hybrid.errors import BadAudio, OutOfSpace, WhisperLiveError, error_kind
from whisperlive_hybrid.protocol.live import BadHandshake


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadAudio("no"), "bad_audio"),
        (OutOfSpace("no"), "out_of_space"),
        (BadHandshake("no", uid="x"), "bad_handshake"),
        (WhisperLiveError("no"), "whisper_live_error"),
        (ValueError("no"), "defect"),
        (ExceptionGroup("no", [ValueError("no")]), "defect"),
    ],
)
def test_a_kind_is_a_word_of_ours(error: Exception, kind: str) -> None:
    """Logs and metrics name errors by their class, not by data of clients."""
    assert error_kind(error) == kind
