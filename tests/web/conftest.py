"""A browser in front of a running server: Debian's Chromium with a fake microphone."""

import shutil
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from running_server import Server, start_server, wait_for_exit
from scipy.signal import resample_poly
from speech_clips import Clip
from wav_files import write_wav

from whisperlive_hybrid.types import SAMPLE_RATE

CHROMIUM = shutil.which("chromium")
MICROPHONE_RATE = 48_000

FLAGS = [
    "--no-sandbox",  # tests may run as root, as in containers
    "--use-fake-ui-for-media-stream",  # a microphone is granted without asking
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]

REPORT = """
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  window.reportViolation(`${violatedDirective}: ${blockedURI}`));
"""


@dataclass
class Site:
    """A page that is open, and what the browser held against it."""

    page: Page
    url: str
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def go(self, room: str = "files") -> Page:
        """Load the page anew, in one of its rooms."""
        self.page.goto("about:blank")  # another hash alone would load nothing
        self.page.goto(f"{self.url}/#/{room}")
        expect(self.page.locator("html[data-ready]")).to_be_attached()
        return self.page


Open = Callable[..., Site]
"""Opens the page in a window of its own; takes what `Browser.new_context` takes, and `url`."""


@pytest.fixture(scope="session")
def long_recording(tmp_path_factory: pytest.TempPathFactory, clips: list[Clip]) -> Path:
    """Twenty minutes of speech: long enough to be looked at while it is read."""
    clip = next(clip for clip in clips if clip.file == "en-long-0.flac")
    path = tmp_path_factory.mktemp("long") / "long.wav"
    path.write_bytes(write_wav(np.resize(clip.samples, 20 * 60 * SAMPLE_RATE)))
    return path


@pytest.fixture(scope="session")
def spoken(clips: list[Clip]) -> list[Clip]:
    """The two sentences that are said into the fake microphone."""
    return [clip for clip in clips if clip.file in ("en-0.flac", "en-1.flac")]


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory, spoken: list[Clip]) -> Path:
    """What the fake microphone hears: two sentences between two silences.

    At 48 kHz, as devices record; the first second may be lost while one starts.
    """
    silence = np.zeros(2 * MICROPHONE_RATE)
    pause = silence[: MICROPHONE_RATE // 2]
    first, second = (resample_poly(clip.samples, 3, 1) for clip in spoken)
    sound = np.concatenate([silence, first, pause, second, silence])
    path = tmp_path_factory.mktemp("microphone") / "mic.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setparams((1, 2, MICROPHONE_RATE, 0, "NONE", ""))
        writer.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="package")
def browser(microphone: Path) -> Iterator[Browser]:
    """One browser for all tests of the page.

    It ends with this package: while it runs, no test could start an event loop of its own.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here: `make install-browser` installs Debian's")
    capture = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, capture])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the demo model, with its defaults; it may fetch from this machine."""
    running = start_server(tmp_path_factory.mktemp("jobs"), WHISPERLIVE_FETCH_ALLOW="127.0.0.1")
    yield running
    running.process.terminate()
    wait_for_exit(running)


@pytest.fixture
def open_site(browser: Browser, server: Server) -> Iterator[Open]:
    """Open the page; at the end, no window of it may have broken its own policy or failed."""
    sites: list[Site] = []

    def opened(url: str = server.http_url, **options: object) -> Site:
        context = browser.new_context(**options)  # type: ignore[arg-type]  # as documented there
        context.set_default_timeout(20_000)
        site = Site(context.new_page(), url, context)
        context.expose_function("reportViolation", partial(list.append, site.complaints))
        context.add_init_script(REPORT)
        site.page.on("pageerror", lambda error: site.complaints.append(str(error)))
        sites.append(site)
        return site

    expect.set_options(timeout=20_000)
    yield opened
    complaints = [each for site in sites for each in site.complaints]
    for site in sites:
        site.context.close()
    assert complaints == []


@pytest.fixture
def site(open_site: Open) -> Site:
    """The page as a new visitor sees it."""
    return open_site()
