"""The page before a server that asks for keys."""

from collections.abc import Iterator

import pytest
from paths import CLIPS
from playwright.sync_api import Page, expect
from running_server import Server, start_server, wait_for_exit

from .conftest import Open

CLIP = CLIPS / "en-0.flac"
KEY = "a-key-for-this-test-alone-0123456789"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets in who has the key."""
    running = start_server(
        tmp_path_factory.mktemp("locked"), WHISPERLIVE_AUTH="true", WHISPERLIVE_API_KEY=KEY
    )
    yield running
    running.process.terminate()
    wait_for_exit(running)


def enter(page: Page, key: str) -> None:
    """Use a key."""
    page.get_by_role("textbox", name="Key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def listen(page: Page) -> None:
    """Begin live captions in English."""
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("tabpanel", name="Live").get_by_label("Language").select_option("en")
    page.get_by_role("button", name="Start").click()


def test_a_key_is_asked_for_and_opens_both_doors(open_site: Open, locked: Server) -> None:
    """Where it is entered; with it, files and live captions are read, and no address shows it."""
    site = open_site(url=locked.http_url)
    addresses: list[str] = []
    site.page.on("request", lambda request: addresses.append(request.url))
    site.page.on("websocket", lambda socket: addresses.append(socket.url))
    page = site.go()
    expect(page.get_by_role("tabpanel", name="Server")).to_be_visible()
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    enter(page, "wrong")
    expect(page.locator("#key-state")).to_have_text("The server does not know this key.")
    enter(page, KEY)
    expect(page.locator("#facts")).to_contain_text("demo")
    page.get_by_role("tab", name="Files").click()
    page.get_by_label("Choose files").set_input_files(CLIP)
    expect(page.locator("#segments")).to_contain_text("Oscar buys the picture.")
    listen(page)
    expect(page.locator("#open-line")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").filter(has_text="All of the text is here")).to_be_visible()
    assert any(address.startswith("ws:") for address in addresses)
    assert not any(KEY in address for address in addresses)


def test_a_stream_without_a_key_is_told_why(open_site: Open, locked: Server) -> None:
    """A browser learns nothing of a refused upgrade: the page asks over HTTP, and tries no more."""
    page = open_site(url=locked.http_url).go()
    met: list[str] = []
    page.on("websocket", lambda socket: met.append(socket.url))
    listen(page)
    expect(page.get_by_text("The server asks for a valid key")).to_be_attached()
    expect(page.get_by_role("button", name="Start", include_hidden=True)).to_be_enabled()
    assert len(met) == 1
