"""Who comes in through the live door, over real sockets and with real clients."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
import websocket
from fake_keys import FakeKeys, bearer
from live_clients import UID, OpenLiveServer, open_live_server
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from whisperlive_hybrid.auth import keys as wrong_keys
from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.backends.fake import speak
from whisperlive_hybrid.errors import Unauthenticated, error_kind
from whisperlive_hybrid.server.live.websocket import UNSERVED

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[OpenLiveServer, FakeKeys, str]]:
    """A door that asks for keys, its keys, and one of them."""
    keys = FakeKeys()
    token = keys.made(1)
    async with open_live_server(keys=keys, auth=True) as door:
        yield door, keys, token


async def status(door: OpenLiveServer, path: str = "", **options: object) -> int:
    """How an upgrade is answered: 101, or the status of the refusal."""
    try:
        async with door.client(path, **options) as client:
            await client.greet()
            assert (await client.next())["message"] == "SERVER_READY"
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


async def test_a_key_is_taken_in_three_ways() -> None:
    """Header, URL, subprotocol; any of them is enough, whatever the others hold."""
    async with guarded() as (door, _, token):
        assert await status(door, additional_headers=bearer(token)) == 101
        assert await status(door, f"/?token={token}") == 101
        assert await status(door, f"/any/path?x=1&token={token.replace('_', '%5F')}") == 101
        assert await status(door, subprotocols=[Subprotocol("bearer"), Subprotocol(token)]) == 101
        assert await status(door, subprotocols=[Subprotocol(token), Subprotocol("bearer")]) == 101
        assert await status(door, "/?token=no", additional_headers=bearer(token)) == 101


async def test_what_is_no_key_is_answered_as_the_reference_does() -> None:
    """401 and one word, at the upgrade; the client never has a slot."""
    async with guarded() as (door, _, token):
        assert await status(door) == 401
        assert await status(door, additional_headers=bearer("wrong")) == 401
        assert await status(door, f"/?token=no&token={token}") == 401
        assert await status(door, subprotocols=[Subprotocol(token)]) == 401
        assert await status(door, subprotocols=[Subprotocol("bearer")]) == 401
        with pytest.raises(InvalidStatus) as refusal:
            async with door.client():
                pass
        assert refusal.value.response.body == b"Unauthorized\n"
        assert refusal.value.response.headers["WWW-Authenticate"] == "Bearer"
        assert door.live.n_clients == 0


@pytest.mark.parametrize("path", ["/", "", "/ws", "/live/v1x?v=1", "//", "/version"])
async def test_any_path_of_a_proxy_is_served(path: str) -> None:
    """As by the reference: WhisperLive's clients use /, Chrome's extension also /ws."""
    async with open_live_server() as door:
        assert await status(door, path) == 101


@pytest.mark.parametrize(
    "path", ["/v1/realtime?intent=transcription", "/v1/listen", "//v2", "/openai/realtime"]
)
async def test_paths_of_other_protocols_are_not_found(path: str) -> None:
    """With a line that says where to connect, before a key is looked at."""
    async with guarded() as (door, _, _token):
        with pytest.raises(InvalidStatus) as refusal:
            async with door.client(path):
                pass
        assert refusal.value.response.status_code == 404
        assert refusal.value.response.body == UNSERVED.encode()
        kinds = {"door": "live", "kind": "not_found"}
        assert door.metrics._registry.get_sample_value("whisperlive_errors_total", kinds) == 1.0


async def test_only_bearer_is_echoed() -> None:
    """Never the key beside it."""
    async with guarded() as (door, _, token):
        offered = [Subprotocol(token), Subprotocol("bearer")]
        async with door.client(subprotocols=offered) as client:
            assert client.socket.subprotocol == "bearer"
            assert token not in str(client.socket.response)


async def test_a_client_is_known_by_its_key() -> None:
    """So that its stream is booked on it."""
    async with guarded() as (door, keys, token), door.client(f"/?token={token}") as client:
        await client.greet()
        await client.next()
        [admitted] = door.admission._clients
        assert admitted.caller == Caller("127.0.0.1", keys.known["000000000001"].key)


async def test_a_revoked_key_opens_no_more_streams_and_ends_those_that_are_open() -> None:
    """With the text of what was said, also if nothing more is; other keys are not concerned."""
    keys = FakeKeys()
    revoked, other = bearer(keys.made(1)), bearer(keys.made(2))
    async with (
        open_live_server(keys=keys, auth=True, revoked_every_s=0.01) as door,
        anyio.create_task_group() as tasks,
        door.admitted_from(revoked) as theirs,
        door.admitted_from(other) as ours,
    ):
        tasks.start_soon(door.admission.close_revoked)
        await theirs.say(speak([1, 2]))
        await theirs.wait_for_text()
        keys.revoke(1)
        assert await status(door, additional_headers=revoked) == 401
        await theirs.rest()
        assert theirs.text == "w1 w2"
        assert theirs.messages[-1]["message"] == "DISCONNECT"
        assert theirs.closed_with == 1000
        assert await status(door, additional_headers=other) == 101
        await ours.end()
        assert "DISCONNECT" not in str(await ours.rest())
        await door.wait_until_disconnected()
        assert door.count_endings()["key_revoked"] == 1
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer " + "x" * 7000)],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
        [("Authorization", "Bearer wlk_000000000001_" + "0" * 64)],
        [("Sec-WebSocket-Protocol", "bearer," + ",".join(f"k{n}" for n in range(1000)))],
    ],
)
async def test_hostile_tokens_are_wrong_tokens(headers: list[tuple[str, str]]) -> None:
    """Huge, doubled, many: refused, and the door goes on."""
    async with guarded() as (door, _, token):
        assert await status(door, additional_headers=headers) == 401
        assert await status(door, "/?token=" + "%00" * 500 + "%ff%fe") == 401
        assert await status(door, f"/?token={token}") == 101


async def test_the_client_library_of_whisper_live_with_a_key() -> None:
    """websocket-client, on which WhisperLive's own client is built, by all three ways."""
    async with guarded() as (door, _, token):

        def greeted(path: str, headers: list[str], subprotocols: list[str]) -> str:
            url = f"ws://127.0.0.1:{door.port}/{path}"
            connected = websocket.create_connection(
                url, header=headers, subprotocols=subprotocols or None, timeout=30
            )
            try:
                connected.send(json.dumps({"uid": UID, "language": "en"}))
                message: str = json.loads(connected.recv())["message"]
                return message
            finally:
                connected.shutdown()  # type: ignore[no-untyped-call]  # as in its source

        ways: list[tuple[str, list[str], list[str]]] = [
            ("", [f"Authorization: Bearer {token}"], []),
            (f"?token={token}", [], []),
            ("", [], ["bearer", token]),
        ]
        for way in ways:
            assert await anyio.to_thread.run_sync(greeted, *way) == "SERVER_READY"
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            await anyio.to_thread.run_sync(greeted, "", [], [])
        assert refusal.value.status_code == 401


async def test_guesses_wait_for_their_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wrong key of a minute is refused at once, the next is not."""
    monkeypatch.setattr(wrong_keys, "REFUSAL_DELAY_S", 0.5)
    async with open_live_server(keys=FakeKeys(), auth=True, wrong_keys_per_minute=1) as door:
        assert await status(door, "/?token=wrong") == 401
        began = time.monotonic()
        assert await status(door, "/?token=wrong") == 401
        assert time.monotonic() - began > 0.5


async def test_without_keys_none_is_asked_for() -> None:
    """Clients that show one anyway come in as well."""
    async with open_live_server() as door:
        assert await status(door) == 101
        assert await status(door, "/?token=any") == 101


async def test_a_foreign_page_is_refused_even_with_a_key() -> None:
    """Pages are judged first: who has a page of his own lists it."""
    async with guarded() as (door, _, token):
        page = Origin("https://evil.example")
        assert await status(door, f"/?token={token}", origin=page) == 403


async def test_refusals_are_counted_and_logged() -> None:
    """By kind, for whoever watches the server, and with the address, for whoever may block it."""
    async with guarded() as (door, _, _token):
        with capture_logs() as logs:
            await status(door)
        assert logs[0]["session_id"].startswith("live_")
        assert logs[0]["caller"] == "address:127.0.0.1"
        kinds = {"door": "live", "kind": error_kind(Unauthenticated(""))}
        assert door.metrics._registry.get_sample_value("whisperlive_errors_total", kinds) == 1.0
