"""The text lane: bounded, written in place, and compacted so that the rest reads as if the spared had never been.

Conversations are spelt by letters: F fixed, Q asked, I frame, s silent slot, a spoken, c the silence that ends it.

Axes: B rows, K key/value heads, T tokens, S entries of the lane, H head channels, V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from fakes import StepClock, picture, tiny_config, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model import VideoModel
from vigil.model.model import Written
from vigil.model.rope import Turner, rotate, rotation
from vigil.stream.feed import feed
from vigil.stream.memory import FrameMemory, TextMemory, turner_of
from vigil.stream.perceiver import Perceiver
from vigil.stream.policy import SlotChoice
from vigil.stream.session import Session
from vigil.stream.text_lane import Kind, Ledger, new_position
from vigil.types import Frame

# ---- keys and values ------------------------------------------------------------------------------------------------

TURNER = Turner(torch.tensor([1.0, 0.1], dtype=torch.float64))


def tokens(start: int, stop: int) -> Tensor:
    """Token i holds the number i everywhere: [1, K=2, T, H=4]."""
    return torch.arange(start, stop, dtype=torch.float32).view(1, 1, -1, 1).expand(1, 2, stop - start, 4)


def numbers(lane: Tensor) -> list[int]:
    return [int(number) for number in lane[0, 0, :, 0]]


def test_text_comes_back_in_order_and_may_be_dropped_from_the_middle() -> None:
    memory = TextMemory(8, num_layers=1)
    memory.extend(0, tokens(0, 6), tokens(0, 6))
    memory.advance(6)
    memory.keep([0, 4, 5], [0, 0, 0], TURNER)
    assert len(memory) == 3
    keys, values = memory.extend(0, tokens(6, 8), tokens(6, 8))
    assert numbers(keys) == numbers(values) == [0, 4, 5, 6, 7]


def test_text_that_was_not_counted_is_overwritten() -> None:
    memory = TextMemory(8, num_layers=1)
    memory.extend(0, tokens(0, 2), tokens(0, 2))
    assert len(memory) == 0
    keys, _ = memory.extend(0, tokens(5, 7), tokens(5, 7))
    assert numbers(keys) == [5, 6]


def test_a_full_text_lane_says_what_to_change() -> None:
    memory = TextMemory(4, num_layers=1)
    memory.extend(0, tokens(0, 3), tokens(0, 3))
    memory.advance(3)
    with pytest.raises(MemoryFull, match=r"3 of 4 tokens, and 2 more came\. Raise StreamConfig\.text_tokens\."):
        memory.extend(0, tokens(3, 5), tokens(3, 5))


def test_the_text_lane_is_written_in_place() -> None:
    memory = TextMemory(4, num_layers=1)
    storages = set()
    for i in range(4):
        keys, _ = memory.extend(0, tokens(i, i + 1), tokens(i, i + 1))
        memory.advance(1)
        storages.add(keys.untyped_storage().data_ptr())
    memory.keep([0, 3], [0, -2], TURNER)
    storages.add(memory.extend(0, tokens(4, 5), tokens(4, 5))[0].untyped_storage().data_ptr())
    assert len(storages) == 1


def test_kept_keys_are_those_of_their_new_positions() -> None:
    bare_T = torch.randn(1, 2, 6, 4)
    at = torch.tensor([0, 1, 2, 3, 4000, 4001])
    memory = TextMemory(8, num_layers=1)
    memory.extend(0, rotate(bare_T, rotation(TURNER.freq, at, torch.float32)), bare_T)
    memory.advance(6)
    memory.keep([0, 3, 4, 5], [0, -2, -3998, -3998], TURNER)
    keys, values = memory.extend(0, bare_T[:, :, :0], bare_T[:, :, :0])
    anew = rotate(bare_T[:, :, [0, 3, 4, 5]], rotation(TURNER.freq, torch.tensor([0, 1, 2, 3]), torch.float32))
    torch.testing.assert_close(keys, anew, rtol=0, atol=1e-5)
    assert torch.equal(values, bare_T[:, :, [0, 3, 4, 5]])


# ---- what may go ----------------------------------------------------------------------------------------------------

LETTERS = {Kind.FIXED: "F", Kind.ASKED: "Q", Kind.FRAME: "I", Kind.SILENT: "s", Kind.SPOKEN: "a", Kind.CLOSING: "c"}
IMAGE, SILENCE, WORD = 1, 2, 3
SLOT = r"(?:s|a[aI]*c?)"
GRAMMAR = re.compile(rf"F+{SLOT}(?:I{SLOT})*(?:Q+{SLOT}(?:I{SLOT})*)*")


def ledger_of(letters: str, kind: type[Ledger] = Ledger, **changes: int) -> Ledger:
    """A ledger that has noted this conversation, token by token."""
    ledger = kind(image_id=IMAGE, silence_id=SILENCE, **changes)
    for run in re.findall(r"F+|Q+|.", letters):
        if run[0] in "FQ":
            ledger.ask([WORD] * len(run))
        else:
            ledger.add([{"I": IMAGE, "s": SILENCE, "c": SILENCE, "a": WORD}[run]])
    assert spelt(ledger) == letters
    return ledger


def spelt(ledger: Ledger) -> str:
    return "".join(LETTERS[kind] for kind in ledger.kinds)


def compacted(letters: str, *, readable: set[int] | None = None, target: int = 1000) -> str:
    """What is left; without `readable` all frames have been evicted."""
    ledger = ledger_of(letters)
    ledger.forget(ledger.choose(len(letters), target, readable or set()), len(letters))
    return spelt(ledger)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FFsIsIsIs", "FFs"),
        ("FFsIsQQsIsIs", "FFsQQs"),
        ("FFsIsIaacIsIs", "FFaac"),
        ("FFsIaIacIs", "FFaac"),
        ("FFaacIaacIs", "FFaacIaac"),
        ("FFsI", "FFsI"),
    ],
    ids=["silence", "question", "an-answer", "within-an-answer", "two-answers", "not-yet-decided"],
)
def test_silent_slots_and_placeholders_of_evicted_frames_go_and_nothing_else(before: str, after: str) -> None:
    assert compacted(before) == after
    assert compacted(before, readable=set(range(len(before)))) == before, "frames that are readable stay"


@pytest.mark.parametrize(
    ("target", "after"),
    [(20, "FFsQQQsIaacIsQQaacIs"), (19, "FFsIaacIsQQaacIs"), (14, "FFsIsIsQQaacIs"), (13, "FFsIsIsQQsIs")],
)
def test_when_that_is_not_enough_the_oldest_turns_and_answers_go(target: int, after: str) -> None:
    letters = "FFsQQQsIaacIsQQaacIs"
    assert compacted(letters, readable=set(range(20)), target=target) == after


def test_the_opening_and_the_open_question_stay_whatever_happens() -> None:
    assert compacted("FFsIsQQQsIsIs", readable=set(range(13)), target=0) == "FFQQQ"


def test_a_frame_takes_as_many_entries_as_stand_in_the_lane() -> None:
    ledger = ledger_of("FFsIs", entries_per_frame=4)
    assert ledger.entries(range(5)) == list(range(8))
    assert ledger.entries([0, 3, 4]) == [0, 3, 4, 5, 6, 7]
    assert ledger.num_entries([3, 4]) == 5


def test_positions_follow_what_stays() -> None:
    kept = [0, 1, 4, 6]
    assert [new_position(kept, 8, position) for position in (0, 1, 4, 6, 8, 9)] == [0, 1, 2, 3, 4, 5]
    assert new_position(kept, 8, 5) == 3, "a frame without its placeholder stands with what came next"


@st.composite
def conversations(draw: st.DrawFn) -> str:
    """Any conversation in the grammar; each turn ends with a slot."""
    spoken = st.lists(st.sampled_from(["a", "aI"]), max_size=4).map(lambda parts: "a" + "".join(parts) + "ac")
    slot = st.one_of(st.just("s"), spoken)
    turn = st.lists(slot, min_size=1, max_size=8).map("I".join)
    turns = draw(st.lists(turn, min_size=1, max_size=4))
    return "FF" + "QQQ".join(turns)


def grammatical(letters: str) -> bool:
    return GRAMMAR.fullmatch(letters) is not None


class Gentle(Ledger):
    """Without the last resort, which takes tokens one by one where the lane is too small for the frames kept."""

    def _others(self, kept: Sequence[int]) -> list[list[int]]:
        return []


@given(letters=conversations(), kept=st.integers(0, 40), target=st.integers(0, 60))
def test_what_is_left_is_a_conversation_in_the_slot_grammar(letters: str, kept: int, target: int) -> None:
    assert grammatical(letters)
    ledger = ledger_of(letters, Gentle)
    frames = [i for i, letter in enumerate(letters) if letter == "I"]
    left = ledger.choose(len(letters), target, frames[max(0, len(frames) - kept) :])
    ledger.forget(left, len(letters))
    assert grammatical(spelt(ledger)), spelt(ledger)
    assert spelt(ledger).startswith("FF")
    assert letters.rfind("Q") < 0 or "QQQ" in spelt(ledger)


# ---- a session ------------------------------------------------------------------------------------------------------


class Fickle:
    """A policy that speaks in about half the slots, and shows the least change of what the model sees."""

    def speaks(self, slot: SlotChoice) -> bool:
        return int(slot.p_silence * 1e6) % 2 == 1


class Watched(Ledger):
    """Counts how often it was compacted."""

    times = 0

    def forget(self, kept: list[int], num_fed: int) -> None:  # type: ignore[override]
        self.times += 1
        super().forget(kept, num_fed)


def long_stream(model: VideoModel, **changes: object) -> tuple[StepClock, Watched]:
    """120 s of stream with a question every 30 s, compacted many times."""
    config = StreamConfig(text_tokens=96, memory_frames=6, max_answer_tokens=4, tokens_per_s=4.0, **changes)  # type: ignore[arg-type]
    session = Session(model, config=config, policy=Fickle())
    old = session._ledger
    session._ledger = ledger = Watched(image_id=old._image_id, silence_id=old._silence_id)
    clock = StepClock(session)
    clock.open()
    for second in range(120):
        clock.frame(float(second))
        if second % 30 == 10:
            clock.ask(f"What at {second}?", second + 0.1)
    assert ledger.times >= 5
    return clock, ledger


def shallow_model() -> VideoModel:
    """One self-attention layer, then two that read frames: cached text depends on the token and its position alone."""
    config = tiny_config()
    return tiny_model(replace(config, text=replace(config.text, num_layers=3, cross_layers=(1, 2))))


def as_if_fresh(clock: StepClock, ledger: Watched) -> tuple[Tensor, Tensor]:
    """Logits of what follows: of the stream, and of a fresh feed of the text and frames that it kept."""
    session, model = clock.session, clock.session.model
    assert isinstance(session._frames, FrameMemory)
    pending, fed = session._pending, len(session._text)
    assert ledger.ids[fed:] == pending
    assert len(ledger.ids) == len(ledger)
    frames = FrameMemory(session.config, num_layers=2, turner=turner_of(model))
    places = [n for n, token in enumerate(ledger.ids) if token == model.config.image_token_id]
    for (number,), position in zip(session._frames.frames, places[-len(session._frames) :], strict=True):
        projected = _perceived(model, number)
        frames.take(model.place_frames(projected, torch.tensor([position])), [position])
    text = TextMemory(200, num_layers=1)
    anew = feed(model, ledger.ids, start=0, text=text, frames=frames)
    return feed(model, pending, start=fed, text=session._text, frames=session._frames), anew


def _perceived(model: VideoModel, number: int) -> Written:
    """What the perceiver made of frame `number` of a `StepClock`."""
    perceiver = Perceiver(model)
    return [perceiver.perceive(n, Frame(picture(n), float(n))) for n in range(number + 1)][-1].projected


@pytest.mark.parametrize("k_norm", ["after_rotation", "before_rotation"])
def test_a_compacted_stream_goes_on_as_one_that_was_fed_the_rest_from_the_start(k_norm: str) -> None:
    model = shallow_model()
    for layer in model.decoder.cross_layers:
        layer.cross_attn.norm_last = k_norm == "after_rotation"
    model.config = replace(model.config, k_norm=k_norm)  # type: ignore[arg-type]
    stream_V, fresh_V = as_if_fresh(*long_stream(model))
    torch.testing.assert_close(stream_V, fresh_V, rtol=0, atol=1e-4)


def test_keys_that_are_not_turned_are_told_from_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def unmoved(self: Turner, keys: Tensor, delta: Tensor) -> Tensor:
        return keys

    monkeypatch.setattr(Turner, "text", unmoved)
    stream_V, fresh_V = as_if_fresh(*long_stream(shallow_model()))
    assert (stream_V - fresh_V).abs().max() > 0.01


def test_what_is_fed_after_compacting_keeps_to_the_lane() -> None:
    clock, ledger = long_stream(tiny_model())
    assert max(clock.session._frames.positions) < len(ledger) <= 96
    assert grammatical(spelt(ledger)) or spelt(ledger).endswith("I")


def lanes(model: VideoModel, shift: int) -> Iterator[Tensor]:
    """Logits along a stream of tokens and frames whose positions all begin at `shift`."""
    random = torch.Generator().manual_seed(0)
    ids = [5, 6, model.config.image_token_id, 7, model.config.image_token_id, 8, 9]
    frames = FrameMemory(StreamConfig(memory_frames=4), num_layers=2, turner=turner_of(model))
    text = TextMemory(32, num_layers=2)
    for n, token in enumerate(ids):
        if token == model.config.image_token_id:
            features_FPD = torch.randn(1, 4, 32, generator=random)
            frames.take(model.write_frames(features_FPD, torch.tensor([shift + n])), [shift + n])
        if n == 5 and shift:  # everything moves back to the start
            text.keep(range(n), [-shift] * n, turner_of(model))
            frames.move(lambda position: position - shift)
        yield feed(model, [token], start=n + (shift if n < 5 else 0), text=text, frames=frames)


@torch.inference_mode()
def test_a_deep_model_whose_key_norm_is_the_same_in_both_channels_of_a_pair_does_not_notice_a_shift() -> None:
    model = tiny_model()
    for layer in model.decoder.cross_layers:
        for norm in (layer.cross_attn.k_norm, layer.cross_attn.q_norm):
            half = len(norm.weight) // 2
            norm.weight[half:] = norm.weight[:half]
    for here, there in zip(lanes(model, 0), lanes(model, 1000), strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=1e-4)
