"""Sprites: all there, all different, and blended without surprises at the edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vigil.world.sprites import Patch, blend, panel, shape, sprite, traffic_light
from vigil.world.words import COLOURS, EMOJI, LIGHTS, MAX_DISPLAY, NOUNS, SHAPES


def on_grey(patch: Patch) -> np.ndarray:
    height, width = patch.clear_HW1.shape[:2]
    canvas_HWC = np.full((height, width, 3), 128, dtype=np.uint8)
    blend(canvas_HWC, patch, 0, 0)
    return canvas_HWC.astype(np.float32)


def test_every_noun_has_a_sprite_and_no_two_are_alike() -> None:
    assert set(NOUNS) == set(EMOJI) | set(SHAPES)
    pictures = {noun: on_grey(sprite(noun, 17, False)) for noun in EMOJI}
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(pictures[one] - pictures[other]).mean() > 15, (one, other)
    for noun, picture in pictures.items():
        assert (np.abs(picture - 128).max(axis=2) > 25).mean() > 0.25, noun


def test_shapes_have_their_colours() -> None:
    for name, colour in itertools.product(SHAPES, COLOURS):
        picture = on_grey(shape(name, colour, 18))
        np.testing.assert_allclose(picture[11, 9], COLOURS[colour], atol=3)


def test_the_lit_lamp_is_the_brightest() -> None:
    for lit in LIGHTS:
        lamps = on_grey(traffic_light(lit, 64))[5, [5, 13, 21]]
        assert LIGHTS[int(lamps.max(axis=1).argmax())] == lit


@pytest.mark.parametrize("size_px", [64, 96])
def test_no_two_numbers_look_alike(size_px: int) -> None:
    plates = [on_grey(panel(str(n).rjust(2), size_px, (255,) * 3, (0,) * 3)) for n in range(MAX_DISPLAY + 1)]
    for one, other in itertools.combinations(plates, 2):
        assert (np.abs(one - other).max(axis=2) > 128).sum() >= 10


def test_blending_by_hand() -> None:
    half = Patch(np.full((2, 2, 3), 50, np.float32), np.full((2, 2, 1), 0.5, np.float32))
    frame_HWC = np.full((2, 2, 3), 100, dtype=np.uint8)
    blend(frame_HWC, half, 1, -1)
    assert frame_HWC[:, :, 0].tolist() == [[100, 100], [100, 100]]
    frame_HWC[:] = 200
    blend(frame_HWC, half, 1, -1)
    assert frame_HWC[:, :, 0].tolist() == [[200, 150], [200, 200]]


@pytest.mark.parametrize("corner", [(-2, 0), (0, -2), (2, 0), (0, 2), (-9, 9)])
def test_a_patch_outside_the_frame_changes_nothing(corner: tuple[int, int]) -> None:
    frame_HWC = np.full((2, 2, 3), 7, dtype=np.uint8)
    blend(frame_HWC, Patch(np.ones((2, 2, 3), np.float32), np.zeros((2, 2, 1), np.float32)), *corner)
    assert (frame_HWC == 7).all()
