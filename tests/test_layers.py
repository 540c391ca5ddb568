"""Rules for imports between packages, checked against every import of the source."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import whisperlive_hybrid

PACKAGE = "whisperlive_hybrid"
SOURCE = Path(whisperlive_hybrid.__file__).parent

LAYERS = [
    ("vocabulary", ["types", "errors", "languages", "system", "config"]),
    ("pure core", ["audio", "speech", "text", "protocol", "auth"]),
    ("adapters", ["backends", "models", "media", "fetch", "storage"]),
    ("engine", ["engine"]),
    ("telemetry", ["telemetry"]),
    ("use cases", ["notifier", "language_gate", "transcribe", "model_pool", "live", "jobs"]),
    ("edges", ["server", "cli", "bench", "healthcheck", "__main__"]),
]
"""Layers from the inside out, with their packages and top-level modules. A package may import from
its own layer and from those before it in this table."""

PURE = {"types", "errors", *dict(LAYERS)["pure core"]}
"""Packages without clocks, threads, sockets, logs, settings, models and web libraries."""

PURE_LIBRARIES = {"numpy", "soxr"}
"""The only libraries that the core may import."""

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
    """Return every module of the package by its name within it ("speech.regions")."""
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Return the full names of all imports of a module, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.Module) -> Iterator[str]:
    """Return the imports of a module from this package, without its name."""
    for name in imports(tree):
        if name.startswith(f"{PACKAGE}."):
            yield name.removeprefix(f"{PACKAGE}.")


def package(module: str) -> str:
    """Return the package of a module (or of a name in it), or the top-level module."""
    return module.partition(".")[0]


LAYER = {name: depth for depth, (_, names) in enumerate(LAYERS) for name in names}
"""The layer of each package, numbered from the inside."""

MODULES = [(name, tree) for name, tree in modules() if name and tree.body]
"""All modules but the package's __init__, which has the version, and empty ones."""


def test_every_package_has_one_layer() -> None:
    """Every package is in the table."""
    listed = [name for _, names in LAYERS for name in names]
    assert sorted(listed) == sorted({package(name) for name, _ in MODULES})


def test_imports_point_inward() -> None:
    """No package imports from a layer outside of its own."""
    outward = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        for imported in ours(tree)
        if imported != "__version__" and LAYER[package(imported)] > LAYER[package(name)]
    ]
    assert outward == []


def test_packages_form_no_cycle() -> None:
    """Packages form no import cycles, so that each can be tested without its importers."""
    imported = defaultdict[str, set[str]](set)
    for name, tree in MODULES:
        imported[package(name)] |= {package(other) for other in ours(tree)} - {package(name)}
    imported.pop("__version__", None)
    TopologicalSorter(imported).prepare()  # raises CycleError, which names the cycle


def test_the_core_is_pure() -> None:
    """The core imports no clock, thread, socket, log, model or web library."""
    allowed = {PACKAGE, *PURE_LIBRARIES, *sys.stdlib_module_names} - IMPURE_STANDARD
    impure = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        if package(name) in PURE
        for imported in imports(tree)
        if imported.split(".")[0] not in allowed
    ]
    assert impure == []


def test_the_core_knows_no_settings() -> None:
    """The core gets its parameters as arguments."""
    knowing = [
        name
        for name, tree in MODULES
        if package(name) in PURE
        if any(imported.startswith("config.") for imported in ours(tree))
    ]
    assert knowing == []


def test_servers_of_different_protocols_do_not_know_each_other() -> None:
    """The HTTP and live servers share use cases, and never import each other."""
    crossing = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        for own, other in (("server.http.", "server.live."), ("server.live.", "server.http."))
        if name.startswith(own)
        for imported in ours(tree)
        if imported.startswith(other)
    ]
    assert crossing == []


def test_only_adapters_and_edges_know_a_backend() -> None:
    """The engine and the use cases import only the contract of backends."""
    knowing = [
        f"{name} imports {imported}"
        for name, tree in MODULES
        if package(name) not in {"backends", *dict(LAYERS)["edges"]}
        for imported in ours(tree)
        if imported.startswith("backends.") and not imported.startswith("backends.base.")
    ]
    assert knowing == []


def test_package_files_define_nothing() -> None:
    """A package's __init__ has at most a docstring, a version, or imported names."""
    allowed = (ast.Expr, ast.Assign, ast.ImportFrom)
    defining = [
        f"{file.relative_to(SOURCE)} line {statement.lineno}"
        for file in SOURCE.rglob("__init__.py")
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        if not isinstance(statement, allowed)
    ]
    assert defining == []


def test_importing_does_nothing() -> None:
    """A module only defines: it has no calls for effects, loops or with statements."""
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
        if not (name in {"__main__", "cli.main", "healthcheck"} and isinstance(statement, ast.If))
    ]
    assert acting == []
