"""L5 runs that are kept and go on: what counts as finished, what is read back, what a table says beside the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reciter import SpeltReel, calm, reciter

from vigil.errors import ConfigError, SourceError
from vigil.eval.door import System, VirtualClock
from vigil.eval.folder import open_folder
from vigil.eval.l5.run import CONTROLS, MAIN, RECENT, SECTION_3, SECTION_4, Keeper, Played, arms, play, summary
from vigil.eval.l5.trials import KINDS, L5Config, draw_trial, run_trial
from vigil.eval.log import log_hash
from vigil.eval.watcher import WatcherSystem
from vigil.types import Frame

TWO = L5Config(num_trials=2)
SETTING = {"a": 1}


def run(todo: list[Any], config: L5Config = TWO, **options: Any) -> list[dict[str, Played]]:
    return [done for _, done in play(todo, config, model="r", reel=SpeltReel, **options)]


def counted(system: WatcherSystem) -> tuple[System, list[float]]:
    """The same system, and a list with an entry for each stream that was opened."""
    opened: list[float] = []

    class Counting:
        name = system.name

        def open(self, clock: VirtualClock) -> Any:
            opened.append(clock.fps)
            return system.open(clock)

    return Counting(), opened


def test_what_is_kept_is_read_back_and_not_run_again(tmp_path: Path) -> None:
    system, opened = counted(reciter())
    first = run(arms(system, ["never_revise"]), out=tmp_path)
    assert len(opened) == 2 * len(KINDS)
    again = run(arms(system, ["never_revise"]), out=tmp_path)
    assert len(opened) == 2 * len(KINDS)
    for before, after in zip(first, again, strict=True):
        assert {name: [trial for trial, _ in played] for name, played in after.items()} == {
            name: [trial for trial, _ in played] for name, played in before.items()
        }
        assert [log_hash(log) for _, log in after[MAIN]] == [log_hash(log) for _, log in before[MAIN]]


@pytest.mark.parametrize("lost", [1, 5], ids=["before-the-line-feed", "in-the-line"])
def test_a_run_that_was_killed_while_it_wrote_a_line_loses_that_line_at_most(lost: int, tmp_path: Path) -> None:
    system, opened = counted(reciter())
    run(arms(system, []), out=tmp_path)
    lines = tmp_path / "system.jsonl"
    lines.write_bytes(lines.read_bytes()[:-lost])
    opened.clear()
    run(arms(system, []), replace(TWO, num_trials=3), out=tmp_path)
    assert len(opened) == len(KINDS) * (1 if lost == 1 else 2)
    opened.clear()
    run(arms(system, []), replace(TWO, num_trials=3), out=tmp_path)
    assert opened == []  # everything is there now


def test_a_number_whose_logs_were_written_but_not_its_line_is_run_again(tmp_path: Path) -> None:
    system, opened = counted(reciter())
    run(arms(system, []), out=tmp_path)
    (tmp_path / "system.jsonl").unlink()
    opened.clear()
    run(arms(system, []), out=tmp_path)
    assert len(opened) == 2 * len(KINDS)


def test_a_log_that_was_deleted_is_missed_by_name(tmp_path: Path) -> None:
    run(arms(reciter(), []), out=tmp_path)
    (tmp_path / "system" / "00001-B.log.jsonl").unlink()
    with pytest.raises(SourceError, match=r"00001-B\.log\.jsonl cannot be opened"):
        run(arms(reciter(), []), out=tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: replace(config, clock=VirtualClock(fps=4.0)),
        lambda config: replace(config, loop="open"),
        lambda config: replace(config, watch_s=5.0),
        lambda config: replace(config, seed=1),
    ],
    ids=["clock", "loop", "watch", "seed"],
)
def test_a_folder_goes_on_with_its_own_setting_only(change: Callable[[L5Config], L5Config], tmp_path: Path) -> None:
    run(arms(reciter(), []), replace(TWO, num_trials=1), out=tmp_path)
    with pytest.raises(ConfigError, match="holds a run with another setting"):
        run(arms(reciter(), []), change(TWO), out=tmp_path)


def test_without_a_folder_nothing_is_recalled() -> None:
    keeper = Keeper(None, {})
    keeper.keep("x", [])
    assert keeper.recall("x", 0) is None


def test_a_folder_holds_its_setting_in_any_order_of_keys(tmp_path: Path) -> None:
    open_folder(tmp_path / "a" / "b", {"x": 1, "y": [2]})
    open_folder(tmp_path / "a" / "b", {"y": [2], "x": 1})
    assert json.loads((tmp_path / "a" / "b" / "setting.json").read_text(encoding="utf-8")) == {"x": 1, "y": [2]}
    with pytest.raises(ConfigError, match="another setting"):
        open_folder(tmp_path / "a" / "b", {"x": 1})


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match=r"file cannot be written: .*\. Choose another folder"):
        open_folder(tmp_path / "file", SETTING)


# Arms


def test_each_control_is_an_arm_that_runs_only_as_often_as_it_must() -> None:
    todo = {arm.name: arm for arm in arms(reciter(), [*CONTROLS, "recent_4"], offline=_Mute())}
    assert list(todo) == [MAIN, *SECTION_3, *SECTION_4, "recent_4"]
    assert {name for name, arm in todo.items() if not arm.sees_flip} == {"blind", "no_pixels", *SECTION_4}
    assert {name for name, arm in todo.items() if not arm.has_own_calm} == {"restart"}
    assert {name for name, arm in todo.items() if arm.rewrite is not None} == {"never_revise", "random_revise"}


class _Mute:
    """Never has an answer; notes the newest frame at each poll."""

    def __init__(self) -> None:
        self.polled_s: list[float] = []

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        self.polled_s.append(frames[-1].time_s)
        return ""


def test_a_polled_control_is_asked_every_two_seconds() -> None:
    offline = _Mute()
    (arm,) = [arm for arm in arms(reciter(), ["recent_4"], offline=offline) if arm.name == "recent_4"]
    assert arm.system is not None
    run_trial(arm.system, SpeltReel(draw_trial(0), TWO), None, TWO)
    assert offline.polled_s == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_a_polled_control_needs_a_model_to_poll() -> None:
    with pytest.raises(ConfigError, match=r"no L5 control 'recent_4'.*The controls are: blind, .*recent_4, recent_16"):
        arms(reciter(), list(RECENT))


@pytest.mark.parametrize(
    ("name", "streams"), [("blind", 1), ("no_pixels", 1), ("blocking", 4), ("restart", 3), ("repeat_all", 4)]
)
def test_how_often_the_system_runs_in_each_control(name: str, streams: int) -> None:
    system, opened = counted(reciter())
    run(arms(system, [name]), replace(TWO, num_trials=1))
    assert len(opened) == len(KINDS) + streams


def test_a_control_that_sees_no_flip_is_judged_by_the_flip_all_the_same() -> None:
    (done,) = run(arms(reciter(), ["blind"]), replace(TWO, num_trials=1))
    trials = {trial.kind: trial for trial, _ in done["blind"]}
    assert trials["N"].flip_s is None
    for kind in ("F", "B", "D"):
        flip = trials[kind].flip
        assert flip is not None
        assert trials[kind].flip_s == flip.at_s
    assert len({id(log) for _, log in done["blind"]}) == 1


def test_rewritten_logs_keep_the_trials_of_the_system() -> None:
    (done,) = run(arms(reciter(), ["never_revise", "random_revise"]), replace(TWO, num_trials=1))
    for name in ("never_revise", "random_revise"):
        assert [trial for trial, _ in done[name]] == [trial for trial, _ in done[MAIN]]


def test_trials_are_numbered_from_the_seed() -> None:
    config = replace(TWO, seed=5)
    runs = list(play(arms(reciter(), []), config, model="r", reel=SpeltReel))
    assert [number for number, _ in runs] == [5, 6]
    assert [done[MAIN][0][0].number for _, done in runs] == [5, 6]
    assert runs[0][1][MAIN][0][1].head.seed == 5
    assert calm(5, config).rows == runs[0][1][MAIN][0][1].rows
    assert draw_trial(5) != draw_trial(6)


def test_the_table_says_how_it_was_made_and_in_how_many_trials_there_was_something_to_judge() -> None:
    runs = run(arms(reciter(), ["blind", "always_silent"]))
    page = summary(runs, TWO, model="r", replicates=5)
    assert page["run"] == {
        **{"model": "r", "trials": 2, "seed": 0, "clock": "cost", "fps": 2.0, "token_s": 0.1, "loop": "closed"},
        **{"grace_s": pytest.approx(0.6), "log_sha256": page["run"]["log_sha256"]},
    }
    assert page["defined"][MAIN] == dict.fromkeys(KINDS, 2)
    assert page["defined"]["always_silent"] == {"N": 0, "F": 2, "B": 2, "D": 0}
    assert page["faults"]["always_silent"]["no reply"] == 8
    assert page["systems"][MAIN]["l5"]["lo"] is None  # two trials give no interval
    assert page["controls_not_run"] == [name for name in (*CONTROLS, *RECENT) if name not in ("blind", "always_silent")]
    turned = summary(runs[::-1], TWO, model="r", replicates=5)
    assert turned["run"]["log_sha256"] != page["run"]["log_sha256"]
    assert {name: one["l5"]["value"] for name, one in turned["systems"].items()} == {
        name: one["l5"]["value"] for name, one in page["systems"].items()
    }


def test_nl5_counts_from_the_blind_arms_that_were_run() -> None:
    page = summary(run(arms(reciter(), ["blind"])), TWO, model="r", replicates=5)
    assert page["systems"]["blind"]["nl5"]["value"] == pytest.approx((1 / 3 - 0.375) / 0.625)
    assert page["differences"]["blind"]["nl5"]["value"] == pytest.approx(1 - (1 / 3 - 0.375) / 0.625)
