import os
from pathlib import Path

import pytest
from flat_settings import FIELDS, flat
from pydantic import ValidationError

from whisperlive_hybrid.cli.settings import sections
from whisperlive_hybrid.config import ModelSettings, load_settings
from whisperlive_hybrid.errors import BadRequest


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the machine that runs the tests."""
    for name in list(os.environ):
        monkeypatch.delenv(name)


def test_defaults_are_documented() -> None:
    """Without any setting both doors open on their known ports with the model `base`."""
    settings = load_settings()
    assert (settings.server.live_port, settings.server.http_port) == (5050, 8080)
    assert (settings.model.model, settings.model.backend, settings.model.device) == (
        "base",
        "faster_whisper",
        "auto",
    )
    assert settings.files.max_upload_bytes == 100 * 1024 * 1024


@pytest.mark.parametrize(
    ("variable", "value", "field", "wanted"),
    [
        ("PORT_WHISPERLIVE", "5051", "live_port", 5051),
        ("HTTP_PORT", "8081", "http_port", 8081),
        ("FASTERWHISPER_MODEL", "small", "model", "small"),
        ("OMP_NUM_THREADS", "3", "threads", 3),
        ("WHISPERLIVE_DEVICE", "cpu", "device", "cpu"),
        ("WHISPERLIVE_MAX_UPLOAD_MB", "0.5", "max_upload_mb", 0.5),
        ("WHISPERLIVE_FETCH", "false", "fetch", False),
        ("WHISPERLIVE_FETCH_ALLOW", "a.intra, 10.0.0.0/8", "fetch_allow", "a.intra, 10.0.0.0/8"),
        ("WHISPERLIVE_FETCH_TIMEOUT_S", "9", "fetch_timeout_s", 9),
        ("WHISPERLIVE_RAW_PCM_INPUT", "true", "raw_pcm_input", True),
        ("whisperlive_log_format", "json", "log_format", "json"),
    ],
)
def test_reads_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, wanted: object
) -> None:
    """The names of earlier deployments hold, and every other setting has its own."""
    monkeypatch.setenv(variable, value)
    assert flat(load_settings())[field] == wanted


def test_an_image_with_a_model_has_it_as_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment wins over the image; an empty variable leaves the image's default alone."""
    defaults = tmp_path / "default.env"
    defaults.write_text("FASTERWHISPER_MODEL=tiny.en\n")
    monkeypatch.setitem(ModelSettings.model_config, "env_file", defaults)
    assert load_settings().model.model == "tiny.en"
    monkeypatch.setenv("FASTERWHISPER_MODEL", "")
    assert load_settings().model.model == "tiny.en"
    monkeypatch.setenv("FASTERWHISPER_MODEL", "small")
    assert load_settings().model.model == "small"
    assert load_settings(model="medium").model.model == "medium"


@pytest.mark.parametrize("variable", ["MODEL", "THREADS", "LIVE_PORT", "DEVICE", "HOST"])
def test_leaves_the_variables_of_others_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A common name in the environment belongs to somebody else."""
    bare = load_settings()
    monkeypatch.setenv(variable, "7")
    assert load_settings() == bare


@pytest.mark.parametrize(
    ("variable", "field", "value"),
    [
        ("FASTERWHISPER_MODEL", "model", "demo"),
        ("PORT_WHISPERLIVE", "live_port", 6000),
        ("WHISPERLIVE_DEVICE", "device", "cpu"),
    ],
)
def test_what_was_given_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, field: str, value: object
) -> None:
    """An option on the command line is nearer than a variable; None means it was not given."""
    monkeypatch.setenv(variable, "cuda" if field == "device" else "5999")
    assert flat(load_settings(**{field: value}))[field] == value
    assert str(flat(load_settings(**{field: None}))[field]) in {"cuda", "5999"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("live_port", 65536),
        ("http_port", -1),
        ("backend", "magic"),
        ("max_upload_mb", 0),
        ("max_clients", 0),
        ("live_load", 0),
        ("log_level", "loud"),
        ("threads", -1),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(field: str, value: object) -> None:
    """The operator reads which setting, which value, and what would do."""
    with pytest.raises(BadRequest) as refusal:
        load_settings(**{field: value})
    message = refusal.value.message
    assert repr(value) in message
    assert "\n" not in message
    assert message.startswith("Setting ")


def test_a_wrong_variable_is_named_as_the_operator_wrote_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names the variable that must be mended."""
    monkeypatch.setenv("PORT_WHISPERLIVE", "high")
    with pytest.raises(BadRequest, match="PORT_WHISPERLIVE='high'"):
        load_settings()
    monkeypatch.delenv("PORT_WHISPERLIVE")
    monkeypatch.setenv("WHISPERLIVE_MAX_CLIENTS", "many")
    with pytest.raises(BadRequest, match="WHISPERLIVE_MAX_CLIENTS='many'"):
        load_settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compose file makes it of what is not set: an empty path would be the directory here."""
    bare = load_settings()
    for _, rows in sections():
        for row in rows:
            monkeypatch.setenv(row.variable, "")
    assert load_settings() == bare


NUMBERS = [name for name, field in FIELDS.items() if field.annotation in (int, float)]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "9" * 400])
def test_no_number_is_without_end(value: str) -> None:
    """Sums of it would have no number, dates no calendar, and messages no JSON."""
    for field in NUMBERS:
        with pytest.raises(BadRequest, match=f"Setting {field}='{value}'"):
            load_settings(**{field: value})


def test_a_job_is_kept_no_longer_than_calendars_reach() -> None:
    """Its expiry is told as a date."""
    assert load_settings(job_result_hours=876_000).jobs.job_result_hours == 876_000
    with pytest.raises(BadRequest, match="job_result_hours"):
        load_settings(job_result_hours=876_001)


def test_settings_do_not_change() -> None:
    """What was read at the start holds until the end."""
    with pytest.raises(ValidationError):
        load_settings().model.model = "small"


def test_worker_threads_default_to_the_cores_there_are() -> None:
    """As many workers as the process may use, unless the operator says otherwise."""
    assert load_settings().model.worker_threads >= 1
    assert load_settings(threads=7).model.worker_threads == 7


def test_jobs_are_kept_where_programs_keep_what_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG specification has it: a relative path in its variable is ignored."""
    assert load_settings().jobs.data_dir == Path("~/.local/share/whisperlive-hybrid")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert load_settings().jobs.data_dir == Path("/srv/data/whisperlive-hybrid")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert load_settings().jobs.data_dir == Path("~/.local/share/whisperlive-hybrid")
    monkeypatch.setenv("WHISPERLIVE_DATA_DIR", "/srv/jobs")
    assert load_settings().jobs.data_dir == Path("/srv/jobs")


def test_the_secret_is_not_shown() -> None:
    """Settings may be logged."""
    assert "hush" not in repr(load_settings(webhook_secret="hush"))  # noqa: S106 (opens nothing)
