"""The order of data: example k of a run is a pure function of k, so a run resumes exactly, on any number of processes.

Draws come in blocks. Each block holds every pool in its share, shuffled; each pool is walked in a new order per epoch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vigil.data.layout import Sample
from vigil.errors import ConfigError, VigilError
from vigil.train.examples import KINDS, Example, Kind, Maker
from vigil.train.packing import Packed, Packer
from vigil.train.sources import Source
from vigil.train.stages import Mixture

BLOCK = 256
"""Draws over which the shares hold exactly, as far as they can be counted in whole examples."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Examples of one kind in one source."""

    source: Source
    kind: Kind
    share: float
    """Of all draws."""

    @property
    def items(self) -> Sequence[int]:
        """Numbers of the examples."""
        return self.source.items[self.kind]


def make_pools(sources: Sequence[tuple[Source, float | None]], mixture: Mixture) -> list[Pool]:
    """Share the draws out: first among the kinds that the data has, then within a kind by weight or by number.

    Raises:
        ConfigError: the data has nothing that the mixture wants, or some sources have weights and others none.
    """
    weighted = [weight is not None for _, weight in sources]
    if any(weighted) and not all(weighted):
        raise ConfigError("some of --data have a weight and others none. Give =WEIGHT to all of them, or to none.")
    pools = []
    for kind in KINDS:
        of_kind = [(s, len(s.items[kind]) if w is None else w) for s, w in sources if s.items.get(kind)]
        whole = sum(weight for _, weight in of_kind)
        share = getattr(mixture, kind)
        pools += [Pool(source, kind, share * weight / whole) for source, weight in of_kind if share * weight > 0]
    if not pools:
        raise ConfigError(f"the data has nothing that the stage wants: {mixture}. Give other --data, or another stage.")
    whole = sum(pool.share for pool in pools)
    return [Pool(pool.source, pool.kind, pool.share / whole) for pool in pools]


class Order:
    """Which example is drawn k-th."""

    def __init__(self, pools: Sequence[Pool], *, seed: int) -> None:
        self.pools = pools
        self._seed = seed
        self._per_block = _apportion([pool.share for pool in pools], BLOCK)
        self._block = lru_cache(maxsize=4)(self._shuffled_block)
        self._epoch = lru_cache(maxsize=len(pools) + 2)(self._shuffled_epoch)

    def __getitem__(self, k: int) -> tuple[Pool, int]:
        """Pool and number of the example."""
        block, place = divmod(k, BLOCK)
        picks = self._block(block)
        p = int(picks[place])
        drawn = block * self._per_block[p] + int((picks[:place] == p).sum())
        pool = self.pools[p]
        epoch, at = divmod(drawn, len(pool.items))
        if isinstance(pool.items, range):  # the world: too many to shuffle, and its numbers mean nothing anyway
            return pool, pool.items[random.Random(f"{self._seed}:{p}:{drawn}").randrange(len(pool.items))]
        return pool, pool.items[int(self._epoch(p, epoch)[at])]

    def _shuffled_block(self, block: int) -> NDArray[np.int64]:
        picks = np.repeat(np.arange(len(self.pools)), self._per_block)
        return np.random.default_rng((self._seed, 0, block)).permutation(picks)

    def _shuffled_epoch(self, pool: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, 1, pool, epoch)).permutation(len(self.pools[pool].items))


def _apportion(shares: Sequence[float], seats: int) -> list[int]:
    """Whole numbers that add up to `seats`, as close to the shares as they can be, and none of them 0."""
    counts = [max(1, int(share * seats)) for share in shares]
    while sum(counts) != seats:
        step = 1 if sum(counts) < seats else -1
        errors = [
            step * (share * seats - count) if count + step > 0 else -np.inf
            for share, count in zip(shares, counts, strict=True)
        ]
        counts[int(np.argmax(errors))] += step
    return counts


@dataclass(frozen=True, slots=True)
class Skip:
    """An example that was drawn and could not be used."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class StepInput:
    """What one process learns from in one step."""

    parts: tuple[Packed, ...]
    """One per forward pass; their gradients are added up."""
    num_samples: int
    """Conversations."""
    num_tokens: int
    """Their text tokens, placeholders of frames included."""
    skipped: tuple[Skip, ...]


@dataclass(frozen=True, kw_only=True)
class MixFeed:
    """Draws, reads and packs the examples of each step."""

    order: Order
    maker: Maker
    packer: Packer
    rank: int = 0
    num_ranks: int = 1
    accumulate: int = 1
    """Forward passes of one process in one step."""
    per_pass: int = field(init=False)
    """Examples of one forward pass."""

    def __post_init__(self) -> None:
        passes, wanted = self.num_ranks * self.accumulate, self.maker.stage.videos_per_step
        if wanted % passes:
            raise ConfigError(
                f"{wanted} examples per step cannot be shared by {self.num_ranks} processes with {self.accumulate} "
                f"passes each. Choose a multiple of {passes}."
            )
        object.__setattr__(self, "per_pass", wanted // passes)

    def step(self, step: int) -> StepInput:
        """The input of one step: the same examples over all processes, however many there are."""
        parts, skipped, samples = [], [], list[Sample]()
        for number in range(self.accumulate):
            first = ((step * self.num_ranks + self.rank) * self.accumulate + number) * self.per_pass
            examples = []
            for k in range(first, first + self.per_pass):
                drawn = self.draw(k)
                if isinstance(drawn, Skip):
                    skipped.append(drawn)
                else:
                    examples.append(drawn)
                    samples += drawn.samples
            parts.append(self.packer.pack(examples))
        num_tokens = sum(len(sample.ids) for sample in samples)
        return StepInput(tuple(parts), len(samples), num_tokens, tuple(skipped))

    def draw(self, k: int) -> Example | Skip:
        """Example k of the run, or why it cannot be used."""
        pool, number = self.order[k]
        name = f"{pool.source.name} #{number}"
        try:
            rng = random.Random(f"{self.maker.stage.name}:{self.maker.stage.seed}:{k}")
            example = pool.source.read(number, self.maker, rng)
            self.packer.check(example)
        except (VigilError, OSError) as error:
            return Skip(name, str(error))
        except (TypeError, ValueError, LookupError, AttributeError) as error:  # a field of the wrong type
            return Skip(name, f"{name} breaks its form ({type(error).__name__}: {error}).")
        return example

    def peek(self, count: int) -> list[Sample]:
        """The conversations of the first draws, to count what they hold."""
        drawn = (self.draw(k) for k in range(count))
        return [sample for example in drawn if isinstance(example, Example) for sample in example.samples]
