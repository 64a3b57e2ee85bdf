"""Whole sequences: padding, packing, shared videos, the loss, and what `forward` refuses. Axes as in model.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import CONV, TILE_VIT, tiny_config, tiny_model
from golden import FOLDER, assert_close, read
from torch import Tensor

from vigil.config import VisionConfig
from vigil.errors import ConfigError, ShapeError
from vigil.model import VideoModel, load
from vigil.model.loss import released_loss

BOTH = pytest.mark.parametrize("vision", [CONV, TILE_VIT], ids=["conv", "tile-vit"])


def sample(model: VideoModel, length: int, places: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random ids [1, T] with placeholders at `places`, frames [1, F, 3, I, I], and the places [1, F]."""
    random = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(0, 256, (1, length), generator=random)
    ids_BT[0, places] = model.config.image_token_id
    side = model.config.vision.image_px
    return ids_BT, torch.randn(1, len(places), 3, side, side, generator=random), torch.tensor([places])


@BOTH
def test_rows_of_unequal_length_and_frame_count_give_what_each_gives_alone(vision: VisionConfig) -> None:
    model = tiny_model(tiny_config(vision))
    long, short = sample(model, 9, [0, 4, 5], 1), sample(model, 5, [2], 2)
    ids_BT, frames, places_BF = long[0].repeat(2, 1), long[1].repeat(2, 1, 1, 1, 1), long[2].repeat(2, 1)
    ids_BT[1, :5], frames[1, :1] = short[0][0], short[1][0]
    places_BF[1] = torch.tensor([2, -1, -1])
    logits_BTV = model(ids_BT, frames, places_BF).logits
    assert_close(logits_BTV[0], model(*long).logits[0])
    assert_close(logits_BTV[1, :5], model(*short).logits[0])


@BOTH
def test_packed_samples_give_what_each_gives_alone(vision: VisionConfig) -> None:
    model = tiny_model(tiny_config(vision, before_first_frame="skip"))
    parts = [sample(model, 6, [1, 4], 1), sample(model, 4, [2], 2), sample(model, 3, [], 3)]
    features = torch.cat([model.encode_frames(frames)[0] for _, frames, _ in parts[:2]], dim=1)
    packed = model(
        torch.cat([ids for ids, _, _ in parts], dim=1),
        None,
        torch.cat([places for _, _, places in parts[:2]], dim=1),
        features=features,
        segment_ids=torch.tensor([[0] * 6 + [1] * 4 + [2] * 3]),
    ).logits
    apart = [model(*parts[0]).logits, model(*parts[1]).logits, model(parts[2][0]).logits]
    assert_close(packed, torch.cat(apart, dim=1))


def test_packing_needs_its_segment_ids() -> None:
    model = tiny_model()
    one, two = sample(model, 6, [1, 4], 1), sample(model, 4, [2], 2)
    ids_BT, frames = torch.cat((one[0], two[0]), dim=1), torch.cat((one[1], two[1]), dim=1)
    places_BF = torch.cat((one[2], two[2] + 6), dim=1)
    assert (model(ids_BT, frames, places_BF).logits[:, 6:] - model(*two).logits).abs().max() > 1e-2


def test_rows_that_share_a_video_give_what_repeated_videos_give() -> None:
    model = tiny_model()
    ids_BT = torch.cat([sample(model, 7, [1, 3], seed)[0] for seed in range(3)])
    videos = torch.cat([sample(model, 7, [1, 3], seed)[1] for seed in (7, 8)])
    places_BF, video_index = torch.tensor([[1, 3]]).repeat(3, 1), torch.tensor([1, 0, 1])
    features, _ = model.encode_frames(videos)
    shared = model(ids_BT, None, places_BF, features=features, video_index=video_index).logits
    assert_close(shared, model(ids_BT, videos[video_index], places_BF).logits)
    wrong = model(ids_BT, None, places_BF, features=features, video_index=1 - video_index).logits
    assert (shared - wrong).abs().max() > 1e-2


@BOTH
@pytest.mark.parametrize("cuts", [[7], [1] * 7, [3, 4]], ids=["at-once", "one-by-one", "uneven"])
def test_features_do_not_depend_on_how_frames_are_cut(vision: VisionConfig, cuts: list[int]) -> None:
    model = tiny_model(tiny_config(vision))
    frames = torch.randn(7, 3, vision.image_px, vision.image_px)
    state, parts = None, []
    for part in frames.split(cuts):
        features, state = model.encode_frames(part, state)
        parts.append(features)
    assert_close(torch.cat(parts), model.encode_frames(frames)[0])


def test_the_conv_encoder_sees_change_and_needs_its_state_for_it() -> None:
    model = tiny_model()
    frames = torch.randn(2, 3, 32, 32)
    alone = model.encode_frames(frames[1:])[0]
    assert (model.encode_frames(frames)[0][1:] - alone).abs().max() > 1e-2


@pytest.mark.parametrize("pooling", ["average", "max", "bilinear", "none"])
def test_stride_4_merges_what_a_slow_loop_merges(pooling: str) -> None:
    model = load(FOLDER / "tiny", pooling=pooling, device="cpu")  # type: ignore[arg-type]
    model.config = replace(model.config, vision=replace(model.config.vision, stride=4))
    patches_FXD = torch.randn(2, 1 + 16, model.config.vision.feature_dim)
    grid = patches_FXD[:, 1:]
    merged = {
        "average": grid.mean(1, keepdim=True),
        "max": grid.amax(1, keepdim=True),
        "bilinear": grid.view(2, 4, 4, -1)[:, 1:3, 1:3].mean((1, 2))[:, None],  # the centre lies between four patches
        "none": grid,
    }[pooling]
    assert_close(model.pool(patches_FXD), torch.cat((patches_FXD[:, :1], merged), dim=1))
    assert model.pool(patches_FXD).shape[1] == model.config.vision.tokens_per_frame


def test_a_model_of_stride_4_streams_what_it_computes_at_once() -> None:
    model = tiny_model(tiny_config(replace(TILE_VIT, image_px=56, stride=4), before_first_frame="skip"))
    assert model.config.vision.tokens_per_frame == 2
    ids_BT, frames, places_BF = sample(model, 6, [0, 3], 1)
    logits = model(ids_BT, frames, places_BF).logits
    assert (logits - model(ids_BT, -frames, places_BF).logits).abs().max() > 1e-2


def test_loss_by_hand() -> None:
    logits_BTV = torch.zeros(1, 4, 4)  # every token has probability 1/4, so each costs log 4
    labels_BT = torch.tensor([[0, 1, -100, 2]])
    nats = torch.log(torch.tensor(4.0)).item()
    assert released_loss(logits_BTV, labels_BT, silence_id=None, silence_weight=0.5).item() == pytest.approx(nats)
    half = released_loss(logits_BTV, labels_BT, silence_id=2, silence_weight=0.5).item()
    assert half == pytest.approx((1 + 0.5) * nats / 2), "divided by the unweighted count"
    none_count = released_loss(logits_BTV, torch.full((1, 4), -100), silence_id=2, silence_weight=0.5)
    assert none_count.item() == 0.0


def test_the_silence_weight_of_the_call_goes_before_that_of_the_config() -> None:
    model, case = load(FOLDER / "tiny", device="cpu"), read("tiny/average_offline.safetensors")
    case["labels"][0, -3:] = 11

    def loss(**given: float) -> float:
        places_BF, labels = case["vision_position_ids"], case["labels"]
        return float(model(case["input_ids"], case["frames"], places_BF, labels=labels, **given).loss)

    assert model.config.silence_weight == 0.1
    assert loss() == pytest.approx(loss(silence_weight=0.1))
    assert loss() < 0.9 * loss(silence_weight=1.0)


IDS, FRAMES, PLACES = torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 1, 3, 32, 32), torch.zeros(2, 1).long()
REFUSED = {
    "one-axis": ((IDS[0],), {}, ShapeError, r"input_ids must be \[B, T\], got \[3\]"),
    "frames-and-features": ((IDS, FRAMES, PLACES), {"features": FRAMES}, ShapeError, "not both"),
    "no-positions": ((IDS, FRAMES), {}, ShapeError, "one of them is missing"),
    "no-frames": ((IDS, None, PLACES), {}, ShapeError, "one of them is missing"),
    "positions": ((IDS, FRAMES, PLACES[:1]), {}, ShapeError, r"frame_positions must be \[2, 1\], got \[1, 1\]"),
    "videos": ((IDS, FRAMES[:1], PLACES), {}, ShapeError, r"1 videos for 2 rows: give video_index \[2\]"),
    "index": ((IDS, FRAMES, PLACES), {"video_index": torch.zeros(2).long()}, ConfigError, "goes with features"),
    "canvas": (
        (IDS, FRAMES[..., :16], PLACES),
        {},
        ShapeError,
        r"frames must be \[F, 3, 32, 32\], got \[2, 1, 3, 32, 16\]",
    ),
    "segments": (
        (IDS, FRAMES, PLACES),
        {"segment_ids": torch.zeros(2, 3).long()},
        ShapeError,
        "row 0 has 0 placeholders for 1 frames",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_its_shape(name: str) -> None:
    args, options, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        tiny_model()(*args, **options)
