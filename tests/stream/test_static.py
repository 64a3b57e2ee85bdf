"""A step with static shapes gives what the ordinary one gives, while frames come and go and the text grows."""

from __future__ import annotations

import pytest
import torch
from fakes import tiny_config, tiny_model
from torch import Tensor

from vigil.assets import demo_clip
from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model import VideoModel, load
from vigil.model.interleave import twin_of
from vigil.stream.feed import feed
from vigil.stream.lanes import lanes_for
from vigil.stream.memory import FrameMemory
from vigil.stream.session import Session
from vigil.stream.static import StaticStep
from vigil.types import Say

PROMPT = 5


class Stream:
    """Lanes with a prompt and one frame; the same for the same seed."""

    def __init__(self, model: VideoModel, *, text_tokens: int = 64) -> None:
        self.model = model
        self.random = torch.Generator().manual_seed(0)
        frames, self.text = lanes_for(model, StreamConfig(memory_frames=4), text_tokens=text_tokens)
        assert isinstance(frames, FrameMemory)
        self.frames, self.position = frames, PROMPT
        feed(model, list(range(PROMPT)), start=0, text=self.text, frames=self.frames)
        self.frame()

    def frame(self) -> None:
        """A frame comes, and at last an old one goes."""
        vision = self.model.config.vision
        features = torch.randn(1, vision.tokens_per_frame, self.model.config.text.width, generator=self.random)
        with torch.inference_mode():
            self.frames.take(self.model.write_frames(features, torch.tensor([self.position])), [self.position])

    def say(self, token: int) -> Tensor:
        """The ordinary step."""
        self.position += 1
        return feed(self.model, [token], start=self.position, text=self.text, frames=self.frames)


def poison(*lanes: list[tuple[Tensor, Tensor]], used: int) -> None:
    """Fill what does not count with NaN, as fresh memory may hold it."""
    with torch.inference_mode():
        for lane in lanes:
            for keys, values in lane:
                keys[:, used:], values[:, used:] = torch.nan, torch.nan


@pytest.mark.parametrize("before_first_frame", ["skip", "null_key"])
def test_static_steps_say_what_ordinary_steps_say(before_first_frame: str) -> None:
    model = tiny_model(tiny_config(before_first_frame=before_first_frame))
    one, other = Stream(model), Stream(model)
    poison(other.text.buffers(), used=PROMPT)
    poison(other.frames.buffers(), used=other.frames.span[1])
    step = StaticStep(model, other.text, other.frames)
    for n in range(30):
        if n % 2:
            one.frame()
            other.frame()
        expected = one.say(n)
        other.position += 1
        torch.testing.assert_close(step(n, other.position), expected, rtol=0, atol=1e-5)
        assert len(other.text) == len(one.text)
        assert step.fits()
    assert other.frames.span[0] > 0, "the window has slid"


def test_the_shapes_and_places_of_a_static_step_never_change() -> None:
    stream = Stream(tiny_model())
    step = StaticStep(stream.model, stream.text, stream.frames)
    seen = set()
    for n in range(9):
        stream.frame()
        step(n, PROMPT + n)
        numbers = step._numbers
        seen.add((numbers.data_ptr(), numbers.shape, stream.text.buffers()[0][0].data_ptr()))
    assert len(seen) == 1


def test_a_static_step_notices_lanes_that_have_moved() -> None:
    stream = Stream(tiny_model())
    step = StaticStep(stream.model, stream.text, stream.frames)
    stream.text = step._text = Stream(stream.model).text
    assert not step.fits()


def test_a_static_step_does_not_write_beyond_a_full_lane() -> None:
    stream = Stream(tiny_model(), text_tokens=PROMPT + 1)
    step = StaticStep(stream.model, stream.text, stream.frames)
    step(0, PROMPT)
    with pytest.raises(MemoryFull, match=r"text memory is full: 6 of 6 tokens"):
        step(1, PROMPT + 1)


def test_the_mask_of_a_static_step_counts() -> None:
    stream = Stream(tiny_model())
    stream.frame()
    step = StaticStep(stream.model, stream.text, stream.frames)
    expected = step(3, 9).clone()
    stream.text._length -= 1
    step._frames_S = step._frames_S - stream.model.config.vision.tokens_per_frame  # one frame too many
    assert (step(3, 9) - expected).abs().max() > 1e-4


def test_static_steps_of_the_twin_say_what_ordinary_steps_say() -> None:
    model = tiny_model(twin_of(tiny_config()))
    lanes = [lanes_for(model, StreamConfig(memory_frames=4), text_tokens=64) for _ in range(2)]
    for frames, text in lanes:
        feed(model, list(range(PROMPT)), start=0, text=text, frames=frames)
    (frames, ordinary), (_, static) = lanes
    poison(static.buffers(), used=PROMPT)
    step = StaticStep(model, static, None)
    for n in range(6):
        expected = feed(model, [n], start=PROMPT + n, text=ordinary, frames=frames)
        torch.testing.assert_close(step(n, PROMPT + n), expected, rtol=0, atol=1e-5)
    assert step.fits()


def test_a_session_with_static_steps_says_the_same_at_the_same_times(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[StaticStep] = []
    make = StaticStep.__init__

    def noted(step: StaticStep, *given: object) -> None:
        make(step, *given)  # type: ignore[arg-type]
        made.append(step)

    monkeypatch.setattr(StaticStep, "__init__", noted)
    monkeypatch.setattr("vigil.stream.feed.CAPTURED_ON", ("cuda", "cpu"))
    model, said = load("nano"), []
    for static in (False, True):
        config = StreamConfig(static_steps=static, text_tokens=64, memory_frames=8)
        with Session(model, config=config) as session:
            session.ask("What colour is the light?", at_s=3.0)
            events = session.watch(demo_clip(), speed="max")
            said.append([(e.time_s, e.text) for e in events if isinstance(e, Say)])
        assert bool(made) is static
    assert said[0] == said[1]
    assert len(said[0]) >= 20
    assert len(made) == 1, "compacting leaves the lanes where they are"


@pytest.mark.parametrize("config", [StreamConfig(), StreamConfig(static_steps=True, frame_storage="int8")], ids=str)
def test_no_static_step_is_made_where_it_is_not_wanted_or_cannot_be(
    config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigil.stream.feed.CAPTURED_ON", ("cuda", "cpu"))
    monkeypatch.setattr(StaticStep, "__init__", lambda *given: pytest.fail("a step was made"))
    with Session(load("nano"), config=config) as session:
        session.ask("What colour is the light?", at_s=9.5)
        assert any(isinstance(event, Say) for event in session.watch(demo_clip(), speed="max"))
