"""The order of data: shares, epochs, and a pure function of the step on any number of processes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from tests.fakes import byte_tokenizer, tiny_config
from tests.train.tiny import STAGE, maker
from vigil.data.layout import Sample
from vigil.errors import ConfigError, DataError
from vigil.train.examples import Example, Kind, Maker
from vigil.train.loss import StateIds
from vigil.train.mixture import BLOCK, MixFeed, Order, Skip, make_pools
from vigil.train.packing import Packer
from vigil.train.sources import Source
from vigil.train.stages import Mixture


class Numbers:
    """A source of one-token examples; those in `broken` cannot be read."""

    def __init__(self, name: str, broken: tuple[int, ...] = (), **counts: int) -> None:
        self.name = name
        self._broken = broken
        self.items: dict[Kind, Sequence[int]] = {kind: list(range(n)) for kind, n in counts.items()}  # type: ignore[misc]

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """The number is the token."""
        if number in self._broken:
            raise DataError(f"{self.name} {number} is broken.")
        return Example(f"{self.name} {number}", None, (Sample([1, number], [-100, number]),))


def feed(*sources: Source, rank: int = 0, num_ranks: int = 1, accumulate: int = 1, per_step: int = 8) -> MixFeed:
    stage = replace(STAGE, videos_per_step=per_step, mixture=Mixture(text=1, image=1, video=2))
    ids = StateIds.of(byte_tokenizer(), image_token_id=tiny_config().image_token_id)
    return MixFeed(
        order=Order(make_pools([(source, None) for source in sources], stage.mixture), seed=5),
        maker=maker(stage),
        packer=Packer(tiny_config(), ids, max_tokens=64, pack=False),
        rank=rank,
        num_ranks=num_ranks,
        accumulate=accumulate,
    )


def drawn(feed: MixFeed, step: int) -> list[int]:
    return [token for part in feed.step(step).parts for token in part.input_ids[:, 1].tolist()]


def test_shares_hold_in_every_block_and_absent_kinds_give_theirs_to_the_others() -> None:
    pools = make_pools(
        [(Numbers("a", text=30, video=10), None), (Numbers("b", video=30), None)], Mixture(text=1, video=3)
    )
    assert [(pool.source.name, pool.kind, pool.share) for pool in pools] == [
        ("a", "text", 0.25),
        ("a", "video", 0.1875),
        ("b", "video", 0.5625),
    ]
    order = Order(pools, seed=0)
    for block in range(2):
        count = Counter(pools.index(order[k][0]) for k in range(block * BLOCK, (block + 1) * BLOCK))
        assert count == {0: 64, 1: 48, 2: 144}
    (only,) = make_pools([(Numbers("a", text=3), None)], Mixture(text=14, image=44, video=42))
    assert only.share == 1


def test_weights_of_sources_are_shares_within_a_kind() -> None:
    pools = make_pools([(Numbers("a", video=1000), 1.0), (Numbers("b", video=1), 3.0)], Mixture())
    assert [pool.share for pool in pools] == [0.25, 0.75]
    with pytest.raises(ConfigError, match="some of --data have a weight and others none"):
        make_pools([(Numbers("a", video=1), 1.0), (Numbers("b", video=1), None)], Mixture())
    with pytest.raises(ConfigError, match="nothing that the stage wants"):
        make_pools([(Numbers("a", text=1), None)], Mixture(video=1))


def test_each_epoch_draws_every_example_once_in_a_new_order() -> None:
    order = Order(make_pools([(Numbers("a", video=50), None)], Mixture()), seed=0)
    epochs = [[order[k][1] for k in range(50 * epoch, 50 * epoch + 50)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])


def test_a_step_holds_the_same_examples_on_any_number_of_processes() -> None:
    source = Numbers("a", text=20, image=20, video=20)
    alone = feed(source)
    for step in (0, 1, 40):
        whole = drawn(alone, step)
        parts = [drawn(feed(source, rank=rank, num_ranks=2, accumulate=2), step) for rank in range(2)]
        assert [len(part) for part in parts] == [4, 4]
        assert parts[0] + parts[1] == whole
        assert drawn(feed(source), step) == whole  # whatever was drawn before
    assert drawn(alone, 0) != drawn(alone, 1)


def test_a_broken_example_is_named_and_skipped_and_no_other_takes_its_place() -> None:
    whole, holes = Numbers("a", video=8), Numbers("a", broken=(2, 5), video=8)
    expected = [token for token in drawn(feed(whole), 0) if token not in (2, 5)]
    given = feed(holes).step(0)
    assert given.parts[0].input_ids[:, 1].tolist() == expected
    assert given.num_samples == 6
    assert set(given.skipped) == {Skip(f"a #{n}", f"a {n} is broken.") for n in (2, 5)}


def test_a_step_without_any_usable_example_has_no_target() -> None:
    given = feed(Numbers("a", broken=tuple(range(8)), video=8)).step(0)
    assert len(given.skipped) == 8
    assert bool((given.parts[0].labels == -100).all())
    assert len(given.parts[0].videos) == 1


def test_a_conversation_that_fits_no_row_is_skipped_not_cut() -> None:
    class Long(Numbers):
        def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
            return Example("long", None, (Sample([1] * 65, [1] * 65),))

    (skip, *_) = feed(Long("a", video=8)).step(0).skipped
    assert skip.reason == "long has 65 tokens, a row holds 64 (max_tokens)."


def test_a_step_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 examples per step cannot be shared by 3 processes with 1 passes each"):
        feed(Numbers("a", video=8), num_ranks=3)
    assert torch.equal(feed(Numbers("a", video=8)).step(3).parts[0].kinds, torch.zeros(8, 2, dtype=torch.long))
