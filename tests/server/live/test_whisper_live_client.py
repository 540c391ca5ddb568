"""The unmodified client of the WhisperLive project, version 0.10.0, against the live door."""

import gc
import importlib
import importlib.util
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.from_thread
import numpy as np
import pytest
from fake_keys import FakeKeys
from live_clients import open_live_server
from paths import CLIPS
from speech_clips import Clip, read_clips

from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.types import Samples

NEEDED = ("whisper_live", "websocket", "scipy")

missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}"),
    # websocket-client leaves its socket to the garbage collector when the server closes first.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def spoken() -> dict[str, Clip]:
    """The clips by name."""
    directory = CLIPS
    return {Path(clip.file).stem: clip for clip in read_clips(directory)}


@pytest.fixture
def whisper_live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client module; there is no sound card, so its audio library is an empty stand-in."""
    monkeypatch.setitem(sys.modules, "pyaudio", _silent_sound_card())
    yield importlib.import_module("whisper_live.client")
    gc.collect()


def _silent_sound_card() -> ModuleType:
    class NoSoundCard:
        def open(self, **_: object) -> None:
            raise OSError("no microphone")

    module = ModuleType("pyaudio")
    module.paInt16 = 8  # type: ignore[attr-defined]
    module.PyAudio = NoSoundCard  # type: ignore[attr-defined]
    return module


@pytest.fixture
def port() -> Iterator[int]:
    """A live door with the demo model, on an event loop in a thread of its own."""
    with _served() as port:
        yield port


@contextmanager
def _served(**settings: Any) -> Iterator[int]:  # noqa: ANN401 (checked by the settings themselves)
    backend = Ct2Backend(demo_model(), device="cpu", compute_type="int8")
    with anyio.from_thread.start_blocking_portal() as portal:
        # The client leaves its socket open, and the test need not wait for that.
        limits = TransportLimits(close_s=0.1)
        opening = partial(open_live_server, backend, SileroVad(), limits=limits, **settings)
        with portal.wrap_async_context_manager(portal.call(_entered, opening)) as door:
            yield door.port


async def _entered(opening: Any) -> Any:  # noqa: ANN401 (a context manager of this loop)
    return opening()


def as_wav(path: Path, samples: Samples) -> str:
    """Write a file of 16 bits at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(path)


def plain(text: str) -> list[str]:
    """The words, without case and punctuation."""
    return ["".join(c for c in word if c.isalnum()) for word in text.lower().split()]


@pytest.mark.parametrize(("name", "ending"), [("es-0", "nothing"), ("de-3", "silence")])
def test_file_client(
    whisper_live: Any,  # noqa: ANN401
    port: int,
    spoken: dict[str, Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    ending: str,
) -> None:
    """A file sent in real time comes back whole, as text and as SRT, also if it ends in a word.

    The client ends its patience by itself: what comes later than that is not in its SRT.
    """
    monkeypatch.chdir(tmp_path)  # where the client puts its resampled file
    clip = spoken[name]
    samples = clip.samples[: round(clip.words[-1][1] * 16_000)]
    if ending == "silence":
        samples = np.concatenate([samples, np.zeros(16_000, np.float32)])
    srt = tmp_path / "out.srt"
    client = whisper_live.TranscriptionClient(
        "127.0.0.1",
        port,
        mute_audio_playback=True,
        output_transcription_path=str(srt),
        log_transcription=False,
    )
    client.client.disconnect_if_no_response_for = 4  # of 15 s
    text = client(as_wav(tmp_path / "said.wav", samples))
    assert plain(text) == plain(clip.text)
    assert plain(clip.text) == [
        word for line in srt.read_text("utf-8").splitlines()[2::4] for word in plain(line)
    ]
    assert client.client.language == clip.language


def test_streaming_client(whisper_live: Any, port: int, spoken: dict[str, Clip]) -> None:  # noqa: ANN401
    """Fed at once and closed behind the last word, it has all text when `close` returns."""
    clip = spoken["en-long-0"]
    committed: list[str] = []
    streaming = whisper_live.StreamingTranscriptionClient(
        "127.0.0.1",
        port,
        lang="en",
        on_committed_transcript=lambda text, _: committed.append(text),
    )
    with streaming:
        samples = clip.samples[: round(clip.words[-1][1] * 16_000)]
        for chunk in np.array_split((samples * 32767).astype("<i2"), 40):
            streaming.send(chunk.tobytes(), pcm_format="int16")
    assert plain(" ".join(committed)) == plain(clip.text)
    assert [segment["text"].strip() for segment in streaming.transcript] == committed


def test_repeated_sentence(whisper_live: Any, port: int, spoken: dict[str, Clip]) -> None:  # noqa: ANN401
    """The client keeps a sentence that is said twice, because its text begins with a space."""
    clip = spoken["en-7"]
    streaming = whisper_live.StreamingTranscriptionClient("127.0.0.1", port, lang="en")
    with streaming:
        for _ in range(2):
            streaming.send_array(np.concatenate([clip.samples, np.zeros(16_000, np.float32)]))
    kept = [segment["text"] for segment in streaming._client.transcript]
    assert [plain(text) for text in kept] == [plain(clip.text)] * 2


def test_full_server(whisper_live: Any, spoken: dict[str, Clip]) -> None:  # noqa: ANN401
    """A client that is told to wait gives up in an orderly way."""
    with _served(max_clients=1) as port:
        first = whisper_live.StreamingTranscriptionClient("127.0.0.1", port, lang="en")
        with first:
            second = whisper_live.TranscriptionClient("127.0.0.1", port, mute_audio_playback=True)
            assert second("never opened.wav") == ""
            first.send_array(spoken["en-0"].samples)
        assert plain(" ".join(s["text"] for s in first.transcript)) == plain(spoken["en-0"].text)


def test_a_caller_that_has_taken_what_it_may(
    whisper_live: Any,  # noqa: ANN401
    spoken: dict[str, Clip],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The real client says for how many minutes it is to wait, and the stream it has goes on."""
    with _served(streams_per_caller=1, max_connection_s=600) as port:
        first = whisper_live.StreamingTranscriptionClient("127.0.0.1", port, lang="en")
        with first:
            second = whisper_live.TranscriptionClient("127.0.0.1", port, mute_audio_playback=True)
            assert second("never opened.wav") == ""
            assert "Estimated wait time 10 minutes" in capsys.readouterr().out
            first.send_array(spoken["en-0"].samples)
        assert plain(" ".join(s["text"] for s in first.transcript)) == plain(spoken["en-0"].text)


def test_a_key_in_place_of_the_port(whisper_live: Any, spoken: dict[str, Clip]) -> None:  # noqa: ANN401
    """The client has no place for a key, but puts together a URL; without one it gives up."""
    keys = FakeKeys()
    with _served(keys=keys, auth=True) as port:
        place = f"{port}/?token={keys.made(1)}"
        with whisper_live.StreamingTranscriptionClient("127.0.0.1", place, lang="en") as client:
            client.send_array(spoken["en-0"].samples)
        assert plain(" ".join(s["text"] for s in client.transcript)) == plain(spoken["en-0"].text)
        stranger = whisper_live.TranscriptionClient("127.0.0.1", port, lang="en").client
        stranger.ws_thread.join(30)
        assert "401" in str(stranger.error_message)


def test_refused_language(whisper_live: Any, port: int) -> None:  # noqa: ANN401
    """A client that asks for what the model can't do is told so and gives up."""
    client = whisper_live.TranscriptionClient("127.0.0.1", port, lang="klingon")
    assert client("never opened.wav") == ""
    assert client.client.server_error
