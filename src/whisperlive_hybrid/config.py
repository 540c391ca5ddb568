"""Settings: read once from the environment at a composition root, then passed in.

Settings are grouped by subject; a part of the program gets its group, or values of it. The names of
variables without a prefix are those that earlier deployments documented; every other one is
`WHISPERLIVE_` and the field's name in capitals.
"""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.system import usable_cores

MEBIBYTE = 1024 * 1024

MOST: Final = 10**9
"""Upper bound of every count and amount: 31 years in seconds, a pebibyte in MiB. A larger value can
only mean "no limit", and some sum of such values would overflow."""

MOST_HOURS: Final = 876_000
"""A hundred years: later dates are beyond some calendars."""

Count = Annotated[int, Field(le=MOST)]
Amount = Annotated[float, Field(le=MOST)]

IMAGE_DEFAULTS: Final = Path("/opt/models/default.env")
"""Defaults that the container image was built with (`--build-arg MODEL=base`); absent elsewhere."""

BackendName = Literal["faster_whisper", "openvino", "tensorrt", "fake"]


def user_data_dir() -> Path:
    """Return the user's data directory (XDG Base Directory Specification); may begin with `~`."""
    given = os.environ.get("XDG_DATA_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    base = Path(given) if Path(given).is_absolute() else Path("~/.local/share")
    return base / "whisperlive-hybrid"


def user_models_dir() -> Path:
    """Return the directory for downloaded models; may begin with `~`."""
    return user_data_dir() / "models"


class _Group(BaseSettings):
    """Settings of one subject; limits have safe defaults.

    The text under a field is its row in docs/settings.md (`make docs`): Markdown, links from docs/.
    """

    model_config = SettingsConfigDict(
        env_prefix="WHISPERLIVE_",
        env_file=IMAGE_DEFAULTS,
        env_ignore_empty=True,  # `${X:-}` in a compose file means "not set"
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class ServerSettings(_Group):
    """Servers: addresses, connections, browsers."""

    host: str = "0.0.0.0"  # noqa: S104 (a server in a container listens on all its addresses)
    """Address that both servers listen on."""
    live_port: int = Field(default=5050, ge=0, le=65535, validation_alias="PORT_WHISPERLIVE")
    """Port of the live server (WebSocket); 0 for any free one."""
    http_port: int = Field(default=8080, ge=0, le=65535, validation_alias="HTTP_PORT")
    """Port of the HTTP server; 0 for any free one."""
    drain_s: Amount = Field(default=30, ge=0)
    """Seconds that a shutdown waits for work in progress."""
    connections_per_address: Count = Field(default=256, ge=1)
    """Connections that one address may have open at both servers together (IPv6: one /64 network);
    one more gets 429."""
    head_s: Amount = Field(default=10, gt=0)
    """Seconds that the HTTP server waits for the head of a request, from the connection or the
    first byte of the next request on."""
    min_bytes_per_s: Amount = Field(default=1024, gt=0)
    """Slowest average rate of a client after the first 30 s: a slower upload gets 408, and a client
    that reads its response more slowly is disconnected."""
    upload_s: Amount = Field(default=3600, gt=0)
    """Longest upload in seconds, at any rate; then it gets 408."""
    allowed_origins: str = ""
    """[Web pages](security.md#browsers) of other origins that may use both servers and read their
    responses (CORS), with commas: `https://app.example.com`, `null`, or `*` for all."""
    allowed_hosts: str = ""
    """[Names](security.md#browsers) in the Host header, with commas, that are accepted besides
    addresses and localhost, or `*`; empty for all, or for none if `WHISPERLIVE_HOST` is a loopback
    address."""
    trusted_proxies: str = ""
    """Addresses and networks, with commas, of proxies whose `X-Forwarded-For` is
    [trusted](limits.md#behind-a-proxy); empty: none."""
    live_url: str = Field(default="", pattern=r"^(wss?://[^\s/;,'\"]+(/[^\s;,'\"]*)?)?$")
    """Address of the live server for the [web page](page.md), as ws:// or wss://, if a proxy is in
    between; empty for the live server's own port on the host of the page."""


class AuthSettings(_Group):
    """Keys."""

    auth: bool = False
    """Both servers require an [API key](keys.md), created with `whisperlive keys make NAME`."""
    api_key: SecretStr | None = None
    """One more key, an admin's, for containers in which no command can be run; also the key that
    `whisperlive transcribe --jobs-url` sends to its server."""
    wrong_keys_per_minute: Count = Field(default=30, ge=0)
    """Wrong keys of one address that are refused immediately; further ones are refused after a
    second. 0: all immediately."""


class QuotaSettings(_Group):
    """Limits of each caller."""

    requests_per_minute: Count = Field(default=0, ge=0)
    """[Limit](limits.md) of each caller: files, jobs and live streams per minute; 0 for none."""
    audio_s_per_day: Amount = Field(default=0, ge=0)
    """Limit of each caller: seconds of audio per UTC day, files and live streams together; 0 for no
    limit."""
    streams_per_caller: Count = Field(default=0, ge=0)
    """Limit of each caller: live streams at the same time; 0 for no limit but
    `WHISPERLIVE_MAX_CLIENTS`."""
    usage_days: int = Field(default=400, ge=1, le=36500)
    """Days for which the [usage](limits.md#usage) of each key is kept."""


class ModelSettings(_Group):
    """Models and their runtime."""

    model: str = Field(default="base", validation_alias="FASTERWHISPER_MODEL")
    """[Which model](models.md): a name such as `small`, a Hugging Face id, an absolute path, a
    directory under `/app/models`, or `demo` to try the server without a real one. An image that was
    built with one model has that as its default."""
    models_dir: Path = Field(default_factory=user_models_dir)
    """Where models are downloaded to; by default `models` in `$XDG_DATA_HOME/whisperlive-hybrid`,
    or the same under `~/.local/share`."""
    model_card: Path | None = None
    """A [card](models.md) for that model, instead of the one in its directory."""
    backend: BackendName = "faster_whisper"
    """The [runtime](backends.md): faster_whisper, openvino or tensorrt; `fake` is for tests."""
    device: Literal["auto", "cpu", "cuda", "gpu"] = "auto"
    """cpu, cuda (NVIDIA's, for faster_whisper and tensorrt), gpu (Intel's, for openvino), or
    auto."""
    compute_type: str = "auto"
    """A number format of the backend; auto is int8 (openvino: float32) on a CPU, float16
    on a GPU, and for tensorrt what the engine was built for."""
    threads: int = Field(default=0, ge=0, le=1024, validation_alias="OMP_NUM_THREADS")
    """Worker threads for the model, one core each; 0 for every core that the process may use, a
    container's quota (cgroup 2) included."""
    models: str = ""
    """[Other models](models.md#more-than-one) that requests may name, with commas; found or
    downloaded at the start, loaded by the first request that names them. Empty: the known models
    that are on this machine."""
    strict_models: bool = False
    """A request that names a Whisper model which is not served gets 404, instead of a response by
    `FASTERWHISPER_MODEL`."""
    models_mb: Amount = Field(default=4096, gt=0)
    """MiB for the weights of those together; a request beyond it gets 429."""
    model_idle_s: Amount = Field(default=600, gt=0)
    """Seconds that one of those stays in memory unused."""

    @property
    def models_on_demand(self) -> tuple[str, ...]:
        """The names in `models`, each once and without `model` itself."""
        names = dict.fromkeys(name.strip() for name in self.models.split(","))
        return tuple(name for name in names if name and name != self.model)

    @property
    def models_bytes(self) -> int:
        """The memory for models on demand, in bytes."""
        return int(self.models_mb * MEBIBYTE)

    @property
    def worker_threads(self) -> int:
        """Model calls that run at the same time on a CPU."""
        return self.threads or usable_cores()


class LiveSettings(_Group):
    """Live streams."""

    max_clients: Count = Field(default=32, ge=1)
    """Live streams at the same time; a further one gets WAIT."""
    live_load: Amount = Field(default=0.8, gt=0)
    """Share of the workers' time that live streams may [need](live.md#admission) together, by their
    measured cost; a further client gets WAIT. 1000: only `WHISPERLIVE_MAX_CLIENTS` counts."""
    live_endpoint_s: float = Field(default=1.0, ge=0.1, le=5)
    """Seconds of silence that end a live utterance, at most 5, unless its client sends
    `vad_parameters`. For voice agents 0.3 to 0.5: [text comes sooner, more words are
    wrong](live.md#where-utterances-end)."""
    live_patience_s: float = Field(default=0, ge=0, le=60)
    """Seconds after which an utterance with a word that old [ends in its longest
    pause](live.md#where-utterances-end), however short that is. With 8, text is completed sooner,
    and a few more words are wrong. 0: never."""
    max_connection_s: Amount = Field(default=3600, gt=0)
    """Longest live connection in seconds; then its text is completed and it gets DISCONNECT."""
    ping_s: Amount = Field(default=20, gt=0)
    """A live client that sends nothing for so many seconds is pinged, and must answer within the
    same time; one that reads no text for twice as long is disconnected."""
    idle_s: Amount = Field(default=600, gt=0)
    """Seconds that a live client may send no audio; then its text is completed and it gets
    DISCONNECT."""
    raw_pcm_input: bool = False
    """Live clients that announce no format send int16, not float32 (`--raw-pcm-input`)."""
    ssl: bool = False
    """The live server uses TLS itself (`wss://`)."""
    ssl_cert: Path | None = None
    """Its certificate chain, a PEM file."""
    ssl_key: Path | None = None
    """Its private key, a PEM file; unset if the certificate's file holds it too."""


class FileSettings(_Group):
    """Uploads and recordings."""

    max_upload_mb: Amount = Field(default=100, gt=0)
    """Largest upload in MiB, enforced while it is received; a larger one gets 413."""
    max_uploads: Count = Field(default=64, ge=1)
    """Uploads in progress at the same time, from their first byte to the end of the response; each
    is stored on disk (`TMPDIR`) from 64 KiB on. A further one gets 429 and `Retry-After` before
    it is received."""
    max_audio_hours: Amount = Field(default=6, gt=0)
    """Longest recording in hours, counted while decoding: a small file can hold days of silence."""
    queue_limit: Count = Field(default=256, ge=1)
    """Windows of files that may wait; beyond that a request gets 429 and `Retry-After`."""

    @property
    def max_upload_bytes(self) -> int:
        """The upload limit in bytes."""
        return int(self.max_upload_mb * MEBIBYTE)


class FetchSettings(_Group):
    """Recordings from URLs, and webhooks."""

    fetch: bool = True
    """Recordings are downloaded from [URLs](urls.md), and webhooks are called; false refuses all
    of them."""
    fetch_allow: str = ""
    """Host names, addresses and networks, with commas, that may be reached although not public."""
    fetch_timeout_s: Amount = Field(default=300, gt=0)
    """Longest download in seconds, redirects included."""


class JobSettings(_Group):
    """Jobs."""

    data_dir: Path = Field(default_factory=user_data_dir)
    """Directory of [jobs](jobs.md), their uploads, keys and usage, for one server; by default
    `$XDG_DATA_HOME/whisperlive-hybrid`, or the same under `~/.local/share`."""
    job_result_hours: float = Field(default=24, gt=0, le=MOST_HOURS)
    """Hours that a job is kept after its end, at most 876,000."""
    jobs_at_once: int = Field(default=1, ge=1, le=64)
    """Jobs that run at the same time; the others wait in the order of their submission."""
    job_files: int = Field(default=100, ge=1, le=1000)
    """Files and URLs that one job may have."""
    max_jobs: Count = Field(default=1000, ge=1)
    """Jobs that may be unfinished; one more gets 429."""
    webhook_secret: SecretStr | None = None
    """Signs [webhooks](jobs.md#webhooks): `whsec_` and base64, as Standard Webhooks has it, or any
    other text; without it `webhook_url` is refused."""


class TelemetrySettings(_Group):
    """Logs, metrics and traces."""

    log_format: Literal["console", "json"] = "console"
    """console or json, on standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """debug, info, warning or error; the requests of probes are logged at debug only."""
    log_text: bool = False
    """The text of every window is written into the [log](observing.md#logs)."""
    metrics: bool = True
    """[`GET /metrics`](observing.md#metrics) is served on the HTTP port."""
    min_free_mb: Amount = Field(default=128, ge=0)
    """MiB that must be free on the disks of `WHISPERLIVE_DATA_DIR` and `TMPDIR`; below it `/ready`
    answers 503. A job is refused where it would leave less than 64."""
    otel: bool = False
    """[Traces](observing.md#traces) are sent by OpenTelemetry, configured by its `OTEL_*`
    variables; needs the extra `[otel]`."""

    @property
    def min_free_bytes(self) -> int:
        """The free space that must be left on a disk, in bytes."""
        return int(self.min_free_mb * MEBIBYTE)


class Settings(BaseModel):
    """Everything that an operator can change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: ServerSettings = Field(default_factory=ServerSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    quotas: QuotaSettings = Field(default_factory=QuotaSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)
    files: FileSettings = Field(default_factory=FileSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (options of the command line) take precedence.

    They are named as the fields of the groups; None means that an option was not given. Raise
    `BadRequest` with one line that names the setting at fault.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    groups: dict[str, _Group] = {}
    for subject, kind in GROUPS.items():
        own = {name: given.pop(name) for name in list(given) if name in kind.model_fields}
        try:
            groups[subject] = kind(**own)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            if name in kind.model_fields and name not in own:
                name = f"WHISPERLIVE_{name.upper()}"
            raise BadRequest(f"Setting {name}={first['input']!r}: {first['msg']}.") from error
    if given:
        raise TypeError(f"No setting is called {', '.join(given)}.")
    return Settings(**groups)  # type: ignore[arg-type]  # each of its own kind


GROUPS: Final[dict[str, type[_Group]]] = {
    "server": ServerSettings,
    "auth": AuthSettings,
    "quotas": QuotaSettings,
    "model": ModelSettings,
    "live": LiveSettings,
    "files": FileSettings,
    "fetch": FetchSettings,
    "jobs": JobSettings,
    "telemetry": TelemetrySettings,
}
"""The groups by their names in `Settings`."""
