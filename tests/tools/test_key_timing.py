"""The benchmark of wrong keys, small, on a real server."""

import pytest
from load_tests.key_target import UNPAUSED, run_target
from load_tests.key_timing import build_headers, measure_costs
from load_tests.wrong_keys import run_wrong_keys

pytestmark = pytest.mark.anyio


def test_each_kind_of_wrong_key_is_what_it_says() -> None:
    """All have the length of a valid one, so that only the kind differs."""
    token = f"wlk_{'7f3a' * 3}_{'ab' * 32}"
    shown = build_headers(token)
    assert shown["none"] is None
    assert shown["right key"] == f"Bearer {token}"
    wrong = {kind: text for kind, text in shown.items() if text and kind != "right key"}
    assert f"Bearer {token}" not in wrong.values()
    assert {len(text) for text in wrong.values()} == {len(f"Bearer {token}")}
    assert len(set(wrong.values())) == len(wrong) - 1  # one is there twice


async def test_a_server_is_measured() -> None:
    """Valid keys are accepted and wrong ones rejected, by both servers."""
    async with run_target(UNPAUSED) as target:
        statuses = {cost.kind: cost.status for cost in measure_costs(target, rounds=3)}
        assert statuses.pop("right key") == 200
        assert set(statuses.values()) == {401}
        result = await run_wrong_keys(target, tries=20, connections=4, settle_s=0)
    assert result.tries == 20
    assert min(result.before, result.during, result.after) > 0
    assert result.rss_after_mb is not None
