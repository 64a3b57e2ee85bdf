"""The closed vocabulary of the world: what can be seen, and how it is called.

The order of `NOUNS` is the order in which `WorldConfig.num_nouns` takes them into use: the most different shapes come
first, so that a small world is an easy one. Plain words only; grammar (articles, plurals) is here as well.
"""

from __future__ import annotations

from typing import Literal

EMOJI: dict[str, str] = {
    "dog": "🐶",
    "car": "🚗",
    "apple": "🍎",
    "tree": "🌳",
    "ball": "⚽",
    "bus": "🚌",
    "flower": "🌻",
    "fish": "🐠",
    "cat": "🐱",
    "house": "🏠",
    "boat": "⛵",
    "banana": "🍌",
    "key": "🔑",
    "tractor": "🚜",
    "frog": "🐸",
    "hat": "🎩",
    "guitar": "🎸",
    "penguin": "🐧",
    "umbrella": "🌂",
    "cake": "🎂",
    "cow": "🐮",
    "chick": "🐥",
    "rocket": "🚀",
    "pizza": "🍕",
    "balloon": "🎈",
    "shoe": "👟",
    "mushroom": "🍄",
    "robot": "🤖",
    "bell": "🔔",
    "book": "📘",
    "cup": "🍵",
    "pig": "🐷",
    "cactus": "🌵",
    "camera": "📷",
    "ghost": "👻",
    "carrot": "🥕",
    "crown": "👑",
    "drum": "🥁",
    "turtle": "🐢",
    "ladybug": "🐞",
    "pumpkin": "🎃",
    "heart": "💗",
    "snowman": "⛄",
    "gift": "🎁",
    "elephant": "🐘",
}
"""Noun -> the emoji that its sprite was rendered from."""

SHAPES = ("square", "circle", "triangle")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 42, 42),
    "green": (44, 168, 62),
    "blue": (48, 92, 232),
    "yellow": (246, 214, 44),
    "purple": (152, 58, 196),
    "white": (242, 242, 242),
}
"""Colours of shapes, as RGB."""
ITEMS = ("A", "B", "C", "D", "E", "F")
"""What the tiles of a panel are called."""
PANEL_COLOURS: dict[str, tuple[int, int, int]] = {**COLOURS, "orange": (250, 126, 10), "black": (14, 14, 18)}
"""Colours of the tiles of a panel, as RGB."""


def _mixed_in(emoji: list[str]) -> tuple[str, ...]:
    nouns = list(emoji)
    for place, shape in zip((2, 4, 8), SHAPES, strict=True):
        nouns.insert(place, shape)
    return tuple(nouns)


NOUNS = _mixed_in(list(EMOJI))
"""All nouns, easiest first; a shape is one noun and takes any colour."""

PLACES = ("beach", "forest", "snow", "city", "sea", "desert", "field", "moon")
COLUMN_PLACES = ("on the left", "in the middle", "on the right")
COLUMN_NAMES = ("left", "middle", "right")
LIGHTS = ("red", "yellow", "green")
MAX_COUNTER = 20
"""The counter of the objects family shows 0 to this number."""
MAX_DISPLAY = 99
"""The display of the camera family shows 0 to this number."""
CLOCK_TIMES = tuple(f"{hour}:{minute}" for hour in range(1, 13) for minute in ("00", "30"))
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")

HELD_OUT_PAIRS = frozenset({("yellow", "square"), ("blue", "circle"), ("red", "triangle")})
"""Colour and shape that no training or validation scene ever shows."""

LAYOUTS = (("top", "left"), ("top", "right"), ("bottom", "left"), ("bottom", "right"))
"""Where the instruments hang: edge of the picture, and the side on which the first of them stands."""
HELD_OUT_LAYOUT = ("bottom", "right")
"""A layout that no training or validation scene ever has."""

_IRREGULAR = {
    "box": "boxes",
    "bus": "buses",
    "fish": "fish",
    "snowman": "snowmen",
}


def phrase(noun: str, colour: str) -> str:
    """Name a thing without article: "dog", or "red square" where it has a colour."""
    return f"{colour} {noun}" if colour else noun


def plural(name: str) -> str:
    """Plural of a noun phrase: "dogs", "red squares", "buses"."""
    head, _, noun = name.rpartition(" ")
    many = _IRREGULAR.get(noun, noun + "s")
    return f"{head} {many}" if head else many


def with_article(name: str) -> str:
    """The noun phrase with "a" or "an"."""
    return ("an " if name[0] in "aeiou" else "a ") + name
