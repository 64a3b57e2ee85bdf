"""The training layout, and law 8: it is the streaming layout, token for token."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.fakes import byte_tokenizer, randomise, tiny_config
from vigil.config import StreamConfig
from vigil.data.layout import Layout, Sample
from vigil.data.records import Record, Reply, Turn
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.model import VideoModel
from vigil.model.loss import IGNORE
from vigil.model.tokens import ELLIPSIS, END_OF_TURN, IMAGE, SILENCE, SPECIAL_TOKENS
from vigil.stream.session import Session
from vigil.world.captions import describe
from vigil.world.scene import WorldConfig, sample_scene

TOKENIZER = byte_tokenizer()
IMAGE_ID = TOKENIZER.special(IMAGE)
LAYOUT = Layout(TOKENIZER, image_token_id=IMAGE_ID)
NAMES = {TOKENIZER.special(name): name for name in SPECIAL_TOKENS}
SHORT = {SILENCE: "~", ELLIPSIS: "/", IMAGE: "#", END_OF_TURN: "$"}


class Recital(VideoModel):
    """A tiny real model whose next token is always the one that a sample has at that place."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(tiny_config())
        randomise(self, 0)
        self.tokenizer = TOKENIZER
        self.sample = sample
        self.eval().requires_grad_(False)

    def decode(self, input_ids_T: Tensor, positions_T: Tensor, **lanes: Any) -> Tensor:
        """Run the real step, then prescribe the sample's next token."""
        logits_V = super().decode(input_ids_T, positions_T, **lanes)
        rest = [token for token in self.sample.ids[int(positions_T[-1]) + 1 :] if token < len(logits_V)]
        following = rest[:1] or [TOKENIZER.special(SILENCE)]
        return torch.full_like(logits_V, -9.0).index_fill(0, torch.tensor(following), 9.0)


def replay(record: Record, sample: Sample, *, tokens_per_s: float) -> list[int]:
    """Run a record's questions and frames through a session that recites `sample`; the ids it was fed."""
    fed: list[int] = []

    def trace(kind: str, **fields: Any) -> None:
        if kind == "fed":
            fed.extend(fields["ids"])

    config = StreamConfig(
        fps=record.fps, tokens_per_s=tokens_per_s, text_tokens=8192, max_answer_s=1e6, max_answer_tokens=10**6
    )
    session = Session(Recital(sample), config=config, trace=trace)
    for turn in record.turns:
        if turn.question:
            session.ask(turn.question, standing=turn.standing, at_s=turn.ask_s)
    black = np.zeros((32, 32, 3), np.uint8)
    frames = [(black, index / record.fps) for index in range(round(record.duration_s * record.fps))]
    assert list(session.watch(frames, speed="max"))
    return fed


def world_records(count: int) -> list[tuple[Record, float]]:
    """Real-time records of world scenes, each with a speaking pace in bytes per second."""
    found: list[tuple[Record, float]] = []
    for seed in range(count):
        rng = random.Random(seed)
        scene = sample_scene("val", seed, config=WorldConfig(duration_s=(4.0, 9.0)))
        records = synthesize(describe(scene), rng=rng, config=SynthConfig(offline_share=0.0))
        found += [(record, rng.choice((2.0, 5.0, 12.0, 30.0))) for record in records]
    return found[:count]


def lay_out(record: Record, tokens_per_s: float) -> Sample:
    times_s = [index / record.fps for index in range(round(record.duration_s * record.fps))]
    return LAYOUT.lay_out(record, times_s, tokens_per_s=tokens_per_s)


def disagreements(records: list[tuple[Record, float]], *, late_s: float = 0.0) -> int:
    """How many records a session replays otherwise than they were laid out; `late_s` shifts its questions."""
    count = 0
    for record, pace in records:
        sample = lay_out(record, pace)
        turns = tuple(replace(turn, ask_s=turn.ask_s + late_s) for turn in record.turns)
        count += replay(replace(record, turns=turns), sample, tokens_per_s=pace) != sample.ids
    return count


def test_law_8_a_session_replays_the_training_layout_token_for_token() -> None:
    records = world_records(120)
    assert len({turn.kind for record, _ in records for turn in record.turns}) > 10
    assert disagreements(records) == 0


def test_law_8_control_questions_a_second_late_are_noticed() -> None:
    records = [pair for pair in world_records(30) if pair[0].turns[1].ask_s < 3]
    assert disagreements(records, late_s=1.0) == len(records) > 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_law_8_holds_for_a_thousand_samples() -> None:
    assert disagreements(world_records(1000)) == 0


def spelled(sample: Sample) -> str:
    """A sample in few letters: < user, > assistant, ~ silence, # frame, / self-interruption, $ end of turn."""
    text = "".join(SHORT[NAMES[i]] if NAMES.get(i) in SHORT else TOKENIZER.decode([i]) for i in sample.ids)
    return text.replace("user\n\n", "<").replace("assistant\n\n", ">")


def record(*turns: Turn, frames: int = 3) -> Record:
    opening = Turn(ask_s=0.0, question="", kind="opening")
    return Record(id="r", video="v", duration_s=float(frames), turns=(opening, *turns))


def test_layout_by_hand() -> None:
    replies = (Reply(time_s=0.5, text="red"), Reply(time_s=2.0, text="blue", overtakes=True))
    asked = record(Turn(ask_s=0.5, question="Q", kind="state", replies=replies))
    # two tokens a second: "r" at 0.5 s, the frame at 1 s and then "e", "d" at 1.5 s, silence due at 2 s
    assert spelled(lay_out(asked, 2.0)) == "<$>~#~$<Q$>r#ed#/blue~"
    assert spelled(lay_out(asked, 4.0)) == "<$>~#~$<Q$>re#d~#blue~"


def test_a_reply_that_is_overtaken_is_abandoned_for_the_new_one() -> None:
    replies = (Reply(time_s=0.5, text="reddish"), Reply(time_s=2.0, text="blue", overtakes=True))
    asked = record(Turn(ask_s=0.5, question="Q", kind="state", replies=replies))
    assert spelled(lay_out(asked, 2.0)) == "<$>~#~$<Q$>r#ed#/blue~"


def test_a_standing_request_finishes_what_it_says_and_goes_on_with_the_next() -> None:
    replies = (Reply(time_s=0.0, text="abc"), Reply(time_s=1.0, text="d"), Reply(time_s=2.0, text="e"))
    asked = record(Turn(ask_s=0.0, question="Q", kind="narrate", standing=True, replies=replies), frames=4)
    assert spelled(lay_out(asked, 2.0)) == "<$>~$<Q$>~#ab#c~#d~#e~"  # the slot before the first frame stays silent


def test_a_question_cuts_the_answer_being_spoken() -> None:
    first = Turn(ask_s=0.0, question="Q", kind="state", replies=(Reply(time_s=0.0, text="abcdefgh"),))
    second = Turn(ask_s=1.25, question="R", kind="state", replies=(Reply(time_s=1.25, text="x"),))
    assert spelled(lay_out(record(first, second, frames=2), 2.0)) == "<$>~$<Q$>~#ab#c$<R$>x~"  # asked at 1.25 s


def test_only_what_the_model_decides_is_learnt() -> None:
    asked = record(Turn(ask_s=0.5, question="Q", kind="state", replies=(Reply(time_s=0.5, text="red"),)))
    sample = lay_out(asked, 2.0)
    learnt = spelled(Sample([i for i, label in zip(sample.ids, sample.labels, strict=True) if label != IGNORE]))
    assert learnt == "~~red~"
    assert all(label in (IGNORE, token) for token, label in zip(sample.ids, sample.labels, strict=True))


def test_frame_positions_are_those_of_the_placeholders() -> None:
    sample = lay_out(world_records(1)[0][0], 5.0)
    assert sample.frame_positions == [i for i, token in enumerate(sample.ids) if token == IMAGE_ID]


def test_offline_questions_come_after_all_frames_and_learn_the_end_of_the_turn() -> None:
    end = (Reply(time_s=3.0, text="two"),)
    turns = (
        Turn(ask_s=3.0, question="Q", kind="count", replies=end),
        Turn(ask_s=3.0, question="R", kind="x", replies=end),
    )
    sample = LAYOUT.lay_out(replace(record(*turns), offline=True), [0.0, 1.0, 2.0])
    assert spelled(sample) == "<###Q$>two$<R$>two$"
    learnt = spelled(Sample([i for i, label in zip(sample.ids, sample.labels, strict=True) if label != IGNORE]))
    assert learnt == "two$two$"


def test_jitter_moves_frames_before_words_and_never_before_the_first() -> None:
    replies = (Reply(time_s=0.5, text="reddish"),)
    sample = lay_out(record(Turn(ask_s=0.5, question="Q", kind="state", replies=replies)), 2.0)
    moved = LAYOUT.jitter(sample, random.Random(0), share=1.0)
    assert spelled(sample) == "<$>~#~$<Q$>r#ed#dish~"
    assert spelled(moved) == "<$>~#~$<Q$>r#e#ddish~"
    assert [moved.ids[i] for i in moved.frame_positions] == [IMAGE_ID] * 3
    assert sorted(zip(moved.ids, moved.labels, strict=True)) == sorted(zip(sample.ids, sample.labels, strict=True))
