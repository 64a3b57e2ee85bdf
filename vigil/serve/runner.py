"""The only file of the server that drives the model: seats for sessions, the step that proves that it is alive.

All sessions share one `vigil.stream.engine.Engine`. Whoever replaces it keeps `Seat`'s methods and its reports.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vigil.config import SamplingConfig, StreamConfig
from vigil.errors import CapacityError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import ControlIds
from vigil.serve.refusal import Refusal
from vigil.stream.capacity import lane_bytes
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.policy import Sampler, SlotChoice
from vigil.stream.session import Session
from vigil.types import Done, Ended, Event, Frame, Silence

CANARY_SEATS = 1
"""Seats beyond those of clients, for the step that proves that the model is alive."""
FRAME_TIMEOUT_S = 3600.0
"""The server has its own rules for frames that come too late; the engine drops none that it was given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """When a session speaks and how it draws its words; may change between two decisions."""

    sensitivity: float | None = None
    """Speak where P(silence) is below this; None: unless silence is the most likely token."""
    min_gap_s: float = 0.0
    revise: bool = True
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Ask:
    """A question on its way to the model."""

    text: str
    answer_by_s: float | None
    """Seconds in which an answer must begin; None: a standing question, silence is allowed."""


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
    text_in: int = 0
    """Tokens: fed as messages, said, and silences."""
    text_out: int = 0
    silences: int = 0
    busy_s: float = 0.0
    """Time from wanting the model to having its answer."""


class TurnPolicy:
    """The policy of a seat: `Voice`, plus what the open question allows."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.quiet_until = 0.0
        """On the monotonic clock."""
        self.asked: deque[Ask] = deque()
        """Questions that the session has not read yet."""
        self._open = Ask("", None)

    def read(self) -> None:
        """The session reads the next question."""
        if self.asked:
            self._open = self.asked.popleft()

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        if slot.waited_s is None:
            is_answered = self._open.answer_by_s is not None
            if (is_answered and not self.voice.revise) or time.monotonic() < self.quiet_until:
                return False
        elif slot.has_seen and self._open.answer_by_s is not None and slot.waited_s >= self._open.answer_by_s:
            return True
        if self.voice.sensitivity is None:
            return not slot.silence_is_best
        return slot.p_silence < self.voice.sensitivity


class Draw(Sampler):
    """A sampler whose settings may change between two decisions."""

    def reset(self, config: SamplingConfig) -> None:
        """Draw by other settings; the same ones again change nothing."""
        if config != self.config:
            super().__init__(config)


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
        self.stream = replace(stream or StreamConfig(), stale_s=FRAME_TIMEOUT_S)
        self.engine = Engine(model, EngineConfig(max_sessions=seats + CANARY_SEATS))
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

    def stepped(self, step_s: float) -> None:
        """Note that the model made a step."""
        self.newest_step, self.step_s = time.monotonic(), step_s
        self.on_step(step_s)

    def canary(self, timeout_s: float) -> None:
        """Make the engine see a picture and decide.

        Raises:
            ModelError: it did not do so in time. CapacityError: there is no room for it.
        """
        side, seen = self.model.config.vision.image_px, threading.Event()

        def trace(kind: str, **fields: Any) -> None:
            if kind == "decide" and fields["vis"] >= 0:
                self.stepped(time.monotonic() - started)
                seen.set()

        started = time.monotonic()
        config = replace(self.stream, memory_frames=1, text_tokens=64)
        handle = self.engine.open(config=config, trace=trace, on_event=lambda event: None)
        handle.push(Frame(np.zeros((side, side, 3), np.uint8), 0.0))
        is_alive = seen.wait(timeout_s)
        handle.close()
        if not is_alive:
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
