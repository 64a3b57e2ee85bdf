"""Builds small event logs and truths for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from vigil.eval.log import Log, parse_log
from vigil.eval.truth import Truth, parse_truth

HEAD: dict[str, Any] = {
    "k": "head",
    "v": 1,
    "clock": "cost",
    "w0": 0,
    "speed": 1,
    "fps": 1,
    "model": "tiny",
    "seed": 0,
    "policy": "argmax",
    "cost": {"token": 0.1},
}


def near(expected: float | list[float], *, abs: float | None = None, rel: float | None = None) -> Any:  # noqa: A002
    """`pytest.approx`, which may stand inside a tuple."""
    return pytest.approx(expected, abs=abs, rel=rel)


def text_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) for row in rows]


def log_of(*rows: dict[str, Any], end_s: float = 60.0, **head: Any) -> Log:
    """A log of these rows, put in order of `w` (stable), between a head and an end."""
    ordered = sorted(rows, key=lambda row: row["w"])
    return parse_log(text_of([HEAD | head, *ordered, {"k": "end", "w": end_s, "t": end_s, "why": "eof"}]))


def frame(i: int, w: float, *, ready_s: float | None = 0.0) -> list[dict[str, Any]]:
    """Frame `i` arrives at `w`, and is ready so many seconds later (None: never)."""
    rows: list[dict[str, Any]] = [{"k": "frame", "i": i, "t": w, "w": w}]
    return rows if ready_s is None else [*rows, {"k": "ready", "i": i, "w": w + ready_s}]


def ask(q: str, t: float, *, direct: bool = False) -> dict[str, Any]:
    return {"k": "prompt", "q": q, "t": t, "w": t, "text": q, "direct": direct}


def tokens(a: str, times: Sequence[float], vis: Sequence[int], *, q: str | None = "q1") -> list[dict[str, Any]]:
    """An open answer with one token at each time."""
    said = [
        {"k": "tok", "n": n, "w": w, "vis": v, "text": "x", "a": a}
        for n, (w, v) in enumerate(zip(times, vis, strict=True))
    ]
    return [{"k": "answer", "a": a, "q": q, "w": times[0], "state": "open"}, *said]


def say(a: str, t: float, text: str, *, q: str | None = "q1", supersedes: str | None = None) -> list[dict[str, Any]]:
    """A whole answer of one token at media time `t`."""
    opened = {"k": "answer", "a": a, "q": q, "w": t, "state": "open"}
    return [
        opened if supersedes is None else opened | {"supersedes": supersedes},
        {"k": "tok", "n": 0, "w": t, "vis": -1, "text": text, "a": a},
        {"k": "answer", "a": a, "q": q, "w": t, "state": "final", "text": text},
    ]


def decide(w: float, act: str, *, vis: int = -1, p: float | None = None) -> dict[str, Any]:
    return {"k": "decide", "w": w, "vis": vis, "p": p, "act": act}


def truth_of(*rows: dict[str, Any]) -> Truth:
    return parse_truth(text_of(rows))


def question(q: str = "q1", t_ask: float = 0.0, kind: str = "event", **more: Any) -> dict[str, Any]:
    return {"k": "q", "q": q, "t_ask": t_ask, "kind": kind, "options": None} | more


def value(from_s: float, to_s: float, v: str, *, q: str = "q1", alias: Sequence[str] = ()) -> dict[str, Any]:
    return {"k": "val", "q": q, "from": from_s, "to": to_s, "v": v, "alias": list(alias)}


def happening(
    s: float, e: float | None = None, v: str | None = None, *, q: str | None = "q1", **more: Any
) -> dict[str, Any]:
    return {"k": "ev", "q": q, "s": s, "e": s if e is None else e, "v": v} | more


def null(from_s: float, to_s: float) -> dict[str, Any]:
    return {"k": "null", "from": from_s, "to": to_s}
