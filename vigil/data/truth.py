"""The ground truth of a record with the captions behind it, as rows of the file that an event log is scored against."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from vigil.data.phrases import RECITED
from vigil.data.records import Record, Turn
from vigil.data.timeline import Timeline
from vigil.data.wording import say
from vigil.types import DenseCaptions
from vigil.world.words import ITEMS

_COUNTS = frozenset({"count", "count_named", "times"})


def truth_of(record: Record, captions: DenseCaptions) -> list[dict[str, Any]]:
    """Ground-truth rows of a record: a `q` row per question, with its `val` or `ev` rows; then the `null` rows.

    Question n is turn n: "q1" is the first, turn 0 the silent opening. A value holds from the frame that first shows it
    to the next value, or to the end of the turn. An event lasts as long as the captions that begin on its frame.
    Nothing is due in a `null` span: before the first question, and in turns in which what was asked for never happens.
    The role of an alert for a thing that never appears is "alert_absent". A recital is one question per item: "q1.A".
    """
    line = Timeline(captions, record.fps)
    ends = [*(after.ask_s for after in record.turns[1:]), record.duration_s]
    rows: list[dict[str, Any]] = []
    nulls: list[dict[str, Any]] = []
    for number, (turn, end_s) in enumerate(zip(record.turns, ends, strict=True)):
        q = f"q{number}"
        if turn.kind == "recital":
            rows += _recited(q, turn, line, end_s)
            continue
        kind = _kind(turn, offline=record.offline)
        if turn.question:
            rows.append(_question_row(q, turn, kind, end_s))
        if not turn.replies and end_s > turn.ask_s and not record.offline:
            nulls.append({"k": "null", "from": turn.ask_s, "to": end_s})
        due = [*(reply.time_s for reply in turn.replies), end_s]
        for reply, (from_s, to_s) in zip(turn.replies, pairwise(due), strict=True):
            texts = [reply.text, *reply.accept]
            if kind == "event":
                end = _event_end_s(line, from_s)
                rows.append({"k": "ev", "q": q, "s": from_s, "e": end, "v": reply.value, "accept": texts})
            else:
                rows.append({"k": "val", "q": q, "from": from_s, "to": to_s, "v": reply.value, "alias": texts})
    return rows + nulls


def _recited(q: str, turn: Turn, line: Timeline, end_s: float) -> list[dict[str, Any]]:
    """One question per item, named "<q>.<item>" as the claims about it are."""
    rows: list[dict[str, Any]] = []
    for item in ITEMS:
        name = f"{q}.{item}"
        rows.append({**_question_row(name, turn, "state", end_s), "named": True})
        shown = line.changes(item, "colour")
        spans = [(line.time_of(frame), v) for frame, v in shown]
        for (shown_s, v), (past_s, _) in pairwise([*spans, (end_s, "")]):
            from_s, to_s = max(shown_s, turn.ask_s), min(past_s, end_s)
            if v and (from_s < to_s or from_s == to_s == end_s):
                alias = [say(RECITED, item, v)]
                rows.append({"k": "val", "q": name, "from": from_s, "to": to_s, "v": v, "alias": alias})
    return rows


def _question_row(q: str, turn: Turn, kind: str, until_s: float) -> dict[str, Any]:
    return {
        "k": "q",
        "q": q,
        "t_ask": turn.ask_s,
        "kind": kind,
        "options": None,
        "role": "alert_absent" if turn.kind == "alert" and not turn.replies else turn.kind,
        "named": bool(turn.subject),
        "text": turn.question,
        "until": until_s,
    }


def _kind(turn: Turn, *, offline: bool) -> str:
    if turn.standing or turn.kind == "next":
        return "event"
    return "count" if offline and turn.kind in _COUNTS else "state"


def _event_end_s(line: Timeline, shown_s: float) -> float:
    """End of the captions that the frame at `shown_s` shows first; one frame later where there are none."""
    ends = [c.end_s for c in line.captions.captions if line.time_of(line.frame_of(c.start_s)) == shown_s]
    return max([*ends, shown_s + 1 / line.fps])
