"""L5 on real pictures: the contradiction is seen from its frame on, nowhere else, and by reading colours alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from reciter import Reciter, calm, reciter

from vigil.eval.door import Image
from vigil.eval.l5.run import arms, play, summary
from vigil.eval.l5.trials import COLOURS, Flip, Kind, L5Config, Reel, draw_trial, place_flip, run_trial
from vigil.eval.watcher import WatcherSystem
from vigil.world.chance import Change
from vigil.world.panel import tile_centre
from vigil.world.sprites import pixels
from vigil.world.words import ITEMS, PANEL_COLOURS

FEW = L5Config(num_trials=2)
AT = 5
"""The frame from which on something has changed."""


def tiles(image: Image, columns: int) -> list[str]:
    """The colour of each item, read at the middle of its tile."""
    size_px = image.shape[0]
    found = []
    for item in range(len(ITEMS)):
        x, y = (pixels(part, size_px) for part in tile_centre(item, columns))
        middle = np.median(image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3), axis=0)
        far = [float(np.abs(middle - PANEL_COLOURS[name]).sum()) for name in COLOURS]
        found.append(COLOURS[int(np.argmin(far))])
    return found


@cache
def reel(number: int) -> Reel:
    return Reel(draw_trial(number), FEW)


def change_of(kind: Kind, number: int) -> Change:
    draws = draw_trial(number)
    if kind == "D":
        return Change(frame=AT, kind="cut", subject="scene", value=draws.place)
    item, new = draws.values[number]
    return Change(frame=AT, kind="item", subject=item, value=new)


@pytest.mark.parametrize("number", range(3))
def test_the_panel_shows_what_was_drawn_in_every_frame(number: int) -> None:
    draws = draw_trial(number)
    shown = [tiles(reel(number).image(i, None), draws.panel.columns) for i in (0, AT, FEW.num_frames - 1)]
    assert shown == [list(draws.panel.colours)] * 3


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("kind", ["F", "D"])
def test_before_its_frame_a_change_has_left_no_trace_and_from_then_on_it_stays(kind: Kind, number: int) -> None:
    change, pictures = change_of(kind, number), reel(number)
    for i in range(AT):
        assert np.array_equal(pictures.image(i, None), pictures.image(i, change))
    for i in (AT, AT + 1, FEW.num_frames - 1):
        assert not np.array_equal(pictures.image(i, None), pictures.image(i, change))


@pytest.mark.parametrize("number", range(3))
def test_a_flip_shows_the_new_colour_of_its_item_and_leaves_the_other_tiles(number: int) -> None:
    draws, change = draw_trial(number), change_of("F", number)
    place = ITEMS.index(change.subject)
    for i, new in ((AT - 1, draws.panel.colours[place]), (AT, change.value), (FEW.num_frames - 1, change.value)):
        expected = [*draws.panel.colours[:place], new, *draws.panel.colours[place + 1 :]]
        assert tiles(reel(number).image(i, change), draws.panel.columns) == expected
    assert change.value != draws.panel.colours[place]


@pytest.mark.parametrize("number", range(3))
def test_a_distractor_changes_the_background_and_no_tile(number: int) -> None:
    draws, change = draw_trial(number), change_of("D", number)
    before, after = (reel(number).image(i, change) for i in (AT - 1, AT))
    assert tiles(before, draws.panel.columns) == tiles(after, draws.panel.columns) == list(draws.panel.colours)
    assert changed_share(before, after) > 0.03
    calm_share = changed_share(reel(number).image(AT - 1, None), reel(number).image(AT, None))
    assert calm_share < 0.01  # from frame to frame there is noise, and nothing else


def changed_share(a: Image, b: Image) -> float:
    """Share of the pixels that look different."""
    apart: NDArray[np.int64] = np.abs(a.astype(np.int64) - b.astype(np.int64)).max(axis=2)
    return float((apart > 60).mean())


class Looker(Reciter):
    """Recites what it reads from the pixels of the newest picture."""

    columns = 3

    def see(self, image: Image, t: float) -> None:
        self.shown = tiles(image, self.columns)


def test_who_reads_the_newest_picture_and_corrects_himself_scores_one() -> None:
    scores = []
    for number in range(2):
        config = L5Config(num_trials=1, seed=number)
        looker = type("Here", (Looker,), {"columns": draw_trial(number).panel.columns})
        todo = arms(WatcherSystem("looker", looker), ["blind"])
        runs = [done for _, done in play(todo, config, model="looker")]
        systems = summary(runs, config, model="looker", replicates=5)["systems"]
        scores.append({name: systems[name]["l5"]["value"] for name in systems})
    assert scores == [{"system": 1.0, "blind": pytest.approx(1 / 3)}] * 2


@pytest.mark.parametrize("kind", ["F", "B", "D"])
def test_the_log_gives_the_arrival_of_the_first_picture_that_showed_it(kind: Kind) -> None:
    draws = draw_trial(1)
    trial = place_flip(kind, draws, calm(1, FEW), FEW)
    assert trial.flip is not None
    seen: list[tuple[float, Image]] = []

    class Noting(Reciter):
        def see(self, image: Image, t: float) -> None:
            seen.append((t, image))
            self.shown = list(draws.panel.colours)

    _, flip_s = run_trial(WatcherSystem("noting", Noting), reel(1), trial.flip, FEW)
    assert flip_s is not None
    differs = [t for i, (t, image) in enumerate(seen) if not np.array_equal(image, reel(1).image(i, None))]
    assert differs[0] == flip_s
    assert len(differs) == sum(t >= flip_s for t, _ in seen)


def test_a_flip_that_would_come_after_the_end_never_shows() -> None:
    draws = draw_trial(0)
    never = Flip(item="A", old=draws.panel.colours[0], new=dict(draws.values)["A"], token=10_000, at_s=99.0)
    log, flip_s = run_trial(reciter(), _Spelt(), never, FEW)
    assert flip_s is None
    assert log.end.w < 30


class _Spelt(Reel):
    """Frames that spell one panel, whatever changes."""

    def __init__(self) -> None:
        super().__init__(draw_trial(0), FEW)

    def image(self, i: int, change: Change | None) -> Image:
        assert change is None
        return np.zeros((1, len(ITEMS) + 1, 3), dtype=np.uint8)


def test_all_kinds_of_one_number_share_their_panel_and_their_new_colours() -> None:
    def flips(number: int) -> Iterator[Flip]:
        for kind in ("F", "B"):
            flip = place_flip(kind, draw_trial(number), calm(number, FEW), FEW).flip
            assert flip is not None
            yield flip

    for number in range(6):
        draws = draw_trial(number)
        for flip in flips(number):
            assert flip.old == draws.panel.colours[ITEMS.index(flip.item)]
            assert flip.new == dict(draws.values)[flip.item]
