"""Settings: read once from the environment at a composition root, then passed in.

The names without a prefix are those that earlier deployments documented; everything else is
`WHISPERLIVE_` and the field's name in capitals.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from whisperlive_hybrid.errors import BadRequest

MEBIBYTE = 1024 * 1024

BackendName = Literal["faster_whisper", "openvino", "tensorrt", "fake"]


def user_data_dir() -> Path:
    """Where programs keep what is theirs (XDG Base Directory Specification); `~` may lead."""
    given = os.environ.get("XDG_DATA_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    base = Path(given) if Path(given).is_absolute() else Path("~/.local/share")
    return base / "whisperlive-hybrid"


class Settings(BaseSettings):
    """Everything that an operator can change; limits have safe defaults."""

    model_config = SettingsConfigDict(
        env_prefix="WHISPERLIVE_", frozen=True, populate_by_name=True, extra="ignore"
    )

    host: str = "0.0.0.0"  # noqa: S104 (a server in a container listens on all its addresses)
    """Address that both doors listen on."""
    live_port: int = Field(default=5050, ge=0, le=65535, validation_alias="PORT_WHISPERLIVE")
    """Port of the WebSocket door; 0 for any free one."""
    http_port: int = Field(default=8080, ge=0, le=65535, validation_alias="HTTP_PORT")
    """Port of the HTTP door; 0 for any free one."""

    model: str = Field(default="demo", validation_alias="FASTERWHISPER_MODEL")
    """demo, a size, a Hugging Face id, an absolute path, or a directory under /app/models."""
    model_card: Path | None = None
    """A card for `model` in place of the one in its directory."""
    backend: BackendName = "faster_whisper"
    device: Literal["auto", "cpu", "cuda", "gpu"] = "auto"
    """cuda is NVIDIA's, for faster_whisper; gpu Intel's, for openvino."""
    compute_type: str = "auto"
    """The backend's; auto is int8 (openvino: float32) on the CPU and float16 on a GPU."""
    threads: int = Field(default=0, ge=0, le=1024, validation_alias="OMP_NUM_THREADS")
    """Worker threads for the model, one core each; 0 for as many as the process may use."""

    models: str = ""
    """Other models that requests for files may name, with commas; resolved at the start, loaded
    when the first request names them."""
    models_mb: float = Field(default=4096, gt=0)
    """MiB that their weights may take together."""
    model_idle_s: float = Field(default=600, gt=0)
    """How long one of them stays in memory unused."""

    max_upload_mb: float = Field(default=100, gt=0)
    """Largest upload in MiB, enforced while reading."""
    max_uploads: int = Field(default=64, ge=1)
    """Requests with a body that are in work at once: each may hold an upload on the disk."""
    max_audio_hours: float = Field(default=6, gt=0)
    """Longest recording, counted while decoding: a small file can hold days of silence."""
    max_clients: int = Field(default=32, ge=1)
    """Live streams at once; one more is told to wait."""
    max_connection_s: float = Field(default=3600, gt=0)
    """Longest live connection in seconds."""
    ping_s: float = Field(default=20, gt=0)
    """After so many seconds without a frame a live client is pinged, and has as long to answer."""
    fetch: bool = True
    """Whether recordings are downloaded from URLs, and webhooks are called."""
    fetch_allow: str = ""
    """Host names, addresses and networks, with commas, that are reached though not public."""
    fetch_timeout_s: float = Field(default=300, gt=0)
    """Longest download in seconds, redirects included."""
    queue_limit: int = Field(default=256, ge=1)
    """Windows of files that may wait before requests are refused."""
    drain_s: float = Field(default=30, ge=0)
    """How long a shutdown waits for work in flight."""
    raw_pcm_input: bool = False
    """Whether live clients that announce no format send int16 rather than float32."""

    data_dir: Path = Field(default_factory=user_data_dir)
    """Where jobs and their uploads are kept; one server at a time."""
    job_result_hours: float = Field(default=24, gt=0)
    """How long a job is kept after its end."""
    jobs_at_once: int = Field(default=1, ge=1, le=64)
    """Jobs that run side by side; the others wait in the order of their submission."""
    job_files: int = Field(default=100, ge=1, le=1000)
    """Files and URLs that one job may have."""
    max_jobs: int = Field(default=1000, ge=1)
    """Jobs that may be unfinished; one more is refused."""
    webhook_secret: SecretStr | None = None
    """Signs webhooks: whsec_ and base64, as Standard Webhooks has it, or any other text."""
    allowed_origins: str = ""
    """Origins of web pages, with commas, that may open a WebSocket besides our own."""

    ssl: bool = False
    """Whether the live door speaks TLS itself (wss://)."""
    ssl_cert: Path | None = None
    """Its certificate chain, PEM."""
    ssl_key: Path | None = None
    """Its private key, PEM; None if the certificate file holds it too."""

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def models_on_demand(self) -> tuple[str, ...]:
        """The names in `models`, each once and without `model` itself."""
        names = dict.fromkeys(name.strip() for name in self.models.split(","))
        return tuple(name for name in names if name and name != self.model)

    @property
    def models_bytes(self) -> int:
        """The room for models on demand, in bytes."""
        return int(self.models_mb * MEBIBYTE)

    @property
    def max_upload_bytes(self) -> int:
        """The upload limit in bytes."""
        return int(self.max_upload_mb * MEBIBYTE)

    @property
    def origins(self) -> frozenset[str]:
        """The allowed origins, each as a browser sends it."""
        written = (each.strip().rstrip("/").lower() for each in self.allowed_origins.split(","))
        return frozenset(each for each in written if each)

    @property
    def worker_threads(self) -> int:
        """How many model calls run at once on a CPU."""
        if self.threads:
            return self.threads
        if hasattr(os, "sched_getaffinity"):  # Linux: what a container or taskset leaves us
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (command-line options that were given) win.

    Raises `BadRequest` with one line that names the setting at fault.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # checked by pydantic itself
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"Setting {name}={first['input']!r}: {first['msg']}.") from error
