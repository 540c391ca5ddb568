"""The room of live captions, with a recording in place of a microphone."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect
from speech_clips import Clip

from whisperlive_hybrid.text.wer import words_in

from .conftest import Site

PICKED = """
if (navigator.mediaDevices) navigator.mediaDevices.getDisplayMedia = async () => {
  const context = new AudioContext();
  const bytes = Uint8Array.from(atob("RECORDING"), (letter) => letter.charCodeAt(0));
  const sound = context.createBufferSource();
  sound.buffer = await context.decodeAudioData(bytes.buffer);
  const tab = context.createMediaStreamDestination();
  sound.connect(tab);
  sound.start();
  const canvas = document.createElement("canvas");
  canvas.getContext("2d");
  [window.picture] = canvas.captureStream(1).getVideoTracks();
  return new MediaStream([...tab.stream.getAudioTracks(), window.picture]);
};
"""
"""A tab that plays a recording, as a browser hands it over when somebody has chosen it."""

Meet = Callable[[WebSocketRoute, int], None]
"""What happens on a connection; they are counted from 0."""


@pytest.fixture
def said(spoken: list[Clip]) -> list[str]:
    """The words that the microphone hears."""
    return words_in(" ".join(clip.text for clip in spoken))


def begun(site: Site) -> Page:
    """A page that listens, in the language of the clip."""
    page = site.go("live")
    page.get_by_role("tabpanel", name="Live").get_by_label("Language").select_option("en")
    page.get_by_role("button", name="Start").click()
    return page


def heard(page: Page) -> list[str]:
    """The words that are final."""
    lines = page.get_by_role("log", name="Final text").locator(".line")
    return words_in(" ".join(line.evaluate("e => e.lastChild.data") for line in lines.all()))


def ended(page: Page) -> None:
    """Stop when the clip is over, and wait for the rest of the text."""
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").filter(has_text="All of the text is here")).to_be_visible()


def hears_all(page: Page, said: list[str]) -> None:
    """Wait until as many words as were said are final, then stop: they are those words."""
    page.wait_for_function(
        """(count) => [...document.querySelectorAll("#lines .line")]
            .flatMap((line) => line.lastChild.data.trim().split(/\\s+/)).length >= count""",
        arg=len(said),
        timeout=60_000,
    )
    ended(page)
    assert heard(page) == said


def saved(page: Page, form: str) -> str:
    """The file behind one of the buttons."""
    with page.expect_download() as coming:
        page.get_by_role("group", name="Save as").get_by_role("button", name=form).click()
    assert coming.value.suggested_filename.endswith(f".{form}")
    return Path(coming.value.path()).read_text()


def meet(site: Site, script: Meet) -> list[WebSocketRoute]:
    """Let `script` stand between the page and the live door; gives the connections so far."""
    met: list[WebSocketRoute] = []

    def on_socket(socket: WebSocketRoute) -> None:
        met.append(socket)
        script(socket, len(met) - 1)

    site.page.route_web_socket(lambda url: url.startswith("ws"), on_socket)
    return met


def test_speech_becomes_text(site: Site, said: list[str]) -> None:
    """Open text first, then final text, every word of it; it can be saved, and cleared."""
    page = begun(site)
    expect(page.get_by_role("status").filter(has_text="Listening")).to_be_visible()
    expect(page.locator("#open-line")).to_be_visible()
    hears_all(page, said)
    expect(page.locator("#delay")).to_contain_text(" s")
    expect(page.locator("#open-line")).to_be_hidden()
    assert words_in(saved(page, "txt")) == said
    assert saved(page, "srt").startswith("1\n00:00:0")
    assert saved(page, "vtt").startswith("WEBVTT\n\n00:00:0")
    page.get_by_role("button", name="Clear").click()
    assert heard(page) == []
    expect(page.locator("#captions-empty")).to_be_visible()


def test_a_lost_connection_loses_no_word(site: Site, said: list[str]) -> None:
    """What was not final is said again to the next connection; what was is not doubled."""

    def script(socket: WebSocketRoute, number: int) -> None:
        server = socket.connect_to_server()
        if number:
            return

        def passed(message: str | bytes) -> None:
            socket.send(message)
            if '"completed": true' in str(message):
                socket.close(code=1012)

        server.on_message(passed)

    met = meet(site, script)
    page = begun(site)
    hears_all(page, said)
    assert len(met) >= 2


def test_a_full_server_is_waited_for(site: Site, said: list[str]) -> None:
    """WAIT is told in words; nothing that was said meanwhile is lost."""

    def script(socket: WebSocketRoute, number: int) -> None:
        if number:
            socket.connect_to_server()
            return

        def refused(_: str | bytes) -> None:
            socket.send(json.dumps({"uid": "", "status": "WAIT", "message": 2.5}))
            socket.close(code=1000)

        socket.on_message(refused)

    meet(site, script)
    page = begun(site)
    waiting = page.get_by_role("status").filter(has_text="The server is full")
    expect(waiting).to_contain_text("about 3 min")
    hears_all(page, said)


def test_an_error_ends_the_session_in_words(site: Site) -> None:
    """It is not tried again, and can be started anew."""

    def script(socket: WebSocketRoute, _: int) -> None:
        def refused(_: str | bytes) -> None:
            socket.send(json.dumps({"uid": "", "status": "ERROR", "message": "No such model."}))
            socket.close(code=1000)

        socket.on_message(refused)

    met = meet(site, script)
    page = begun(site)
    expect(page.get_by_role("status").filter(has_text="No such model.")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert len(met) == 1


def test_a_pause_completes_the_sentence(site: Site) -> None:
    """What was being said becomes final, nothing more is heard, and it goes on afterwards."""
    page = begun(site)
    expect(page.locator("#open-line")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text="Paused")).to_be_visible()
    expect(page.locator("#open-line")).to_be_hidden()
    assert heard(page)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("status").filter(has_text="Listening")).to_be_visible()
    ended(page)


def test_the_sound_of_a_tab_becomes_text(site: Site, microphone: Path, said: list[str]) -> None:
    """Its picture is not kept. Only the browser's picker is ours: nobody is there to choose."""
    recording = base64.b64encode(microphone.read_bytes()).decode()
    site.page.add_init_script(PICKED.replace("RECORDING", recording))
    page = site.go("live")
    page.get_by_role("tabpanel", name="Live").get_by_label("Language").select_option("en")
    page.get_by_text("Tab or computer").click()
    page.get_by_role("button", name="Start").click()
    hears_all(page, said)
    assert page.evaluate("window.picture.readyState") == "ended"


def test_a_refused_microphone_is_told(site: Site) -> None:
    """With what to do about it."""
    site.page.add_init_script(
        """if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException("", "NotAllowedError"));"""
    )
    page = begun(site)
    expect(page.get_by_role("status").filter(has_text="not allowed to listen")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_a_rate_that_the_browser_does_not_honour_is_resampled(site: Site, said: list[str]) -> None:
    """Firefox joins no microphone to a context of another rate: the worklet does the work."""
    site.page.add_init_script(
        """const Own = AudioContext;
        window.AudioContext = class extends Own {
            constructor(options) {
                super(options);
                if (options) this.createMediaStreamSource = () => { throw new DOMException(); };
            }
        };"""
    )
    page = begun(site)
    hears_all(page, said)
