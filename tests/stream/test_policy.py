"""When to speak, and which token to say."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from vigil.config import SamplingConfig
from vigil.errors import ConfigError
from vigil.stream.policy import AnswerBy, Greedy, Policy, Sampler, SlotChoice, Threshold


def slot(p_silence: float, *, waited_s: float | None = None, has_seen: bool = True) -> SlotChoice:
    return SlotChoice(p_silence, p_silence >= 0.5, waited_s, has_seen)


@pytest.mark.parametrize(
    ("policy", "choice", "speaks"),
    [
        (Greedy(), slot(0.4), True),
        (Greedy(), slot(0.6), False),
        (Threshold(0.7), slot(0.6), True),
        (Threshold(0.7), slot(0.7), False),
        (Threshold(0.0), slot(0.0), False),
        (AnswerBy(3.0, Greedy()), slot(0.9, waited_s=2.9), False),
        (AnswerBy(3.0, Greedy()), slot(0.9, waited_s=3.0), True),
        (AnswerBy(3.0, Greedy()), slot(0.1, waited_s=0.0), True),
        (AnswerBy(3.0, Greedy()), slot(0.9, waited_s=None), False),
        (AnswerBy(3.0, Greedy()), slot(0.9, waited_s=9.0, has_seen=False), False),
        (AnswerBy(3.0, Threshold(0.95)), slot(0.9), True),
    ],
)
def test_a_policy_speaks_when_it_should(policy: Policy, choice: SlotChoice, speaks: bool) -> None:
    assert policy.speaks(choice) is speaks


def test_impossible_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\], got 1\.5"):
        Threshold(1.5)
    for seconds in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="answer_by_s must be at least 0"):
            AnswerBy(seconds, Greedy())


LOGITS_V = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0]))


def drawn(sampler: Sampler, said: list[int] | None = None, num: int = 400) -> Counter[int]:
    return Counter(sampler.pick(LOGITS_V, said or []) for _ in range(num))


def test_the_default_takes_the_most_likely_token() -> None:
    assert drawn(Sampler()) == {0: 400}


def test_temperature_1_draws_by_probability_and_never_what_is_not_allowed() -> None:
    counts = drawn(Sampler(SamplingConfig(temperature=1.0)), num=4000)
    assert [round(counts[token] / 4000, 1) for token in range(5)] == pytest.approx(
        [0.5, 0.3, 0.15, 0.05, 0.0], abs=0.06
    )
    assert counts[4] == 0


@pytest.mark.parametrize(
    ("config", "possible"),
    [
        (SamplingConfig(temperature=1.0, top_k=2), {0, 1}),
        (SamplingConfig(temperature=1.0, top_p=0.5), {0}),
        (SamplingConfig(temperature=1.0, top_p=0.51), {0, 1}),
        (SamplingConfig(temperature=1.0, top_p=0.9, top_k=1), {0}),
    ],
    ids=["top-k", "top-p-met-by-one", "top-p-needs-two", "both"],
)
def test_the_choice_is_narrowed(config: SamplingConfig, possible: set[int]) -> None:
    assert set(drawn(Sampler(config))) == possible


def test_what_was_said_already_becomes_less_likely_whatever_the_sign_of_its_score() -> None:
    sampler = Sampler(SamplingConfig(repetition_penalty=2.0))
    assert sampler.pick(torch.tensor([3.0, 2.0]), [0]) == 1
    assert sampler.pick(torch.tensor([-1.0, -1.5]), [0]) == 1
    assert sampler.pick(torch.tensor([3.0, 2.0]), []) == 0


def test_a_seed_draws_the_same_again_and_another_does_not() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(SamplingConfig(temperature=1.0, seed=seed))
        return [sampler.pick(LOGITS_V, []) for _ in range(50)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
