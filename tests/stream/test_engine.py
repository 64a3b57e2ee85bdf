"""Many sessions on one model: each says what it would say alone, and none waits for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from crowd import ASKED, MODEL, alone, check_same, clip, manner, run, talker, together
from fakes import picture
from test_laws_live import Gate
from torch import Tensor

from vigil.model import VideoModel
from vigil.stream import engine as engines
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.feed import Feed, feed_together
from vigil.stream.source import open_source
from vigil.types import Done, Event, Frame, Say, Silence

# ---- law 1: batched or alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [{}, {"pass_tokens": 1}, {"pass_tokens": 3, "encode_frames": 1}, {"encode_frames": 2}],
    ids=["all", "one-by-one", "few", "two-frames"],
)
def test_sessions_together_say_what_each_says_alone(config: dict[str, int]) -> None:
    for seed, events in enumerate(together(**config)):
        check_same(events, alone(seed))
        assert {type(event) for event in events} >= {Say, Silence, Done}, "there was much to compare"


def test_one_pass_serves_several_sessions() -> None:
    engine = Engine(MODEL)
    for seed in range(3):
        handle = engine.open(speed="max", **manner(seed))
        handle.push(Frame(picture(seed), 0.0))
        handle.finish()
    run(engine)
    assert engine.num_rows > 2 * engine.num_passes


def mixed_up(model: VideoModel, feeds: Sequence[Feed]) -> list[Tensor]:
    """Broken on purpose: gives one session what another one asked for."""
    rows = feed_together(model, feeds)
    return rows[1:] + rows[:1]


def test_law_1_catches_an_engine_that_mixes_sessions_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "feed_together", mixed_up)
    with pytest.raises(AssertionError):
        check_same(together()[1], alone(1))


# ---- law 5: same in, same out ---------------------------------------------------------------------------------------


def threaded(speed: float | str) -> list[list[Event]]:
    """The same sessions on sources, in threads."""
    with Engine(MODEL) as engine:
        opened = [
            engine.watch(open_source(clip(seed), fps=10.0), speed=speed, questions=ASKED, **manner(seed))  # type: ignore[arg-type]
            for seed in range(3)
        ]
        events = [list(handle.events()) for handle in opened]
    assert engine.error is None
    return events


@pytest.mark.parametrize("speed", ["max", 200.0])
def test_recordings_replay_to_the_same_events_in_threads_at_any_speed(speed: float | str) -> None:
    for seed, events in enumerate(threaded(speed)):
        events[-1] = replace(events[-1], late_s=0.0)  # type: ignore[call-arg]
        check_same(events, alone(seed))


def test_the_order_in_which_sessions_are_opened_does_not_count() -> None:
    for one, other in zip(together(), together(order=(2, 0, 1)), strict=True):
        check_same(one, other)


# ---- law 3, and fairness --------------------------------------------------------------------------------------------


def test_where_not_all_can_be_served_at_once_each_gets_its_turn() -> None:
    engine = Engine(MODEL, EngineConfig(pass_tokens=1))
    said = [0] * 5
    for i in range(5):

        def count(event: Event, i: int = i) -> None:
            said[i] += isinstance(event, Say | Done)

        handle = talker(engine, speed="max", on_event=count)
        handle.push(Frame(picture(i), 0.0))
        handle.finish()
    for _ in range(150):
        engine.step()
    assert engine.num_rows == engine.num_passes, "one row a pass"
    assert min(said) > 9
    assert max(said) <= 2 * min(said), said


class HeldEyes(VideoModel):
    """The encoder is held at the first frame of its second batch."""

    gate: Gate
    batches = 0

    def encode_frames(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if frames.ndim == 5:
            self.batches += 1
            if self.batches == 2:
                self.gate.hold()
        return super().encode_frames(frames, state)


def held_model() -> HeldEyes:
    model = HeldEyes(MODEL.config)
    model.load_state_dict(MODEL.state_dict())
    model.tokenizer, model.gate = MODEL.tokenizer, Gate()
    return model.eval().requires_grad_(False)  # type: ignore[return-value]


def test_one_session_speaks_on_while_the_frames_of_all_are_being_encoded() -> None:
    model = held_model()
    with Engine(model) as engine:
        handle = talker(engine)
        words = 0
        handle.push(Frame(picture(0), 0.0))
        for event in handle.events():
            words += isinstance(event, Say) and model.gate.reached.is_set()
            if isinstance(event, Say) and event.frame == 0 and not model.gate.reached.is_set():
                handle.push(Frame(picture(1), 0.1))
            if words == 20:
                model.gate.opened.set()
            if event.frame == 1:
                break
        assert not model.gate.held_for_ever, "speech waited for the encoder"
