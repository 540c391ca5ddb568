"""The room of the server: what runs there, the key, and programs that do what was done."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import CLIPS
from playwright.sync_api import Page, expect
from speech_clips import Clip
from wav_files import write_wav

from .conftest import Site

CLIP = CLIPS / "en-0.flac"
SENTENCE = "Oscar buys the picture."
PROGRAMS = {"curl": "bash", "Python": sys.executable, "JavaScript": "node"}
FLAGS = {"curl": [], "Python": [], "JavaScript": ["--experimental-websocket"]}
"""Node 22 has what this gives to Node 20, and still knows the flag."""
SUFFIXES = {"curl": "sh", "Python": "py", "JavaScript": "mjs"}


def program(page: Page, name: str) -> str:
    """The program that is shown in a language."""
    page.get_by_role("tab", name="Server").click()
    page.get_by_role("group", name="Language of the program").get_by_role(
        "button", name=name
    ).click()
    return page.locator("#snippet").inner_text()


def run(code: str, name: str, directory: Path) -> str:
    """What it prints, run where its files are."""
    file = directory / f"program.{SUFFIXES[name]}"
    file.write_text(code)
    command = shutil.which(PROGRAMS[name])
    if command is None:
        pytest.skip(f"no {PROGRAMS[name]} here")
    done = subprocess.run(
        [command, *FLAGS[name], file.name],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_runs_is_told_and_drawn(site: Site) -> None:
    """Model, backend and load, asked for as long as somebody looks."""
    page = site.go("server")
    expect(page.locator("#facts")).to_contain_text("demo")
    expect(page.locator("#facts")).to_contain_text("faster_whisper")
    for name in ("Waiting in the queue", "Live clients", "Real-time factor", "Live text is late"):
        picture = page.get_by_role(
            "img", name=re.compile(f"{name}.*: now [\\w.]+( s)?, at most [\\w.]+")
        )
        expect(picture.locator(".line")).to_have_attribute(
            "points", re.compile(r"[\d.]+,[\d.]+ [\d.]+,")
        )


def test_a_server_that_is_away_is_told(site: Site) -> None:
    """And the page comes back to life with it."""
    page = site.go("server")
    page.route("**/v1/server", lambda route: route.abort())
    expect(page.locator("#server-failed")).to_contain_text("cannot be reached")
    page.unroute("**/v1/server")
    expect(page.locator("#server-failed")).to_be_hidden()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_what_was_done(site: Site, tmp_path: Path, name: str) -> None:
    """As it is shown, with the recording beside it, even under an awkward name."""
    awkward = tmp_path / 'it\'s; a, "clip" $HOME.flac'
    shutil.copy(CLIP, awkward)
    page = site.go()
    page.get_by_label("Language").first.select_option("en")
    page.get_by_label("Choose files").set_input_files(awkward)
    expect(page.locator("#segments")).to_contain_text(SENTENCE)
    code = program(page, name)
    assert "language" in code
    printed = run(code, name, tmp_path)
    assert "job.completed" in printed
    assert f"--> 00:00:01,701\n{SENTENCE}" in printed.replace("\r", "") or SENTENCE in printed


@pytest.mark.parametrize("name", ["Python", "JavaScript"])
def test_a_program_does_what_was_said(
    site: Site, tmp_path: Path, clips: list[Clip], name: str
) -> None:
    """After captions of a microphone: the same session, with a recording in its place."""
    clip = next(clip for clip in clips if clip.file == CLIP.name)
    (tmp_path / "speech-16khz-mono.wav").write_bytes(write_wav(clip.samples))
    page = site.go("live")
    page.get_by_role("tabpanel", name="Live").get_by_label("Language").select_option("en")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").click()
    printed = run(program(page, name), name, tmp_path)
    assert "SERVER_READY" in printed
    assert SENTENCE in printed


def test_copied_is_what_is_shown(site: Site) -> None:
    """To the letter."""
    page = site.go("server")
    site.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = program(page, "Python")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Program copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown


def test_a_key_goes_into_the_header_and_nowhere_else(site: Site) -> None:
    """For this tab; for this browser if it shall be remembered; gone when it is forgotten."""
    page = site.go("server")
    sent: list[str | None] = []
    page.on("request", lambda request: sent.append(request.headers.get("authorization")))
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_role("textbox", name="Key").fill("secret-key")
    with page.expect_request("**/v1/jobs*"):
        page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("textbox", name="Key")).to_have_value("")
    assert sent[-1] == "Bearer secret-key"
    assert not any("secret-key" in address for address in addresses)
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [1, 0]
    assert "WHISPERLIVE_KEY" in program(page, "curl")
    assert "secret-key" not in page.content()

    page.get_by_role("textbox", name="Key").fill("secret-key")
    page.get_by_label("Remember it").check()
    page.get_by_role("button", name="Use this key").click()
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 1]
    page.get_by_role("button", name="Forget it").click()
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
