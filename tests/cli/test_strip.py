"""The strip under a picture: legible on its own ground, calm in silence, and never beyond its margins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vigil.cli import strip
from vigil.cli.strip import (
    DIM,
    DOTS,
    GROUND,
    NUM_LINES,
    TEXT,
    Layout,
    Shown,
    Word,
    annotate,
    fitted,
    font_for,
    missing,
    newest,
    words,
    wrapped,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
LAYOUT = Layout.of(PICTURE)
SAID = Shown(question="What colour is the light?", text="The light is red.", said_s=9.5, now_s=10.0)


def drawn(shown: Shown) -> NDArray[np.uint8]:
    """The part below the picture."""
    return annotate(PICTURE, shown, LAYOUT)[360:]


def captions(shown: Shown) -> NDArray[np.uint8]:
    """The part in which only what is said stands."""
    return drawn(shown)[LAYOUT.captions_px :]


def is_ink(pixels_HWC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (pixels_HWC != GROUND).any(axis=2)


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("name", ["TEXT", "DIM", "QUESTION", "SPEAKING", "WARNING"])
def test_every_colour_has_the_contrast_of_wcag_aaa(name: str) -> None:
    bright, dark = luminance(getattr(strip, name)), luminance(GROUND)
    assert (bright + 0.05) / (dark + 0.05) >= (7.0 if name != "DIM" else 6.0)


def test_the_picture_is_left_as_it_is_and_both_sides_are_even() -> None:
    whole = annotate(PICTURE, SAID, LAYOUT)
    np.testing.assert_array_equal(whole[:360, :640], PICTURE)
    assert whole.shape == (LAYOUT.height_px, LAYOUT.width_px, 3)
    assert LAYOUT.height_px % 2 == LAYOUT.width_px % 2 == 0


def test_silence_is_a_small_ring_and_no_text() -> None:
    rows, columns = np.nonzero(is_ink(captions(Shown())))
    assert 4 <= rows.max() - rows.min() + 1 <= LAYOUT.text_px
    assert columns.max() < LAYOUT.margin_px + LAYOUT.text_px
    assert is_ink(captions(SAID)).sum() > 5 * len(rows)


def test_time_that_passes_in_silence_changes_the_corner_alone() -> None:
    later = replace(SAID, now_s=77.7, lag_s=0.75, num_dropped=3, lost="frozen")
    np.testing.assert_array_equal(captions(SAID), captions(later))
    changed = (drawn(SAID) != drawn(later)).any(axis=2).nonzero()[1]
    assert changed.min() > 0.4 * LAYOUT.width_px


def test_each_thing_that_is_said_or_ends_changes_the_captions() -> None:
    looks = [
        Shown(),
        replace(SAID, text="The light"),
        SAID,
        replace(SAID, is_speaking=True),
        replace(SAID, holds=False),
        replace(SAID, was="The light is blue."),
    ]
    assert len({captions(shown).tobytes() for shown in looks}) == len(looks)


def longest_run(row: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(int)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def test_what_no_longer_holds_is_struck_through_and_what_holds_is_not() -> None:
    was = "The light is red."
    font = font_for(was, LAYOUT.text_px)
    width_px = sum(font.getlength(word) for word in was.split()) + 3 * strip.SPACE * LAYOUT.text_px
    struck = captions(replace(SAID, text="Green.", was=was))
    plain = captions(replace(SAID, text=was))
    assert max(map(longest_run, is_ink(struck))) == pytest.approx(width_px, abs=3)
    assert max(map(longest_run, is_ink(plain))) < 0.2 * width_px


LONG = ["word " * 400, "x" * 900, "灯是红色的" * 200, "a b " * 3 + "y" * 300 + " end", "\u202e abc \n\t def"]


@pytest.mark.parametrize("text", LONG, ids=["words", "one-word", "no-spaces", "mixed", "odd"])
def test_a_text_of_any_length_stays_inside_and_shows_its_newest_lines(text: str) -> None:
    shown = replace(SAID, text=text, was=text, question=text)
    margin_px = LAYOUT.margin_px
    ink = is_ink(drawn(shown))
    assert not ink[:, LAYOUT.width_px - margin_px + 2 :].any()
    assert not ink[-2:].any()
    assert not ink[: margin_px // 2].any()
    font = font_for(text, 20)
    lines = wrapped(words(text, TEXT), font, 200)
    for line in lines:
        *before, last = line
        assert sum(strip._width_px(word, font) for word in before) + font.getlength(last.text) <= 200
    assert "".join(word.text for line in lines for word in line) == "".join(text.split())
    kept = newest(lines, font)
    assert len(kept) == min(NUM_LINES, len(lines))
    assert kept[-1] == lines[-1]


def test_lines_by_hand() -> None:
    assert words("It is\tred.", DIM, is_struck=True) == [
        Word("It", DIM, True, True), Word("is", DIM, True, True), Word("red.", DIM, True, True)
    ]  # fmt: skip
    assert [word.text for word in words("灯 is 红的。", TEXT)] == ["灯", "is", "红", "的", "。"]
    font = font_for("a", 20)
    aa, bb, cc = words("aa bb cc", TEXT)
    room_px = font.getlength("aabb") + strip.SPACE * 20
    assert wrapped([aa, bb, cc], font, room_px) == [[aa, bb], [cc]]
    assert wrapped([aa, bb, cc], font, room_px - 1) == [[aa], [bb], [cc]]
    assert wrapped([], font, room_px) == [[]]
    lines = [[word, *words("long enough", TEXT)] for word in words("a b c d", TEXT)]
    assert newest(lines[2:], font) == lines[2:]
    assert newest(lines, font) == [[Word(DOTS, has_space=True), *lines[2][2:]], lines[3]]  # "c" alone is too narrow


@pytest.mark.parametrize(
    ("size", "picture", "width"),
    [
        ((640, 360), (640, 360), 640),
        ((320, 240), (640, 480), 640),  # small ones grow by a whole factor
        ((225, 225), (675, 675), 676),
        ((1920, 1080), (1280, 720), 1280),
        ((1080, 1920), (720, 1280), 720),
        ((200, 2000), (128, 1280), 480),  # room for words beside a narrow picture
        ((1, 1), (640, 640), 640),
    ],
)
def test_sizes_by_hand(size: tuple[int, int], picture: tuple[int, int], width: int) -> None:
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    layout = Layout.of(image)
    assert (layout.picture_px, layout.width_px) == (picture, width)
    assert annotate(fitted(image, layout), SAID, layout).shape == (layout.height_px, width, 3)


def test_a_picture_of_another_shape_is_centred_and_not_stretched() -> None:
    white = np.full((100, 100, 3), 255, dtype=np.uint8)
    inside = fitted(white, LAYOUT)
    assert inside.shape == (360, 640, 3)
    rows, columns = np.nonzero((inside == 255).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 359, 140, 499)


def test_a_character_that_no_font_has_is_a_box_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strip, "FONTS", ())
    strip._best.cache_clear()
    try:
        assert missing("Only ASCII, 100 %.") == set()
        assert missing("caf\xe9 \u706f") == {"\xe9", "\u706f"}
        assert is_ink(captions(replace(SAID, text="\u706f\u706f"))).sum() > is_ink(captions(Shown())).sum() + 50
    finally:
        strip._best.cache_clear()
