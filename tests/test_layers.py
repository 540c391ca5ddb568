"""Who may import whom. The table is the law; the tests read the source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import whisperlive_hybrid

PACKAGE = "whisperlive_hybrid"
SOURCE = Path(whisperlive_hybrid.__file__).parent

LAYERS = [
    ("vocabulary", ["types", "errors", "config", "cores", "ip", "languages"]),
    (
        "pure core",
        [
            "audio",
            "speech",
            "text",
            "protocol",
            "access.addresses",
            "access.booking",
            "access.buckets",
            "access.caller",
            "access.daybook",
            "access.doorkeeper",
            "access.durations",
            "access.keyring",
            "access.meter",
            "access.pages",
            "access.tokens",
            "access.usage",
            "access.wrong_keys",
            "engine.capacity",
            "engine.scheduler",
            "engine.tally",
            "telemetry.last_minute",
            "calibration.verdict",
            "jobs.job",
            "jobs.stored",
            "batch.manifest",
            "batch.events",
        ],
    ),
    ("contract of backends", ["backends.base"]),
    (
        "a window's way through a model",
        ["engine.job", "engine.step", "engine.decoder", "engine.observer"],
    ),
    (
        "adapters",
        [
            "backends",
            "models",
            "model_formats",
            "media",
            "fetch",
            "disk",
            "store",
            "telemetry",
            "tuning",
        ],
    ),
    ("engine", ["engine.engine"]),
    ("parts of use cases", ["language_lock", "captions", "delays", "progress"]),
    ("use cases", ["transcribe", "recording", "session", "access"]),
    ("use cases of many models and files", ["model_pool", "jobs", "live_probe"]),
    ("the command line for many files", ["batch", "terminal", "settings_reference"]),
    ("doors, and what knocks at them", ["server", "healthcheck"]),
    ("benchmarks", ["bench"]),
    (
        "composition roots",
        [
            "server.app",
            "keys_command",
            "batch.local",
            "batch.ways",
            "batch.run",
            "batch.command",
            "calibration",
            "bench.profile",
            "bench.files_command",
            "bench.command",
            "cli",
            "__main__",
        ],
    ),
]
"""From the inside out. A name stands for a module and all below it, the longest match wins; a
module may import from its own layer and from those above it in this table. Modules may be listed
before they exist."""

CLOSED_ROOMS = [*dict(LAYERS)["pure core"], "types", "errors"]
"""Where nothing waits, sleeps, logs or talks to anybody."""

PURE_LIBRARIES = {"numpy"}
"""The only libraries inside: they compute."""

IMPURE_STANDARD = {
    "asyncio",
    "concurrent",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "queue",
    "random",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package, named from the package on ("speech.regions")."""
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """The full name of everything that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.Module) -> Iterator[str]:
    """What a module imports from this package, without the package's own name."""
    for name in imports(tree):
        if name.startswith(f"{PACKAGE}."):
            yield name.removeprefix(f"{PACKAGE}.")


def is_in(module: str, room: str) -> bool:
    """Whether a module (or a name in it) lies in a room."""
    return f"{module}.".startswith(f"{room}.")


def layer(module: str) -> int | None:
    """The layer of a module, counted from the inside; None if the table does not know it."""
    matches = [
        (len(room), depth)
        for depth, (_, rooms) in enumerate(LAYERS)
        for room in rooms
        if is_in(module, room)
    ]
    return max(matches)[1] if matches else None


MODULES = [(name, tree) for name, tree in modules() if name and tree.body]
"""The package's own __init__ tells its version; those of the rooms are empty."""

every_module = pytest.mark.parametrize(("name", "tree"), MODULES, ids=[name for name, _ in MODULES])


@every_module
def test_every_module_has_its_layer(name: str, tree: ast.Module) -> None:
    """A new module is put into the table by somebody who thought about it."""
    assert layer(name) is not None, f"{name} ({ast.get_docstring(tree)!r}) is in no layer"


@every_module
def test_imports_point_inward(name: str, tree: ast.Module) -> None:
    """No module knows of a layer outside of its own."""
    own = layer(name)
    assert own is not None
    for imported in ours(tree):
        if imported == "__version__":
            continue
        theirs = layer(imported)
        assert theirs is not None, f"{name} imports {imported}, which is in no layer"
        assert theirs <= own, f"{name} ({LAYERS[own][0]}) imports {imported} ({LAYERS[theirs][0]})"


@every_module
def test_the_core_is_pure(name: str, tree: ast.Module) -> None:
    """The core computes: no clock, no thread, no socket, no log, no model, no web."""
    if not any(is_in(name, room) for room in CLOSED_ROOMS):
        return
    for imported in imports(tree):
        top = imported.split(".")[0]
        assert top not in IMPURE_STANDARD, f"{name} imports {imported}"
        assert top in {PACKAGE, *PURE_LIBRARIES, *sys.stdlib_module_names}, (
            f"{name} imports {imported}"
        )


@every_module
def test_doors_do_not_know_each_other(name: str, tree: ast.Module) -> None:
    """HTTP and WebSocket share use cases, never code of their own."""
    doors = {"server.http", "server.ws"}
    own = {door for door in doors if is_in(name, door)}
    for imported in ours(tree) if own else ():
        others = {door for door in doors - own if is_in(imported, door)}
        assert not others, f"{name} imports {imported}"


@every_module
def test_only_composition_roots_know_a_backend(name: str, tree: ast.Module) -> None:
    """Everybody else sees the contract: another runtime, or another machine, may answer."""
    room = layer(name)
    if is_in(name, "backends") or LAYERS[room or 0][0] == "composition roots":
        return
    for imported in ours(tree):
        is_contract = is_in(imported, "backends.base")
        assert is_contract or not is_in(imported, "backends"), f"{name} imports {imported}"


def test_the_table_lists_each_room_once() -> None:
    """A room in two layers would be in none."""
    rooms = [room for _, rooms in LAYERS for room in rooms]
    assert len(rooms) == len(set(rooms))


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("__init__.py")), ids=str)
def test_package_files_define_nothing(file: Path) -> None:
    """Rooms have no code of their own: at most a docstring, a version, or names passed on."""
    allowed = (ast.Expr, ast.Assign, ast.ImportFrom)
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        assert isinstance(statement, allowed), f"line {statement.lineno}"


@every_module
def test_importing_does_nothing(name: str, tree: ast.Module) -> None:
    """A module defines; it neither calls anything for its effect nor loops nor opens."""
    for statement in tree.body:
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        is_definition = isinstance(
            statement,
            ast.Import
            | ast.ImportFrom
            | ast.ClassDef
            | ast.FunctionDef
            | ast.AsyncFunctionDef
            | ast.Assign
            | ast.AnnAssign,
        )
        is_main = name in {"__main__", "cli", "healthcheck"} and isinstance(statement, ast.If)
        assert is_docstring or is_definition or is_main, f"{name} line {statement.lineno}"
