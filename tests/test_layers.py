"""Who may import whom. The table is the law; the tests read the source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

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
            "media",
            "fetch",
            "daemon_thread",
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
            "server.startup",
            "keys_command",
            "models_command",
            "batch.local",
            "batch.ways",
            "batch.run",
            "batch.command",
            "calibration",
            "evaluation",
            "bench.aligned",
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
"""Without the package's own __init__, which has the version, and the empty ones."""


def test_every_module_has_its_layer() -> None:
    """A new module needs a row in the table."""
    assert [name for name, _ in MODULES if layer(name) is None] == []


def test_imports_point_inward() -> None:
    """No module imports from a layer outside of its own."""
    outward = [
        f"{name} ({LAYERS[own][0]}) imports {imported}"
        for name, tree in MODULES
        for imported in ours(tree)
        if (own := layer(name)) is not None and imported != "__version__"
        if (theirs := layer(imported)) is None or theirs > own
    ]
    assert outward == []


def test_the_core_is_pure() -> None:
    """The core computes: no clock, no thread, no socket, no log, no model, no web."""
    allowed = {PACKAGE, *PURE_LIBRARIES, *sys.stdlib_module_names} - IMPURE_STANDARD
    impure = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        if any(is_in(name, room) for room in CLOSED_ROOMS)
        for imported in imports(tree)
        if imported.split(".")[0] not in allowed
    ]
    assert impure == []


def test_doors_do_not_know_each_other() -> None:
    """HTTP and WebSocket share use cases, never code of their own."""
    crossing = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        for own, other in (("server.http", "server.ws"), ("server.ws", "server.http"))
        if is_in(name, own)
        for imported in ours(tree)
        if is_in(imported, other)
    ]
    assert crossing == []


def test_only_composition_roots_know_a_backend() -> None:
    """All other modules see the contract: another runtime, or another machine, may answer."""
    knowing = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        if not is_in(name, "backends") and LAYERS[layer(name) or 0][0] != "composition roots"
        for imported in ours(tree)
        if is_in(imported, "backends") and not is_in(imported, "backends.base")
    ]
    assert knowing == []


def test_the_table_lists_each_room_once() -> None:
    """A room in two layers would be in none."""
    rooms = [room for _, rooms in LAYERS for room in rooms]
    assert len(rooms) == len(set(rooms))


def test_package_files_define_nothing() -> None:
    """Rooms have no code of their own: at most a docstring, a version, or names passed on."""
    allowed = (ast.Expr, ast.Assign, ast.ImportFrom)
    defining = [
        f"{file.relative_to(SOURCE)} line {statement.lineno}"
        for file in SOURCE.rglob("__init__.py")
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        if not isinstance(statement, allowed)
    ]
    assert defining == []


def test_importing_does_nothing() -> None:
    """A module defines; it neither calls anything for its effect nor loops nor opens."""
    definitions = (
        ast.Import,
        ast.ImportFrom,
        ast.ClassDef,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.Assign,
        ast.AnnAssign,
    )
    acting = [
        f"{name} line {statement.lineno}"
        for name, tree in MODULES
        for statement in tree.body
        if not isinstance(statement, definitions)
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        if not (name in {"__main__", "cli", "healthcheck"} and isinstance(statement, ast.If))
    ]
    assert acting == []
