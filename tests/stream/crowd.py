"""Several sessions on one engine, each with its own manner and video, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import Image, pictures, spell, tiny_model, without_wall
from torch import Tensor

from vigil.config import SamplingConfig, StreamConfig
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.handle import Handle
from vigil.stream.journal import Question
from vigil.stream.policy import Sampler, SlotChoice, Threshold
from vigil.stream.session import Session
from vigil.types import Event, Frame, Silence

MODEL = tiny_model()
ASKED = (Question("What?", at_s=1.5), Question("News?", standing=True, at_s=4.0))


class EveryThird:
    """A policy that speaks in every third slot, so that there is speech and silence with any weights."""

    slots = 0

    def speaks(self, slot: SlotChoice) -> bool:
        self.slots += 1
        return self.slots % 3 == 0


def manner(seed: int) -> dict[str, Any]:
    """How session `seed` speaks: now and then, in its own words, a few at a time."""
    return {
        "config": StreamConfig(fps=10.0, max_answer_tokens=4 + seed, memory_frames=3 + seed, tokens_per_s=3.0 + seed),
        "policy": EveryThird(),
        "sampler": Sampler(SamplingConfig(repetition_penalty=2.0)),
    }


def clip(seed: int) -> list[tuple[Image, float]]:
    """Videos of unequal length and rate."""
    return pictures(5 + seed, every_s=1.0 - 0.2 * seed, first=100 * seed)


def alone(seed: int) -> list[Event]:
    session = Session(MODEL, **manner(seed))
    for question in ASKED:
        session.ask(question.text, standing=question.standing, at_s=question.at_s)
    return list(session.watch(clip(seed), speed="max"))


def run(engine: Engine) -> None:
    """Step by hand until nothing is due."""
    while engine.step():
        pass


def together(num: int = 3, *, order: Sequence[int] | None = None, **config: Any) -> list[list[Event]]:
    """The same sessions on one engine, by hand; events of each."""
    engine = Engine(MODEL, EngineConfig(**config))
    opened = {
        seed: engine.open(speed="max", questions=ASKED, name=str(seed), **manner(seed)) for seed in order or range(num)
    }
    for seed, handle in opened.items():
        for image, time_s in clip(seed):
            handle.push(Frame(image, time_s))
        handle.finish()
    run(engine)
    assert engine.handles == ()
    return [opened[seed].take_events() for seed in range(num)]


def check_same(one: list[Event], other: list[Event]) -> None:
    """Equal but for the wall clock, and for how sure a silence was: to 1e-4."""
    assert spell(one) == spell(other)
    for a, b in zip(without_wall(one), without_wall(other), strict=True):
        if isinstance(a, Silence) and isinstance(b, Silence):
            assert (a.p_silence_mean, a.p_silence_min) == pytest.approx((b.p_silence_mean, b.p_silence_min), abs=1e-4)
            a, b = (replace(event, p_silence_mean=0.0, p_silence_min=0.0) for event in (a, b))
        assert a == b


class Rambling(Sampler):
    """Says the alphabet again and again: no token of it ends an answer, whatever the weights are."""

    def pick(self, logits_V: Tensor, said: list[int]) -> int:
        assert MODEL.tokenizer is not None
        letters = MODEL.tokenizer.encode("abcdefghijklmnopqrstuvwxyz")
        return letters[len(said) % len(letters)]


def talker(engine: Engine, **settings: Any) -> Handle:
    """A session that speaks from its first frame on and does not stop by itself."""
    config = StreamConfig(tokens_per_s=1e4, max_answer_s=1e9, max_answer_tokens=10**6)
    return engine.open(config=config, policy=Threshold(1.0), sampler=Rambling(), **settings)
