"""What every page says of other pages, of settings and of commands, held against what there is."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
from paths import ROOT
from typer.core import TyperCommand, TyperGroup

from whisperlive_hybrid.cli import settings as settings_reference
from whisperlive_hybrid.cli.main import build_app
from whisperlive_hybrid.jobs.api import JOB_FIELDS
from whisperlive_hybrid.protocol.forms import FieldNames
from whisperlive_hybrid.protocol.openai.request import TRANSCRIPTION_FIELDS

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")
QUOTED = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\b(?:WHISPERLIVE_[A-Z0-9_]*[A-Z0-9]|\w+_WHISPERLIVE|FASTERWHISPER_\w+)\b")

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


def text_of(page: Path) -> str:
    """The page without its code blocks, in which a bracket is no link and a `#` no heading."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    said = (re.sub(r"\]\([^)]*\)", "", heading) for heading in HEADING.findall(text_of(page)))
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in said}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """A file that is there, a heading that is there."""
    for link in LINK.findall(QUOTED.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_variables_are_read_by_the_server(page: Path) -> None:
    """A setting that was renamed or dropped would be set in vain."""
    known = {row.variable for _, rows in settings_reference.sections() for row in rows}
    known |= {row.variable for row in settings_reference.OTHERS}
    named = set(VARIABLE.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith("WHISPERLIVE_TEST_")} <= known


@pytest.mark.parametrize(
    ("page", "names"), [("openai.md", TRANSCRIPTION_FIELDS), ("jobs.md", JOB_FIELDS)]
)
def test_every_field_is_on_its_page(page: str, names: FieldNames) -> None:
    """Under its own name; the bracketed parts of an object are the object's."""
    said = QUOTED.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    taken = (*names.single, *names.lists, *names.harmless)
    assert {name for name in taken if "[" not in name} <= {each.removesuffix("[]") for each in said}


def test_every_page_is_found_from_the_readme() -> None:
    """By the list in docs/README.md, which the README names; decisions by their directory."""
    listed = LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(listed)
    assert "docs/README.md" in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_map_shows_what_is_there() -> None:
    """Modules and rooms that are named exist, under the package or beside it."""
    quoted = QUOTED.findall(text_of(ROOT / "docs" / "map.md"))
    places = {each for each in quoted if re.fullmatch(r"[\w/]+(?:\.py|/)", each)}
    assert len(places) > 20
    package = ROOT / "src" / "whisperlive_hybrid"
    assert {
        each for each in places if not any((at / each).exists() for at in (package, ROOT))
    } == set()


@dataclass(frozen=True)
class Call:
    """A call of `whisperlive` on a page."""

    page: str
    words: tuple[str, ...]
    """What follows the name of the command."""


def calls(page: Path, text: str) -> Iterator[Call]:
    """Those in lines of a shell, also behind a pipe and with variables before."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:\||&&|;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.match(r"\w+=", words[0]):
                del words[0]
            if words and Path(words[0]).name == "whisperlive":
                yield Call(str(page.relative_to(ROOT)), tuple(words[1:]))


def pasted(page: Path) -> Iterator[Call]:
    """What a reader may paste: blocks of shell, and indented ones."""
    text = page.read_text(encoding="utf-8")
    for language, code in FENCE.findall(text):
        if language == "sh":
            yield from calls(page, code)
    for block in INDENTED.findall(text_of(page)):
        yield from calls(page, block)


def mentioned(page: Path) -> Iterator[Call]:
    """What is named in a sentence."""
    for quote in QUOTED.findall(text_of(page)):
        if quote.startswith(("whisperlive ", ".venv/bin/whisperlive ")):
            yield from calls(page, quote.replace("'", ""))


def each_of(found: Callable[[Path], Iterator[Call]]) -> pytest.MarkDecorator:
    """A test for every call, whatever page it is on."""
    every = list(dict.fromkeys(call for page in PAGES for call in found(page)))
    return pytest.mark.parametrize(
        "call", every, ids=[f"{each.page}: {' '.join(each.words)}" for each in every]
    )


@pytest.fixture(scope="module")
def command() -> TyperGroup:
    """The command line itself; only that it does nothing."""
    group = typer.main.get_command(build_app())
    assert isinstance(group, TyperGroup)
    for leaf in leaves(group):
        leaf.callback = None
    return group


def leaves(group: TyperGroup) -> Iterator[TyperCommand]:
    """All commands of a group and its groups."""
    for each in group.commands.values():
        if isinstance(each, TyperGroup):
            yield from leaves(each)
        else:
            assert isinstance(each, TyperCommand)
            yield each


@each_of(pasted)
def test_what_may_be_pasted_is_understood(
    call: Call, command: TyperGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands' own parser takes it: names, options and the kind of their values."""
    monkeypatch.chdir(tmp_path)
    for word in call.words:  # some are files of the reader, which must be there
        if re.match(r"\w[^:]*/$", word):
            (tmp_path / word).mkdir()
        elif re.match(r"\w[^:/]*\.(?:mp3|wav)$", word):
            (tmp_path / word).touch()
    command.main(list(call.words), "whisperlive", standalone_mode=False)


@each_of(mentioned)
def test_what_is_mentioned_exists(call: Call, command: TyperGroup) -> None:
    """The command, and its options."""
    words = list(call.words)
    leaf = command.commands[words.pop(0)]
    while words and isinstance(leaf, TyperGroup):
        leaf = leaf.commands[words.pop(0)]
    options = {option for each in leaf.params for option in (*each.opts, *each.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options


def test_calls_were_found() -> None:
    """Nothing is overlooked because the pages are written in another way."""
    assert len({call for page in PAGES for call in pasted(page)}) > 25
    assert len({call for page in PAGES for call in mentioned(page)}) > 15
