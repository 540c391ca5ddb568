"""The file test_form.html, opened from disk beside a server with its defaults."""

import re
import socket
from pathlib import Path

import pytest
from paths import CLIPS, ROOT
from playwright.sync_api import expect
from running_server import Server

from .conftest import Open, Site

FORM = (ROOT / "test_form.html").as_uri()
PATIENCE_MS = 60_000
"""Several browsers and servers may be starting on the same two cores."""

CLIP = CLIPS / "en-0.flac"


def form_of(server: Server) -> re.Pattern[str]:
    """The address of the form; the page adds the name of its room as soon as it runs."""
    return re.compile(rf"^{re.escape(server.http_url)}/test_form\.html(#/\w+)?$")


def test_it_leads_to_the_form_of_the_server(open_site: Open, server: Server) -> None:
    """As soon as the server answers; there a file becomes text."""
    page = open_site().page
    page.goto(f"{FORM}#{server.http_url}", wait_until="commit")
    # Asked for rather than waited for as an event: the script leaves the page while it loads.
    expect(page).to_have_url(form_of(server), timeout=PATIENCE_MS)
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.get_by_label("Choose files").set_input_files(CLIP)
    expect(page.locator("#segments .word").first).to_be_visible()


def test_without_a_server_it_says_so_and_takes_another_address(
    open_site: Open, server: Server
) -> None:
    """It stays, names the address, and opens the one that is typed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    page = open_site().page
    page.goto(f"{FORM}#{address}")
    expect(page.get_by_role("status")).to_contain_text(f"No server answers at {address}")
    page.get_by_label("Address of the server").fill(f" {server.http_url}// ")
    page.get_by_role("button", name="Open the form").click()
    expect(page).to_have_url(form_of(server), timeout=PATIENCE_MS)


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "//x"])
def test_only_addresses_of_servers_are_opened(site: Site, address: str) -> None:
    """A link to the file must not be able to run a script in it."""
    dialogs: list[str] = []
    site.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    site.page.goto(f"{FORM}#{address}")
    expect(site.page.get_by_role("status")).to_contain_text(
        re.compile("No server answers|begins with http")
    )
    assert site.page.url.startswith(FORM)
    assert dialogs == []


@pytest.mark.parametrize("where", ["file", "sandbox"])
def test_an_upload_from_disk_is_refused(
    open_site: Open, server: Server, tmp_path: Path, where: str
) -> None:
    """The reason for the detour: a sandboxed frame of any foreign page sends the same origin."""
    action = f"{server.http_url}/transcribe"
    form = f"""<form method="post" enctype="multipart/form-data" action="{action}">
        <input type="file" name="file" /><button>Send</button></form>"""
    sandbox = "allow-forms allow-scripts allow-top-navigation"
    body = form if where == "file" else f"<iframe sandbox='{sandbox}' srcdoc='{form}'></iframe>"
    page_file = tmp_path / "page.html"
    page_file.write_text(body)
    page = open_site().page
    page.goto(page_file.as_uri())
    frame = page.main_frame if where == "file" else page.frames[1]
    frame.locator("input").set_input_files(CLIP)
    with page.expect_response(action) as answered:
        frame.locator("button").click()
    assert answered.value.request.headers["origin"] == "null"
    assert answered.value.status == 403
