"""From records and messages to token ids: which frames are kept, what is learnt, and what is refused."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import byte_tokenizer, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.train.tiny import STAGE, maker
from vigil.data.records import Record, Reply, Turn
from vigil.errors import DataError
from vigil.model.loss import IGNORE
from vigil.model.tokens import IMAGE
from vigil.train.examples import Example, Maker, evenly, rate
from vigil.types import Frame

TOKENIZER = byte_tokenizer()
FRAME = TOKENIZER.special(IMAGE)


@given(count=st.integers(0, 200), most=st.integers(1, 60))
def test_kept_frames_are_spread_evenly_from_the_first_to_the_last(count: int, most: int) -> None:
    kept = evenly(count, most)
    assert len(kept) == len(set(kept)) == min(count, most)
    assert kept == sorted(kept)
    if most > 1 and count:
        assert (kept[0], kept[-1]) == (0, count - 1)
        steps = {after - before for before, after in pairwise(kept)}
        assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("count", "most", "kept"), [(5, 3, [0, 2, 4]), (6, 4, [0, 2, 3, 5]), (9, 1, [0]), (3, 3, [0, 1, 2]), (0, 4, [])]
)
def test_kept_frames_by_hand(count: int, most: int, kept: list[int]) -> None:
    assert evenly(count, most) == kept


def record(*turns: Turn, offline: bool = False, fps: float = 1.0, duration_s: float = 8.0) -> Record:
    opening = Turn(ask_s=0.0, question="", kind="opening")
    return Record(id="v:0", video="v.mp4", duration_s=duration_s, turns=(opening, *turns), fps=fps, offline=offline)


def asked(at_s: float, text: str = "Red.") -> Turn:
    return Turn(ask_s=at_s, question="Colour?", kind="state", replies=(Reply(time_s=at_s, text=text),))


@pytest.mark.parametrize(("offline", "fps"), [(True, 3.0), (False, 0.5)])
def test_a_real_time_record_brings_its_own_rate_and_a_question_after_the_video_has_the_stage_s(
    offline: bool, fps: float
) -> None:
    assert rate(record(fps=0.5, offline=offline), replace(STAGE, fps=3.0)) == fps


def watching(num_frames: int, *, frames: tuple[int, int] = (1, 4), taken: list[int] | None = None) -> Maker:
    """A maker whose videos have so many frames, one a second."""
    made = maker(replace(STAGE, frames=frames, jitter=0.0))

    def read(path: Path, fps: float) -> Iterator[Frame]:
        for number in range(num_frames):
            if taken is not None:
                taken.append(number)
            yield Frame(picture(number), number / fps)

    made._read_video = read
    return made


def example(made: Maker, *records: Record) -> Example:
    return made.from_records("v.jsonl line 1", records, Path("v.mp4"), random.Random(0))


def test_a_live_video_is_cut_when_the_stage_has_enough_and_not_read_any_further() -> None:
    taken: list[int] = []
    made = example(watching(20, taken=taken), record(asked(1.5), asked(9.5)))
    assert made.frames is not None
    assert len(made.frames) == 4
    assert len(taken) <= 5
    (sample,) = made.samples
    text = TOKENIZER.decode([token for token in sample.ids if token != FRAME])
    assert text.count("Colour?") == 1, "what would be asked after the cut is not asked"


def test_a_video_asked_about_afterwards_is_thinned_out_over_all_its_length() -> None:
    made = example(watching(20), record(asked(20.0), offline=True, duration_s=20.0))
    whole = example(watching(20, frames=(1, 20)), record(asked(20.0), offline=True, duration_s=20.0))
    assert made.frames is not None
    assert whole.frames is not None
    shown = [next(i for i, frame in enumerate(whole.frames) if bool((frame == kept).all())) for kept in made.frames]
    assert shown[0] == 0
    assert shown[-1] >= 15
    assert len(shown) == 4
    steps = [after - before for before, after in pairwise(shown)]
    assert max(steps) <= 2 * min(steps)


def test_conversations_about_one_video_share_its_frames() -> None:
    made = example(watching(3), record(asked(0.5)), record(asked(1.5), asked(2.5)))
    assert len(made.samples) == 2
    assert [len(sample.frame_positions) for sample in made.samples] == [3, 3]


@pytest.mark.parametrize(
    ("num_frames", "records", "message"),
    [
        (2, (record(asked(0.5)),), r"v\.jsonl line 1 has 2 frames; the stage realtime_sft wants 3 or more"),
        (9, (record(Turn(ask_s=9.0, question="?", kind="x"), offline=True),), "holds nothing to learn"),
    ],
    ids=["too-short", "no-answer"],
)
def test_an_example_of_which_nothing_could_be_learnt_is_refused(
    num_frames: int, records: tuple[Record, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        example(watching(num_frames, frames=(3, 4)), *records)


def test_without_a_reader_of_videos_a_file_is_refused_by_name() -> None:
    made = watching(3)
    made._read_video = None
    with pytest.raises(DataError, match=r"names the file v\.mp4, but no reader of videos was given"):
        example(made, record(asked(0.5)))


# ---- messages -------------------------------------------------------------------------------------------------------


def png(grey: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), grey, np.uint8)).save(file, "PNG")
    return file.getvalue()


def of_messages(*messages: Any) -> Example:
    return maker().from_messages("m.jsonl line 7", list(messages), lambda name: png(int(name)))


USER = {"role": "user", "content": [{"text": "Look: "}, {"image": "10"}, {"text": " and "}, {"image": "200"}]}
ANSWER = {"role": "assistant", "content": "Dark, then light."}


def test_images_stand_where_the_message_names_them_and_only_answers_are_learnt() -> None:
    made = of_messages({"role": "system", "content": "Be brief."}, USER, ANSWER)
    (sample,) = made.samples
    text = "".join("[I]" if token == FRAME else TOKENIZER.decode([token]) for token in sample.ids)
    assert text == "system\n\nBe brief.user\n\nLook: [I] and [I]assistant\n\nDark, then light."
    learnt = [label for label in sample.labels if label != IGNORE]
    assert TOKENIZER.decode(learnt) == "Dark, then light."
    assert learnt[-1] == sample.ids[-1], "and the end of the answer"
    assert [sample.ids[position] for position in sample.frame_positions] == [FRAME, FRAME]
    assert made.frames is not None
    assert made.frames[0].mean() < made.frames[1].mean()


def test_a_text_has_no_frames() -> None:
    made = of_messages({"role": "user", "content": "Hi <|image|>"}, ANSWER)
    assert made.frames is None
    assert made.samples[0].frame_positions == [], "what a text says is text"


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "robot", "content": "x"}], r"breaks the form of messages \(TypeError: role 'robot' is not system"),
        ([{"content": "x"}], r"line 7 breaks the form of messages \(KeyError: 'role'\)"),
        ([{"role": "user", "content": [{"sound": "x"}]}], r"KeyError: 'text'"),
        ([{"role": "user", "content": 3}], "TypeError"),
        (["x"], "TypeError"),
        ([{"role": "user", "content": "x"}], "holds nothing to learn: the assistant says nothing in it"),
    ],
    ids=["role", "no-role", "part", "number", "text", "no-answer"],
)
def test_messages_of_another_form_are_refused(messages: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        of_messages(*messages)


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    with pytest.raises(DataError, match=r"m\.jsonl line 7, image 'x\.png', cannot be decoded: UnidentifiedImageError"):
        maker().from_messages(
            "m.jsonl line 7", [{"role": "user", "content": [{"image": "x.png"}]}, ANSWER], lambda _: b"no image"
        )
