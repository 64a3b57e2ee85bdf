from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reciter import Reciter, SpeltReel, calm, reciter, said

from vigil.eval.l5.run import MAIN, arms, play
from vigil.eval.l5.trials import (
    COLOURS,
    L5Config,
    Reel,
    claims_of_items,
    draw_trial,
    place_flip,
    reply_of,
    run_trial,
    settle,
)
from vigil.eval.watcher import WatcherSystem
from vigil.world.chance import Change
from vigil.world.words import ITEMS

FEW = L5Config(num_trials=12)


def test_a_trial_is_drawn_once_for_every_system() -> None:
    draws = [draw_trial(number) for number in range(300)]
    assert draw_trial(7) == draws[7]
    new = [dict(d.values) for d in draws]
    pairs = [
        (d.panel.colours[n], values[item]) for d, values in zip(draws, new, strict=True) for n, item in enumerate(ITEMS)
    ]
    assert all(old != taken for old, taken in pairs)
    shares = np.array([[sum(a == x for a, _ in pairs), sum(b == x for _, b in pairs)] for x in COLOURS]) / len(pairs)
    assert np.abs(shares - 1 / 8).max() < 0.03  # 1,800 draws
    assert all(d.place != d.panel.place for d in draws)
    assert {d.order[0] for d in draws} == set(ITEMS)


@pytest.mark.parametrize("number", range(6))
def test_a_flip_comes_in_the_middle_of_the_reply_and_leaves_room_for_it(number: int) -> None:
    log = calm(number, FEW)
    reply = reply_of(log)
    assert reply is not None
    first = {item: claims[0].tau for item, claims in claims_of_items(log).items()}
    for kind in ("F", "B", "D"):
        flip = place_flip(kind, draw_trial(number), log, FEW).flip
        assert flip is not None
        assert 0.25 <= flip.token / len(reply.tokens) <= 0.75
        shown_s = reply.tau[flip.token - 1]
        assert shown_s < flip.at_s <= shown_s + 0.5  # the next regular frame
        if kind == "F":
            assert first[flip.item] > flip.at_s + FEW.grace_s
        if kind == "B":
            assert first[flip.item] <= flip.at_s
        assert bool(flip.item) == (kind != "D")


def test_the_loop_is_closed_the_flip_follows_its_token_also_in_another_run() -> None:
    draws = draw_trial(3)
    trial = place_flip("B", draws, calm(3, FEW), FEW)
    assert trial.flip is not None
    late = WatcherSystem("late", lambda: _Late(2.0))
    log, flip_s = run_trial(late, SpeltReel(draws, FEW), trial.flip, FEW)
    reply = reply_of(log)
    assert reply is not None
    assert flip_s is not None
    assert reply.tau[0] >= 3.0
    assert reply.tau[trial.flip.token - 1] < flip_s <= reply.tau[trial.flip.token - 1] + 0.5


class _Late(Reciter):
    """Begins so many seconds after the question."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s

    def reply(self, t: float) -> Any:
        return super().reply(t) if t >= FEW.prompt_s + self.wait_s or self.stated else None


def test_an_open_loop_fixes_the_time_and_discards_a_reply_that_does_not_contain_it() -> None:
    config = replace(FEW, num_trials=2, loop="open")
    runs = [done for _, done in play(arms(reciter(), []), config, model="r", reel=SpeltReel)]
    for trial, _ in runs[0][MAIN][1:]:
        assert trial.flip is not None
        assert (trial.flip.token, trial.flip_s, trial.fault) == (0, trial.flip.at_s, "")
    draws = draw_trial(0)
    trial = place_flip("B", draws, calm(0, config), config)
    late = WatcherSystem("late", lambda: _Late(9.0))
    log, flip_s = run_trial(late, SpeltReel(draws, config), trial.flip, config)
    assert settle(trial, log, flip_s, config).fault == "outside"


def test_a_system_that_mentions_nothing_leaves_nothing_to_flip_backward() -> None:
    log = said((1.5, "I see six tiles on a beach, and that is all."))
    assert place_flip("B", draw_trial(0), log, FEW).fault == "no item"
    assert place_flip("F", draw_trial(0), log, FEW).fault == ""
    assert place_flip("F", draw_trial(0), said(), FEW).fault == "no reply"


def test_a_trial_is_watched_until_ten_seconds_after_the_reply() -> None:
    log = calm(0, FEW)
    reply = next(row for row in log.objects if row["k"] == "answer" and row["state"] == "final")
    assert log.end.w == pytest.approx(reply["w"] + 10.0)
    silent = WatcherSystem("silent", lambda: _Late(99.0))
    assert run_trial(silent, SpeltReel(draw_trial(0), FEW), None, FEW)[0].end.w == 11.0


def test_pictures_before_a_change_do_not_know_of_it() -> None:
    draws = draw_trial(0)
    reel = Reel(draws, FEW)
    item, new = draws.values[0]
    change = Change(frame=5, kind="item", subject=item, value=new)
    assert np.array_equal(reel.image(4, None), reel.image(4, change))
    assert np.abs(reel.image(5, None).astype(int) - reel.image(5, change)).max() > 60
