"""The laws of a stream for the decoder-only twin, whose frames stand in the text lane.

Axes: T text tokens, F frames, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from fakes import CONV, TILE_VIT, StepClock, picture, pictures, tiny_config, tiny_model, without_wall
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import SamplingConfig, StreamConfig
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.model.tokens import ControlIds, Transcript
from vigil.stream.feed import allowed_tokens, feed
from vigil.stream.lanes import FrameQueue, lanes_for
from vigil.stream.perceiver import Perceiver
from vigil.stream.policy import Sampler, SlotChoice
from vigil.stream.session import Session
from vigil.stream.watch import answer
from vigil.types import Frame

TWINS = {vision.kind: tiny_model(twin_of(tiny_config(vision))) for vision in (CONV, TILE_VIT)}
PER_FRAME = CONV.tokens_per_frame


@torch.inference_mode()
def whole(model: VideoModel, ids: Sequence[int], frames_FCII: Tensor) -> Tensor:
    places = [i for i, token in enumerate(ids) if token == model.config.image_token_id]
    out = model(torch.tensor([ids]), frames_FCII[None] if places else None, torch.tensor([places]) if places else None)
    return out.logits[0]  # type: ignore[no-any-return]


@torch.inference_mode()
def stream(model: VideoModel, ids: list[int], frames_FCII: Tensor, cuts: Sequence[int]) -> dict[int, Tensor]:
    """Feed tokens in parts that end at `cuts`, each frame queued before its placeholder; logits of each last token."""
    frames, text = lanes_for(model, StreamConfig(), text_tokens=model.num_entries(ids))
    assert isinstance(frames, FrameQueue)
    state, seen, logits = None, 0, {}
    for start, stop in zip([0, *cuts], cuts, strict=False):
        for place in range(start, stop):
            if ids[place] == model.config.image_token_id:
                features, state = model.encode_frames(frames_FCII[seen : seen + 1], state)
                frames.take(model.write_frames(features, torch.tensor([place])), [place])
                seen += 1
        logits[stop - 1] = feed(model, ids[start:stop], start=start, text=text, frames=frames)
    return logits


@settings(max_examples=100)
@given(
    kind=st.sampled_from(sorted(TWINS)),
    is_frame=st.lists(st.booleans(), min_size=1, max_size=12),
    cut_after=st.lists(st.booleans(), min_size=12, max_size=12),
    seed=st.integers(0, 99),
)
def test_frames_and_tokens_in_any_cut_give_the_logits_of_one_pass(
    kind: str, is_frame: list[bool], cut_after: list[bool], seed: int
) -> None:
    model, random = TWINS[kind], torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 256, (len(is_frame),), generator=random).tolist()
    ids = [model.config.image_token_id if f else token for f, token in zip(is_frame, ids, strict=True)]
    side = model.config.vision.image_px
    frames_FCII = torch.randn(sum(is_frame), 3, side, side, generator=random)
    cuts = [t + 1 for t in range(len(ids) - 1) if cut_after[t]] + [len(ids)]
    logits_TV = whole(model, ids, frames_FCII)
    for t, logits_V in stream(model, ids, frames_FCII, cuts).items():
        torch.testing.assert_close(logits_V, logits_TV[t], rtol=0.0, atol=1e-4)


class Fickle:
    """Speaks about half the time, and shows the least change of what the model sees."""

    def speaks(self, slot: SlotChoice) -> bool:
        return int(slot.p_silence * 1e9) % 2 == 1


def session(**changes: int) -> Session:
    config = StreamConfig(tokens_per_s=4.0, max_answer_tokens=6, **changes)
    return Session(TWINS["conv"], config=config, policy=Fickle(), sampler=Sampler(SamplingConfig(temperature=1.0)))


@pytest.mark.parametrize("changed", [1, 5])
def test_changing_a_frame_changes_nothing_that_was_said_before_it(changed: int) -> None:
    source = pictures(8)
    other = [*source]
    other[changed] = (picture(1000), source[changed][1])
    runs = []
    for frames in (source, other):
        live = session()
        live.ask("What?", at_s=2.5)
        runs.append(without_wall(live.watch(frames, speed="max")))
    before = [[event for event in run if event.frame < changed] for run in runs]
    assert before[0] == before[1]
    assert runs[0] != runs[1], "the frame that was changed is seen at all"


def test_a_frame_that_comes_while_it_speaks_enters_between_two_words() -> None:
    fed: list[int] = []
    ran: list[int] = []

    def trace(kind: str, **fields: object) -> None:
        if kind == "fed":
            fed.extend(fields["ids"])  # type: ignore[call-overload]
        elif kind == "ran":
            ran.append(fields["tokens"])  # type: ignore[arg-type]

    model = TWINS["conv"]
    live = Session(model, config=StreamConfig(tokens_per_s=2.0, max_answer_tokens=4), policy=Always(), trace=trace)
    clock = StepClock(live)
    clock.open()
    for i in range(3):
        clock.frame(float(i))
    clock.end(3.0)
    assert any(n > PER_FRAME for n in ran), "a frame is read together with the word before it"
    assert sum(ran) <= model.num_entries(fed)
    assert fed.count(model.config.image_token_id) == 3


class Always:
    """Speaks in every slot."""

    def speaks(self, slot: SlotChoice) -> bool:
        return slot.has_seen


def test_the_lane_of_the_twin_is_bounded_however_long_the_stream_is() -> None:
    live = session(text_tokens=64, memory_frames=4)
    lane = live._text
    assert lane.capacity == 64 + 4 * PER_FRAME
    for _ in live.watch(pictures(60), speed="max"):
        assert len(lane) <= lane.capacity
    assert len(lane) > lane.capacity // 2, "it was full, and stays in use"


def test_an_offline_answer_is_the_most_likely_text_of_one_pass() -> None:
    model = TWINS["conv"]
    assert model.tokenizer is not None
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    ids = Transcript(model.tokenizer, control).offline(3, "What?")
    perceiver = Perceiver(model)
    frames = [perceiver.perceive(i, Frame(image, t)).projected.keys[0] for i, (image, t) in enumerate(pictures(3))]
    places_BF = torch.tensor([[i for i, token in enumerate(ids) if token == control.image]])
    allowed_V = allowed_tokens(model, control.end_of_turn, control.silence)
    prompt = len(ids)
    for _ in range(4):
        logits = model(torch.tensor([ids]), None, places_BF, features=torch.cat(frames)[None]).logits[0, -1]
        ids.append(int((logits + allowed_V).argmax()))
    assert not {control.end_of_turn, control.silence} & set(ids[prompt:]), "it has something to say"
    said = answer(model, pictures(3), "What?", config=StreamConfig(max_answer_tokens=4))
    assert said == model.tokenizer.decode(ids[prompt:]).strip()
