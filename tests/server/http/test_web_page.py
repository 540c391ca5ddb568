"""The page as the server sends it; what it does in a browser is tested in tests/web."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI

import whisperlive_hybrid
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.server.http.web_page import (
    PageFiles,
    PageOptions,
    build_live_url,
    build_page_headers,
)

pytestmark = pytest.mark.anyio

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
WEB = Path(whisperlive_hybrid.__file__).parent / "server" / "web"


async def page(http: httpx.AsyncClient) -> httpx.Response:
    """The page as a browser gets it."""
    return await http.get("/", headers=BROWSER)


async def test_browsers_get_the_page_and_programs_the_index(http: httpx.AsyncClient) -> None:
    """By the Accept header, which `vary` names for caches."""
    shown = await page(http)
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "<!doctype html>" in shown.text
    for accept in ("*/*", "application/json", ""):
        body = await http.get("/", headers={"accept": accept})
        assert body.headers["content-type"] == "application/json"
        assert body.headers["vary"] == shown.headers["vary"] == "accept"


async def test_all_that_the_page_names_is_there(http: httpx.AsyncClient) -> None:
    """Under addresses that a browser may keep for ever, with the types that it insists on."""
    named = re.findall(r'(?:href|src)="(web/[^"]+)"', (await page(http)).text)
    assert len(named) >= 8
    for address in named:
        file = await http.get(f"/{address}")
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["x-content-type-options"] == "nosniff"
    types = {each.rpartition(".")[2]: (await http.get(f"/{each}")).headers for each in named}
    assert types["js"]["content-type"] == "text/javascript; charset=utf-8"
    assert types["css"]["content-type"] == "text/css; charset=utf-8"
    assert types["svg"]["content-type"] == "image/svg+xml"


async def test_every_file_of_the_page_is_sent_as_it_is(http: httpx.AsyncClient) -> None:
    """Those for browsers, that is: not the descriptions of types."""
    files = PageFiles()
    on_disk = {str(each.relative_to(WEB)) for each in WEB.rglob("*") if each.is_file()}
    assert set(files) == {each for each in on_disk if not each.endswith(".d.ts")} | {"sample.flac"}
    for name in sorted(set(files) & on_disk):
        sent = await http.get(f"/web/{files.build}/{name}")
        assert sent.content == (WEB / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "../page.py",
        "..%2Fpage.py",
        "%2e%2e/http/page.py",
        "core/../../http/page.py",
        "",
        "core",
        "core/",
        "%2Fapp.js",
        "vendor/wavesurfer/wavesurfer.esm.d.ts",
    ],
)
async def test_nothing_else_is_sent(http: httpx.AsyncClient, path: str) -> None:
    """Names are looked up, never opened."""
    reply = await http.get(httpx.URL(f"http://server/web/{PageFiles().build}/{path}"))
    assert reply.status_code == 404


async def test_files_of_another_version_are_not_sent(http: httpx.AsyncClient) -> None:
    """An open page of an old server would otherwise put two versions together."""
    assert (await http.get("/web/0123456789abcdef/app.js")).status_code == 404


async def test_the_policy_allows_our_own_alone(http: httpx.AsyncClient) -> None:
    """Nothing inline, nothing from elsewhere, no frame around it; and the live server."""
    headers = (await http.get("/", headers={**BROWSER, "host": "desk.example:8080"})).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    nonce = re.fullmatch(r"'self' 'nonce-([\w-]{20,})'", policy.pop("style-src"))
    assert nonce
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "media-src": "blob:",
        "connect-src": "'self' ws://desk.example:5050",
        "worker-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "microphone=(self), display-capture=(self)" in headers["permissions-policy"]
    assert headers["cache-control"] == "no-store"


async def test_each_page_has_a_nonce_of_its_own(http: httpx.AsyncClient) -> None:
    """In the policy and in the page: one that was seen is of no use."""
    seen = set()
    for _ in range(2):
        shown = await page(http)
        nonce = re.search(r'data-nonce="([\w-]+)"', shown.text)
        assert nonce
        assert f"'nonce-{nonce[1]}'" in shown.headers["content-security-policy"]
        seen.add(nonce[1])
    assert len(seen) == 2


async def test_the_page_is_told_what_it_must_know(http: httpx.AsyncClient) -> None:
    """Models, languages, limits and the URL of the live server."""
    reply = await http.get("/web/config.json", headers={"host": "desk.example:8080"})
    body = reply.json()
    assert body["live_url"] == "ws://desk.example:5050"
    assert body["models"] == ["fake"]
    assert body["languages"]["en"] == "english"
    assert body["max_upload_bytes"] == 1024 * 1024
    assert body["fetches_urls"] is True
    assert set(body["tasks"]) <= {"transcribe", "translate"}


async def test_a_page_without_fetching_does_not_offer_it(open_app: OpenApp) -> None:
    """What is switched off is not shown."""
    async with open_app(settings={"fetch": False}) as (app, _), client(app) as http:
        assert (await http.get("/web/config.json")).json()["fetches_urls"] is False


OPTIONS = PageOptions("", False, 2**20, 100, 3600.0, True)


@pytest.mark.parametrize(
    ("host", "is_secure", "options", "expected"),
    [
        ("localhost:8080", False, {}, "ws://localhost:5050"),
        ("localhost", False, {}, "ws://localhost:5050"),
        ("127.0.0.1:8080", False, {}, "ws://127.0.0.1:5050"),
        ("[::1]:8080", False, {}, "ws://[::1]:5050"),
        ("desk.example", True, {}, "wss://desk.example:5050"),
        ("desk.example", False, {"has_live_tls": True}, "wss://desk.example:5050"),
        ("desk.example", True, {"live_url": "wss://x.example/live"}, "wss://x.example/live"),
        ("", False, {}, None),
        ("desk.example; script-src *", False, {}, None),
        ("desk.example:80 'unsafe-inline'", False, {}, None),
        ("a b", False, {}, None),
        ("[::1", False, {}, None),
    ],
)
def test_where_the_live_door_is(
    host: str, is_secure: bool, options: dict[str, Any], expected: str | None
) -> None:
    """On the host that the page was asked for at; a name that is none writes into no header."""
    known = replace(OPTIONS, **options)
    assert build_live_url(known, 5050, host, is_secure=is_secure) == expected


def test_a_proxy_s_path_is_no_part_of_the_policy() -> None:
    """A path there would be compared to the letter; the origin is what is meant."""
    policy = build_page_headers("n", "wss://x.example/live")["content-security-policy"]
    assert "connect-src 'self' wss://x.example;" in policy


@pytest.mark.parametrize("address", ["https://x.example", "ws:/x", "ws://x; y", "ws://x'"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """At the start, by its name."""
    with pytest.raises(BadRequest, match="live_url"):
        load_settings(live_url=address)
