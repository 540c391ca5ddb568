"""Windows of different contexts in one call, since the silence behind them fills them up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_helpers import Recording

from whisperlive_hybrid.backends.base import Encode, Encoded, Generate
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.bench.corpus import read_samples
from whisperlive_hybrid.models.store import ModelStore
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Language,
    Samples,
    Window,
    WindowSpan,
)

CONTEXTS_S = (7.5, 15.0, 30.0)


@pytest.fixture(scope="module")
def backend(models: Path) -> Iterator[Ct2Backend]:
    """Base, with its card."""
    files = ModelStore(models).find("base")
    assert files is not None
    loaded = Ct2Backend(files, device="cpu")
    yield loaded
    loaded.close()


def encoded(backend: Ct2Backend, samples: Samples, context_s: float) -> Encoded:
    """The first 5 s in a context of that length."""
    first = samples[: 5 * SAMPLE_RATE]
    [output] = backend.encode([Encode(Window(first, (WindowSpan(0, 0, len(first)),)), context_s)])
    assert not isinstance(output, Exception)
    return output


def test_contexts_share_a_call_and_keep_their_text(
    backend: Ct2Backend, recordings: dict[str, Recording]
) -> None:
    """A window writes the same text alone and beside windows of other contexts."""
    samples = read_samples(recordings["ls-1998-15444-0000"].file)
    works = [
        Generate(encoded(backend, samples, seconds), Language("en", 1.0), DecodeOptions(), 0.0)
        for seconds in CONTEXTS_S
    ]
    assert len({backend.batch_key(work) for work in works}) == 1
    together = backend.generate(works)
    alone = [backend.generate([work])[0] for work in works]
    assert together == alone
