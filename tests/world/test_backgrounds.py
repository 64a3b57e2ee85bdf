"""What scenes are drawn in front of, and nameless imagery: always the same, never alike, and as bright as it should be.

Letters: H height, W width, C colour channels.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vigil.world.backgrounds import NUM_VARIANTS, background, smooth_noise
from vigil.world.chance import Draw, generator
from vigil.world.imagery import MIN_CONTRAST, lump, photograph
from vigil.world.words import PLACES


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size_px", [48, 68])
def test_a_background_fills_its_size_and_is_drawn_once(place: str, size_px: int) -> None:
    image_HWC = background(place, 3, size_px)
    assert image_HWC.shape == (size_px, size_px, 3)
    assert image_HWC.dtype == np.uint8
    assert background(place, 3, size_px) is image_HWC
    with pytest.raises(ValueError, match="read-only"):
        image_HWC[0] = 0


def test_variants_of_a_place_differ_and_places_differ_more() -> None:
    """A place is told by its colours: the mean pictures of two places are further apart than variants of one."""
    means = {
        place: np.mean([background(place, variant, 32).astype(float) for variant in range(NUM_VARIANTS)], axis=0)
        for place in PLACES
    }
    for place in PLACES:
        variants = [background(place, variant, 32) for variant in range(4)]
        assert all(not np.array_equal(one, other) for one, other in combinations(variants, 2))
    closest = min(np.abs(means[one] - means[other]).mean() for one, other in combinations(PLACES, 2))
    assert closest > 12


def test_noise_lies_between_0_and_1_and_is_as_smooth_as_asked() -> None:
    coarse, fine = (smooth_noise(np.random.default_rng(0), 64, cells) for cells in (4, 64))
    for x_HW in (coarse, fine):
        assert x_HW.shape == (64, 64)
        assert x_HW.min() >= 0
        assert x_HW.max() <= 1
    steps = [np.abs(np.diff(x_HW, axis=1)).mean() for x_HW in (coarse, fine)]
    assert steps[0] < steps[1] / 4


@pytest.mark.parametrize("seed", range(6))
def test_a_photograph_is_a_picture_that_its_seed_gives_again(seed: int) -> None:
    def taken() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        rng = generator("train", seed, purpose=9)
        return photograph(rng, Draw(rng), 64, None)

    image_HWC, palette_KC = taken()
    assert image_HWC.shape == (64, 64, 3)
    assert image_HWC.dtype == np.uint8
    assert palette_KC.shape == (5, 3)
    assert image_HWC.std() > 5, "there is something to see"
    again_HWC, _ = taken()
    assert np.array_equal(image_HWC, again_HWC)


@pytest.mark.parametrize("seed", range(12))
def test_a_lump_has_three_postures_of_one_size_with_a_clear_outline(seed: int) -> None:
    rng = generator("train", seed, purpose=9)
    draw = Draw(rng)
    grey_KC = np.full((5, 3), 128, dtype=np.float32)
    postures = lump(draw, 30, grey_KC)
    assert [(image.mode, image.size) for image in postures] == [("RGBA", (30, 30))] * 3
    alpha = np.asarray(postures[0])[..., 3]
    assert (alpha == 0).any(), "it does not fill its square"
    assert (alpha > 200).mean() > 0.2
    assert not np.array_equal(np.asarray(postures[0]), np.asarray(postures[1]))


def test_a_made_up_thing_stands_out_from_what_it_is_in_front_of() -> None:
    """Things drawn from sprites have their own colours; all others are lighter or darker than the palette."""
    far = []
    for seed in range(40):
        draw = Draw(generator("train", seed, purpose=9))
        dark_KC = np.full((5, 3), 60, dtype=np.float32)
        image = np.asarray(lump(draw, 40, dark_KC)[0]).astype(float)
        inside = image[image[..., 3] > 250][:, :3]
        far.append(abs(inside.mean() - 60))
    assert np.median(far) > MIN_CONTRAST * 0.8
