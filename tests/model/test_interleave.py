"""The decoder-only twin on whole sequences: where vision tokens stand, and that nothing else differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import CONV, TILE_VIT, byte_tokenizer, tiny_config, tiny_model

from vigil.config import ModelConfig, VisionConfig, moss_11b, nano
from vigil.errors import ConfigError, ShapeError
from vigil.model import VideoModel, load
from vigil.model.interleave import interleave, twin_of
from vigil.model.weights import save

BOTH = pytest.mark.parametrize("vision", [CONV, TILE_VIT], ids=["conv", "tile-vit"])
SMALL = nano(vocab_size=512, image_token_id=6, silence_token_id=4)


def twin(vision: VisionConfig = CONV, **changes: object) -> VideoModel:
    return tiny_model(twin_of(tiny_config(vision, **changes)))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-4)


def test_vision_tokens_stand_right_before_their_placeholder() -> None:
    is_frame_BT = torch.tensor([[False, True, False, True], [True, False, False, False]])
    order = interleave(is_frame_BT, torch.tensor([[True, True], [True, False]]), per_frame=2)
    # text tokens are 0 to 3, the vision tokens of frame 0 are 4 and 5, those of frame 1 are 6 and 7
    assert order.sources_BS.tolist() == [[0, 4, 5, 1, 2, 6, 7, 3], [4, 5, 0, 1, 2, 3, 0, 0]]
    assert order.places_BT.tolist() == [[0, 3, 4, 7], [2, 3, 4, 5]]


def test_a_frame_that_is_absent_gives_its_place_to_the_next() -> None:
    order = interleave(torch.tensor([[True]]), torch.tensor([[False, True]]), per_frame=1)
    assert order.sources_BS.tolist() == [[2, 0]]


def test_placeholders_and_frames_must_be_equally_many() -> None:
    with pytest.raises(ShapeError, match="row 1 has 2 placeholders for 1 frames"):
        interleave(torch.ones(2, 2).bool(), torch.tensor([[True, True], [True, False]]), per_frame=3)


def test_the_text_has_the_positions_it_has_in_the_other_model() -> None:
    order = interleave(torch.tensor([[False, True, False]]), torch.tensor([[True]]), per_frame=3)
    assert order.mix(torch.tensor([[0, 1, 2]]), torch.tensor([[1]])).tolist() == [[0, 1, 1, 1, 1, 2]]


def test_the_twin_is_a_plain_decoder_over_text_and_vision_tokens_in_their_order() -> None:
    model = twin()
    image, P = model.config.image_token_id, CONV.tokens_per_frame
    features = torch.randn(1, 1, P, model.config.text.width)
    ids_BT = torch.tensor([[5, image, 7]])
    words = model.decoder.embed_tokens(ids_BT)
    h_BSD = torch.cat((words[:, :1], features[:, 0], words[:, 1:]), dim=1)
    positions_BS = torch.tensor([[0, *[1] * P, 1, 2]])
    expected = model.decoder.head(model.decoder.run(h_BSD, positions_BS, []))[:, [0, P + 1, P + 2]]
    close(model(ids_BT, None, torch.tensor([[1]]), features=features).logits, expected)


@pytest.mark.parametrize("config", [SMALL, moss_11b()], ids=["nano", "moss-11b"])
def test_the_twin_has_as_many_parameters_within_two_percent(config: ModelConfig) -> None:
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in VideoModel(c).parameters()) for c in (config, twin_of(config))]
    assert abs(sizes[1] / sizes[0] - 1) < 0.02
    assert sizes[0] != sizes[1], "the gates and the null entry are all that differs"


def test_a_frame_takes_keys_and_values_in_every_layer_of_the_twin() -> None:
    assert SMALL.kv_bytes_per_frame == 2 * 2 * 2 * 16 * 128
    assert twin_of(SMALL).kv_bytes_per_frame == 2 * 2 * 6 * 16 * 128


def test_a_twin_with_cross_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="no cross layers"):
        replace(SMALL, fusion="decoder-only")
    with pytest.raises(ConfigError, match="already"):
        twin_of(twin_of(SMALL))


@BOTH
def test_rows_of_unequal_length_and_frame_count_give_what_each_gives_alone(vision: VisionConfig) -> None:
    model = twin(vision)
    image, side = model.config.image_token_id, vision.image_px
    ids_BT = torch.randint(0, 256, (2, 7))
    ids_BT[0, [0, 3, 4]], ids_BT[1, 2] = image, image
    frames = torch.randn(2, 3, 3, side, side)
    places_BF = torch.tensor([[0, 3, 4], [2, -1, -1]])
    together = model(ids_BT, frames, places_BF).logits
    close(together[0], model(ids_BT[:1], frames[:1], places_BF[:1]).logits[0])
    close(together[1, :5], model(ids_BT[1:, :5], frames[1:, :1], places_BF[1:, :1]).logits[0])


def test_packed_samples_and_shared_videos_give_what_each_gives_alone() -> None:
    model = twin()
    image = model.config.image_token_id
    first, second = torch.randint(0, 256, (1, 6)), torch.randint(0, 256, (1, 4))
    first[0, [1, 4]], second[0, 2] = image, image
    features, _ = model.encode_frames(torch.randn(1, 2, 3, 32, 32))
    packed = model(
        torch.cat((first, second), 1),
        None,
        torch.tensor([[1, 4, 2]]),
        features=features[:, [0, 1, 0]],
        segment_ids=torch.tensor([[0] * 6 + [1] * 4]),
    ).logits
    alone = [
        model(first, None, torch.tensor([[1, 4]]), features=features).logits,
        model(second, None, torch.tensor([[2]]), features=features[:, :1]).logits,
    ]
    close(packed, torch.cat(alone, 1))
    shared = model(
        first.repeat(2, 1),
        None,
        torch.tensor([[1, 4]]).repeat(2, 1),
        features=torch.cat((torch.zeros_like(features), features)),
        video_index=torch.tensor([1, 1]),
    ).logits
    close(shared, alone[0].repeat(2, 1, 1))


def test_a_frame_changes_its_placeholder_and_what_follows_and_nothing_before() -> None:
    model = twin()
    ids_BT = torch.randint(0, 256, (1, 6))
    ids_BT[0, [1, 3]] = model.config.image_token_id
    frames = torch.randn(1, 2, 3, 32, 32)
    other = frames.clone()
    other[0, 1] = -other[0, 1]
    one, two = (model(ids_BT, f, torch.tensor([[1, 3]])).logits[0] for f in (frames, other))
    assert torch.equal(one[:3], two[:3])
    assert bool(((one - two)[3:].abs().amax(1) > 1e-3).all())


def test_the_loss_reaches_the_vision_encoder_and_every_layer() -> None:
    model = VideoModel(twin_of(tiny_config()))
    ids_BT = torch.tensor([[1, model.config.image_token_id, 2, 3]])
    labels_BT = torch.tensor([[-100, -100, 2, 3]])
    model(ids_BT, torch.randn(1, 1, 3, 32, 32), torch.tensor([[1]]), labels=labels_BT).loss.backward()
    without = [name for name, param in model.named_parameters() if param.grad is None]
    assert without == []


def test_a_twin_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    model = twin()
    save(model, tmp_path)
    back = load(tmp_path, device="cpu")
    assert back.config == model.config
    ids_BT = torch.tensor([[1, model.config.image_token_id, 2]])
    frames, places_BF = torch.randn(1, 1, 3, 32, 32), torch.tensor([[1]])
    assert torch.equal(back(ids_BT, frames, places_BF).logits, model(ids_BT, frames, places_BF).logits)
    assert back.tokenizer is not None
    assert back.tokenizer.to_json() == byte_tokenizer().to_json()
