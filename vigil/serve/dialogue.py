"""The questions of one session, from their acceptance to their answers. Runs on the event loop alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil.serve.answers import Answers, Turn
from vigil.serve.events import event
from vigil.serve.protocol import FrameRef
from vigil.serve.runner import Report
from vigil.serve.voice import Ask

if TYPE_CHECKING:
    from vigil.serve.live import By, Live
    from vigil.serve.state import State

ANSWER_GRACE_S = 2.0
"""After the deadline of a question an answer may still come with the next frame, for so long."""


@dataclass(slots=True)
class Question:
    """A text that was accepted, and that the model has not been asked yet."""

    turn: Turn
    interrupts: bool
    about: FrameRef | None
    is_overdue: bool = False
    """The frame it is about has not come in time."""


class Dialogue:
    """Asks one question after the other, and logs what is said."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.turns = 0
        """Highest turn number that was accepted."""
        self.answers = Answers(live.eye.evidence, turn=Turn(0))
        self.on_interrupted: deque[Callable[[int], None]] = deque()
        """Commands that wait for the model to stop; each is called with the turn that was cut."""
        self._questions: deque[Question] = deque()

    def restore(self, state: State) -> Turn | None:
        """Go on with the numbers of an earlier life; the open question, which has to be asked again."""
        self.turns = max((row["turn"] for row in state.turns), default=0)
        said = [row["answer_id"] for row in (*state.answers, *state.open.values())]
        before = Turn(self.turns, is_answered=True)
        self.answers = Answers(self._live.eye.evidence, turn=before, answers=max(said, default=0))
        if not state.turns:
            return None
        return Turn(self.turns, state.turns[-1]["text"], None, self._live.log.now())

    # ---- questions -------------------------------------------------------------------------------------------

    def accept(self, text: str, *, interrupts: bool, about: FrameRef | None, answer_by_s: float | None, by: By) -> int:
        """Take a question; it is asked at once, after the answer that is being said, or after the frame it is about.

        Returns:
            the number of the event that says so.

        Raises:
            Refusal: `not_found` for a frame of no source, `too_large` for what the model could not remember, `storage`.
        """
        live = self._live
        live.hub.runner.check_question(text)
        source = None if about is None else live.source(about.source)
        turn = Turn(self.turns + 1, text, answer_by_s, live.log.now())
        after_frame = None if about is None else about.model_dump()
        fields = {"turn": turn.number, "text": text, "after_frame": after_frame, "standing": answer_by_s is None}
        seq = live.record(event("input.text.accepted", **fields), by=by)
        self.turns += 1
        if interrupts:
            self.give_up_all("interrupted")
        question = Question(turn, interrupts, about)
        self._questions.append(question)
        loop = asyncio.get_running_loop()
        if source is not None and about is not None:
            source.pinned.add(about.frame_no)
            loop.call_later(live.hub.limits.after_frame_s, self._overdue, question)
        if answer_by_s is not None:
            loop.call_later(answer_by_s + ANSWER_GRACE_S, self._deadline, turn)
        self.advance()
        return seq

    def advance(self) -> None:
        """Ask what can be asked now."""
        while self._questions:
            question = self._questions[0]
            about = question.about
            if about is not None and not question.is_overdue and self._live.eye.is_waiting_for(about):
                return
            if not question.interrupts and self.is_answering:
                return
            self._questions.popleft()
            self._unpin(about)
            self.ask(question.turn)

    def ask(self, turn: Turn) -> None:
        """Give a question to the model."""
        self.answers.asked.append(turn)
        self._live.seat.ask(Ask(turn.text, turn.answer_by_s))

    def give_up_all(self, cause: str) -> None:
        """The questions that wait will not be asked."""
        while self._questions:
            question = self._questions.popleft()
            self._unpin(question.about)
            self._log(self.answers.give_up(question.turn, self._live.log.now(), cause))

    def _unpin(self, about: FrameRef | None) -> None:
        if about is not None and about.source in self._live.sources:
            self._live.sources[about.source].pinned.discard(about.frame_no)

    def _overdue(self, question: Question) -> None:
        question.is_overdue = True
        if not self._live.closing:
            self.advance()

    def _deadline(self, turn: Turn) -> None:
        """A direct question should have been answered by now."""
        if not self._live.closing and self.answers.turn is turn and turn.owes_answer:
            self._log(self.answers.give_up(turn, self._live.log.now(), "deadline"))
            self.advance()

    @property
    def is_answering(self) -> bool:
        """An answer is being said, or is owed."""
        return bool(self.answers.asked) or self.answers.open is not None or self.answers.turn.owes_answer

    @property
    def is_busy(self) -> bool:
        """A question waits, or an answer is being said."""
        return bool(self._questions) or self.is_answering

    @property
    def open_answer(self) -> int | None:
        """Id of the answer that is being said."""
        return None if self.answers.open is None else self.answers.open.answer_id

    # ---- what the model says ---------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Log what a seat reports."""
        self.answers.drew(report.text_out)
        if report.was_calm and self.on_interrupted:
            self.on_interrupted.popleft()(self.answers.turn.number)  # the answer has ended by itself
        if report.event is None:
            return
        turn = self.answers.turn
        was_answered = turn.is_answered
        for row in self.answers.translate(report.event):
            is_cut = row["type"] == "turn.interrupted" and row["next_turn"] is None
            if is_cut and self.on_interrupted:
                self.on_interrupted.popleft()(row["turn"])
            else:
                self._log(row)
        if not was_answered and turn.is_answered and turn.number:
            self._live.hub.metrics.ttft.observe(max(0.0, self._live.log.now() - turn.accepted_s))
        self.advance()

    def fault(self) -> None:
        """The model has failed in the middle of an answer, or of none."""
        if self.answers.open is not None:
            self._log(self.answers.fault())

    def _log(self, row: dict[str, Any]) -> None:
        self._live.record(row)
        self._live.hub.metrics.count_event(row)
