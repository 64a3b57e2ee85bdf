"""The lines of the event log: one class per kind, and the canonical form that is hashed.

Two times: `t` is media time (s since the first frame of the stream), `w` is the run clock (s since the run started).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vigil.eval.jsonl import row_to_json

Clock = Literal["free", "cost", "wall"]
Act = Literal["silent", "speak", "continue", "stop"]
AnswerState = Literal["open", "final", "cut", "retracted"]
DropWhy = Literal["queue_full", "policy", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRow:
    """First line: the clock, and what ran."""

    v: Literal[1]
    """Version of the format."""
    clock: Clock
    w0: float
    """Run clock at media time 0 (s)."""
    speed: float
    """Media seconds per run-clock second."""
    fps: float
    model: str
    seed: int
    policy: str
    cost: dict[str, float] | None
    """Seconds that each operation costs on the "cost" clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """Frame `i` arrived, before any processing."""

    i: int
    t: float
    w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRow:
    """Frame `i` is visible to every later decoder step."""

    i: int
    w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRow:
    """Frame `i` will never become visible."""

    i: int
    w: float
    why: DropWhy


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictRow:
    """Frame `i` left the visual window."""

    i: int
    w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """A question; `direct` = an answer is expected now."""

    q: str
    t: float
    w: float
    text: str
    direct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRow:
    """One decision slot; `p` = P(silence)."""

    w: float
    vis: int
    p: float | None
    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class TokRow:
    """Visible token `n` of answer `a`; `vis` = newest frame visible to the pass that produced it, -1 if none."""

    n: int
    w: float
    vis: int
    text: str
    a: str
    lp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """Answer `a` to question `q` changed its state. "cut" = abandoned before its end."""

    a: str
    q: str | None
    w: float
    state: AnswerState
    supersedes: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """Resources: bytes of memory, tokens in the caches, largest position index."""

    w: float
    rss: float
    vram: float
    kv_text: int
    kv_vis: int
    pos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A live source was lost, or gives pictures again; `why` is the cause that the event names."""

    w: float
    t: float
    state: Literal["lost", "back"]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRow:
    """Last line."""

    w: float
    t: float
    why: str


Timed = (
    FrameRow
    | ReadyRow
    | DropRow
    | EvictRow
    | PromptRow
    | DecideRow
    | TokRow
    | AnswerRow
    | SampleRow
    | SourceRow
    | EndRow
)
Row = HeadRow | Timed
KINDS: dict[str, type[Row]] = {
    "head": HeadRow,
    "frame": FrameRow,
    "ready": ReadyRow,
    "drop": DropRow,
    "evict": EvictRow,
    "prompt": PromptRow,
    "decide": DecideRow,
    "tok": TokRow,
    "answer": AnswerRow,
    "sample": SampleRow,
    "source": SourceRow,
    "end": EndRow,
}
_KIND_OF = {cls: name for name, cls in KINDS.items()}


def object_of(row: Row) -> dict[str, Any]:
    """Spell a row as the JSON object of its line."""
    return {"k": _KIND_OF[type(row)], **row_to_json(row)}


def canonical_line(values: Mapping[str, Any], *, with_w: bool = True) -> str:
    """Spell a JSON object in the one form that is hashed: sorted keys, no spaces, floats rounded to 6 digits."""
    kept = {name: rounded(value) for name, value in values.items() if with_w or name != "w"}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def rounded(value: Any) -> Any:
    """Round every float in a JSON value to 6 digits."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
