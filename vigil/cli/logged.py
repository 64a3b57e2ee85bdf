"""From the events of a run to its log: the same spelling as the server's, so that one reader reads both."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli.parser import Question
from vigil.cli.recorded import Start
from vigil.errors import ConfigError
from vigil.serve.answers import Answers, Turn
from vigil.serve.durable import Recovered, SessionLog, Store
from vigil.serve.events import event as spelled
from vigil.stream.address import address_of
from vigil.types import Asked, Back, Ended, Event, FramesDropped, Lost

if TYPE_CHECKING:
    from vigil.cli.options import Options
    from vigil.stream.source import Source

TOTALS_S = 10.0
"""Frames are counted in the log at least this often (s of video)."""
SOURCE = 0
"""Number of the only source of a run."""


def begin(store: Store, source: Source, options: Options) -> SessionLog:
    """Begin a session. The path of its source and what will be asked are kept, but no reader gets them."""
    stream = {"fps": options.stream.fps, "tokens_per_s": options.stream.tokens_per_s}
    created = spelled(
        "session.created",
        model=options.model,
        weights_sha256=None,
        policy={"threshold": options.threshold, **stream},
        sampling={},
        sources=[source.name],
        durability=store.config.level,
        keep_s=store.config.keep_s,
    )
    assert options.source is not None
    questions = [asdict(question) for question in options.questions]
    log = store.create(created, private={"source": _again(options.source), "questions": questions})
    log.append(_opened(source, stream_epoch=1))
    log.append(spelled("turn.started", turn=0, cause="open")).durable.result()
    return log


def go_on(recovered: Recovered, source: Source) -> None:
    """Say in the log that the session came back."""
    log = recovered.log
    turns = 1 if log.state.turns else 0
    interrupted = list(recovered.interrupted)
    again = spelled(
        "session.recovered", cause="resume", frames_restored=0, turns_restored=turns, interrupted=interrupted
    )
    log.append(again)
    log.append(_opened(source, stream_epoch=log.head.epoch)).durable.result()


def _again(source: str) -> str | None:
    """What opens the same source from another folder; None for an address with a password, which is not kept."""
    address = address_of(source)
    if address is None:
        return str(Path(source).resolve())
    return None if address.has_secret else source


def _opened(source: Source, *, stream_epoch: int) -> dict[str, Any]:
    unknown = {"width": None, "height": None, "codec": None}
    kind = "live" if source.is_live else "file"
    row = {"source": SOURCE, "stream_epoch": stream_epoch, "kind": kind, "name": source.name, "fps": source.fps}
    return spelled("source.opened", **row, **unknown)


def resumed(options: Options, log: SessionLog) -> tuple[Options, Start]:
    """Source and questions of a session that goes on, and where it goes on.

    Raises:
        ConfigError: neither the command line nor the log names a source.
    """
    state = log.state
    seen, counted = state.evidence.get(str(SOURCE), {}), state.totals.get(str(SOURCE), {})
    start = Start(
        time_s=max(seen.get("ts") or 0.0, counted.get("newest_ts") or 0.0),
        frames=max(seen.get("frame_no") or 0, counted.get("received") or 0),
        answers=max((row["answer_id"] for row in state.answers), default=0),
        turns=max((row["turn"] for row in state.turns), default=0),
    )
    source = options.source or log.head.private.get("source")
    if source is None:
        raise ConfigError(f"session {log.id} was not kept by vigil watch, or its address held a password. Give SOURCE.")
    after_s = start.time_s if address_of(source) is None else 0.0
    given = options.questions or tuple(Question(**row) for row in log.head.private.get("questions", ()))
    questions = newer_questions(given, after_s=after_s, asked=state.turns)
    return replace(options, source=source, questions=tuple(questions)), start


class Recorder:
    """Writes the events of one run into the log of its session, and waits until they are safe."""

    def __init__(self, log: SessionLog, start: Start) -> None:
        self._log, self._start = log, start
        state = log.state
        self._answers = Answers(self._evidence, turn=Turn(start.turns), answers=start.answers)
        self._dropped: Counter[str] = Counter(state.totals.get(str(SOURCE), {}).get("dropped", {}))
        self._pending = 0
        self._perceived = start.frames - sum(self._dropped.values())
        self._newest = (-1, 0.0)
        self._totals_at_s = 0.0

    def trace(self, kind: str, **fields: Any) -> None:
        """Take one measurement of the session; see `vigil.stream.session.Trace`."""
        if kind == "frame":
            self._newest = (fields["i"], fields["t"])
            self._perceived += 1

    def record(self, event: Event) -> None:
        """Put an event into the log and wait until it is safe.

        Raises:
            StorageError: it never will be.
        """
        rows = self._rows(event)
        if not isinstance(event, Ended) and event.time_s - self._totals_at_s >= TOTALS_S:
            rows.append(self._total())
            self._totals_at_s = event.time_s
        for appended in [self._log.append(row) for row in rows]:
            appended.durable.result()

    def _rows(self, event: Event) -> list[dict[str, Any]]:
        now_s = event.time_s + self._start.time_s
        match event:
            case Asked():
                turn = self._start.turns + event.turn
                self._answers.asked.append(Turn(turn, event.text, None, now_s))
                accepted = spelled("input.text.accepted", turn=turn, text=event.text) | {"standing": event.standing}
                return [accepted, *self._answers.translate(event)]
            case FramesDropped():
                self._dropped[event.reason] += event.count
                span = {"first_ts": event.first_s + self._start.time_s, "last_ts": event.last_s + self._start.time_s}
                return [spelled("input.frames.dropped", source=SOURCE, **span, count=event.count, reason=event.reason)]
            case Lost(cause=cause, attempt=attempt, retry_in_s=retry_in_s):
                return [spelled("source.lost", source=SOURCE, cause=cause, attempt=attempt, retry_in_s=retry_in_s)]
            case Back(cause=back, gap_s=gap_s):
                epoch = event.epoch + self._log.head.epoch - 1
                return [spelled("source.discontinuity", source=SOURCE, stream_epoch=epoch, cause=back, gap_s=gap_s)]
            case Ended():
                self._pending = event.pending
                return [self._total(), *(self._closing(now_s) if event.reason == "eof" else [])]
            case _:
                on_session_time = Start(time_s=self._start.time_s).shift(event)  # `Answers` adds to the numbers itself
                rows = self._answers.translate(on_session_time)
                return [self._closed(row, now_s) if row["type"] == "answer.done" else row for row in rows]

    def _closed(self, row: dict[str, Any], now_s: float) -> dict[str, Any]:
        """The end of an answer: its tokens were not counted, and the newest frame it had seen has aged."""
        seen = row["evidence"]
        aged = None if seen is None else seen | {"lag_ms": _age_ms(seen["ts"], now_s)}
        return row | {"tokens": None, "evidence": aged}

    def _closing(self, now_s: float) -> list[dict[str, Any]]:
        turn = spelled("turn.ended", turn=self._answers.turn.number, cause="closed")
        source = spelled("source.ended", source=SOURCE, cause="eof", last_ts=now_s)
        total = self._total()
        frames = {name: total[name] for name in ("received", "perceived", "pending")}
        usage = {"frames": {**frames, "dropped": sum(self._dropped.values())}}
        return [source, turn, spelled("session.closed", reason="client", usage=usage)]

    def _total(self) -> dict[str, Any]:
        dropped = sum(self._dropped.values())
        return spelled(
            "input.frames.total",
            source=SOURCE,
            received=self._perceived + dropped + self._pending,
            perceived=self._perceived,
            dropped=dict(self._dropped),
            pending=self._pending,
            newest_ts=round(self._newest[1] + self._start.time_s, 6),
        )

    def _evidence(self, frame: int, time_s: float) -> dict[str, Any] | None:
        """The newest frame that had been seen, and how old it was: together they tell the video time."""
        if frame < 0:
            return None
        ts = round(self._newest[1] + self._start.time_s, 6)
        age_ms = _age_ms(ts, time_s)
        return {"source": SOURCE, "frame_no": self._start.frames + frame + 1, "ts": ts, "lag_ms": age_ms}


def _age_ms(ts: float, now_s: float) -> float:
    return round(1000 * (now_s - ts), 3)


def newer_questions(given: tuple[Question, ...], *, after_s: float, asked: list[dict[str, Any]]) -> list[Question]:
    """The questions of a resumed run, in its own time: what is new, and else the one that was open.

    A question of the first command line that has been asked is not asked twice.
    """
    texts = {row["text"] for row in asked}
    new = [
        replace(question, at_s=max(0.0, question.at_s - after_s))
        for question in given
        if question.at_s > after_s or question.text not in texts
    ]
    if asked and not any(question.at_s == 0 for question in new):
        new.insert(0, Question(asked[-1]["text"], standing=bool(asked[-1].get("standing"))))
    return new
