"""`whisperlive transcribe`, run as a user runs it: a process of its own, and the demo model."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from command_line import ENGLISH, start, whisperlive
from fake_jobs_server import TIMEOUT_S, FakeJobsServer, error_reply, run_fake_jobs_server
from paths import CLIPS

from whisperlive_hybrid.cli.batch.command import transcribe
from whisperlive_hybrid.cli.main import sample_clip


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Start commands as a terminal does: what a shell runs in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """A directory of recordings, nested."""
    directory = tmp_path / "talks"
    for name, clip in {
        "a.flac": "en-0.flac",
        "b.flac": "en-long-0.flac",
        "day/a.flac": "en-long-1.flac",
        "day/night/c.flac": "de-long-0.flac",
        "es.flac": "es-long-0.flac",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIPS / clip, directory / name)
    return directory


@pytest.fixture
def server() -> Iterator[FakeJobsServer]:
    """A fake server of jobs."""
    with run_fake_jobs_server() as served:
        yield served


def outputs(directory: Path) -> dict[str, int]:
    """Every visible file below a directory, and when it was written."""
    return {
        file.relative_to(directory).as_posix(): file.stat().st_mtime_ns
        for file in directory.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def read_until(process: subprocess.Popen[str], ending: str) -> None:
    """Read what a command says up to a line that ends like this."""
    assert process.stderr is not None
    assert any(line.rstrip("\n").endswith(ending) for line in process.stderr)


def rest(process: subprocess.Popen[str]) -> str:
    """What else it says, up to its end."""
    _, errors = process.communicate(timeout=TIMEOUT_S)
    return errors


def test_a_file_is_printed_as_text() -> None:
    """Without options, the text and nothing else is on standard output."""
    done = whisperlive("transcribe", str(sample_clip()))
    assert (done.returncode, done.stdout) == (0, ENGLISH + "\n")
    assert done.stderr.startswith("1 done; ")


def test_words_of_other_programs_are_understood(tmp_path: Path) -> None:
    """`--language auto` detects the language, `--format text` is txt and writes a .txt."""
    clip = str(sample_clip())
    options = ["--model", "demo", "--language", "Auto", "--format", "text"]
    done = whisperlive("transcribe", clip, *options, "--output-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "en.txt").read_text() == ENGLISH + "\n"


def test_files_are_written_in_every_format_asked_for(tmp_path: Path) -> None:
    """--output-dir gets one file per input and format, and is made if it is not there."""
    target = tmp_path / "new" / "texts"
    clip = str(sample_clip())
    done = whisperlive(
        "transcribe", clip, "--format", "srt,vtt,json", "--words", "--output-dir", str(target)
    )
    assert done.returncode == 0, done.stderr
    assert (target / "en.srt").read_text().startswith("1\n00:00:0")
    assert (target / "en.vtt").read_text().startswith("WEBVTT\n\n")
    body = json.loads((target / "en.json").read_text())
    assert body["text"] == ENGLISH
    assert body["language"] == "english"
    assert [word["word"] for word in body["words"]][:3] == ["Bring", "me", "the"]


def test_subtitles_are_cut_as_asked_for(tmp_path: Path) -> None:
    """Other options make other outputs, so a second command does them again."""
    clip, target = str(sample_clip()), str(tmp_path)
    for options, low, high in ([], 13, 42), (["--max-line-width", "12"], 1, 12):
        done = whisperlive("transcribe", clip, "--format", "srt", "--output-dir", target, *options)
        assert done.returncode == 0, done.stderr
        cues = (tmp_path / "en.srt").read_text().strip().split("\n\n")
        lines = [line for cue in cues for line in cue.split("\n")[2:]]
        assert " ".join(lines) == ENGLISH
        assert low <= max(map(len, lines)) <= high
    done = whisperlive("transcribe", clip, "--format", "vtt", "--highlight-words")
    assert f"<u>{ENGLISH.split()[0]}</u>" in done.stdout


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """The bad file is named on standard error, the good one is transcribed, the exit code is 1."""
    bad = tmp_path / "notes.wav"
    bad.write_text("this is no audio")
    done = whisperlive("transcribe", str(bad), str(sample_clip()))
    assert done.returncode == 1
    assert done.stdout == f"==> {sample_clip()} <==\n{ENGLISH}\n"
    assert "notes.wav: The audio file could not be decoded" in done.stderr
    assert "1 done, 1 failed; " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_written_is_an_error_before_the_work() -> None:
    """Exit code 1, before the model is loaded."""
    clip = str(sample_clip())
    done = whisperlive(
        "transcribe", clip, "--model", "nosuchmodel", "--output-dir", "/proc/nowhere"
    )
    assert done.returncode == 1
    assert done.stderr == "Error: /proc/nowhere cannot be written: No such file or directory.\n"


def test_standard_input_is_a_recording() -> None:
    """Of any container, also one whose index lies at its end: it is read to its end first."""
    done = whisperlive("transcribe", "-", stdin=sample_clip().read_bytes())
    assert (done.returncode, done.stdout) == (0, ENGLISH + "\n")
    empty = whisperlive("transcribe", "-")
    assert empty.returncode == 1
    assert "standard input: The audio file is empty." in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.mp3"], "no file or directory 'nowhere.mp3'"),
        (["*.mp3"], "No file in '*.mp3'"),
        (["http://x.example/a.mp3"], "--jobs-url"),
        (["CLIP", "--format", "docx"], "Unknown format in 'docx'; use one of: txt, srt, vtt, json"),
        (["CLIP", "--format", ""], "Unknown format in ''; use one of: txt, srt, vtt, json"),
        (["CLIP", "--format", "txt,srt"], "Several formats need --output-dir"),
        (["CLIP", "-", "--format", "srt"], "Several recordings as srt need --output-dir"),
        (["CLIP", "--max-line-width", "30"], "--max-line-width needs --format srt or vtt"),
        (["CLIP", "--highlight-words"], "--highlight-words needs --format srt or vtt"),
        (
            ["CLIP", "--format", "srt", "--max-line-count", "2"],
            "--max-line-count needs --max-line-width",
        ),
        (
            ["CLIP", "--format", "vtt", "--highlight-words", "--task", "translate"],
            "--highlight-words is not supported with --task translate",
        ),
        (["CLIP", "--words"], "--words needs --format json"),
        (["CLIP", "--language", "klingon"], "Unknown language 'klingon'"),
        (
            ["CLIP", "--language-detection-threshold", "0.5"],
            "--language-detection-threshold needs --multilingual",
        ),
        (["CLIP", "--overwrite"], "--overwrite needs --output-dir"),
        (["CLIP", "--keep-jobs"], "--keep-jobs needs --jobs-url"),
        (["CLIP", "--api-key", "k"], "--api-key needs --jobs-url"),
        (["CLIP", "--jobs-url", "host:8080"], "--jobs-url 'host:8080' is invalid"),
        (["CLIP", "--jobs-url", "http://h:1", "--beam-size", "3"], "--beam-size is decided by"),
        (["CLIP", "--jobs-url", "http://h:1", "--threads", "3"], "--threads is decided by"),
        (["CLIP", "--jobs-url", "http://h:1", "--backend", "fake"], "--backend is decided by"),
        (["CLIP", "--backend", "abacus"], "backend='abacus'"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any work: exit code 2, and the option by its name; nothing is quietly ignored."""
    clip = str(sample_clip())
    app = typer.Typer()
    app.command()(transcribe)
    with pytest.raises(SystemExit) as ended:
        app([clip if argument == "CLIP" else argument for argument in arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("key", ["hush\r", "hüsh", "hush hush", "h" * 513])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the server's own rule: the line break of a file that was written elsewhere is one, too."""
    app = typer.Typer()
    app.command()(transcribe)
    arguments = [str(sample_clip()), "--jobs-url", "http://127.0.0.1:9"]

    def error_of(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app([*arguments, *more])
        assert ended.value.code == 2
        return capsys.readouterr().err

    named = error_of("--api-key", key)
    monkeypatch.setenv("WHISPERLIVE_API_KEY", key)
    for origin, error in (("--api-key", named), ("WHISPERLIVE_API_KEY", error_of())):
        assert f"{origin} must be 1 to 512 printable ASCII characters" in error
        assert error.count("\n") == 1
        assert key.strip() not in error


def test_a_killed_batch_goes_on_where_it_was(talks: Path, tmp_path: Path) -> None:
    """After kill -9 there are whole files only, and what was done is not done again."""
    target = tmp_path / "out"
    arguments = ["transcribe", str(talks), "--format", "txt,json", "--output-dir", str(target)]
    first = start(*arguments)
    read_until(first, "a.flac: done")
    first.kill()
    n_done = 1 + rest(first).count(": done\n")
    before = outputs(target)
    assert n_done < 5
    for name in before:
        if name.endswith(".json"):
            json.loads((target / name).read_text())
    again = whisperlive(*arguments)
    assert again.returncode == 0, again.stderr
    assert f"{n_done} of 5 done before.\n" in again.stderr
    after = outputs(target)
    assert set(after) == {
        f"{name}.{suffix}"
        for name in ("a", "b", "day/a", "day/night/c", "es")
        for suffix in ("txt", "json")
    }
    assert after["a.txt"] == before["a.txt"]
    assert after["a.json"] == before["a.json"]
    assert again.stderr.count(": done\n") == 5 - n_done
    assert not list(target.rglob("*.part"))
    third = whisperlive(*arguments)
    assert third.returncode == 0
    assert third.stderr.startswith("5 of 5 done before.\n0 done, 5 skipped (done before); ")
    assert outputs(target) == after


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_with_its_code_and_a_summary(
    talks: Path, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    """It says what is missing, whether Ctrl-C came or a supervisor's signal."""
    process = start("transcribe", str(talks), "--output-dir", str(tmp_path / "out"))
    read_until(process, "a.flac: done")
    process.send_signal(how)
    said = rest(process)
    assert process.returncode == code
    assert "Interrupted.\n" in said
    assert " not done; " in said
    assert "Traceback" not in said


def test_overwrite_and_other_options_do_it_again(talks: Path, tmp_path: Path) -> None:
    """What was asked for in another way is not taken for done."""
    clip, target = str(talks / "a.flac"), tmp_path / "out"
    arguments = ["transcribe", clip, "--output-dir", str(target)]
    assert whisperlive(*arguments).returncode == 0
    first = outputs(target)
    assert "1 of 1 done before" in whisperlive(*arguments).stderr
    assert outputs(target) == first
    assert "done before" not in whisperlive(*arguments, "--overwrite").stderr
    second = outputs(target)
    assert second != first
    assert "done before" not in whisperlive(*arguments, "--beam-size", "1").stderr
    assert outputs(target) != second
    assert "done before" not in whisperlive(*arguments, "--audio-track", "0").stderr


def test_a_track_that_is_not_there_is_one_line() -> None:
    """The recording has one."""
    done = whisperlive("transcribe", str(sample_clip()), "--audio-track", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has 1 audio track, so audio_track must be 0, not 1" in done.stderr


def test_a_server_does_the_work(talks: Path, server: FakeJobsServer, tmp_path: Path) -> None:
    """Busy at first, its events cut, one recording bad: the rest is written, exit code 1."""
    server.refusals = [error_reply(429, "Later.", retry_after="1")]
    server.cut_streams = 1
    server.fails = {"es.flac"}
    target = tmp_path / "out"
    for clip in talks.rglob("*.flac"):
        clip.write_text(clip.name)  # the fake server's text has what it received
    arguments = ["transcribe", str(talks), "--jobs-url", f"{server.url}/", "--output-dir"]
    done = whisperlive(*arguments, str(target), WHISPERLIVE_API_KEY="secret")
    assert done.returncode == 1
    assert "es.flac: es.flac is noise.\n" in done.stderr
    assert "4 done, 1 failed; 8.0 s of audio" in done.stderr
    assert (target / "day" / "night" / "c.txt").read_text() == "text of c.flac\n"
    assert server.keys == {"Bearer secret"}
    assert server.jobs == {}
    again = whisperlive(*arguments, str(target))
    assert "4 of 5 done before.\n" in again.stderr
    assert server.count("POST") == 1 + 5 + 1


def test_texts_of_a_server_are_printed_in_order(talks: Path, server: FakeJobsServer) -> None:
    """As those of this machine are; URLs too, which the server fetches."""
    (talks / "a.flac").write_text("sound")
    url = "https://x.example/talk.mp3"
    done = whisperlive("transcribe", url, str(talks / "a.flac"), "--jobs-url", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"==> {url} <==\ntext of \n\n==> {talks}/a.flac <==\ntext of sound\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_job_outlives_its_command(
    talks: Path, server: FakeJobsServer, tmp_path: Path, how: signal.Signals
) -> None:
    """Whichever way the command ended, the next one collects what the server has made."""
    server.go_on.clear()
    clip = talks / "a.flac"
    clip.write_text("sound")
    target = tmp_path / "out"
    arguments = ["transcribe", str(clip), "--jobs-url", server.url, "--output-dir", str(target)]
    process = start(*arguments)
    assert server.watched.wait(TIMEOUT_S)
    process.send_signal(how)
    said = rest(process)
    assert process.returncode == (-how if how is signal.SIGKILL else 128 + how)
    assert ("Interrupted" in said) == (how is not signal.SIGKILL)
    server.go_on.set()
    again = whisperlive(*arguments)
    assert again.returncode == 0, again.stderr
    assert (target / "a.txt").read_text() == "text of sound\n"
    assert server.count("POST") == 1
    assert server.jobs == {}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_printing_command_takes_its_jobs_back(
    talks: Path, server: FakeJobsServer, how: signal.Signals
) -> None:
    """Nobody would ever collect them."""
    server.go_on.clear()
    process = start("transcribe", str(talks / "a.flac"), "--jobs-url", server.url)
    assert server.watched.wait(TIMEOUT_S)
    process.send_signal(how)
    said = rest(process)
    assert process.returncode == 128 + how
    assert "Interrupted.\n" in said
    assert "Traceback" not in said
    assert server.jobs == {}


def test_jobs_are_taken_back_in_the_background_too(talks: Path, server: FakeJobsServer) -> None:
    """A command that a script runs beside itself ignores Ctrl-C, and heeds SIGTERM."""
    server.go_on.clear()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = start("transcribe", str(talks / "a.flac"), "--jobs-url", server.url)
    assert server.watched.wait(TIMEOUT_S)
    process.send_signal(signal.SIGTERM)
    said = rest(process)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert server.jobs == {}


def test_a_server_that_is_not_there_is_one_line(talks: Path) -> None:
    """Exit code 1, and the address."""
    done = whisperlive("transcribe", str(talks), "--jobs-url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No response from http://127.0.0.1:9")
    assert done.stderr.count("\n") == 1


def test_names_that_are_no_text_are_transcribed(tmp_path: Path, server: FakeJobsServer) -> None:
    """Linux takes any bytes as a name; here and through a server, printed and written."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac")
    shutil.copy(sample_clip(), path)
    local = whisperlive("transcribe", path, "--output-dir", str(tmp_path / "out"))
    assert local.returncode == 0, local.stderr
    [text] = (tmp_path / "out").glob("caf*.txt")
    assert text.read_text() == ENGLISH + "\n"
    Path(path).write_text("sound")
    remote = whisperlive("transcribe", path, "--jobs-url", server.url)
    assert (remote.returncode, remote.stdout) == (0, "text of sound\n"), remote.stderr
