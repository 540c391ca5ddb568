"""The Hugging Face hub, which a server on this machine stands in for."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_sources import COMMIT, HUB_ID, Hub, run_server, some_files

from whisperlive_hybrid.models import hub
from whisperlive_hybrid.models.carriers import SourceFailed
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.models.formats import CTRANSLATE2, OPENVINO

FILES = some_files()
SIZE = len(FILES["model.bin"])


def use(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a hub as HF_ENDPOINT does, which its client reads when it is imported."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model."""
    with run_server(Hub(FILES)) as running:
        use(running.url, monkeypatch)
        yield running


def failure(into: Path, hub_id: str = HUB_ID) -> str:
    """Return the message for a failed source: one line without a path."""
    with pytest.raises(SourceFailed) as caught:
        hub.fetch(hub_id, COMMIT, CTRANSLATE2, into)
    assert "\n" not in str(caught.value)
    assert str(into) not in str(caught.value)
    return str(caught.value)


def contents(directory: Path) -> dict[str, bytes]:
    """All files of a directory."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def test_the_files_of_a_model_are_downloaded_and_no_others(server: Hub, tmp_path: Path) -> None:
    """Repositories hold other things too: pictures, other formats, directories."""
    server.files |= {"README.md": b"read me", "onnx/config.json": b"other"}
    server.files["preprocessor_config.json"] = b"{}"
    files = hub.fetch(HUB_ID, COMMIT, CTRANSLATE2, tmp_path)
    assert contents(files) == {**FILES, "preprocessor_config.json": b"{}"}


def test_the_newest_commit_is_pinned_when_it_is_listed(server: Hub, tmp_path: Path) -> None:
    """All files are of one commit, even if another is pushed during the download."""
    hub.fetch(HUB_ID, None, CTRANSLATE2, tmp_path)
    assert server.asked[0] == f"GET /api/models/{HUB_ID}"
    assert all(f"/resolve/{COMMIT}/" in asked for asked in server.asked[1:])


def test_a_connection_that_breaks_is_made_anew(server: Hub, tmp_path: Path) -> None:
    """A download goes on by itself where a proxy or a network hiccup has cut it."""
    server.breaks_after = 1_000_000
    server.comes_back = True
    files = hub.fetch(HUB_ID, COMMIT, CTRANSLATE2, tmp_path)
    assert contents(files) == FILES
    first, second = server.requests_for("model.bin")
    assert first.endswith("model.bin")
    assert begin_of(second) > 0


def begin_of(asked: str) -> int:
    """The first byte that a request asked for."""
    return int(asked.rpartition("bytes=")[2].rstrip("-"))


def test_an_interrupted_download_goes_on_where_it_stopped(server: Hub, tmp_path: Path) -> None:
    """The next attempt asks for the rest only."""
    server.breaks_after = 1_000_000
    assert "the Hugging Face hub failed (model.bin: " in failure(tmp_path)
    assert not (tmp_path / "files" / "model.bin").exists()
    there = sum(part.stat().st_size for part in (tmp_path / "parts").iterdir())
    assert there > 0
    server.asked.clear()
    server.breaks_after, server.is_gone = None, False
    assert contents(hub.fetch(HUB_ID, COMMIT, CTRANSLATE2, tmp_path)) == FILES
    assert [begin_of(asked) for asked in server.requests_for("model.bin")] == [there]
    assert server.requests_for("tokenizer.json") == []


def test_a_hub_that_cannot_send_a_part_sends_the_whole(server: Hub, tmp_path: Path) -> None:
    """Some mirrors know no ranges: nothing is joined that does not belong together."""
    server.breaks_after = 1_000_000
    failure(tmp_path)
    server.breaks_after, server.is_gone, server.knows_ranges = None, False, False
    assert contents(hub.fetch(HUB_ID, COMMIT, CTRANSLATE2, tmp_path)) == FILES


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_a_file_that_is_not_what_is_listed_is_refused(
    server: Hub, tmp_path: Path, name: str
) -> None:
    """Large files are known by their SHA-256, small ones by their name in Git."""
    listing = server.listing()
    server.listing = lambda: listing  # type: ignore[method-assign]  # the script of this test
    server.files[name] = server.files[name][::-1]
    assert failure(tmp_path) == f"{name} is not what the Hugging Face hub lists"
    server.files[name] = FILES[name]
    assert contents(hub.fetch(HUB_ID, COMMIT, CTRANSLATE2, tmp_path)) == FILES


def test_a_repository_of_another_format_is_refused_before_it_is_downloaded(
    server: Hub, tmp_path: Path
) -> None:
    """Its weights may be gigabytes that are of no use."""
    server.files["pytorch_model.bin"] = server.files.pop("model.bin")
    assert failure(tmp_path) == (
        f"{HUB_ID!r} on the Hugging Face hub has no model.bin: it is not in CTranslate2's format"
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "answered 503"),
        (404, f"answered 404: there is no {HUB_ID!r}, or it needs a token (HF_TOKEN)"),
        (401, f"answered 401: there is no {HUB_ID!r}, or it needs a token (HF_TOKEN)"),
    ],
)
def test_a_hub_that_refuses_is_reported_with_its_reason(
    server: Hub, tmp_path: Path, status: int, words: str
) -> None:
    """One request is enough: the next source may have the model."""
    server.listing_status = status
    assert failure(tmp_path) == f"the Hugging Face hub {words}"
    assert len(server.asked) == 1


def test_a_name_that_the_hub_would_not_give_is_refused(server: Hub, tmp_path: Path) -> None:
    """Its client checks names before it sends them."""
    assert "has no 'a b/c d'" in failure(tmp_path, "a b/c d")
    assert server.asked == []
    assert hub.find_cached("a b/c d", None, CTRANSLATE2) is None


def test_no_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection, or a name that is not resolved."""
    use("http://127.0.0.1:9", monkeypatch)
    assert failure(tmp_path) == "the Hugging Face hub cannot be reached (ConnectError)"


def test_a_hub_that_never_answers_costs_no_more_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts the connection, as some firewalls do, and says nothing."""
    monkeypatch.setattr("whisperlive_hybrid.models.hub.REACH_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        begun = time.monotonic()
        words = failure(tmp_path)
        assert time.monotonic() - begun < 5
    assert words in {
        "the Hugging Face hub did not answer within 0.3 s",
        "the Hugging Face hub cannot be reached (ReadTimeout)",
    }


def test_the_time_of_a_silent_hub_is_short() -> None:
    """It is part of every first start without a hub."""
    assert hub.REACH_S <= 5


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_variables_of_the_hubs_client_forbid_the_network(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """As the client itself reads them."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert not hub.is_offline()
    monkeypatch.setenv(variable, "true")
    assert hub.is_offline()
    monkeypatch.setenv(variable, "0")
    assert not hub.is_offline()


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "vocabulary.json"])
def test_a_model_that_another_program_is_still_downloading_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Its files come into the hub's cache one after the other."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(demo_model().directory, snapshot)
    assert hub.find_cached(HUB_ID, COMMIT, CTRANSLATE2) == snapshot
    assert hub.find_cached(HUB_ID, COMMIT, OPENVINO) is None
    (snapshot / missing).unlink()
    assert hub.find_cached(HUB_ID, COMMIT, CTRANSLATE2) is None
