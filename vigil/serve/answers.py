"""From the model's events to the wire's: turns, answers and revisions, silence. Numbers go on after a restart."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vigil.serve.events import event
from vigil.types import Asked, Done, Event, Interrupted, Revise, Say, Silence

Evidence = Callable[[int, float], dict[str, Any] | None]
"""From the index of the newest frame seen, and the time, to what the wire says about it."""


@dataclass(slots=True)
class Turn:
    """From one question to the next. Turn 0 comes before the first."""

    number: int
    text: str = ""
    answer_by_s: float | None = None
    """Seconds in which an answer must begin; None: a standing question."""
    accepted_s: float = 0.0
    is_answered: bool = False
    is_reported: bool = False
    """That no answer came has been said."""

    @property
    def owes_answer(self) -> bool:
        """A direct question that has neither been answered nor given up."""
        return self.answer_by_s is not None and not self.is_answered and not self.is_reported

    def unanswered(self, now_s: float, cause: str) -> dict[str, Any]:
        """Say that no answer came."""
        self.is_reported = True
        return event("input.text.unanswered", turn=self.number, waited_s=round(now_s - self.accepted_s, 3), cause=cause)


@dataclass(slots=True)
class _Open:
    """The revision that is being said."""

    answer_id: int
    rev: int
    pieces: int = 0
    tokens: int = 0
    text: str = ""
    evidence: dict[str, Any] | None = None
    ttft_ms: float | None = None


class Answers:
    """Translates one seat's events. `asked` holds the questions that were given to the seat and not yet read by it."""

    def __init__(self, evidence: Evidence, *, turn: Turn, answers: int = 0) -> None:
        """`answers` is the highest answer id that the session has used before."""
        self.turn = turn
        self.asked: deque[Turn] = deque()
        self.status: Counter[str] = Counter()
        self.open: _Open | None = None
        self.unanswered = 0
        self._evidence = evidence
        self._base = answers
        self._last = ""
        self._fresh = 0
        """Tokens that were drawn for what is said next."""

    def drew(self, num_tokens: int) -> None:
        """The model has drawn tokens for what it says next."""
        self._fresh += num_tokens

    def give_up(self, turn: Turn, now_s: float, cause: str) -> dict[str, Any]:
        """A question that will get no answer."""
        self.unanswered += 1
        return turn.unanswered(now_s, cause)

    def fault(self) -> dict[str, Any]:
        """Close the open revision, because the model has failed."""
        assert self.open is not None
        was, self.open = self.open, None
        self.status["error"] += 1
        more = {"evidence": was.evidence, "ttft_ms": was.ttft_ms, "tokens": was.tokens}
        return event(
            "answer.done", answer_id=was.answer_id, rev=was.rev, status="error", finish="fault", text=was.text, **more
        )

    def translate(self, one: Event) -> list[dict[str, Any]]:
        """The wire's events for one of the model's."""
        match one:
            case Asked():
                return self._asked(one)
            case Say():
                return self._say(one)
            case Revise():
                return self._revise(one)
            case Done():
                return [self._done(one)]
            case Interrupted(next_turn=None):
                return [event("turn.interrupted", turn=self.turn.number, next_turn=None)]
            case Interrupted():
                new = self.asked.popleft()
                row = event("turn.interrupted", turn=self.turn.number, next_turn=new.number)
                return [row, self._start(new)]
            case Silence():
                return [_silence(one)]
            case _:
                return []

    def _asked(self, one: Asked) -> list[dict[str, Any]]:
        """A question was read. Where it cuts an answer, the turn changes with `Interrupted`, which follows."""
        if self.open is not None:
            return []
        rows = [self.give_up(self.turn, one.time_s, "interrupted")] if self.turn.owes_answer else []
        rows.append(event("turn.ended", turn=self.turn.number, cause="text"))
        return [*rows, self._start(self.asked.popleft())]

    def _start(self, turn: Turn) -> dict[str, Any]:
        self.turn = turn
        return event("turn.started", turn=turn.number, cause="text")

    def _say(self, one: Say) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        seen = self._evidence(one.frame, one.time_s)
        if self.open is None:
            self.open = _Open(self._base + one.answer, one.rev)
            if not self.turn.is_answered and self.turn.number:
                self.open.ttft_ms = round(1000 * (one.time_s - self.turn.accepted_s), 1)
            self.turn.is_answered = True
            rows.append(
                event(
                    "answer.started", answer_id=self.open.answer_id, turn=self.turn.number, rev=one.rev, evidence=seen
                )
            )
        delta = {"answer_id": self.open.answer_id, "rev": one.rev, "i": self.open.pieces, "text": one.text}
        rows.append(event("answer.delta", **delta, evidence=seen))
        self.open.pieces += 1
        self.open.tokens, self._fresh = self.open.tokens + self._fresh, 0
        self.open.text += one.text
        self.open.evidence = seen
        return rows

    def _revise(self, one: Revise) -> list[dict[str, Any]]:
        self.open = _Open(self._base + one.answer, one.rev)
        cause = "cut" if self._last == "superseded" else "news"
        self.open.evidence = self._evidence(one.frame, one.time_s)
        return [
            event(
                "answer.revised",
                answer_id=self.open.answer_id,
                rev=one.rev,
                supersedes=one.supersedes,
                cause=cause,
                evidence=self.open.evidence,
            )
        ]

    def _done(self, one: Done) -> dict[str, Any]:
        was, self.open = self.open, None
        self._last = one.status
        self.status[one.status] += 1
        tokens = was.tokens if was else 0
        if one.status == "final":  # a last token that makes no whole character
            tokens, self._fresh = tokens + self._fresh, 0
        return event(
            "answer.done",
            answer_id=self._base + one.answer,
            rev=one.rev,
            status=one.status,
            finish=one.finish,
            text=one.text,
            evidence=was.evidence if was else None,
            ttft_ms=was.ttft_ms if was else None,
            tokens=tokens,
        )


def _silence(one: Silence) -> dict[str, Any]:
    p = {"mean": round(one.p_silence_mean, 4), "min": round(one.p_silence_min, 4)}
    return event("silence", first_ts=one.first_s, last_ts=one.last_s, frames=one.frames, p_silence=p)
