"""Imports point one way, the core stays pure, and what is light stays light. Read from the source, not from memory."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vigil

ROOT = Path(vigil.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

BASE = {"types", "errors", "config"}
MAY: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "config": {"types", "errors"},
    "assets": BASE,
    "model": BASE,
    "stream": BASE | {"model"},
    "world": BASE | {"assets"},
    "data": BASE | {"assets", "model", "world"},
    "train": BASE | {"assets", "model", "world", "data"},
    "eval": BASE | {"assets", "model", "stream", "world", "data", "train"},
    "serve": BASE | {"assets", "model", "stream"},
    "client": {"types", "errors"},
    "hf": {"errors", "config", "model"},
}
"""What each room may import besides itself. `cli`, and the package's own lazy `__init__`, may import all."""
EVERYTHING = {"cli", "__init__", "__main__"}


def room_of(module: str) -> str | None:
    """The room of `vigil.model.weights` is `model`; a public name such as `vigil.Session` has a home too."""
    parts = module.split(".")
    if parts[0] != "vigil" or len(parts) < 2:
        return None
    if parts[1] in vigil._HOME:
        return vigil._HOME[parts[1]].split(".")[1]
    return parts[1] if parts[1] in MAY or parts[1] == "cli" else None


def imported(tree: ast.AST, *, package: str = "vigil") -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def wrong_way(source: str, file: str) -> list[str]:
    """Imports of a file that point the wrong way."""
    room = file.split("/")[0].removesuffix(".py")
    if room in EVERYTHING:
        return []
    package = ".".join(["vigil", *Path(file).parent.parts])
    return [
        f"{file}:{line} imports {name}"
        for line, name in imported(ast.parse(source), package=package)
        if (to := room_of(name)) is not None and to != room and to not in MAY[room]
    ]


@pytest.mark.parametrize("file", FILES)
def test_imports_point_one_way(file: str) -> None:
    assert wrong_way((ROOT / file).read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("model/x.py", "import vigil.stream.session"),
        ("model/x.py", "from vigil.stream import session"),
        ("model/x.py", "from vigil import Session"),
        ("model/x.py", "from ..stream import session"),
        ("stream/x.py", "def f():\n    from vigil.eval import log"),
        ("stream/x.py", "if TYPE_CHECKING:\n    from vigil.serve import app"),
        ("world/x.py", "from vigil.data.records import Record"),
        ("types.py", "from vigil.config import ModelConfig"),
        ("data/x.py", "from vigil import cli"),
        ("hf/x.py", "from vigil.stream.watch import answer"),
        ("eval/x.py", "import vigil.hf"),
    ],
)
def test_the_check_catches_an_import_that_points_the_wrong_way(file: str, line: str) -> None:
    assert len(wrong_way(line, file)) == 1


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith("hf/")])
def test_nothing_else_imports_the_wrappers_for_transformers(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    package = ".".join(["vigil", *Path(file).parent.parts])
    assert [name for _, name in imported(tree, package=package) if f"{name}.".startswith("vigil.hf.")] == []


def top_level(tree: ast.Module) -> set[str]:
    """First parts of the modules that are imported when the file is, type checking aside."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Try):
            names |= top_level(ast.Module(body=node.body, type_ignores=[]))
    return names


CORE = [f for f in FILES if f.startswith("model/") and f != "model/weights.py"]
CORE += ["stream/session.py", "stream/memory.py"]


@pytest.mark.parametrize("file", CORE)
def test_the_core_knows_no_thread_no_clock_and_no_file(file: str) -> None:
    outside = {"threading", "time", "pathlib", "os", "io", "asyncio", "queue", "socket", "datetime"}
    assert top_level(ast.parse((ROOT / file).read_text(encoding="utf-8"))) & outside == set()


SOURCES = {"stream/source.py", "stream/_media.py", "stream/_images.py", "stream/_reel.py"}
LIGHT = {"torch", "numpy", "safetensors", "tokenizers", "PIL", "vigil", *sys.stdlib_module_names}
ROOMS = ("model/", "stream/", "world/", "data/", "train/")


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith(ROOMS) and f not in SOURCES])
def test_the_core_and_the_data_need_few_packages(file: str) -> None:
    assert top_level(ast.parse((ROOT / file).read_text(encoding="utf-8"))) - LIGHT == set()


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


HEAVY = "heavy = {'torch', 'numpy', 'av', 'transformers', 'matplotlib'} & set(sys.modules)"


def test_importing_vigil_is_light() -> None:
    done = run(
        f"import sys, vigil, vigil.types, vigil.errors, vigil.config; {HEAVY}; sys.exit(str(heavy) if heavy else 0)"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not any(f.startswith("cli") for f in FILES), reason="there is no command yet")
def test_the_help_does_not_import_torch() -> None:
    done = run(
        "import sys\nfrom vigil.cli import main\nsys.argv = ['vigil', '--help']\n"
        "try:\n    code = main()\nexcept SystemExit as end:\n    code = end.code\n"
        f"{HEAVY}\nsys.exit(str(heavy) if heavy else code)"
    )
    assert done.returncode == 0, done.stderr
    assert "vigil watch" in done.stdout + done.stderr


def test_public_names_are_found_where_they_live() -> None:
    assert set(vigil.__all__) == {*vigil._HOME, "__version__", "config", "errors", "types"}
    for name in vigil.__all__:
        assert getattr(vigil, name) is not None
    with pytest.raises(AttributeError, match="module 'vigil' has no attribute 'nothing'"):
        _ = vigil.nothing
