"""What a session is, folded from its events: the same fold runs while it lives and after a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vigil.serve.lines import dump

KEPT_TURNS = 8
"""Newest turns, and newest closed answers, that a session goes on with."""
ENVELOPE = ("seq", "type", "t_mono", "t_wall", "epoch", "by")
"""Fields that the log itself puts into an event."""


@dataclass(slots=True)
class State:
    """All that the next life of a session needs to know. Bounded, however long the session is."""

    head: int = 0
    """Number of the newest event."""
    t_mono: float = 0.0
    t_wall: float = 0.0
    epoch: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of `session.created`, brought up to date by `session.updated`."""
    applied: dict[str, int] = field(default_factory=dict)
    """Highest command number of each client that had an effect."""
    open: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Revisions that are being said, by answer: answer_id, rev, turn, text, evidence."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    """The newest questions: turn, text and what else the event says."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """The newest closed revisions."""
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest `source.opened` of each source that has not ended."""
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest `input.frames.total` of each source."""
    evidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest frame of each source that an event names as perceived."""
    closed: str | None = None
    """Why the session was closed; None while it is open."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> State:
        """Read what `to_json` gave."""
        return cls(**values)

    def digest(self) -> str:
        """A hash that is equal where two states are."""
        return hashlib.sha256(dump(dict(sorted(self.to_json().items()))).encode()).hexdigest()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take the next event in."""
        self.head, self.t_mono, self.t_wall = event["seq"], event["t_mono"], event["t_wall"]
        self.epoch = event["epoch"]
        if (by := event.get("by")) is not None:
            self.applied[by["client_id"]] = by["cmd"]
        if (evidence := event.get("evidence")) is not None:
            self.evidence[str(evidence.get("source"))] = dict(evidence)
        match event["type"]:
            case "session.created" | "session.updated":
                self.settings |= _fields(event)
            case "session.closed":
                self.closed = str(event.get("reason"))
            case "source.opened":
                self.sources[str(event["source"])] = _fields(event)
            case "source.ended":
                self.sources.pop(str(event["source"]), None)
            case "input.frames.total":
                self.totals[str(event["source"])] = _fields(event)
            case "input.text.accepted":
                self.turns = [*self.turns, _fields(event)][-KEPT_TURNS:]
            case "answer.started" | "answer.revised" | "answer.delta" | "answer.done":
                self._answer(event)

    def _answer(self, event: Mapping[str, Any]) -> None:
        key = str(event["answer_id"])
        if event["type"] == "answer.done":
            self.open.pop(key, None)
            self.answers = [*self.answers, _fields(event)][-KEPT_TURNS:]
            return
        if event["type"] != "answer.delta":
            names = ("answer_id", "rev", "turn", "evidence")
            turn = {"turn": self.open.get(key, {}).get("turn")}
            self.open[key] = turn | {name: event[name] for name in names if name in event} | {"text": ""}
        elif key in self.open:
            self.open[key]["text"] += event["text"]
            self.open[key]["evidence"] = event.get("evidence")


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ENVELOPE}
