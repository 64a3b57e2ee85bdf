"""The mutation sample: what it changes, which lines it draws, and that it tells caught from survived."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location("mutants", Path(__file__).parents[2] / "tools" / "mutants.py")
assert SPEC is not None
assert SPEC.loader is not None
mutants = sys.modules["mutants"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutants)


def changed_to(source: str) -> set[str]:
    """Every text that one change makes of a source."""
    return {m.apply(source) for m in mutants.mutants_of("x.py", source) if m.is_change(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a <= b"}),
        ("a not in b", {"a in b"}),
        ("(a) is (b)", {"(a) is not (b)"}),
        ("é = a - b", {"é = a + b"}),
        ("a and b or c", {"a or b or c", "a and b and c"}),
        ("x = -1", {"x = -2"}),
        ("x = True", {"x = False"}),
        ("x = not y", {"x = y"}),
        ("a += 2", {"a -= 2", "a += 3", "pass"}),
        ("a[i:n]", {"a[(i) + 1:n]", "a[i:(n) + 1]"}),
        ("x = f(a, b)", {"x = f(b, a)"}),
        ("f()", {"pass"}),
        ("self.x = y", {"pass"}),
        ("def f():\n    if a:\n        return b\n    return c", {"def f():\n    if a:\n        pass\n    return c"}),
        (
            "if a < b:\n    raise E(f'{a + 1} of {2}')",
            {"if a <= b:\n    raise E(f'{a + 1} of {2}')", "if a < b:\n    pass"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_change_of_a_line_by_hand(source: str, expected: set[str]) -> None:
    assert changed_to(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""1 < 2, not 3 + 4."""',
        "x: Literal[1]",
        "def f(x: Array[2]) -> Array[3]: ...",
        "@dataclass(frozen=True)\nclass X: ...",
        "logger.info(f(1, 2))",
        "warnings.warn('x', stacklevel=2)",
        "x = f'{a + 1:04}'",
        "if TYPE_CHECKING:\n    f(1)",
        "f(a, a)[:]",
    ],
)
def test_texts_annotations_decorators_and_logging_are_left_alone(source: str) -> None:
    assert changed_to(source) - {source.replace("f(a, a)[:]", "pass")} == set()


SOURCE = "".join(f"def f{n}(a):\n    return a + {n}\n\n\n" for n in range(40))


def drawn(source: str, seed: int, size: int = 10) -> set[str]:
    return {m.diff(source) for m in mutants.sample({"x.py": source}, size, seed)}


def test_a_sample_is_that_of_its_seed_and_takes_one_change_of_a_line() -> None:
    assert drawn(SOURCE, 0) == drawn(SOURCE, 0) != drawn(SOURCE, 1)
    assert drawn(SOURCE, 0) < drawn(SOURCE, 0, size=20)
    lines = [m.line for m in mutants.sample({"x.py": SOURCE}, 100, 0)]
    assert sorted(lines) == list(range(2, 160, 4)), "each line once, and no line without a change"


def test_a_change_of_the_source_leaves_other_lines_in_the_sample() -> None:
    assert drawn("import os\n\n\n" + SOURCE, 0) == drawn(SOURCE, 0)


# ---- a whole run on a small tree ------------------------------------------------------------------------------------

MODULE = "def is_old(age):\n    return age >= 65\n\n\ndef half(x):\n    return x / 2\n"
TESTS = "from vigil.model.ages import is_old, half\n\ndef test_old():\n    assert is_old(70) and not is_old(3)\n"
FAR = "from vigil.model.ages import half\n\ndef test_six():\n    assert half(6) == 3\n\ndef test_red():\n    assert 0\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one file and its tests, which are run with no more plug-ins than the command names."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(mutants, "PYTEST", (*mutants.PYTEST, "-p", "xdist.plugin", "-p", "pytest_timeout"))
    for name, text in {
        "vigil/__init__.py": "",
        "vigil/model/__init__.py": "",
        "vigil/model/ages.py": MODULE,
        "tests/model/test_ages.py": TESTS,
        "tests/data/test_far.py": FAR,
        "tests/serve/test_left_out.py": "from vigil.model.ages import *\n\ndef test_65():\n    assert is_old(65)\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.timeout(300)  # a dozen runs of pytest
def test_a_run_tells_caught_from_survived_and_is_not_repeated(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main(["vigil/model", "--sample", "9"], root=tree) == 0
    said = capsys.readouterr().out
    rows = {row["where"]: row for row in map(json.loads, (tree / "runs/mutants.jsonl").read_text().splitlines())}
    (weak,) = (row for where, row in rows.items() if ":2 " in where)
    (far,) = (row for where, row in rows.items() if ":6 " in where)
    assert (weak["status"], weak["by"]) == ("survived", ""), "no test asks for 65 or 66"
    assert far["status"] == "caught"
    assert far["by"] == "tests/data/test_far.py::test_six", "and not test_red, which fails anyway"
    assert said.endswith("vigil/model: 1 of 2 caught\n1 of 2 caught, 50% (0 by the time limit)\n")
    assert weak["diff"] in said
    assert (tree / "vigil/model/ages.py").read_text() == MODULE, "only a copy is changed"

    (tree / "tests/model/test_ages.py").write_text(TESTS + "    assert is_old(65) and not is_old(64)\n")
    assert mutants.main(["vigil/model", "--sample", "9"], root=tree) == 0
    assert "1 of 2 caught" in capsys.readouterr().out, "what was found is kept"
    assert mutants.main(["vigil/model", "--sample", "9", "--again"], root=tree) == 0
    assert "2 of 2 caught, 100%" in capsys.readouterr().out


def test_the_share_is_told_by_folder_whatever_was_changed() -> None:
    rows = [
        {"file": f"vigil/{name}", "where": f"vigil/{name}:3 / to *", "status": status, "diff": "-a\n+b"}
        for name, status in (("data/a.py", "caught"), ("data/b.py", "timeout"), ("model/c.py", "survived"))
    ]
    assert mutants.summary(rows) == (
        "\nvigil/model/c.py:3 / to *\n-a\n+b\n\nvigil/data: 2 of 2 caught\nvigil/model: 0 of 1 caught\n"
        "2 of 3 caught, 67% (1 by the time limit)"
    )


def test_a_stopped_run_keeps_what_was_found(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def stopped(self: Any, mutant: Any, *rest: Any) -> tuple[str, str]:
        asked.append(mutant.line)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return "caught", "somebody"

    monkeypatch.setattr(mutants.Copy, "verdict", stopped)
    assert mutants.main(["vigil/model"], root=tree) == 130
    assert mutants.main(["vigil/model"], root=tree) == 0
    assert asked == [asked[0], asked[1], asked[1]], "the first is not tried twice"


def test_a_path_without_source_is_told_and_not_a_traceback(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main(["vigil/nothing"], root=tree) == 2
    assert "a path holds no Python source of this tree" in capsys.readouterr().err
    assert mutants.main(["vigil/model/__init__.py"], root=tree) == 2
    assert "nothing there can be changed" in capsys.readouterr().out
