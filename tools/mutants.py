"""Break the source in small ways, one at a time, and count how often a test notices.

    python tools/mutants.py --sample 50 --seed 0                       # vigil/model, vigil/stream and vigil/data
    python tools/mutants.py --sample 20 --seed 0 vigil/model/rope.py   # or of these files and folders

Each mutant changes one operator, constant, argument or statement in a copy of the tree. The tests run that mirror its
file, and if none fails, the nearest others that import it, directly or through other files. Results are kept, one JSON
line each, in runs/mutants.jsonl: a stopped run goes on where it was, and `--again` tries those that survived once more.
The sample depends on the seed and on each line's own text, so that it stays the same where the source does.

A test must fail twice to count, and not on the unchanged tree. What runs past the time limit counts as caught.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).resolve().parents[1]
PATHS = ("vigil/model", "vigil/stream", "vigil/data")
LEFT_OUT = {"serve", "client", "examples", "hf", "docs"}
"""Folders of tests that are not asked: they start processes, or take minutes."""
NEAREST = 24
"""Files of tests that are asked besides those that mirror the file; all would take as long as the whole suite."""
PYTEST = ("-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=no", "-rfE")
TEST_S, RUN_S = 60, 1200  # time limits of one test and of one run of pytest
KEPT = "runs/mutants.jsonl"
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "runs", "run", "build", "dist", "*.egg-info")

Row = dict[str, Any]  # what became of a mutant: key, file, where, status, by (the test that failed), diff, wall_s
SWAPS = {
    "Lt": "< <=", "LtE": "<= <", "Gt": "> >=", "GtE": ">= >", "Eq": "== !=", "NotEq": "!= ==", "Is": "is is~not",
    "IsNot": "is~not is", "In": "in not~in", "NotIn": "not~in in", "And": "and or", "Or": "or and", "Add": "+ -",
    "Sub": "- +", "Mult": "* /", "Div": "/ *", "FloorDiv": "// *", "Mod": "% //", "Pow": "** *", "BitAnd": "& |",
    "BitOr": "| &",
}  # fmt: skip
"""Operator -> how it is spelt, and what takes its place."""
UNTOUCHED = {"annotation", "returns", "decorator_list", "msg"}
LOGGING = re.compile(r"(logging|logger|log|warnings)\.")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change of one file."""

    file: str
    line: int
    kind: str
    start: int
    stop: int
    """What is replaced, in bytes of the file."""
    put: str

    def apply(self, source: str) -> str:
        """The file with the change."""
        raw = source.encode()
        return (raw[: self.start] + self.put.encode() + raw[self.stop :]).decode()

    def is_change(self, source: str) -> bool:
        """Whether the file still parses, and means something else to Python."""
        try:
            return ast.dump(ast.parse(self.apply(source))) != ast.dump(ast.parse(source))
        except SyntaxError:
            return False

    def diff(self, source: str) -> str:
        """The lines that change."""
        rows = unified_diff(source.splitlines(), self.apply(source).splitlines(), n=0, lineterm="")
        return "\n".join(row for row in rows if not row.startswith(("---", "+++", "@@")))


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Every change that can be made to a file."""
    raw, found = source.encode(), list[Mutant]()
    begins = [0, *accumulate(len(line) for line in raw.splitlines(keepends=True))]

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        return begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset  # type: ignore[operator]

    def put(kind: str, text: str, start: int, stop: int) -> None:
        found.append(Mutant(file, raw[:start].count(b"\n") + 1, kind, start, stop, text))

    def swap(before: ast.expr, operator: ast.AST, after: ast.expr, suffix: str = "") -> None:
        """Change the operator between two operands."""
        old, _, new = SWAPS.get(type(operator).__name__, "").partition(" ")
        start, stop = span(before)[1], span(after)[0]
        gap = raw[start:stop].decode()
        changed = gap.replace(old.replace("~", " ") + suffix, new.replace("~", " ") + suffix, 1)
        put(f"{old} to {new}".replace("~", " "), changed, start, stop)

    for node, parent in _walk(ast.parse(source)):
        if isinstance(node, ast.AugAssign):
            swap(node.target, node.op, node.value, "=")
        match node:
            case ast.Compare(left=left, ops=operators, comparators=others):
                for (before, after), operator in zip(pairwise([left, *others]), operators, strict=True):
                    swap(before, operator, after)
            case ast.BoolOp(op=operator, values=values):
                for before, after in pairwise(values):
                    swap(before, operator, after)
            case ast.BinOp(left=left, op=operator, right=right):
                swap(left, operator, right)
            case ast.UnaryOp(op=ast.Not()):
                put("not dropped", "", span(node)[0], span(node)[0] + len("not "))
            case ast.Constant(value=bool(value)):
                put("boolean", str(not value), *span(node))
            case ast.Constant(value=int(value) | float(value)):
                put("constant", repr(value + 1), *span(node))
            case ast.Slice(lower=lower, upper=upper):
                for bound in (one for one in (lower, upper) if one and not isinstance(one, ast.Constant)):
                    put("off by one", f"({ast.unparse(bound)}) + 1", *span(bound))
            case ast.Call(args=[first, second, *_]) if not isinstance(first, ast.Starred):
                put("arguments swapped", ", ".join(map(ast.unparse, (second, first))), span(first)[0], span(second)[1])
            case ast.Return() if not isinstance(parent, ast.If):
                pass  # a function without its last line is no small change
            case ast.Return() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete() | ast.AugAssign():
                put("statement dropped", "pass", *span(node))
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Expr(value=ast.Call()):
                put("statement dropped", "pass", *span(node))
    return found


def _walk(node: ast.AST, parent: ast.AST | None = None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Every node with its parent, but for annotations, decorators, error texts, formatted texts and logging."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Expr) and LOGGING.match(ast.unparse(node.value)):
        return
    yield node, parent
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in UNTOUCHED:
                yield from _walk(child, node)


def sample(sources: dict[str, str], size: int, seed: int) -> list[Mutant]:
    """`size` mutants, one on a line, each line that can be changed as likely as any other.

    A line's lot is drawn from the seed, its file and its text: changes elsewhere leave it in or out of the sample.
    """
    lots: dict[str, list[Mutant]] = {}
    for file, source in sources.items():
        texts, seen, numbers = source.split("\n"), Counter[str](), dict[int, int]()
        for mutant in mutants_of(file, source):
            text = texts[mutant.line - 1].strip()
            if mutant.line not in numbers:
                seen[text] += 1
                numbers[mutant.line] = seen[text]
            lots.setdefault(f"{seed}:{file}:{text}:{numbers[mutant.line]}", []).append(mutant)
    drawn: list[Mutant] = []
    for lot in sorted(lots, key=lambda lot: random.Random(lot).random()):
        own = random.Random(lot[::-1]).sample(lots[lot], len(lots[lot]))
        if len(drawn) < size:
            drawn += [mutant for mutant in own if mutant.is_change(sources[mutant.file])][:1]
    return drawn


def importers_of(root: Path) -> dict[str, set[str]]:
    """Which files import each file, read from the sources of the package and of the tests."""
    files = [path.relative_to(root) for top in ("vigil", "tests") for path in sorted((root / top).rglob("*.py"))]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path.as_posix() for path in files}
    names |= {path.stem: path.as_posix() for path in files if path.parts[0] == "tests"}  # as pytest imports them
    found: dict[str, set[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = (getattr(node, "module", None) or "") + "."
                said = {module.strip("."), *((module + alias.name).strip(".") for alias in node.names)}
                for name in said & names.keys():
                    found.setdefault(names[name], set()).add(path.as_posix())
    return found


def tests_of(file: str, importers: dict[str, set[str]]) -> list[list[str]]:
    """Tests that could see a change, in two rounds: those that mirror the file, then others, of its own room first."""
    ordered = {file: None}
    queue = deque([file])
    while queue:
        new = sorted(importers.get(queue.popleft(), set()) - ordered.keys())
        ordered |= dict.fromkeys(new)
        queue += new
    tests = [one for one in ordered if Path(one).name.startswith("test_") and Path(one).parts[1] not in LEFT_OUT]
    own = [one for one in tests if Path(one).parts[1] == Path(file).parts[1]]
    mirrored = [one for one in own if Path(one).name == f"test_{Path(file).stem.strip('_')}.py"] or own
    return [mirrored, [one for one in dict.fromkeys(own + tests) if one not in mirrored][:NEAREST]]


class Copy:
    """A copy of the tree, in which one file at a time is changed."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = folder / "tree"
        shutil.copytree(root, self.root, ignore=NOT_COPIED)
        self._env = {**os.environ, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        self._clock = time.time()
        self._proven: set[tuple[str, ...]] = set()
        self._unfit: list[str] = []  # tests that fail without any change, or do not fail twice

    def verdict(self, mutant: Mutant, source: str, rounds: list[list[str]]) -> tuple[str, str]:
        """Status of a mutant (caught, timeout or survived), and the test that failed."""
        for tests in rounds:
            while tests:
                self._write(mutant.file, mutant.apply(source))
                status, by = self._run(tests)
                is_sure = status != "passed" and (not by or self._run([by], 3 * TEST_S)[0] != "passed")
                self._write(mutant.file, source)
                if status == "passed":
                    break
                if is_sure and self._passes_unchanged((by,) if by else tuple(tests)):
                    return ("timeout" if status == "timeout" else "caught"), by
                if "::" in by and by not in self._unfit:
                    self._unfit.append(by)
                else:
                    tests.remove(by.split("::")[0] or tests[0])
        return "survived", ""

    def _passes_unchanged(self, tests: tuple[str, ...]) -> bool:
        if tests not in self._proven and self._run(tests)[0] == "passed":
            self._proven.add(tests)
        return tests in self._proven

    def _run(self, tests: Sequence[str], limit_s: float = RUN_S) -> tuple[str, str]:
        """Run tests: passed, failed or timeout, and the name of the one that failed."""
        command = [sys.executable, *PYTEST, f"--timeout={TEST_S}", *(f"--deselect={one}" for one in self._unfit)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen([*command, *tests], cwd=self.root, env=self._env, start_new_session=True, **pipes)
        try:
            said, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return "timeout", ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        named = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)
        return "passed" if process.returncode in (0, 5) else "failed", named[1] if named else ""

    def _write(self, file: str, source: str) -> None:
        """Write a file with a time of its own, so that no compiled form of another state is taken for it."""
        self._clock += 2
        (self.root / file).write_text(source, encoding="utf-8")
        os.utime(self.root / file, (self._clock, self._clock))


def try_all(copy: Copy, mutants: Sequence[Mutant], sources: dict[str, str], kept: Path, *, again: bool) -> list[Row]:
    """Try each mutant, or take its result from an earlier run."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    known: dict[str, Row] = {row["key"]: row for row in map(json.loads, kept.read_text("utf-8").splitlines())}
    importers, results = importers_of(copy.root), list[Row]()
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with kept.open("a", encoding="utf-8") as out, Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=len(mutants))
        for mutant in mutants:
            source, where = sources[mutant.file], f"{mutant.file}:{mutant.line} {mutant.kind}"
            key = sha256(f"{source}{mutant}".encode()).hexdigest()[:16]
            row = known.get(key)
            if row is None or (again and row["status"] == "survived"):
                bar.update(task, description=where)
                began_s = time.monotonic()
                status, by = copy.verdict(mutant, source, tests_of(mutant.file, importers))
                row = {"key": key, "file": mutant.file, "where": where, "status": status, "by": by}
                row |= {"diff": mutant.diff(source), "wall_s": round(time.monotonic() - began_s, 1)}
                out.write(json.dumps(row) + "\n")
                out.flush()
            bar.console.print(f"{row['status']:9}{where} {row['by']}", markup=False, highlight=False, soft_wrap=True)
            results.append(row)
            bar.advance(task)
    return results


def summary(results: Sequence[Row]) -> str:
    """The diff of each survivor, and the share caught: of each folder, and of all."""
    rows = [f"\n{row['where']}\n{row['diff']}" for row in results if row["status"] == "survived"]
    caught = [str(Path(row["file"]).parent) for row in results if row["status"] != "survived"]
    tried = Counter(str(Path(row["file"]).parent) for row in results)
    rows += ["", *(f"{folder}: {caught.count(folder)} of {num} caught" for folder, num in sorted(tried.items()))]
    late, share = sum(row["status"] == "timeout" for row in results), f"{len(caught) / len(results):.0%}"
    return "\n".join([*rows, f"{len(caught)} of {len(results)} caught, {share} ({late} by the time limit)"])


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Exit code 0 when all were tried, 2 for paths without Python files or mutants, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=PATHS, help="files and folders (default: %(default)s)")
    parser.add_argument("--sample", type=int, default=50, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="try those that survived an earlier run once more")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(root, Path(folder))
        try:
            paths = [copy.root / path for path in args.paths]
            found = [one for path in paths for one in sorted(path.rglob("*.py")) or [path]]
            sources = {one.relative_to(copy.root).as_posix(): one.read_text(encoding="utf-8") for one in found}
            results = try_all(copy, sample(sources, args.sample, args.seed), sources, root / KEPT, again=args.again)
        except (OSError, ValueError, SyntaxError) as error:
            print(f"a path holds no Python source of this tree: {error}.", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here.", file=sys.stderr)
            return 130
    print(summary(results) if results else "nothing there can be changed.")
    return 0 if results else 2


if __name__ == "__main__":
    raise SystemExit(main())
