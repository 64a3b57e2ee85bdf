"""Packed or not, shared or not: the same loss."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tests.fakes import CONV, TILE_VIT, byte_tokenizer, tiny_config, tiny_model
from tests.train.tiny import STAGE
from vigil.config import VisionConfig
from vigil.data.layout import Layout
from vigil.train.examples import Example, Maker
from vigil.train.loss import LossConfig, StateIds, stage_loss
from vigil.train.packing import Packed, Packer, encode, logits
from vigil.train.sources import WorldSource

CONFIG = tiny_config()
IDS = StateIds.of(byte_tokenizer(), image_token_id=CONFIG.image_token_id)


def examples(vision: VisionConfig) -> list[Example]:
    layout = Layout(byte_tokenizer(), image_token_id=CONFIG.image_token_id)
    make = Maker(STAGE, layout, vision, image_token_id=CONFIG.image_token_id)
    world = WorldSource(STAGE)
    text = make.from_messages(
        "text", [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], lambda name: b""
    )
    return [world.read(1, make, random.Random(0)), text, world.read(2, make, random.Random(0))]


def loss(batch: Packed, vision: VisionConfig) -> float:
    model = tiny_model(tiny_config(vision))
    return float(stage_loss(logits(model, batch), batch.labels, batch.kinds, LossConfig()))


@pytest.mark.parametrize("vision", [CONV, TILE_VIT], ids=["conv", "tile_vit"])
def test_packing_changes_nothing_but_the_number_of_rows(vision: VisionConfig) -> None:
    given = examples(vision)
    sizes = [len(sample.ids) for example in given for sample in example.samples]
    config = tiny_config(vision)
    alone = Packer(config, IDS, max_tokens=max(sizes), pack=False).pack(given)
    some = Packer(config, IDS, max_tokens=2 * max(sizes), pack=True).pack(given)
    one = Packer(config, IDS, max_tokens=sum(sizes), pack=True).pack(given)
    assert len(alone.input_ids) == len(sizes) > len(some.input_ids) > len(one.input_ids) == 1
    assert alone.segment_ids is None
    assert one.input_ids.shape == (1, sum(sizes))
    for batch in (some, one):
        assert loss(batch, vision) == pytest.approx(loss(alone, vision), abs=1e-5)
    leaky = replace(one, segment_ids=None)  # the control: without segments the conversations see each other
    assert loss(leaky, vision) != pytest.approx(loss(alone, vision), abs=1e-3)


def test_each_conversation_reads_the_frames_of_its_own_video() -> None:
    given = examples(CONV)
    batch = Packer(CONFIG, IDS, max_tokens=100_000, pack=True).pack(given)
    counts = [len(example.frames) for example in given if example.frames is not None]
    firsts = [0] * len(given[0].samples) + [counts[0]] * len(given[2].samples)
    length = [counts[0]] * len(given[0].samples) + [counts[1]] * len(given[2].samples)
    expected = [first + i for first, count in zip(firsts, length, strict=True) for i in range(count)]
    assert batch.frame_index[0].tolist() == expected
    swapped = replace(batch, frame_index=batch.frame_index.flip(1))
    assert loss(swapped, CONV) != pytest.approx(loss(batch, CONV), abs=1e-4)


def test_frames_of_videos_of_unequal_length_are_encoded_as_if_each_were_alone() -> None:
    model = tiny_model()
    videos = [torch.randn(frames, 3, 32, 32, generator=torch.Generator().manual_seed(frames)) for frames in (2, 5, 1)]
    alone = torch.cat([model.encode_frames(video)[0] for video in videos])
    torch.testing.assert_close(encode(model, videos), alone)


def test_a_batch_of_texts_still_runs_the_vision_encoder_once() -> None:
    (_, text, _) = examples(CONV)
    batch = Packer(CONFIG, IDS, max_tokens=99, pack=True).pack([text])
    assert [len(video) for video in batch.videos] == [1]
    assert batch.frame_positions.tolist() == [[-1]]
    model = tiny_model().requires_grad_(True)
    stage_loss(logits(model, batch), batch.labels, batch.kinds, LossConfig()).backward()
    assert all(param.grad is not None for param in model.parameters())
    assert float(model.projector.weight.grad.abs().sum()) == 0  # type: ignore[union-attr]
