"""The Hugging Face hub as a source of models, through its own client.

The client honours the variables of the hub (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, proxies) and
resumes a download that was interrupted.
"""

import os
import queue
import threading
from pathlib import Path
from typing import Final

from whisperlive_hybrid.disk import DISK_FULL
from whisperlive_hybrid.models.formats import ModelFormat
from whisperlive_hybrid.models.source import SourceFailed

REACH_S: Final = 5.0
"""How long the hub may take to answer at all, name resolution included, in seconds."""


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def cached(hub_id: str, revision: str | None, form: ModelFormat) -> Path | None:
    """Return the directory of a model that this or another program has in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow to load)

    needed = [*form.weights, "tokenizer.json"]
    for commit in dict.fromkeys((revision, "main")):
        found = [try_to_load_from_cache(hub_id, file, revision=commit) for file in needed]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[-1])).parent
    return None


def fetch(hub_id: str, revision: str | None, form: ModelFormat, into: Path) -> None:
    """Download the files of a model into `into`, where an interrupted download goes on.

    Raises `SourceFailed`, after at most `REACH_S` if the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (slow to load)
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # noqa: PLC0415 (slow to load)
        disable_progress_bars,  # documented, but not exported by name
    )

    _check_reachable(hub_id, revision)
    disable_progress_bars()  # our callers show one for all sources
    try:
        snapshot_download(
            hub_id, revision=revision, allow_patterns=list(form.hub_files), local_dir=into
        )
    except Exception as error:  # the client raises a dozen kinds; all mean this
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise  # no other source would help
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SourceFailed(f"the Hugging Face hub failed ({reason[0][:200]})") from error


def _check_reachable(hub_id: str, revision: str | None) -> None:
    """Raise `SourceFailed` unless the hub answers anything within `REACH_S`.

    The client's own limits hold for each attempt and each phase, and a name resolver without a
    network takes longer than all of them. So the question is asked in a thread that is left behind.
    """
    from huggingface_hub import get_session, hf_hub_url  # noqa: PLC0415 (slow to load)

    url = hf_hub_url(hub_id, "config.json", revision=revision)
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(url, timeout=REACH_S, follow_redirects=False)
        except Exception as error:  # noqa: BLE001 (whatever it is, the hub cannot be asked)
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    try:
        failure = answers.get(timeout=REACH_S)
    except queue.Empty:
        raise SourceFailed(f"the Hugging Face hub did not answer within {REACH_S:g} s") from None
    if failure is not None:
        raise SourceFailed(
            f"the Hugging Face hub cannot be reached ({type(failure).__name__})"
        ) from failure
