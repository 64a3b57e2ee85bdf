"""L5 worked out by hand: where something may flip, what a trial is once it has run, each column of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from event_logs import frame, log_of
from reciter import SpeltReel, reciter, said

from vigil.errors import ConfigError
from vigil.eval.door import VirtualClock
from vigil.eval.l5.score import GUESS, METRICS, Outcome, Scores, faults, judge, normalised, statistics
from vigil.eval.l5.trials import (
    KINDS,
    PROMPT,
    Draws,
    Flip,
    Kind,
    L5Config,
    Trial,
    draw_trial,
    place_flip,
    reply_of,
    run_kind,
    run_trial,
    settle,
)
from vigil.eval.log import Log
from vigil.eval.watcher import WatcherSystem
from vigil.world.words import ITEMS

CONFIG = L5Config()


@pytest.mark.parametrize(
    "field",
    [{"num_trials": 0}, {"seed": -1}, {"prompt_s": 0.0}, {"watch_s": -1.0}],
    ids=lambda field: next(iter(field)),
)
def test_an_impossible_setting_is_refused_with_its_values(field: dict[str, Any]) -> None:
    ((name, wrong),) = field.items()
    with pytest.raises(ConfigError, match=rf"L5 wants .*{name} .*{wrong}"):
        L5Config(**field)


def test_the_grace_is_one_frame_and_one_token_and_frames_last_for_the_longest_trial() -> None:
    assert CONFIG.grace_s == pytest.approx(0.6)
    fast = L5Config(clock=VirtualClock(fps=4.0, token_s=0.05), prompt_s=2.0, watch_s=5.0)
    assert fast.grace_s == pytest.approx(0.3)
    assert fast.num_frames == (2 + 20 + 5) * 4 + 2


def one_by_one(*, start_s: float = 1.1, items: str = "ABCDEF") -> Log:
    """A reply of one token per item, half a second apart."""
    rows: list[dict[str, Any]] = [row for i in range(12) for row in frame(i, i / 2)]
    rows.append({"k": "prompt", "q": "q1", "t": 1.0, "w": 1.0, "text": PROMPT, "direct": True})
    rows.append({"k": "answer", "a": "1", "q": "q1", "w": start_s, "state": "open"})
    rows += [
        {"k": "tok", "n": n, "w": start_s + n / 2, "vis": 2, "text": f"{item} is red. ", "a": "1"}
        for n, item in enumerate(items)
    ]
    return log_of(*rows, end_s=15.0, fps=2, cost={"token": 0.1})


def drawn(order: str = "FEDCBA", share: float = 0.0) -> Draws:
    rest = tuple(item for item in ITEMS if item not in order)
    return replace(draw_trial(0), order=(*order, *rest), share=share)


@pytest.mark.parametrize(
    ("kind", "order", "share", "token", "at_s", "item"),
    [
        # Tokens at 1.1, 1.6, ... 3.6 s; the second to the fourth may be followed by a flip, on frames 2, 2.5, 3 s.
        ("B", "AF", 0.0, 2, 2.0, "A"),
        ("B", "AF", 0.34, 3, 2.5, "A"),
        ("B", "AF", 0.99, 4, 3.0, "A"),
        ("B", "DCBA", 0.0, 2, 2.0, "B"),  # at 2 s only A and B have been named
        ("B", "DCBA", 0.34, 3, 2.5, "C"),
        ("B", "DCBA", 0.99, 4, 3.0, "D"),
        # After the grace of 0.6 s there is still E or F to come at 2 s, only F at 2.5 s, and nothing at 3 s.
        ("F", "EF", 0.0, 2, 2.0, "E"),
        ("F", "EF", 0.49, 2, 2.0, "E"),
        ("F", "EF", 0.5, 3, 2.5, "F"),
        ("F", "EF", 0.99, 3, 2.5, "F"),
        ("F", "DCBAFE", 0.0, 2, 2.0, "F"),  # D comes at 2.6 s, within the grace
        ("D", "AF", 0.0, 2, 2.0, ""),
        ("D", "AF", 0.99, 4, 3.0, ""),
    ],
)
def test_where_a_flip_is_put_by_hand(kind: Kind, order: str, share: float, token: int, at_s: float, item: str) -> None:
    draws = drawn(order, share)
    flip = place_flip(kind, draws, one_by_one(), CONFIG).flip
    assert flip is not None
    assert (flip.token, flip.at_s, flip.item) == (token, at_s, item)
    if kind == "D":
        assert (flip.old, flip.new) == (draws.panel.place, draws.place)
    else:
        assert (flip.old, flip.new) == (draws.panel.colours[ITEMS.index(item)], dict(draws.values)[item])


def test_an_item_that_is_never_named_may_flip_forward_and_not_backward() -> None:
    log = one_by_one(items="ABCABC")
    assert place_flip("F", drawn("FAB"), log, CONFIG).flip == place_flip("F", drawn("F"), log, CONFIG).flip
    backward = place_flip("B", drawn("FEDA"), log, CONFIG).flip
    assert backward is not None
    assert backward.item == "A"


def test_nothing_flips_where_nothing_is_to_flip() -> None:
    assert place_flip("N", drawn(), one_by_one(), CONFIG) == Trial(number=0, kind="N")
    for kind in KINDS:
        assert place_flip(kind, drawn(), said(), CONFIG) == Trial(number=0, kind=kind, fault="no reply")
    early = one_by_one(items="ABCDEF"[:2])  # two tokens: the moments after 1.1 and 1.6 s leave no item to come
    assert place_flip("B", drawn("A"), early, CONFIG).fault == ""
    all_at_once = said((1.1, "A is red. B is red. C is red. D is red. E is red. F is red."))
    assert place_flip("F", drawn(), all_at_once, CONFIG).fault == "no item"


def test_a_reply_of_one_token_has_one_moment() -> None:
    flip = place_flip("D", drawn(share=0.99), said((1.1, "Six tiles.")), CONFIG).flip
    assert flip is not None
    assert (flip.token, flip.at_s) == (1, 1.5)


def test_in_the_open_loop_the_moments_are_frames_each_once() -> None:
    quick = L5Config(loop="open", clock=VirtualClock(fps=1.0))
    moments = set()
    for share in np.linspace(0, 0.999, 12):
        flip = place_flip("D", drawn(share=float(share)), one_by_one(), quick).flip
        assert flip is not None
        moments.add((flip.token, flip.at_s))
    assert moments == {(0, 2.0), (0, 3.0)}  # after 1.6 s, and after 2.1 and 2.6 s


def flipped(kind: Kind, item: str = "A") -> Trial:
    return Trial(number=0, kind=kind, flip=Flip(item=item, old="red", new="blue", token=2, at_s=2.0))


@pytest.mark.parametrize(
    ("kind", "item", "flip_s", "loop", "fault"),
    [
        ("B", "A", 2.0, "closed", ""),
        ("B", "E", 2.0, "closed", "no item"),  # this time it had not been named
        ("F", "E", 2.0, "closed", ""),
        ("F", "A", 2.0, "closed", "no item"),  # this time it had been named
        ("D", "", 2.0, "closed", ""),
        ("B", "A", None, "closed", "not reached"),
        ("B", "A", 2.0, "open", ""),
        ("B", "A", 3.6, "open", ""),
        ("B", "A", 3.7, "open", "outside"),
        ("D", "", 1.0, "open", "outside"),
        ("D", "", 3.7, "closed", ""),
    ],
)
def test_what_a_trial_is_once_it_has_run(kind: Kind, item: str, flip_s: float | None, loop: Any, fault: str) -> None:
    settled = settle(flipped(kind, item), one_by_one(), flip_s, replace(CONFIG, loop=loop))
    assert (settled.flip_s, settled.fault) == (flip_s, fault)


def test_a_run_without_a_reply_was_not_reached() -> None:
    assert settle(flipped("B"), said(), 2.0, CONFIG).fault == "not reached"


def test_the_calm_log_stands_where_nothing_can_flip() -> None:
    trial, log = run_kind("F", reciter(), SpeltReel(drawn(), CONFIG), drawn(), said(), CONFIG)
    assert trial.fault == "no reply"
    assert log.hash == said().hash


def test_faults_are_counted_by_reason() -> None:
    trials = [Trial(number=0, kind="F", fault=fault) for fault in ("", "no item", "no item", "outside", "not reached")]
    assert faults(trials) == {"no reply": 0, "no item": 2, "not reached": 1, "outside": 1}


class Endless:
    """Never comes to an end."""

    interrupts_itself = False

    def see(self, image: object, t: float) -> None:
        """Nothing."""

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        self.is_asked = True

    def reply(self, t: float) -> Any:
        return iter(lambda: "and ", "") if getattr(self, "is_asked", False) else None


def test_a_reply_that_never_ends_is_watched_as_long_as_there_are_frames() -> None:
    log, _ = run_trial(WatcherSystem("endless", Endless), SpeltReel(drawn(), CONFIG), None, CONFIG)
    assert log.end.w == CONFIG.num_frames / CONFIG.clock.fps
    reply = reply_of(log)
    assert reply is not None
    assert reply.state == "open"


def test_the_question_comes_right_after_its_frame_and_once() -> None:
    log, _ = run_trial(reciter(), SpeltReel(drawn(), CONFIG), None, CONFIG)
    assert [(prompt.t, prompt.text, prompt.direct) for prompt in log.prompts] == [(1.0, PROMPT, True)]
    (asked,) = (n for n, row in enumerate(log.objects) if row["k"] == "prompt")
    assert [row["t"] for row in log.objects[:asked] if row["k"] == "frame"] == [0.0, 0.5, 1.0]


# Scores


def outcome(kind: Kind, **more: Any) -> Outcome:
    return Outcome(kind=kind, **({"hit": False} | more))


TWO = [
    [
        outcome("N", tokens=10, redundant=2),
        outcome("F", hit=True, tokens=20, stale=1, collateral=3, delay_s=1.0, is_observed=True),
        outcome("B", hit=True, tokens=30, discarded=6, delay_s=2.0, is_observed=True),
        outcome("D", hit=True, tokens=40, lag_sxy=1.0, sxx=4.0),
    ],
    [
        outcome("N", hit=None, tokens=0),
        outcome("F", tokens=20, delay_s=8.0),
        outcome("B", hit=True, tokens=40, stale=2, delay_s=4.0, is_observed=True),
        outcome("D", tokens=40, redundant=6, sxx=4.0),
    ],
]
BOTH = {
    "pfc": 1 / 2,
    "bcr": 1.0,
    "frr": 1 / 3,  # of N and D, one without a claim is left out
    "frr_none": 0.0,
    "frr_distractor": 1 / 2,
    "l5": (1 / 2 + 1 + 1 - 1 / 3) / 3,
    "nl5": ((1 / 2 + 1 + 1 - 1 / 3) / 3 - GUESS) / (1 - GUESS),
    "delay_s": 2.0,  # 1, 2, 4 s and one never: half after the second
    "stale": 3 / 4,
    "collateral": 3 / 4,
    "redundant": 8 / 8,
    "tokens": 200 / 8,
    "discarded": 6 / 8,
    "pl_slope": 1 / 8,
}


def test_every_column_by_hand() -> None:
    found = statistics(Scores(TWO), [])
    assert set(found) == set(METRICS) == set(BOTH)
    assert {name: found[name](np.arange(2)) for name in METRICS} == {name: pytest.approx(BOTH[name]) for name in BOTH}


def test_drawing_a_trial_twice_counts_it_twice() -> None:
    found = statistics(Scores(TWO), [])
    twice = {name: found[name](np.array([0, 0])) for name in METRICS}
    assert (twice["pfc"], twice["frr"], twice["tokens"], twice["delay_s"]) == (1.0, 0.5, 25.0, 1.0)
    assert found["delay_s"](np.array([1, 1])) == 4.0  # two of 4 s, two never
    whole = statistics(Scores(TWO * 2), [])
    assert {name: whole[name](np.arange(4)) for name in METRICS} == {name: pytest.approx(BOTH[name]) for name in BOTH}


@pytest.mark.parametrize(
    ("l5", "blind", "nl5"),
    [
        (1.0, [], 1.0),
        (GUESS, [], 0.0),
        (0.5, [0.5], 0.0),
        (0.75, [0.5, 0.2], 0.5),
        (0.25, [0.5], -0.5),
        (0.5, [None, None], (0.5 - GUESS) / (1 - GUESS)),
        (1.0, [1.0], None),
        (None, [0.5], None),
    ],
)
def test_nl5_counts_from_the_best_that_sees_nothing(
    l5: float | None, blind: Sequence[float | None], nl5: float | None
) -> None:
    assert normalised(l5, *blind) == (None if nl5 is None else pytest.approx(nl5))


def test_a_silent_system_fails_where_something_flipped_and_is_left_out_elsewhere() -> None:
    silent = said(prompt=True)
    hits = [judge(Trial(number=0, kind=kind, fault="no reply"), silent, grace_s=0.6).hit for kind in KINDS]
    assert dict(zip(KINDS, hits, strict=True)) == {"N": None, "F": False, "B": False, "D": None}


def test_a_trial_in_which_nothing_could_be_tested_is_a_miss_though_the_words_fit() -> None:
    log = said((1.5, "A is red."), (3.0, "A is blue."))
    right = replace(flipped("B"), flip_s=2.0)
    assert judge(right, log, grace_s=0.6).hit is True
    assert judge(replace(right, fault="no item"), log, grace_s=0.6).hit is False
