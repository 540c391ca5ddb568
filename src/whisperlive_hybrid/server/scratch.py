"""Where uploads lie while they are read: in TMPDIR, and nowhere else."""

import os
import tempfile

from whisperlive_hybrid.errors import BadRequest


def hold_to_tmpdir() -> None:
    """Have temporary files lie where the environment says, if it does; blocking.

    Python would take another directory, the current one at last, without a word. Raises
    `BadRequest` where no file can be made; a disk that is only full is told to each upload.
    """
    given = os.environ.get("TMPDIR")
    if not given:
        return
    try:
        with tempfile.TemporaryFile(dir=given):
            pass
    except OSError as error:
        raise BadRequest(f"Uploads cannot lie in TMPDIR={given!r}: {error.strerror}.") from error
    tempfile.tempdir = given
