"""Commands: each is applied exactly once, in order, and its number is kept in the same record as its effect."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from vigil.serve.events import event, transient
from vigil.serve.protocol import (
    AnswerCancel,
    Command,
    InputEnd,
    InputSkipped,
    InputText,
    SessionClose,
    SessionUpdate,
    SourceAdd,
    SourceRemove,
    SourceSpec,
)
from vigil.serve.refusal import Refusal
from vigil.serve.views import View

if TYPE_CHECKING:
    from vigil.serve.live import By, Live

MAX_HELD = 64
"""Commands that may wait for one whose effect takes a moment."""


class Commands:
    """The commands of one session."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._flying: By | None = None
        """A command that was accepted, and whose effect is still to come."""
        self._held: deque[tuple[View, Command]] = deque()

    def take(self, view: View, command: Command) -> None:
        """Apply a command, or say again what it did.

        Raises:
            Refusal: it consumed no number.
        """
        if self._flying is not None:
            if len(self._held) >= MAX_HELD:
                raise Refusal("rate_limited", retry_after_s=1.0)
            self._held.append((view, command))
            return
        applied = self._live.log.applied(view.client_id)
        if command.cmd <= applied:
            self._repeat(view, command.cmd)
            return
        if command.cmd != applied + 1:
            raise Refusal("bad_sequence", expected=applied + 1)
        if self._live.closing:
            if isinstance(command, SessionClose):
                self._closes(view, command)
                return
            raise Refusal("gone")
        self._live.input_s = self._live.log.now()
        by = (view.client_id, command.cmd)
        seq = self._apply(view, command, by)
        if seq is not None:
            view.say(done(command.cmd, seq, self._result(command)), after=seq)

    def _repeat(self, view: View, cmd: int) -> None:
        effect = self._live.log.effect(view.client_id, cmd)
        if effect is None:
            raise Refusal("gone")
        row = effect.entry.event
        view.say(done(cmd, effect.seq, {"turn": row["turn"]} if "turn" in row else {}), after=effect.seq)

    def _result(self, command: Command) -> dict[str, Any]:
        return {"turn": self._live.dialogue.turns} if isinstance(command, InputText) else {}

    def _apply(self, view: View, command: Command, by: By) -> int | None:
        """The number of the event that is the effect; None where it is still to come."""
        live = self._live
        match command:
            case InputText():
                return self._text(command, by)
            case SourceAdd():
                spec = SourceSpec.model_validate(command.model_dump(exclude={"type", "cmd"}))
                return live.eye.add(spec, by=by)
            case SourceRemove():
                return live.eye.finish(live.source(command.source), "removed", by=by, drops=True)
            case InputEnd():
                return live.eye.finish(live.source(command.source), "client", by=by)
            case InputSkipped():
                return self._skipped(command, by)
            case SessionUpdate():
                return self._update(command, by)
            case AnswerCancel():
                self._cancel(view, command, by)
            case SessionClose():
                drain_s = live.hub.limits.drain_s if command.mode == "drain" else 0.0
                live.hub.spawn(live.hub.end(live, "client", by=by, drain_s=drain_s))
                self._closes(view, command)
        return None

    def _closes(self, view: View, command: SessionClose) -> None:
        self._live.on_closed = lambda seq: view.say(done(command.cmd, seq, {}), after=seq)

    def _text(self, command: InputText, by: By) -> int:
        policy = self._live.settings.policy
        has_deadline = "answer_by_s" in command.model_fields_set
        return self._live.dialogue.accept(
            command.text,
            interrupts=command.mode == "interrupt",
            about=command.after_frame,
            answer_by_s=command.answer_by_s if has_deadline else policy.answer_by_s,
            by=by,
        )

    def _skipped(self, command: InputSkipped, by: By) -> int:
        source = self._live.source(command.source)
        if command.last_ts < command.first_ts:
            raise Refusal("bad_message")
        fields = {"first_ts": command.first_ts, "last_ts": command.last_ts, "count": command.count}
        seq = self._live.record(event("input.frames.skipped", source=source.number, **fields), by=by)
        source.skipped += command.count
        return seq

    def _update(self, command: SessionUpdate, by: By) -> int:
        live = self._live
        after = live.settings.changed(command.policy, command.sampling, command.system)
        system_changed = after.system != live.settings.system
        if system_changed:
            live.hub.runner.check_system(after.system, is_new=False)
        shown = after.shown(live.hub.limits)
        fields = {name: shown[name] for name in ("policy", "sampling") if getattr(command, name) is not None}
        private = {**live.log.head.private, "system": after.system} if system_changed else None
        seq = live.record(event("session.updated", **fields, system_changed=system_changed), by=by, private=private)
        live.change(after)
        return seq

    def _cancel(self, view: View, command: AnswerCancel, by: By) -> None:
        """The model stops at the next token; that it has is the effect."""
        live = self._live
        if live.dialogue.open_answer is None or command.answer_id not in (None, live.dialogue.open_answer):
            raise Refusal("not_found")
        self._flying = by

        def stopped(turn: int) -> None:
            self._flying = None
            seq = live.record(event("turn.interrupted", turn=turn, next_turn=None), by=by)
            view.say(done(command.cmd, seq, {"turn": turn}), after=seq)
            self._release()

        live.dialogue.on_interrupted.append(stopped)
        live.seat.interrupt()

    def _release(self) -> None:
        """Apply what has waited."""
        while self._held and self._flying is None:
            view, command = self._held.popleft()
            try:
                self.take(view, command)
            except Refusal as refusal:
                self._live.hub.complain(view, refusal, cmd=command.cmd)


def done(cmd: int, seq: int, result: dict[str, Any]) -> str:
    """Tell that a command has been applied."""
    return transient("command.done", cmd=cmd, seq=seq, result=result)
