"""The only file of the server that drives the model: seats for sessions, the step that proves that it is alive.

All sessions share one `vigil.stream.engine.Engine`. Whoever replaces it keeps `Seat`'s methods and its reports.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vigil.config import StreamConfig
from vigil.errors import CapacityError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import ControlIds
from vigil.serve.pulse import SideDoor, WatchedEngine
from vigil.serve.refusal import Refusal
from vigil.serve.voice import Ask, Draw, TurnPolicy, Voice
from vigil.stream.capacity import lane_bytes
from vigil.stream.engine import EngineConfig
from vigil.stream.session import Session
from vigil.types import Done, Ended, Event, Frame, Silence

CANARY_SEATS = 1
"""Seats beyond those of clients, for the step that proves that the model is alive."""
SIDE_SHARE = 0.25
"""Part of the time that work beside live sessions may keep the model busy."""
FRAME_TIMEOUT_S = 3600.0
"""The server has its own rules for frames that come too late; the engine drops none that it was given."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One slot in which the policy was asked."""

    time_s: float
    speak: bool
    p_silence: float


@dataclass(slots=True)
class Report:
    """What happened on a seat since the report before. Times are the session's."""

    event: Event | None = None
    perceived: list[int] = field(default_factory=list)
    """Indices of frames that became readable."""
    decisions: list[Decision] = field(default_factory=list)
    was_calm: bool = False
    """An interruption was read, and nothing was being said."""
    text_in: int = 0
    """Tokens: fed as messages, said, and silences."""
    text_out: int = 0
    silences: int = 0
    busy_s: float = 0.0
    """Time from wanting the model to having its answer."""


class Seat:
    """One session's place on the model. All methods return at once; reports come from the engine's threads."""

    def __init__(
        self, runner: Runner, voice: Voice, *, system: str, start_s: float, report: Callable[[Report], None]
    ) -> None:
        """`start_s` is what the session's clock reads now.

        Raises:
            Refusal: `capacity`.
        """
        self._runner = runner
        self._report_to = report
        self._start = time.monotonic() - start_s
        self._policy = TurnPolicy(voice)
        self._sampler = Draw(voice.sampling)
        self._report = Report()
        self._wanted_at: float | None = None
        self._is_over = threading.Event()
        try:
            self._handle = runner.engine.open(
                config=replace(runner.stream, max_answer_tokens=voice.max_tokens),
                on_event=self._heard,
                policy=self._policy,
                sampler=self._sampler,
                system=system,
                trace=self._trace,
            )
        except CapacityError as error:
            raise Refusal("capacity", retry_after_s=5.0) from error

    def push(self, frame: Frame) -> int | None:
        """Give a frame; a report names the index once it is readable. None: the seat takes no more."""
        return self._handle.push(frame)

    def ask(self, ask: Ask) -> None:
        """Ask now: what is being said is cut at the next token."""
        self._policy.asked.append(ask)
        self._handle.ask(ask.text, standing=ask.answer_by_s is None)

    def interrupt(self) -> None:
        """Stop what is being said, without a question."""
        self._handle.cancel()

    def instruct(self, system: str) -> None:
        """Go on under another system text, from the next decision on."""
        self._handle.instruct(system)

    def change(self, voice: Voice) -> None:
        """Speak differently from the next decision on."""

        def apply(session: Session) -> None:
            self._policy.voice = voice
            self._sampler.reset(voice.sampling)
            session.config = replace(session.config, max_answer_tokens=voice.max_tokens)

        self._handle.change(apply)

    def close(self) -> None:
        """End the session; the last report holds `Ended`."""
        self._handle.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the last report; False if it has not come."""
        return self._is_over.wait(timeout_s)

    @property
    def error(self) -> BaseException | None:
        """What ended the session, where that was an error; known with the last report."""
        return self._handle.error

    # ---- the engine's threads --------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        """Report an event, with its times on the session's clock."""
        now_s = time.monotonic() - self._start
        if isinstance(event, Silence):
            shift_s = now_s - event.time_s
            event = replace(event, first_s=event.first_s + shift_s, last_s=event.last_s + shift_s)
        elif isinstance(event, Done):
            self._policy.quiet_until = time.monotonic() + self._policy.voice.min_gap_s
        self._report.event = replace(event, time_s=now_s)
        self._send()
        if isinstance(event, Ended):
            self._is_over.set()

    def _trace(self, kind: str, **fields: Any) -> None:
        now = time.monotonic()
        if kind == "ran":
            self._wanted_at = now
        elif kind == "fed":
            self._count(fields["ids"])
        elif kind == "ready":
            self._report.perceived.append(fields["i"])
            self._send()
        elif kind == "calm":
            self._report.was_calm = True
            self._send()
        elif kind == "decide" and fields["p"] is not None:
            self._worked(now)
            self._report.decisions.append(Decision(now - self._start, fields["act"] == "speak", fields["p"]))
            self._send()

    def _count(self, ids: list[int]) -> None:
        """Count tokens; a question is a message that closes the model's turn first."""
        control, report = self._runner.control, self._report
        if len(ids) > 1:
            report.text_in += len(ids)
            if ids[0] == control.end_of_turn:
                self._policy.read()
        elif ids == [control.silence]:
            report.silences += 1
        elif ids and ids[0] not in (control.image, control.ellipsis):
            self._worked(time.monotonic())
            report.text_out += 1

    def _worked(self, now: float) -> None:
        if self._wanted_at is not None:
            step_s, self._wanted_at = now - self._wanted_at, None
            self._report.busy_s += step_s
            self._runner.stepped(step_s)

    def _send(self) -> None:
        report, self._report = self._report, Report()
        self._report_to(report)


class Runner:
    """One loaded model, and the engine with the seats on it."""

    def __init__(
        self,
        model: VideoModel,
        *,
        name: str = "model",
        sha256: str | None = None,
        seats: int = 8,
        stream: StreamConfig | None = None,
    ) -> None:
        """`stream`: memory and pace of each session."""
        assert model.tokenizer is not None
        self.model = model
        self.name = name
        self.sha256 = sha256
        self.stream = replace(stream or StreamConfig(), stale_s=FRAME_TIMEOUT_S).settled(model.config)
        self.engine = WatchedEngine(model, EngineConfig(max_sessions=seats + CANARY_SEATS))
        self.side_door = SideDoor(lambda: bool(self.engine.handles), share=SIDE_SHARE)
        """For chat completions, which belong to no session."""
        room = self.engine.memory_bytes // max(1, lane_bytes(model, self.stream))
        self.seats = max(1, min(seats, room))
        """Sessions that have a place at the same time: what was asked for, or what fits into memory."""
        self.control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
        self.control.require_streaming()
        self.newest_step = -float("inf")
        """When the model last made a step (s, monotonic clock)."""
        self.step_s = 0.0
        """How long it took."""
        self.on_step: Callable[[float], None] = lambda step_s: None

    def start(self) -> None:
        """Begin to work."""
        self.engine.start()

    def close(self) -> None:
        """End every seat."""
        self.engine.close()

    def seat(self, voice: Voice, *, system: str, start_s: float, report: Callable[[Report], None]) -> Seat:
        """Begin a session. Raises: Refusal: `capacity`."""
        return Seat(self, voice, system=system, start_s=start_s, report=report)

    def check_question(self, text: str) -> None:
        """Raises: Refusal: `too_large`, where it would take more than half of what a session remembers of its text."""
        self._check_length(text, self.stream.text_tokens // 2)

    def check_system(self, text: str, *, is_new: bool = True) -> None:
        """Whether a session can have this system text, from its beginning or from now on.

        Raises:
            Refusal: `too_large`, where it would take more than a quarter of what a session remembers of its text.
                `not_ready`, for a model that keeps its frames in its text and would have to see them again.
        """
        if not is_new and self.model.config.fusion == "decoder-only":
            raise Refusal("not_ready")
        self._check_length(text, self.stream.text_tokens // 4)

    def _check_length(self, text: str, num_tokens: int) -> None:
        assert self.model.tokenizer is not None
        if len(self.model.tokenizer.encode(text)) > num_tokens:
            raise Refusal("too_large")

    def stepped(self, step_s: float) -> None:
        """Note that the model made a step."""
        self.newest_step, self.step_s = time.monotonic(), step_s
        self.on_step(step_s)

    def trouble(self, least_s: float) -> str | None:
        """Why the model will never make a step again: one that takes too long, or an error of the engine's own."""
        if self.engine.error is not None:
            return f"the engine stopped with {type(self.engine.error).__name__}"
        going_on_s, patience_s = self.engine.going_on_s, self.engine.patience_s(least_s)
        return f"a step has taken more than {patience_s:.1f} s" if going_on_s > patience_s else None

    def canary(self, timeout_s: float) -> None:
        """Make the engine see a picture and decide.

        Raises:
            ModelError: it did not do so in time. CapacityError: there is no room for it.
        """
        side, over = self.model.config.vision.image_px, threading.Event()
        decided: list[bool] = []

        def trace(kind: str, **fields: Any) -> None:
            if kind == "decide" and fields["vis"] >= 0:
                self.stepped(time.monotonic() - started)
                decided.append(True)
                over.set()

        started = time.monotonic()
        config = replace(self.stream, memory_frames=1, text_tokens=64)
        handle = self.engine.open(
            config=config, trace=trace, on_event=lambda event: over.set() if isinstance(event, Ended) else None
        )
        handle.push(Frame(np.zeros((side, side, 3), np.uint8), 0.0))
        over.wait(timeout_s)
        handle.close()
        if not decided:
            raise ModelError(f"the model made no step within {timeout_s:g} s. Restart the server.")

    def kv_bytes(self) -> dict[str, int]:
        """Memory that each seat reserves: frames, and text."""
        reserved = lane_bytes(self.model, self.stream)
        words = lane_bytes(self.model, replace(self.stream, memory_frames=1))
        return {"reserved_bytes": reserved, "vision_bytes": reserved - words, "text_bytes": words}


def weights_sha256(name: str) -> str | None:
    """Hash of a model's weight files, in the order of their names; None where they lie in no folder here."""
    from vigil.model.weights import find_folder

    digest, files = hashlib.sha256(), sorted(find_folder(name).glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest() if files else None
