"""Draws from a keyed stream of random numbers, and the one record of what changes in a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Split = Literal["train", "val", "test"]
Choice = TypeVar("Choice")

_SPLIT_KEYS: dict[str, int] = {"train": 11, "val": 22, "test": 33}
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that frame `frame` is the first to show; the words are explained in `vigil.world.captions`."""

    frame: int
    kind: str
    subject: str
    value: str = ""
    manner: str = ""
    """"slide" for a thing that comes or goes through the edge of the picture."""
    is_one_of_many: bool = False
    """Something else of the same name is on the stage, in sight or hidden."""


def generator(split: Split, seed: int, purpose: int) -> np.random.Generator:
    """Random numbers of one scene: different splits, seeds and purposes never share a stream."""
    return np.random.default_rng((_SPLIT_KEYS[split], purpose, seed))


class Draw:
    """Cheap single draws: uniform numbers are taken from numpy in blocks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(_BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.unit() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self.unit() * (high - low + 1))

    def real(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + self.unit() * (high - low)

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of the options, all equally likely."""
        return options[int(self.unit() * len(options))]

    def weighted(self, options: Sequence[Choice], weights: Sequence[float]) -> Choice:
        """One of the options, with probability in proportion to its weight."""
        left = self.unit() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]

    def some(self, options: Sequence[Choice], count: int) -> list[Choice]:
        """Up to `count` different options, in random order."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(min(count, len(rest)))]
