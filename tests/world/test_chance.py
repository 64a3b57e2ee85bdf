"""Draws: within their bounds, as often as they should be, and never shared between scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.world.chance import Draw, Split, generator

NUM = 20_000


def draw(seed: int = 0) -> Draw:
    return Draw(np.random.default_rng(seed))


def shares(one: Callable[[Draw], object]) -> dict[object, float]:
    """How often each outcome comes."""
    source = draw()
    counts = Counter(one(source) for _ in range(NUM))
    return {outcome: count / NUM for outcome, count in counts.items()}


@given(low=st.integers(-5, 5), length=st.integers(0, 5), seed=st.integers(0, 99))
def test_whole_numbers_lie_within_their_bounds_both_included(low: int, length: int, seed: int) -> None:
    source = draw(seed)
    drawn = {source.between(low, low + length) for _ in range(400)}
    assert drawn == set(range(low, low + length + 1))


@given(bound=st.integers(1, 6), seed=st.integers(0, 99))
def test_numbers_below_a_bound_never_reach_it(bound: int, seed: int) -> None:
    source = draw(seed)
    assert {source.below(bound) for _ in range(400)} == set(range(bound))


def test_real_numbers_fill_their_span_evenly() -> None:
    source = draw()
    drawn = np.array([source.real(-2.0, 6.0) for _ in range(NUM)])
    assert drawn.min() >= -2.0
    assert drawn.max() < 6.0
    counts, _ = np.histogram(drawn, bins=8, range=(-2.0, 6.0))
    assert np.abs(counts / NUM - 1 / 8).max() < 0.01


@pytest.mark.parametrize("probability", [0.0, 0.25, 0.9, 1.0])
def test_a_chance_comes_true_as_often_as_it_says(probability: float) -> None:
    assert shares(lambda source: source.chance(probability)).get(True, 0.0) == pytest.approx(probability, abs=0.01)


def test_picks_are_all_equally_likely() -> None:
    found = shares(lambda source: source.pick("abcde"))
    assert found == {letter: pytest.approx(0.2, abs=0.015) for letter in "abcde"}


def test_weights_are_shares_and_what_weighs_nothing_never_comes() -> None:
    found = shares(lambda source: source.weighted("abc", (1.0, 0.0, 3.0)))
    assert found == {"a": pytest.approx(0.25, abs=0.015), "c": pytest.approx(0.75, abs=0.015)}


@given(count=st.integers(0, 8), seed=st.integers(0, 99))
def test_some_of_a_list_are_different_and_of_it(count: int, seed: int) -> None:
    options = list("abcde")
    drawn = draw(seed).some(options, count)
    assert len(drawn) == len(set(drawn)) == min(count, 5)
    assert set(drawn) <= set(options)
    assert options == list("abcde"), "what was drawn from stays whole"


def test_some_of_a_list_come_in_any_order() -> None:
    found = shares(lambda source: tuple(source.some("ab", 2)))
    assert found == {("a", "b"): pytest.approx(0.5, abs=0.015), ("b", "a"): pytest.approx(0.5, abs=0.015)}


def test_a_stream_of_numbers_goes_on_after_its_first_block() -> None:
    source = draw()
    numbers = [source.unit() for _ in range(1000)]
    assert len(set(numbers)) == 1000
    assert all(0 <= number < 1 for number in numbers)


@pytest.mark.parametrize(
    "other",
    [("val", 3, 0), ("test", 3, 0), ("train", 4, 0), ("train", 3, 1)],
    ids=["another-split", "a-third-split", "another-seed", "another-purpose"],
)
def test_scenes_share_no_random_numbers(other: tuple[Split, int, int]) -> None:
    split, seed, purpose = other
    own, again = (generator("train", 3, purpose=0).random(50) for _ in range(2))
    assert np.array_equal(own, again)
    assert not np.intersect1d(own, generator(split, seed, purpose=purpose).random(50)).size
