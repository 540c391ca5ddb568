"""The room of files, as somebody uses it."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import httpx
import pytest
from paths import CLIPS
from playwright.sync_api import Page, expect
from running_server import Server

from .conftest import Site

CLIP = CLIPS / "en-long-0.flac"

SERVER_NAMES = {"txt": "text", "srt": "srt", "vtt": "vtt", "json": "verbose_json"}
"""What the server calls the formats that the page offers."""


def newest_job(server: Server) -> str:
    """The id of the job that was handed in last."""
    with httpx.Client(base_url=server.http_url) as client:
        job: str = client.get("/v1/jobs?limit=1").json()["data"][0]["id"]
        return job


def result(server: Server, job: str, form: str) -> bytes:
    """What the server itself answers."""
    with httpx.Client(base_url=server.http_url) as client:
        return client.get(f"/v1/jobs/{job}/result", params={"format": form}).content


def downloaded(page: Page, form: str) -> bytes:
    """The file behind one of the download buttons."""
    with page.expect_download() as coming:
        page.get_by_role("group", name="Download as").get_by_role("button", name=form).click()
    assert coming.value.suggested_filename == f"{CLIP.stem}.{form}"
    return Path(coming.value.path()).read_bytes()


@pytest.fixture
def opened(site: Site, server: Server) -> Iterator[tuple[Page, str]]:
    """A page with the transcript of a clip, and its job, which is deleted at the end."""
    page = site.go()
    page.get_by_label("Choose files").set_input_files(CLIP)
    expect(page.locator("#segments .word").first).to_be_visible()
    job = newest_job(server)
    yield page, job
    with httpx.Client(base_url=server.http_url) as client:
        client.delete(f"/v1/jobs/{job}")


WATCH = """
window.seen = { statuses: new Set(), texts: new Set() };
new MutationObserver(() => {
  for (const each of document.querySelectorAll(".job-status")) seen.statuses.add(each.textContent);
  seen.texts.add(document.querySelector("#growing").textContent);
}).observe(document.body, { subtree: true, childList: true, characterData: true });
"""
"""Remembers everything that the list has said, however short the moment."""


def slow_down(page: Page, bytes_per_s: float) -> None:
    """Let the page send no faster."""
    network = {"offline": False, "latency": 0, "downloadThroughput": -1}
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions", {**network, "uploadThroughput": bytes_per_s}
    )


def test_progress_is_real_and_a_running_job_can_be_cancelled(
    site: Site, long_recording: Path
) -> None:
    """Sending in percent of bytes, reading in percent of sound, the text growing meanwhile."""
    page = site.go()
    page.evaluate(WATCH)
    slow_down(page, bytes_per_s=20_000_000)  # else it may be sent before a browser tells anything
    page.get_by_label("Choose files").set_input_files(long_recording)
    row = page.locator(".job").first
    expect(row.locator(".job-status")).to_have_text(re.compile(r"Reading [1-9]\d? %"))
    expect(row.get_by_role("progressbar")).to_be_visible()
    expect(page.locator("#reader-stage")).to_have_text(re.compile(r"\d+:\d\d of 20:\d\d read"))
    page.wait_for_function("() => seen.texts.size >= 4")
    statuses, texts = page.evaluate("[[...seen.statuses], [...seen.texts]]")
    assert any(re.fullmatch(r"Sending [1-9]\d? %", status) for status in statuses), statuses
    grown = [text for text in texts if text]
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))

    row.get_by_role("button", name="Cancel long.wav").click()
    expect(row).to_have_attribute("data-status", "cancelled")
    expect(page.get_by_role("alert").filter(has_text="cancelled")).to_be_visible()
    row.get_by_role("button", name="Delete long.wav").click()
    expect(page.get_by_role("button", name="long.wav", exact=True)).to_have_count(0)


def test_a_recording_that_is_being_sent_can_be_given_up(site: Site, long_recording: Path) -> None:
    """It leaves the list, and no job was made of it."""
    page = site.go()
    page.route("**/v1/jobs", lambda _: None)  # the answer never comes
    page.get_by_label("Choose files").set_input_files(long_recording)
    page.get_by_role("button", name="Cancel long.wav").click()
    expect(page.locator(".job")).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")


def test_unedited_downloads_are_the_servers_own(opened: tuple[Page, str], server: Server) -> None:
    """Byte for byte."""
    page, job = opened
    for form, asked in SERVER_NAMES.items():
        assert downloaded(page, form) == result(server, job, asked)


def test_edits_reach_every_download_and_survive_a_reload(
    opened: tuple[Page, str], server: Server
) -> None:
    """Only what was changed is changed; a word that nobody has measured has no time."""
    page, job = opened
    line = page.locator("#segments li").first
    before = line.locator(".said").inner_text()
    line.hover()
    line.get_by_role("button", name="Edit").click()
    line.get_by_role("textbox").fill(f"Indeed, {before}")
    line.get_by_role("textbox").press("Enter")
    expect(line.locator(".said")).to_have_text(f"Indeed, {before}")

    page.reload()
    page.locator(".job-open").first.click()
    expect(page.locator("#segments .said").first).to_have_text(f"Indeed, {before}")
    expect(page.locator("#no-sound")).to_be_visible()

    own = json.loads(result(server, job, "verbose_json"))
    edited = json.loads(downloaded(page, "json"))
    assert edited["segments"][0]["text"] == f" Indeed, {before}"
    assert edited["segments"][1:] == own["segments"][1:]
    assert edited["words"] == own["words"]
    for form in ("txt", "srt", "vtt"):
        assert f"Indeed, {before}".encode() in downloaded(page, form)
    page.get_by_role("button", name="Take back all edits").click()
    expect(page.locator("#segments .said").first).to_have_text(before)
    assert downloaded(page, "json") == result(server, job, "verbose_json")


def test_a_word_seeks_and_lights_up(opened: tuple[Page, str]) -> None:
    """A click plays from there, and what is said is marked while it is said."""
    page, _ = opened
    expect(page.locator("#wave")).to_be_visible()
    word = page.locator("#segments .word").nth(4)
    word.click()
    expect(page.locator(".word.lit")).to_have_count(1)
    slider = page.get_by_label("Place in the recording")
    step = float(slider.get_attribute("step") or "")
    start = float(word.get_attribute("data-start") or "")
    assert float(slider.input_value()) > start - step  # it shows whole steps
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()


def test_the_waveform_is_drawn(opened: tuple[Page, str]) -> None:
    """By the library, in its own style, which the policy allows by its nonce."""
    page, _ = opened
    expect(page.locator("#wave canvas").first).to_be_visible()


def test_the_recording_can_be_picked_again(opened: tuple[Page, str]) -> None:
    """After a reload the page has no sound, says so, and takes the file again."""
    page, _ = opened
    page.reload()
    page.locator(".job-open").first.click()
    page.get_by_label("Pick the file").set_input_files(CLIP)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.locator("#no-sound")).to_be_hidden()


def test_the_keyboard_alone_reads_seeks_and_edits(opened: tuple[Page, str]) -> None:
    """One line is in the order of Tab; arrows move on, Enter plays, F2 edits, Escape gives up."""
    page, _ = opened
    page.get_by_role("button", name="Copy text").focus()
    page.keyboard.press("Tab")  # follow
    page.keyboard.press("Tab")
    first = page.locator("#segments li").first
    expect(first.locator(".time")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    cursor = first.locator(".word.cursor")
    expect(cursor).to_have_text(first.locator(".word").nth(1).inner_text())
    expect(page.locator("#word-cursor")).to_contain_text(cursor.inner_text())
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).press("Enter")

    first.locator(".time").focus()
    page.keyboard.press("ArrowDown")
    second = page.locator("#segments li").nth(1)
    expect(second.locator(".time")).to_be_focused()
    before = second.locator(".said").inner_text()
    page.keyboard.press("F2")
    page.keyboard.insert_text("something else")
    page.keyboard.press("Escape")
    expect(second.locator(".said")).to_have_text(before)
    expect(second.locator(".time")).to_be_focused()


def test_several_files_become_several_recordings(site: Site) -> None:
    """Each with a transcript, a cancel and a delete of its own."""
    page = site.go()
    already = page.locator(".job").count()
    page.get_by_label("Choose files").set_input_files([CLIPS / "en-0.flac", CLIPS / "de-0.flac"])
    expect(page.locator('.job[data-status="completed"]')).to_have_count(already + 2)
    page.get_by_role("button", name="de-0.flac", exact=True).click()
    expect(page.get_by_role("heading", name="de-0.flac")).to_be_focused()
    expect(page.locator("#reader-meta")).to_contain_text("de")
    for name in ("en-0.flac", "de-0.flac"):
        page.get_by_role("button", name=f"Delete {name}").click()
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("heading", name="No transcript open")).to_be_visible()


def test_a_dropped_file_is_handed_in(site: Site) -> None:
    """As a picked one is."""
    page = site.go()
    dropped = page.evaluate_handle(
        """async (clip) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(clip), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], "dropped.flac"));
            return transfer;
        }""",
        b64encode((CLIPS / "en-1.flac").read_bytes()).decode(),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#segments")).to_contain_text("Peter sleeps at the station.")
    page.get_by_role("button", name="Delete dropped.flac").click()


@pytest.fixture
def published() -> Iterator[str]:
    """The address of a web server for the clips."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(CLIPS))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()


def test_a_link_is_fetched_by_the_server(site: Site, published: str) -> None:
    """The page has no sound of it and says so."""
    page = site.go()
    page.get_by_label("Or a link to one").fill(f"{published}/en-0.flac")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator("#segments")).to_contain_text("Oscar buys the picture.")
    expect(page.locator("#no-sound")).to_contain_text("the page has no copy")
    page.locator(".job.chosen").get_by_role("button", name="Delete").click()


def test_options_of_the_form_reach_the_server(site: Site) -> None:
    """Several languages, and another audio track, which this recording does not have."""
    page = site.go()
    page.get_by_label("Several languages").check()
    page.get_by_label("Audio track").fill("3")
    page.get_by_label("Choose files").set_input_files(CLIP)
    row = page.locator(".job").first
    expect(row.locator(".failed")).to_have_text(re.compile("has 1 audio track"))
    page.get_by_role("tab", name="Server").click()
    program = page.get_by_role("region", name="The same from your own program")
    expect(program).to_contain_text("multilingual=true")
    page.get_by_role("tab", name="Files").click()
    row.get_by_role("button", name=f"Delete {CLIP.name}").click()
    expect(page.locator(".job")).to_have_count(0)


def test_a_link_that_fails_is_told_in_words(site: Site, published: str) -> None:
    """The server's own words, in the list and in the open recording."""
    page = site.go()
    page.get_by_label("Or a link to one").fill(f"{published}/nothing.mp3")
    page.get_by_role("button", name="Fetch").click()
    row = page.locator('.job[data-status="failed"]')
    expect(row.locator(".failed")).to_contain_text("404")
    expect(page.get_by_role("alert").filter(has_text="404")).to_be_visible()
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_refused_upload_says_why(site: Site) -> None:
    """And leaves the list again when that was read."""
    page = site.go()
    page.route(
        "**/v1/jobs",
        lambda route: (
            route.fulfill(
                status=413,
                json={"error": {"message": "Maximum content size limit exceeded", "code": None}},
            )
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    page.get_by_label("Choose files").set_input_files(CLIP)
    expect(page.locator(".job .failed")).to_have_text("Maximum content size limit exceeded")
    page.get_by_role("button", name=re.compile("Dismiss")).first.click()
    expect(page.locator('.job[data-status="failed"]')).to_have_count(0)
