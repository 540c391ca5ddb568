"""What in the page's modules needs no browser: run, type-checked and laid out as the rest."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import whisperlive_hybrid
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.protocol.openai.request import AudioRequest, ResponseFormat
from whisperlive_hybrid.text.cues import SLOWEST_LETTER_S
from whisperlive_hybrid.text.formats import plain_text, srt, vtt
from whisperlive_hybrid.types import Segment

HERE = Path(__file__).parent
WEB = Path(whisperlive_hybrid.__file__).parent / "server" / "web"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="no Node here, which runs modules by itself")
needs_tools = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules").is_dir(),
    reason="no Node, or `make install-test` could not install the checkers (tests/web)",
)


def node(*arguments: str, given: str = "") -> str:
    """Run Node in this directory; its output."""
    done = subprocess.run(
        [NODE or "node", *arguments],
        cwd=HERE,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_node
def test_the_pure_modules_keep_their_laws() -> None:
    """Those are written down in logic/*.test.mjs."""
    node("--test", "logic")


@needs_tools
@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.worklet.json"])
def test_the_types_in_comments_hold(project: str) -> None:
    """Strictly, as mypy does for Python."""
    node("node_modules/typescript/bin/tsc", "-p", project)


@needs_tools
def test_the_page_is_laid_out_evenly() -> None:
    """By prettier, as ruff does for Python; `make format-page` does it."""
    files = [f"{WEB}/**/*.{{js,css,html}}", f"!{WEB}/vendor/**", "logic/*.mjs"]
    node(
        "node_modules/prettier/bin/prettier.cjs", "--config", ".prettierrc.json", "--check", *files
    )


moments = st.floats(0, 1e5) | st.integers(0, 10**7).map(lambda half_ms: half_ms / 2000)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    " \n\t\x1c\x85\xa0\u2028\ufeff->&<a", max_size=20
)
transcripts = st.lists(
    st.builds(
        lambda start, end, text: Segment(start, end, text, (), 0.0, -0.1, 1.0, 0.0),
        moments,
        moments,
        texts,
    ),
    max_size=4,
)


@needs_node
@settings(
    max_examples=10,
    phases=[
        Phase.generate
    ],  # an example is a hundred transcripts: shrinking would start Node for hours
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(transcripts, min_size=50, max_size=100))
def test_texts_are_the_servers_to_the_byte(given: list[list[Segment]]) -> None:
    """Whatever the segments hold: space of every kind, arrows."""
    for segments, made in zip(given, files_of_the_page(given), strict=True):
        assert made["txt"] == plain_text(segments)


@needs_node
@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([" Good morning.", " Two -> three.", " A & <b>?", " Grüß Gott!"]),
            st.integers(1, 10_000).map(lambda half_ms: half_ms / 2000),
        ),
        max_size=8,
    )
)
def test_subtitles_are_the_servers_to_the_byte(said: list[tuple[str, float]]) -> None:
    """Of sentences that make a cue each; longer ones the server cuts, and the page does not.

    Nor does it end a cue where so short a text can only have been said before.
    """
    segments = [
        Segment(
            *(10.0 * n, 10.0 * n + min(length, SLOWEST_LETTER_S * len(text)), text, ()),
            *(0.0, -0.1, 1.0, 0.0),
        )
        for n, (text, length) in enumerate(said)
    ]
    [made] = files_of_the_page([segments])
    assert made["srt"] == srt(segments)
    assert made["vtt"] == vtt(segments)


def files_of_the_page(given: list[list[Segment]]) -> list[dict[str, str]]:
    """What the page writes of the server's answers about these segments."""
    request = AudioRequest(response_format=ResponseFormat.VERBOSE_JSON)
    answers = [bodies.render_transcript(request, segments, "en", 0.0) for segments in given]
    told = [answer["segments"] for answer in answers if isinstance(answer, dict)]
    files: list[dict[str, str]] = json.loads(node("logic/written.mjs", given=json.dumps(told)))
    return files
