"""Dockerfile, compose.yaml, the settings and the docs agree."""

import importlib.util
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

from whisperlive_hybrid.cli import settings as settings_reference
from whisperlive_hybrid.config import GROUPS, IMAGE_DEFAULTS
from whisperlive_hybrid.models.store import BAKED, MOUNTED

DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

OF_LIBRARIES = {"HF_HOME", "HF_HUB_OFFLINE"}
"""Documented variables that the model hub's client reads."""

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM of the Dockerfile and what follows it: (instruction, rest of the line)."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def of(self, kind: str) -> list[str]:
        """Return the arguments of each instruction of a kind."""
        return [rest for instruction, rest in self.instructions if instruction == kind]

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of ENV."""
        return dict(each.split("=", 1) for line in self.of("ENV") for each in line.split())


def stages() -> dict[str, Stage]:
    """Return the stages of the Dockerfile by name, in their order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    split = [line.split(" ", 1) for line in lines if line]
    starts = [n for n, (instruction, _) in enumerate(split) if instruction == "FROM"]
    found = {}
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        base, _, name = split[start][1].split()
        rest = tuple((kind, line.strip()) for kind, line in split[start + 1 : end])
        found[name] = Stage(name, base, rest)
    return found


STAGES = stages()
RUNTIME = STAGES["runtime"]


def default(name: str) -> object:
    """Return the default of a setting."""
    fields = next(kind.model_fields for kind in GROUPS.values() if name in kind.model_fields)
    return fields[name].default


def known_variables() -> set[str]:
    """Return every variable that the server reads."""
    own = {row.variable for _, rows in settings_reference.sections() for row in rows}
    return own | OF_LIBRARIES


def unless_given(value: str) -> str:
    """Return a line of compose.yaml without any variables set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def seconds(duration: str) -> int:
    """Return a duration of compose.yaml or the Dockerfile in seconds."""
    (number,) = re.findall(r"^(\d+)[sm]$", duration)
    return int(number) * (60 if duration.endswith("m") else 1)


@every_service
def test_compose_sets_what_the_server_reads(service: dict[str, Any]) -> None:
    """A mistyped variable would be ignored; the four documented ones are in the file."""
    given = set(service["environment"])
    assert given <= known_variables()
    documented = {"PORT_WHISPERLIVE", "HTTP_PORT", "FASTERWHISPER_MODEL", "OMP_NUM_THREADS"}
    assert documented <= given


@every_service
def test_compose_leaves_the_defaults_alone(service: dict[str, Any]) -> None:
    """Ports, model and drain are the documented defaults."""
    given = {name: unless_given(value) for name, value in service["environment"].items()}
    assert given["PORT_WHISPERLIVE"] == str(default("live_port"))
    assert given["HTTP_PORT"] == str(default("http_port"))
    # Empty leaves the default of the image, which may have been built with another model.
    assert given["FASTERWHISPER_MODEL"] == ""
    assert float(given["WHISPERLIVE_DRAIN_S"]) == default("drain_s")


@every_service
def test_compose_publishes_both_ports(service: dict[str, Any]) -> None:
    """The published ports are those of the settings, by default on this machine only."""
    ports = [service["environment"][name] for name in ("PORT_WHISPERLIVE", "HTTP_PORT")]
    assert service["ports"] == [f"${{BIND_ADDRESS:-127.0.0.1}}:{port}:{port}" for port in ports]


@every_service
def test_compose_waits_longer_than_the_drain(service: dict[str, Any]) -> None:
    """A container that is killed while it drains would lose text of live clients."""
    drain_s = float(unless_given(service["environment"]["WHISPERLIVE_DRAIN_S"]))
    assert seconds(service["stop_grace_period"]) > drain_s


@every_service
def test_compose_starts_no_more_threads_than_it_allows_cores(service: dict[str, Any]) -> None:
    """Threads beyond a CPU quota would only be throttled."""
    limits = service["deploy"]["resources"]["limits"]
    assert limits["cpus"] == service["environment"]["OMP_NUM_THREADS"]
    assert {"memory", "pids"} <= set(limits)


@every_service
def test_compose_gives_no_right_that_is_not_needed(service: dict[str, Any]) -> None:
    """Only volumes are writable, and no privileges can be gained."""
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    writable = {volume.split(":")[1] for volume in service["volumes"] if not volume.endswith(":ro")}
    assert writable == {"/cache", "/data", "/tmp"}  # noqa: S108 (a volume)


@every_service
def test_compose_and_the_image_check_health_alike(service: dict[str, Any]) -> None:
    """It is one existing command, and is in the image, too."""
    (line,) = RUNTIME.of("HEALTHCHECK")
    options, _, command = line.partition("CMD")
    assert service["healthcheck"]["test"] == ["CMD", *json.loads(command)]
    assert importlib.util.find_spec(json.loads(command)[-1])
    of_image = dict(option.split("=") for option in options.split())
    for name in ("interval", "timeout", "start-period"):
        wanted = service["healthcheck"][name.replace("-", "_")]
        assert seconds(of_image[f"--{name}"]) == seconds(wanted)


def test_compose_builds_both_targets() -> None:
    """The GPU's service is the same image's other target, and starts only when it is named."""
    targets = {name: service["build"]["target"] for name, service in SERVICES.items()}
    assert targets == {"server": "cpu", "gpu": "cuda"}
    assert SERVICES["gpu"]["profiles"] == ["gpu"]
    assert "profiles" not in SERVICES["server"]


def test_compose_names_its_containers() -> None:
    """`docker logs whisperlive` works; Compose refuses a name that two services share."""
    names = {name: service["container_name"] for name, service in SERVICES.items()}
    assert names == {"server": "whisperlive", "gpu": "whisperlive-gpu"}


@every_service
def test_compose_builds_with_the_model_of_the_shell(service: dict[str, Any]) -> None:
    """`MODEL=base docker compose up --build` builds it in; unset, none is."""
    given = {name: unless_given(value) for name, value in service["build"]["args"].items()}
    assert given == {"MODEL": ""}
    (line,) = STAGES["models"].of("ARG")
    assert line == 'MODEL=""'


@every_service
def test_compose_has_a_place_for_downloads_and_one_for_own_models(service: dict[str, Any]) -> None:
    """A volume takes what the first start downloads; the directory beside compose.yaml is read."""
    places = {target: source for source, target, *_ in (v.split(":") for v in service["volumes"])}
    assert places["/cache"] in COMPOSE["volumes"]
    assert Path(RUNTIME.variables["WHISPERLIVE_MODELS_DIR"]).is_relative_to("/cache")
    assert f"./models:{MOUNTED}:ro" in service["volumes"]
    # Docker makes a missing directory, as root's; podman refuses to start.
    assert (ROOT / "models" / ".gitkeep").exists()


@every_service
def test_compose_lets_the_first_start_take_its_time(service: dict[str, Any]) -> None:
    """The server answers 503 while it downloads: `base` in half an hour is 0.7 Mbit/s."""
    assert seconds(service["healthcheck"]["start_period"]) >= 1800


def test_built_models_lie_where_no_volume_hides_them() -> None:
    """The store finds them there, and settings find the default that was built in."""
    assert RUNTIME.of("COPY") == [f"--from=models {BAKED} {BAKED}"]
    (line,) = RUNTIME.of("VOLUME")
    assert not any(BAKED.is_relative_to(volume) for volume in json.loads(line))
    assert IMAGE_DEFAULTS.parent == BAKED
    (script,) = STAGES["models"].of("RUN")
    assert f"> {IMAGE_DEFAULTS};" in script


def test_the_default_target_is_the_cpu() -> None:
    """`docker build .` builds the last stage, and that adds nothing."""
    assert list(STAGES)[-1] == "cpu"
    assert (STAGES["cpu"].base, STAGES["cpu"].instructions) == ("runtime", ())


def test_the_gpu_target_adds_libraries_and_variables_only() -> None:
    """What was tested with the CPU image applies to the other one, which never ran on a GPU."""
    cuda = STAGES["cuda"]
    assert cuda.base == "runtime"
    assert {kind for kind, _ in cuda.instructions} == {"COPY", "ENV"}
    assert cuda.of("COPY") == ["--from=cublas /opt/cublas/nvidia /opt/nvidia"]
    assert cuda.variables["WHISPERLIVE_DEVICE"] == "cuda"


def test_the_image_keeps_in_volumes_what_must_last() -> None:
    """Jobs, downloaded models and the operator's models are in volumes."""
    (line,) = RUNTIME.of("VOLUME")
    volumes = set(json.loads(line))
    assert volumes == {str(MOUNTED), "/cache", "/data"}
    assert RUNTIME.variables["WHISPERLIVE_DATA_DIR"] in volumes
    assert str(Path(RUNTIME.variables["HF_HOME"]).parent) in volumes


def test_the_image_says_the_ports_of_the_settings() -> None:
    """EXPOSE, ENV and the settings agree; every variable set there is one."""
    assert RUNTIME.of("EXPOSE") == [f"{default('live_port')} {default('http_port')}"]
    assert RUNTIME.variables["PORT_WHISPERLIVE"] == str(default("live_port"))
    assert RUNTIME.variables["HTTP_PORT"] == str(default("http_port"))
    of_the_system = {"PATH", "HOME", "PYTHONUNBUFFERED"}
    assert set(RUNTIME.variables) - of_the_system <= known_variables()


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    """The files that are copied are those that .dockerignore includes."""
    copied = {
        source
        for stage in STAGES.values()
        for line in stage.of("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_gpu_library_is_an_extra_that_is_pinned() -> None:
    """A virtual environment has the same packages and versions as the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = project["optional-dependencies"]["cuda"]
    name = re.split("[><=]", wanted)[0]
    assert f"\n{name}==" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    """The examples of docs/deployment.md in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DEPLOYMENT, re.MULTILINE | re.DOTALL)


def test_documented_probes_and_patience_hold() -> None:
    """The Kubernetes example probes existing endpoints and waits longer than the drain."""
    (manifest,) = fenced("yaml")
    objects = {each["kind"]: each for each in yaml.safe_load_all(manifest)}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > float(str(default("drain_s")))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"live": default("live_port"), "http": default("http_port")}
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")}
    startup = container["startupProbe"]
    assert startup["httpGet"] == {"path": "/ready", "port": "http"}
    # A probe that gave up would restart the download for ever.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800
    assert probes["liveness"] == {"path": "/health", "port": "http"}
    assert probes["readiness"] == {"path": "/ready", "port": "http"}
    assert pod["securityContext"]["runAsUser"] == int(RUNTIME.of("USER")[0].split(":")[0])
    assert objects["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert {each["name"] for each in container["env"]} <= known_variables()


def test_documented_unit_waits_longer_than_the_drain() -> None:
    """The systemd example, too."""
    (unit,) = fenced("ini")
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(patience) > float(str(default("drain_s")))
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    assert set(variables) <= known_variables()
    (cache,) = re.findall(r"^CacheDirectory=(.*)$", unit, re.MULTILINE)
    assert variables["WHISPERLIVE_MODELS_DIR"].startswith(f"/var/cache/{cache}/")


def test_documented_proxies_reach_both_ports() -> None:
    """The nginx and Caddy examples pass on to the ports of the settings."""
    for language in ("nginx", "caddyfile"):
        (example,) = fenced(language)
        ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", example)}
        assert ports == {default("live_port"), default("http_port")}
