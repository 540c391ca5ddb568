"""Builds the image of this tree and runs containers, by buildah and podman with separate storage.

No image is downloaded: mmdebstrap makes the Dockerfile's base image from Debian's packages, under
its name. It needs root but no kernel features (`chroot`, and `vfs` without overlay), so that it
works inside another container, too.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from paths import ROOT

IMAGE: Final = "localhost/whisperlive:image-test"

BARE: Final = "localhost/bare:image-test"
"""Debian with only the packages that the README requires, for its commands."""

TOOLS: Final = ("buildah", "podman", "runc", "mmdebstrap")

MIRROR: Final = "http://deb.debian.org/debian"

LEFT_OUT: Final = ("doc", "info", "locale", "man")
"""Excluded folders of /usr/share; Debian's slim images exclude the same ones."""

CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")

HARDENED: Final = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
"""As docs/deployment.md advises."""

# podman's default limits are higher than those of a container on a rented machine.
_LIMITS: Final = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=1000:1000", "--memory=2g")


def missing_tools() -> list[str]:
    """Return the tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@dataclass(frozen=True, slots=True)
class Containers:
    """Images and containers that lie in one directory."""

    directory: Path
    driver: str
    """overlay, or vfs, which copies the whole image for every container."""
    names: list[str] = field(default_factory=list)
    """Containers that were started, to be removed at the end."""

    def build(self, tag: str = IMAGE, model: str = "") -> None:
        """Build the image of this tree by the Dockerfile's default target, `model` inside."""
        base = base_name()
        if self.podman("image", "exists", base, check=False).returncode:
            self.import_debian(base, base)
        secrets = [f"--secret=id=pip.conf,src={self._pip_settings()}"]
        if CERTIFICATES.exists():
            secrets.append(f"--secret=id=ca.pem,src={CERTIFICATES}")
        self._buildah(
            "bud",
            "--isolation=chroot",
            "--network=host",
            "--format=docker",  # OCI's has no HEALTHCHECK
            "--pull-never",
            "--layers",  # a second image shares what it has in common with the first
            *secrets,
            f"--build-arg=MODEL={model}",
            f"--tag={tag}",
            str(ROOT),
        )

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman to its end; its complaints about a missing systemd are only shown."""
        done = subprocess.run(
            [*self._podman, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def run(
        self,
        *command: str,
        options: tuple[str, ...] = (),
        check: bool = True,
        image: str = IMAGE,
        network: str = "host",
    ) -> subprocess.CompletedProcess[str]:
        """Run `whisperlive` in a hardened container to its end."""
        arguments = self._run("--rm", *options, network=network)
        return self.podman(*arguments, image, *command, check=check)

    def start_detached(self, name: str, *command: str, options: tuple[str, ...] = ()) -> None:
        """Start `whisperlive` in a hardened container."""
        self.names.append(name)
        self.podman(*self._run("--detach", f"--name={name}", *options), IMAGE, *command)

    def start(
        self, name: str, options: tuple[str, ...] = (), image: str = IMAGE, network: str = "host"
    ) -> subprocess.Popen[str]:
        """Start the server in a hardened container; the process ends with its exit code."""
        arguments = self._run(f"--name={name}", *options, network=network)
        return self._start(name, [*arguments, image])

    def start_bare(
        self, name: str, script: str, options: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """Run lines of a shell in Debian as root, where anything can be written; like `start`."""
        return self._start(name, [*self._run_bare(f"--name={name}", *options), script])

    def run_bare(
        self, script: str, options: tuple[str, ...] = (), network: str = "host"
    ) -> subprocess.CompletedProcess[str]:
        """Run lines of a shell in Debian as root to their end; errors are not checked."""
        return self.podman(*self._run_bare("--rm", *options, network=network), script, check=False)

    def registry_options(self) -> tuple[str, ...]:
        """Options that let pip in a container reach the index that pip reaches here."""
        options = [f"--volume={self._pip_settings()}:/etc/pip.conf:ro"]
        if CERTIFICATES.exists():
            options.append(f"--volume={CERTIFICATES}:/run/secrets/ca.pem:ro")
        return tuple(options)

    def import_debian(self, name: str, base: str, *packages: str) -> None:
        """Make what `base` names, Debian without recommendations, with more packages, as `name`."""
        found = re.search(r"debian:(\w+)-slim$", base)
        assert found, f"{base} is no slim Debian: teach this function to make one."
        archive = self.directory / "base.tar"
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEFT_OUT]
        included = [f"--include={','.join(packages)}"] if packages else []
        options = ["--variant=minbase", *excluded, *included]
        _run(["mmdebstrap", *options, found[1], str(archive), MIRROR])
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", container, str(archive), "/")
        self._buildah("commit", "--rm", container, name)
        archive.unlink()

    def remove_all(self) -> None:
        """Remove all containers and mounts; the caller removes the directory."""
        for name in self.names:
            self.podman("rm", "--force", "--time=0", name, check=False)
        self._buildah("rm", "--all")  # it keeps one for the last stage
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):  # overlay's own directory is one
            if Path(mount).is_relative_to(self.directory):
                _run(["umount", mount])

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[str]:
        self.names.append(name)
        return subprocess.Popen(
            [*self._podman, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _pip_settings(self) -> Path:
        """A pip.conf that reaches the index that pip reaches here."""
        file = self.directory / "pip.conf"
        lines = [f"{name} = {value}" for name, value in network_settings(_pip_config())]
        if CERTIFICATES.exists():
            lines.append("cert = /run/secrets/ca.pem")
        file.write_text("\n".join(["[global]", *lines, ""]))
        # Containers read it as another user, and it may hold the password of an index: so of this
        # machine's users only root may enter the directory.
        self.directory.chmod(0o700)
        return file

    def _buildah(self, *arguments: str) -> str:
        return _run(["buildah", *self._storage, *arguments])

    def _run(self, *options: str, network: str = "host") -> list[str]:
        return ["run", "--pull=never", f"--network={network}", *_LIMITS, *HARDENED, *options]

    @staticmethod
    def _run_bare(*options: str, network: str = "host") -> list[str]:
        how = ["run", "--pull=never", f"--network={network}", *_LIMITS, *options]
        return [*how, BARE, "sh", "-c"]

    @property
    def _podman(self) -> list[str]:
        # crun needs more kernel features than runc; there may be no systemd, and no journal.
        how = ("--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc")
        return ["podman", *self._storage, *how]

    @property
    def _storage(self) -> list[str]:
        roots = (f"--root={self.directory / 'storage'}", f"--runroot={self.directory / 'run'}")
        return [*roots, f"--storage-driver={self.driver}"]


def base_name() -> str:
    """Return the name of the image that the Dockerfile begins with."""
    name: str = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
    return name


@contextmanager
def containers(directory: Path) -> Iterator[Containers]:
    """A storage with the image of this tree in it; everything is gone afterwards."""
    held = Containers(directory, "overlay" if _has_overlay(directory) else "vfs")
    try:
        held.build()
        yield held
    finally:
        held.remove_all()
        shutil.rmtree(directory)


def _has_overlay(directory: Path) -> bool:
    """Whether the kernel has it, for this file system; what is tried here is not kept."""
    tried = directory / "tried"
    roots = (f"--root={tried / 'storage'}", f"--runroot={tried / 'run'}")
    command = ["buildah", *roots, "--storage-driver=overlay", "info"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def network_settings(listing: str) -> Iterator[tuple[str, str]]:
    """Those lines of `pip config list` that say how an index is reached, from anywhere.

    Settings of the environment come last there and win; addresses on this disk mean nothing
    inside a container.
    """
    wanted = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
    for line in listing.splitlines():
        key, _, written = line.partition("=")
        name = key.rpartition(".")[2]
        words = str(ast.literal_eval(written)).split()
        reachable = " ".join(word for word in words if not word.startswith("file:"))
        if name in wanted and reachable:
            yield name, reachable


def _pip_config() -> str:
    return _run([sys.executable, "-m", "pip", "config", "list"])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, f"{command[0]}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
