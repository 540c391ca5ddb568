"""TLS on the live door itself."""

import json
import ssl
import time
from pathlib import Path

import anyio
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from live_clients import DEFAULT_LIMITS
from websockets.asyncio.client import connect

from whisperlive_hybrid.auth.authenticator import Authenticator
from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.origins import ANY, OriginPolicy
from whisperlive_hybrid.auth.quotas import Quotas
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend
from whisperlive_hybrid.config import Settings, load_settings
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.model_pool import MemoryBudget, ModelPool
from whisperlive_hybrid.server.app import stream_limits, whisperlive_codec
from whisperlive_hybrid.server.live.admission import Admission
from whisperlive_hybrid.server.live.server import WhisperLiveServer
from whisperlive_hybrid.server.live.stream import LiveStreams
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.server.live.websocket import UpgradeCheck
from whisperlive_hybrid.server.net.listener import ConnectionLimiter, LimitedListener, listen
from whisperlive_hybrid.server.net.tls import build_tls_context
from whisperlive_hybrid.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


def tls_settings(certificate: Path | None, key: Path | None) -> Settings:
    """A door on any free port, with TLS."""
    return load_settings(host="127.0.0.1", live_port=0, ssl=True, ssl_cert=certificate, ssl_key=key)


def listener(limiter: ConnectionLimiter | None = None) -> LimitedListener:
    """A socket on any free port."""
    return listen("127.0.0.1", 0, limiter or ConnectionLimiter(10, 10), speaks_tls=True)


def no_limits() -> Quotas:
    """A meter that refuses nobody."""
    return Quotas(Limits(), time.time)


def server_of(
    engine: Engine, settings: Settings, limits: TransportLimits = DEFAULT_LIMITS
) -> WhisperLiveServer:
    """A server that admits every client."""
    pool = ModelPool(engine, EnergyVad(), (), MemoryBudget(bytes=1, idle_s=1))
    admission = Admission(engine, pool, no_limits(), stream_limits(settings))
    streams = LiveStreams(admission, EnergyVad(), no_limits())
    anyone = OriginPolicy(frozenset({ANY}), frozenset({ANY}))
    check = UpgradeCheck(Authenticator(), anyone, Metrics().server)
    codec = whisperlive_codec(settings)
    return WhisperLiveServer(streams, check, codec, limits, build_tls_context(settings.live))


async def test_a_client_with_the_right_authority_is_served(tmp_path: Path) -> None:
    """`wss://` works with a certificate and key from files, and the client can check them."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with Engine(FakeBackend()) as engine:
        server = server_of(engine, tls_settings(certificate, key))
        async with server.listening(listener()) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            async with connect(
                f"wss://127.0.0.1:{port}", ssl=trusting, server_hostname="localhost"
            ) as socket:
                await socket.send(json.dumps({"uid": "x", "language": "en"}))
                assert json.loads(await socket.recv())["message"] == "SERVER_READY"


async def test_a_peer_that_never_shakes_hands_is_let_go(tmp_path: Path) -> None:
    """A connection without a TLS handshake is counted, and ends by itself."""
    limits = TransportLimits(handshake_s=0.1)
    authority = trustme.CA()
    certificate = tmp_path / "cert.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    limiter = ConnectionLimiter(10, 10)
    async with Engine(FakeBackend()) as engine:
        server = server_of(engine, tls_settings(certificate, None), limits)
        async with server.listening(listener(limiter)) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            async with await anyio.connect_tcp("127.0.0.1", port) as silent:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await silent.receive()
    assert limiter.n_open == 0


async def test_an_encrypted_key_is_told(tmp_path: Path) -> None:
    """A server that nobody watches asks no terminal for a password."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(certificate)
    plain = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = BestAvailableEncryption(b"hush")
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted))
    async with Engine(FakeBackend()) as engine:
        with pytest.raises(BadRequest, match="The TLS key is encrypted"):
            server_of(engine, tls_settings(certificate, key))


async def test_a_certificate_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    """A missing or broken file is said before the door opens, without a stack."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    async with Engine(FakeBackend()) as engine:
        for certificate, told in (
            (None, "WHISPERLIVE_SSL_CERT names no certificate"),
            (tmp_path / "missing.pem", "missing.pem' cannot be read: No such file"),
            (broken, "WHISPERLIVE_SSL_CERT must hold a PEM certificate chain"),
        ):
            with pytest.raises(BadRequest, match=told):
                server_of(engine, tls_settings(certificate, None))
