"""Every stored number of the reference implementation is met, frame by frame and token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from golden import CASES, FOLDER, LEAK, assert_close, pooling_of, read, stream
from safetensors.torch import load_file

from vigil.config import Pooling, VisionConfig
from vigil.model import VideoModel, load
from vigil.model.views import visible_frames
from vigil.model.vision import preprocess


def model_for(case: str) -> VideoModel:
    pooling = next(mode for mode in get_args(Pooling) if mode == pooling_of(case))
    return load(FOLDER / case.split("/")[0], pooling=pooling, device="cpu")


def with_option(model: VideoModel, **changes: object) -> VideoModel:
    """The same weights under another `ModelConfig`."""
    other = VideoModel(replace(model.config, **changes))  # type: ignore[arg-type]
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)


def test_all_cases_of_the_reference_are_here() -> None:
    assert len(CASES) == 12
    assert {pooling_of(case) for case in CASES} == set(get_args(Pooling))


@pytest.mark.parametrize("case", CASES)
def test_vision_features_match_the_reference(case: str) -> None:
    model, want = model_for(case), read(case)
    patches_BFXD, _ = model.vision(want["frames"])
    if "vision_features" in want:
        assert_close(patches_BFXD, want["vision_features"].squeeze(2))
    pooled = model.pool(patches_BFXD.flatten(0, 1)).unflatten(0, patches_BFXD.shape[:2])
    assert_close(pooled, want["pooled_features"].squeeze(2))
    projected, state = model.encode_frames(want["frames"])
    assert state is None
    if "projected_features" in want:
        assert_close(projected, want["projected_features"].squeeze(2))


@pytest.mark.parametrize("case", [case for case in CASES if case != LEAK])
def test_logits_and_loss_match_the_reference(case: str) -> None:
    model, want = model_for(case), read(case)
    out = model(
        want["input_ids"],
        want["frames"],
        want["vision_position_ids"],
        position_ids=want["position_ids"],
        labels=want["labels"],
    )
    assert_close(out.logits, want["logits"])
    assert out.loss.item() == pytest.approx(want["loss"].item(), abs=1e-4)


@pytest.mark.parametrize("case", [case for case in CASES if "stream_logits" in read(case)])
def test_streaming_token_by_token_matches_the_reference(case: str) -> None:
    assert_close(stream(model_for(case), read(case)), read(case)["stream_logits"])


def test_text_before_the_first_frame_is_causal_by_default_and_leaks_only_on_request() -> None:
    model, want = model_for(LEAK), read(LEAK)
    given = (want["input_ids"], want["frames"], want["vision_position_ids"])
    assert_close(model(*given, position_ids=want["position_ids"]).logits, want["stream_logits"])
    leaking = with_option(model, before_first_frame="leak")
    out = leaking(*given, position_ids=want["position_ids"], labels=want["labels"])
    assert_close(out.logits, want["logits"])
    assert out.loss.item() == pytest.approx(want["loss"].item(), abs=1e-4)
    assert (want["logits"] - want["stream_logits"]).abs().max() > 0.05, "the two do differ"


@pytest.mark.parametrize("option", [{"k_norm": "before_rotation"}, {"frame_rope": False}], ids=str)
def test_golden_logits_notice_a_wrong_cross_layer(option: dict[str, object]) -> None:
    case = "tiny/average_interleaved.safetensors"
    model, want = with_option(model_for(case), **option), read(case)
    out = model(want["input_ids"], want["frames"], want["vision_position_ids"], position_ids=want["position_ids"])
    with pytest.raises(AssertionError):
        assert_close(out.logits, want["logits"])


@pytest.mark.parametrize("case", [case for case in CASES if "cross_attention_mask" in read(case)])
def test_a_token_sees_exactly_the_frames_that_the_reference_lets_it_see(case: str) -> None:
    want = read(case)
    visible = visible_frames(want["position_ids"], want["vision_position_ids"])
    expected = want["cross_attention_mask"].squeeze(-1).bool()
    assert torch.equal(visible.mask_BTF & visible.any_BT1, expected)


IMAGES = load_file(FOLDER / "preprocess.safetensors")


@pytest.mark.parametrize("name", sorted(key.removesuffix(".image") for key in IMAGES if key.endswith(".image")))
def test_preprocessing_matches_the_stock_image_processor(name: str) -> None:
    config = VisionConfig(image_px=112)
    assert_close(preprocess(IMAGES[f"{name}.image"].numpy(), config), IMAGES[f"{name}.pixel_values"])
