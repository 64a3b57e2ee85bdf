"""Which example is drawn when: shares by hand, whole numbers close to them, and the same order on any machine."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import ConfigError
from vigil.train.examples import Example, Kind, Maker
from vigil.train.mixture import BLOCK, Order, Pool, make_pools
from vigil.train.stages import Mixture


class Numbered:
    """A source that holds so many examples of each kind, and is never read."""

    def __init__(self, name: str, **counts: int) -> None:
        self.name = name
        self.items: dict[Kind, Any] = {kind: list(range(count)) for kind, count in counts.items()}  # type: ignore[misc]

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """Never asked."""
        raise NotImplementedError


def shares(*sources: tuple[Numbered, float | None], **mixture: float) -> dict[str, float]:
    pools = make_pools(list(sources), Mixture(**{"text": 0, "image": 0, "video": 0, **mixture}))
    return {f"{pool.source.name} {pool.kind}": round(pool.share, 6) for pool in pools}


def test_kinds_share_as_the_mixture_says_and_sources_by_their_numbers() -> None:
    one, other = Numbered("a", video=30, text=10), Numbered("b", video=10)
    assert shares((one, None), (other, None), text=1, video=3) == {"a text": 0.25, "a video": 0.5625, "b video": 0.1875}


def test_weights_go_before_numbers_within_a_kind() -> None:
    one, other = Numbered("a", video=1000, text=10), Numbered("b", video=10)
    assert shares((one, 1.0), (other, 3.0), text=1, video=1) == {"a text": 0.5, "a video": 0.125, "b video": 0.375}


def test_a_kind_that_nothing_holds_gives_its_share_to_the_others() -> None:
    assert shares((Numbered("a", video=5, image=5), None), text=2, image=1, video=1) == {"a image": 0.5, "a video": 0.5}


def test_a_kind_or_a_source_of_no_weight_is_never_drawn() -> None:
    one, other = Numbered("a", video=5, text=5), Numbered("b", video=5)
    assert shares((one, 1.0), (other, 0.0), video=1) == {"a video": 1.0}


@pytest.mark.parametrize(
    ("sources", "mixture", "message"),
    [
        ([(Numbered("a", video=5), 1.0), (Numbered("b", video=5), None)], {"video": 1}, "some of --data have a weight"),
        ([(Numbered("a", text=5), None)], {"video": 1}, "the data has nothing that the stage wants"),
        ([], {"video": 1}, "the data has nothing that the stage wants"),
        ([(Numbered("a", video=0), None)], {"video": 1}, "the data has nothing that the stage wants"),
    ],
    ids=["some-weights", "another-kind", "no-source", "an-empty-one"],
)
def test_data_that_cannot_be_shared_out_is_refused(
    sources: list[tuple[Numbered, float | None]], mixture: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        shares(*sources, **mixture)


# ---- order ----------------------------------------------------------------------------------------------------------


def pools(*given_shares: float, items: int = 50) -> list[Pool]:
    whole = sum(given_shares)
    return [Pool(Numbered(f"s{n}", video=items), "video", share / whole) for n, share in enumerate(given_shares)]


def drawn(order: Order, count: int, first: int = 0) -> list[tuple[str, int]]:
    return [(pool.source.name, number) for pool, number in (order[k] for k in range(first, first + count))]


@given(weights=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6))
def test_every_block_holds_each_pool_as_often_as_its_share_to_within_one(weights: list[float]) -> None:
    given_pools = pools(*weights)
    order = Order(given_pools, seed=3)
    for block in range(2):
        counts = Counter(name for name, _ in drawn(order, BLOCK, block * BLOCK))
        for pool in given_pools:
            assert abs(counts[pool.source.name] - BLOCK * pool.share) < 1.5 + len(weights) / 2
            assert counts[pool.source.name] >= 1


def test_a_pool_of_hardly_any_share_still_comes_once_in_a_block() -> None:
    counts = Counter(name for name, _ in drawn(Order(pools(1.0, 1e-6), seed=0), BLOCK))
    assert counts == {"s0": BLOCK - 1, "s1": 1}


def test_each_pass_over_a_pool_draws_every_example_once() -> None:
    numbers = [number for _, number in drawn(Order(pools(1.0, items=30), seed=0), 90)]
    passes = [numbers[start : start + 30] for start in (0, 30, 60)]
    assert all(sorted(one) == list(range(30)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_the_order_is_that_of_its_seed_wherever_one_begins_to_look() -> None:
    ahead, order = Order(pools(1.0, 2.0), seed=5), Order(pools(1.0, 2.0), seed=5)
    jumped = drawn(ahead, 20, 700)
    assert drawn(order, 720)[700:] == jumped
    assert drawn(Order(pools(1.0, 2.0), seed=6), 20, 700) != jumped


def test_the_world_is_drawn_from_at_random_and_always_alike() -> None:
    world = Numbered("world")
    world.items["video"] = range(1_000_000)
    numbers = [number for _, number in drawn(Order([Pool(world, "video", 1.0)], seed=1), 300)]
    assert numbers == [number for _, number in drawn(Order([Pool(world, "video", 1.0)], seed=1), 300)]
    assert len(set(numbers)) > 290
    assert min(numbers) < 20_000
    assert max(numbers) > 980_000
