"""How a model is driven while frames keep arriving, on a clock on which every token of a pass costs the same.

    beside     cross-attention: frames are encoded and written on a lane of their own; a word waits for no frame
    inserted   twin: a frame is prefilled into the text as soon as it comes, so that the next word waits for it
    blocking   twin: frames that come during an answer are prefilled when it is over

A frame costs `Costs.encode_s` in every design. In the twin its vision tokens then pass through the whole decoder, in
the lane of the words; beside speech they only become keys and values of the cross layers, in the lane of the frames,
which costs `write_share` of a pass: its share of the multiplications. How much there is to attend to costs nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from vigil.config import ModelConfig, StreamConfig
from vigil.data.records import Record
from vigil.errors import ConfigError
from vigil.eval.door import EPSILON_S, Ask, Image, Outbox, VirtualClock, play
from vigil.eval.log import Log, validate
from vigil.eval.rows import AnswerRow, DecideRow, PromptRow, ReadyRow, Timed, TokRow
from vigil.eval.study.arms import Design
from vigil.eval.writer import LogWriter
from vigil.model.model import VideoModel
from vigil.stream.journal import Moment, Question
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.stream.policy import Policy
from vigil.stream.session import Session
from vigil.types import Event, Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What computing costs on the clock (s). 0 everywhere: computing is free."""

    token_s: float = 0.01
    """One token in a pass of the decoder, whether it is decoded or prefilled."""
    encode_s: float = 0.02
    """The vision encoder on one frame."""

    def __post_init__(self) -> None:
        if min(self.token_s, self.encode_s) < 0:
            raise ConfigError(f"costs must not be negative, got {self.token_s} and {self.encode_s}.")


FREE = Costs(token_s=0.0, encode_s=0.0)


def pass_multiplications(config: ModelConfig) -> int:
    """Multiplications of one token in one pass through all layers, attention itself and the output head left out.

    Counted as if every layer were a self-attention layer: a cross layer has no keys and values to make of a word.
    """
    text = config.text
    attention = 2 * text.width * text.head_dim * (text.num_heads + text.num_kv_heads)
    return text.num_layers * (attention + 3 * text.width * text.mlp_width)


def write_share(config: ModelConfig) -> float:
    """What it costs to write one vision token into the frame memory, as a share of a pass."""
    text = config.text
    written = len(text.cross_layers) * 2 * text.width * text.num_kv_heads * text.head_dim
    return written / pass_multiplications(config)


def frame_multiplications(config: ModelConfig) -> float:
    """Multiplications that one frame costs the decoder, its placeholder included."""
    share = 1.0 if config.fusion == "decoder-only" else write_share(config)
    return pass_multiplications(config) * (1 + share * config.vision.tokens_per_frame)


@dataclass(frozen=True, kw_only=True)
class Driven:
    """A model under a design: a `System` of the streaming door."""

    model: VideoModel
    design: Design = "beside"
    costs: Costs = field(default_factory=Costs)
    policy: Policy | None = None
    """When to speak; default: unless silence is the most likely token."""
    name: str = "study"
    memory_frames: int = 0
    text_tokens: int = 0
    """What its lanes keep; 0: what the model was trained to."""

    def __post_init__(self) -> None:
        if (self.design == "beside") == (self.model.config.fusion == "decoder-only"):
            raise ConfigError(f"a {self.model.config.fusion} model cannot be driven {self.design!r}.")

    def open(self, clock: VirtualClock) -> DrivenDoor:
        """Begin a stream."""
        return DrivenDoor(self, clock)


class DrivenDoor:
    """One stream. The lane of the words takes one thing at a time, in the order in which things come due."""

    def __init__(self, system: Driven, clock: VirtualClock) -> None:
        self._system = system
        self._rows = Outbox()
        self._writer = LogWriter(replace(clock, mode="free").head("door"))
        stream = StreamConfig(
            fps=clock.fps,
            tokens_per_s=1 / clock.token_s,
            memory_frames=system.memory_frames,
            text_tokens=system.text_tokens,
        )
        self.session = Session(system.model, config=stream, policy=system.policy, trace=self._trace)
        self._perceiver = Perceiver(system.model)
        config = system.model.config
        written = write_share(config) * config.vision.tokens_per_frame if system.design == "beside" else 0.0
        self._perceive_s = system.costs.encode_s + written * system.costs.token_s
        self._seen: deque[tuple[float, Perceived]] = deque()
        self._asked: deque[tuple[float, Question]] = deque()
        self._num_frames = self._num_asked = 0
        self._perceiver_free_s = self._free_s = 0.0
        self._tokens = self._prepaid = 0
        self._decisions: list[dict[str, Any]] = []
        self._do(0.0, self.session.open)

    def push_frame(self, image: Image, t: float) -> None:
        """A frame arrives, and is encoded as soon as the frames before it are."""
        self._run(t)
        self._writer.trace("frame", i=self._num_frames, t=t, w=t)
        self._hand_over(0.0)  # before what becomes of it, also where that costs nothing
        self._perceiver_free_s = max(self._perceiver_free_s, t) + self._perceive_s
        perceived = self._perceiver.perceive(self._num_frames, Frame(image, t))
        self._seen.append((self._perceiver_free_s, perceived))
        if self._system.design == "beside":
            self._rows.put(ReadyRow(i=self._num_frames, w=self._perceiver_free_s))
        self._num_frames += 1
        self._run(t + 2 * EPSILON_S)
        self._hand_over(0.0)

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        """A question comes; it is heard when the pass that is running is over."""
        self._run(t)
        self._num_asked += 1
        self._rows.put(PromptRow(q=f"q{self._num_asked}", t=t, w=t, text=text, direct=not standing))
        self._asked.append((t, Question(text, standing)))
        self._run(t + 2 * EPSILON_S)

    def advance(self, t: float) -> list[Timed]:
        """See, hear and speak until `t`."""
        self._run(t)
        return self._rows.take(t)

    def _run(self, t: float) -> None:
        while True:
            seen_s = self._seen[0][0] if self._seen and not self._is_held else math.inf
            asked_s = self._asked[0][0] if self._asked else math.inf
            due_s = math.inf if self.session.due_s is None else self.session.due_s
            first_s = min(seen_s, asked_s, due_s)
            start_s = max(first_s, self._free_s)
            if start_s >= t - EPSILON_S:
                return
            if seen_s <= first_s + EPSILON_S:
                self._do(start_s, partial(self.session.see, self._seen.popleft()[1]), is_frame=True)
            elif asked_s <= first_s + EPSILON_S:
                self._do(start_s, partial(self.session.hear, self._asked.popleft()[1]))
            else:
                self._do(start_s, self.session.step)

    @property
    def _is_held(self) -> bool:
        """Frames wait for the end of the answer."""
        return self._system.design == "blocking" and self.session.due_s is not None

    def _do(self, start_s: float, work: Callable[[Moment], list[Event]], *, is_frame: bool = False) -> None:
        """Let the session do one thing; what comes of it is on show when its passes are paid.

        A frame that enters the text between two words is paid for when it comes. The session computes it together with
        the next word, which then costs that much less.
        """
        self._tokens = 0
        events = work(Moment(start_s, start_s))
        if is_frame and not self._tokens and self._system.design != "beside":
            image = self._system.model.config.image_token_id
            self._tokens = self._system.model.num_entries([image])
            self._prepaid += self._tokens
        elif self._tokens:
            self._tokens, self._prepaid = self._tokens - self._prepaid, 0
        cost_s = self._tokens * self._system.costs.token_s
        self._free_s = start_s + cost_s
        for event in events:
            self._writer.event(event)
        for fields in self._decisions:
            self._writer.trace("decide", **fields)
        self._decisions.clear()
        self._hand_over(cost_s)

    def _hand_over(self, cost_s: float) -> None:
        """Rows of the session. A question has had its row since it was asked, and a frame beside the text since it was
        known when it will be written; the twin sees what it has prefilled."""
        had = (PromptRow, ReadyRow) if self._system.design == "beside" else PromptRow
        for row in self._writer.take():
            if not isinstance(row, had):
                is_made_by_a_pass = isinstance(row, TokRow | AnswerRow | DecideRow | ReadyRow)
                self._rows.put(replace(row, w=row.w + cost_s) if is_made_by_a_pass else row)

    def _trace(self, kind: str, **fields: Any) -> None:
        if kind == "ran":
            self._tokens += fields["tokens"]
        elif kind == "decide":
            self._decisions.append(fields)
        elif kind != "frame":
            self._writer.trace(kind, **fields)


def watch(
    system: Driven,
    record: Record,
    frames: Iterable[Image],
    *,
    tokens_per_s: float,
    end_s: float,
    on_end: Callable[[Session], None] | None = None,
) -> Log:
    """Watch frames at the record's rate, ask its questions, and log what happens; `on_end` sees the session last."""
    is_free = system.costs == FREE
    clock = VirtualClock(mode="free" if is_free else "cost", fps=record.fps, token_s=1 / tokens_per_s)
    asks = [Ask(t=turn.ask_s, text=turn.question, standing=turn.standing) for turn in record.turns if turn.question]
    opened = _Opened(system)
    log = play(opened, frames, asks, clock=clock, end_s=end_s)
    if on_end is not None:
        on_end(opened.doors[0].session)
    cost = None if is_free else {"token": system.costs.token_s, "encode": system.costs.encode_s}
    policy = "greedy" if system.policy is None else repr(system.policy)
    return validate([replace(log.head, cost=cost, policy=policy), *log.rows[1:]])


class _Opened:
    """Remembers the doors that a system opened."""

    def __init__(self, system: Driven) -> None:
        self.doors: list[DrivenDoor] = []
        self.name = system.name
        self._system = system

    def open(self, clock: VirtualClock) -> DrivenDoor:
        self.doors.append(self._system.open(clock))
        return self.doors[-1]
