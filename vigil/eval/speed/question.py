"""From a question to the first visible text, in a stream whose frames have been seen already.

A real session is asked; what runs is what a viewer waits for. The twin's session prefills each frame as it arrives, so
that it too has only the question to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from vigil.config import StreamConfig
from vigil.eval.speed import bounds
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import QUESTION, step_bytes
from vigil.eval.speed.figures import Bound, Figure, Part, Row
from vigil.eval.speed.machine import Clock, quantile
from vigil.eval.speed.talk import Chatter, Mouth, camera
from vigil.model import VideoModel
from vigil.stream.journal import Moment, Question
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.stream.session import Session
from vigil.types import Frame, Say

NAMES = ("ttft_question_s", "ttft_question_ratio", "ttft_question_steps", "ttft_question_twin_s")


@dataclass
class Listener:
    """A session that watches in silence, and is asked now and then."""

    model: VideoModel
    frames: int
    clock: Clock
    waited_s: list[float] = field(default_factory=list)
    """From each question to its first visible text."""
    passes: list[int] = field(default_factory=list)
    """Passes of the decoder in that time, the prompt's own prefill among them."""
    see_s: list[float] = field(default_factory=list)
    """Taking in one frame that has been perceived, and deciding to be silent."""

    def __post_init__(self) -> None:
        self.mouth, self._ran = Mouth(), 0
        self.session = Session(
            self.model,
            config=StreamConfig(
                memory_frames=self.frames, text_tokens=4096, max_answer_tokens=10**9, static_steps=True
            ),
            policy=self.mouth,
            sampler=Chatter(self.model),
            trace=self._trace,
        )
        self.now_s = 0.0
        self.session.open(self._moment())

    def _trace(self, kind: str, **fields: Any) -> None:
        self._ran += kind == "ran"

    def _moment(self) -> Moment:
        return Moment(self.now_s, self.now_s)

    def watch(self, seen: list[Perceived]) -> None:
        """See all frames, drawn in turn from a few that have been perceived."""
        for n in range(self.frames):
            frame = replace(seen[n % len(seen)], index=n, time_s=float(n))
            self.now_s = float(n)
            self.see_s.append(self.clock.time_s(lambda frame=frame: self.session.see(frame, self._moment())))  # type: ignore[misc]

    def ask(self) -> None:
        """Ask, and wait for something to be seen of the answer; then fall silent again."""
        self._ran, self.mouth.is_open = 0, True
        start_s = self.clock.now_s()
        events = self.session.hear(Question(QUESTION), self._moment())
        while not any(isinstance(event, Say) and event.text.strip() for event in events):
            self.now_s = self.session.due_s or self.now_s
            events = self.session.step(self._moment())
        self.waited_s.append(self.clock.now_s() - start_s)
        self.passes.append(self._ran)
        self.mouth.is_open = False
        self.session.stop_speaking(self._moment())

    def row(self, name: str) -> Row:
        """For the table."""
        return {
            "who": name,
            "frames_seen": self.frames,
            "question_ms": 1000 * quantile(self.waited_s, 0.5),
            "passes": max(self.passes),
            "frame_taken_in_ms": 1000 * quantile(self.see_s[len(self.see_s) // 2 :], 0.5),
        }


def question(bench: Bench) -> Part:
    """Ask two sessions of each model in turn, one that saw few frames and one that saw all."""
    scale, sizes = bench.scale, (bench.scale.few_seen, bench.scale.frames)
    rows: list[Row] = []
    found: dict[tuple[str, int], Listener] = {}
    for who in (bench.vigil(), bench.twin()):
        perceiver = Perceiver(who.model)
        seen = [perceiver.perceive(i, Frame(image, t)) for i, (image, t) in enumerate(camera(1.0, 4.0))]
        for num in sizes:
            bench.note(f"{who.name}: watching {num} frames in silence")
            found[who.name, num] = Listener(who.model, num, bench.clock)
            found[who.name, num].watch(seen)
        bench.note(f"{who.name}: asking")
        for _ in range(scale.rounds):
            for num in sizes:
                found[who.name, num].ask()
        rows += [found[who.name, num].row(who.name) for num in sizes]
    few, many, twin = found["vigil", sizes[0]], found["vigil", sizes[1]], found["twin", sizes[1]]
    setting = f"{sizes[1]} frames seen, question of {_prompt_tokens(bench)} tokens, through a session"
    best_s = _bound_s(bench, many)
    wait_s = quantile(many.waited_s, 0.5)
    values = (wait_s, wait_s / quantile(few.waited_s, 0.5), max(many.passes) - 1, quantile(twin.waited_s, 0.5))
    kind, bound_s = max(best_s.items(), key=lambda item: item[1])
    bounds_of = {"ttft_question_s": Bound("arithmetic" if kind == "arithmetic" else "bandwidth", bound_s / wait_s)}
    figures = [Figure(n, v, setting, bounds_of.get(n)) for n, v in zip(NAMES, values, strict=True)]
    figures[1] = replace(figures[1], setting=f"{sizes[1]} by {sizes[0]} frames seen")
    return Part(tuple(figures), tuple(rows))


def _prompt_tokens(bench: Bench) -> int:
    """Tokens of the question with its headers, and the silence before it."""
    return len(bench.vigil().ids(0))


def _bound_s(bench: Bench, listener: Listener) -> dict[str, float]:
    """What reading and arithmetic alone would take for the passes of one question."""
    model, num = listener.model, listener.frames
    text = listener.session._text
    read_s = max(listener.passes) * step_bytes(model, text, num_frames=num) / bench.rates.bytes_per_s
    tokens = _prompt_tokens(bench)
    flops = bounds.prefill_flops(model.config, tokens + num, num) - bounds.prefill_flops(model.config, num, num)
    return {"bandwidth": read_s, "arithmetic": flops / bench.rates.flops_per_s}
