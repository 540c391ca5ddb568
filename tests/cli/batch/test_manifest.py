"""The memory of a directory of transcripts, as values and as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.cli.batch.manifest import (
    Manifest,
    PendingJob,
    Provenance,
    SourceState,
    digest,
    dump_manifest,
    load_manifest,
)

numbers = st.none() | st.integers(min_value=-(2**63), max_value=2**63)
stamps = st.builds(SourceState, st.text(), numbers, numbers)
origins = st.builds(Provenance, stamps, st.text())
manifests = st.builds(
    Manifest,
    st.dictionaries(st.text(), origins),
    st.dictionaries(st.text(), st.builds(PendingJob, st.text(), origins)),
)


@given(manifests)
def test_what_is_written_is_read_again(manifest: Manifest) -> None:
    """Every name, and nanoseconds to the last one."""
    assert load_manifest(dump_manifest(manifest)) == manifest


def test_names_that_are_no_text_survive() -> None:
    """A file called by a lone byte comes as half a character."""
    manifest = Manifest({"caf\udce9.txt": Provenance(SourceState("caf\udce9.mp3", 1, 2), "x")})
    assert dump_manifest(manifest).isascii()
    assert load_manifest(dump_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"version": 2, "outputs": {}, "jobs": {}}',
        '{"version": 1, "outputs": []}',
        '{"version": 1, "outputs": {"a": 1}, "jobs": {}}',
        '{"version": 1, "outputs": {"a": {"source": 1, "options": ""}}, "jobs": {}}',
        '{"version": 1, "outputs": {"a": {"source": "", "size": "1", "options": ""}}, "jobs": {}}',
        '{"version": 1, "outputs": {}, "jobs": {"a": {"source": "", "options": ""}}}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """A file that was cut, or that a later version wrote, is never half believed."""
    with pytest.raises(ValueError):  # noqa: PT011 (any message will do)
        load_manifest(text)


def test_changes_leave_the_rest_alone() -> None:
    """Outputs and jobs come and go one by one."""
    provenance = Provenance(SourceState("a.mp3", 1, 2), "x")
    one = (
        Manifest()
        .with_outputs({"a.txt": provenance})
        .with_job("b", PendingJob("job_1", provenance))
    )
    two = one.with_outputs({"b.txt": provenance}).without_job("b").without_job("never")
    assert set(one.outputs) == {"a.txt"}
    assert set(two.outputs) == {"a.txt", "b.txt"}
    assert (set(one.jobs), set(two.jobs)) == ({"b"}, set())


@given(st.dictionaries(st.text(), st.none() | st.text() | st.booleans() | st.integers()))
def test_the_digest_hangs_on_values_only(options: dict[str, object]) -> None:
    """Not on their order; and on every one of them."""
    assert digest(options) == digest(dict(reversed(options.items())))
    assert digest(options) != digest({**options, "\0more": 1})
    assert json.loads(json.dumps(digest(options))) == digest(options)
