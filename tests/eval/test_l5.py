from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_logs import HEAD, frame, log_of
from fakes import tiny_model
from reciter import SpeltReel, calm, read, reciter

from vigil.cli import main
from vigil.errors import ConfigError, DataError
from vigil.eval.door import System
from vigil.eval.l5.controls import blind, never_revise, no_pixels, random_revise
from vigil.eval.l5.run import CONTROLS, MAIN, Played, arms, play, report, summary
from vigil.eval.l5.score import judge
from vigil.eval.l5.trials import (
    PROMPT,
    L5Config,
    claims_of_items,
    draw_trial,
    place_flip,
    run_trial,
)
from vigil.model.weights import save
from vigil.types import Frame
from vigil.world.words import ITEMS

FEW = L5Config(num_trials=12)


@cache
def played() -> list[dict[str, Played]]:
    """A perfect reciter, which reads the true state, and all its controls."""
    return [done for _, done in play(arms(reciter(), CONTROLS), FEW, model="reciter", reel=SpeltReel)]


@cache
def table() -> dict[str, Any]:
    return report(played(), FEW, model="reciter", replicates=50)


def score(name: str, metric: str) -> float:
    value = table()["systems"][name][metric]["value"]
    assert isinstance(value, float)
    return value


def test_a_perfect_reciter_scores_one() -> None:
    assert [score(MAIN, name) for name in ("l5", "nl5", "pfc", "bcr", "frr")] == [1, 1, 1, 1, 0]
    assert score(MAIN, "stale") == score(MAIN, "collateral") == score(MAIN, "discarded") == 0
    assert abs(score(MAIN, "pl_slope")) < 0.1
    assert set(table()["faults"][MAIN].values()) == {0}


def test_blind_is_wrong_on_what_it_has_seen_and_takes_nothing_back() -> None:
    assert [score("blind", name) for name in ("pfc", "bcr", "frr")] == [0, 0, 0]
    assert score("blind", "l5") == pytest.approx(1 / 3)


@pytest.mark.parametrize("control", [blind, no_pixels])
def test_one_run_stands_for_all_kinds_of_a_control_that_sees_no_flip(
    control: Callable[[System], System],
) -> None:
    draws = draw_trial(0)
    flip = place_flip("B", draws, calm(0, FEW), FEW).flip
    (log, flip_s), (without, _) = (
        run_trial(control(reciter()), SpeltReel(draws, FEW), changing, FEW) for changing in (flip, None)
    )
    assert flip_s is not None
    assert log.rows == without.rows


def test_without_pixels_values_are_guessed() -> None:
    assert score("no_pixels", "bcr") <= 1 / 12
    assert score("no_pixels", "frr") == 0
    assert score("no_pixels", "pfc") < 0.4  # 1 in 8 of 12 trials
    guessed = [claims[0].v == shown for claims, shown in _guesses()]
    assert np.mean(guessed) == pytest.approx(1 / 8, abs=0.08)


def _guesses() -> list[tuple[Any, str]]:
    found = []
    for done in played():
        trial, log = done["no_pixels"][0]
        shown = draw_trial(trial.number).panel.colours
        found += list(zip(claims_of_items(log).values(), shown, strict=True))
    return found


def test_never_revise_keeps_its_first_claims() -> None:
    assert [score("never_revise", name) for name in ("pfc", "bcr", "frr")] == [1, 0, 0]


def test_blocking_is_too_late_for_its_reply_and_corrects_it_afterwards() -> None:
    assert [score("blocking", name) for name in ("pfc", "bcr", "frr")] == [0, 1, 0]
    assert score("blocking", "pl_slope") > 0.9
    told_once = arms(reciter(corrects=False), ["blocking"])
    runs = [done for _, done in play(told_once, replace(FEW, num_trials=6), model="r", reel=SpeltReel)]
    found = summary(runs, FEW, model="r", replicates=10)["systems"]["blocking"]
    assert (found["pfc"]["value"], found["bcr"]["value"]) == (0, 0)  # "BCR only through a second answer"


def test_restart_is_right_and_pays_in_discarded_tokens() -> None:
    assert [score("restart", name) for name in ("pfc", "bcr", "frr")] == [1, 1, 0]
    assert score("restart", "discarded") > 5
    assert score("restart", "delay_s") > score(MAIN, "delay_s")


def test_repeat_all_is_exposed_by_what_it_repeats() -> None:
    runs = [
        done
        for _, done in play(
            arms(reciter(corrects=False), ["repeat_all"]), replace(FEW, num_trials=6), model="r", reel=SpeltReel
        )
    ]
    found = summary(runs, FEW, model="r", replicates=10)["systems"]
    assert found[MAIN]["bcr"]["value"] == 0
    assert found["repeat_all"]["bcr"]["value"] == 1
    assert found["repeat_all"]["redundant"]["value"] > 12
    assert found["repeat_all"]["tokens"]["value"] > 3 * found[MAIN]["tokens"]["value"]


def test_random_revise_takes_something_back_in_every_trial_and_hits_by_chance() -> None:
    assert score("random_revise", "frr") == 1
    assert score("random_revise", "bcr") <= 0.2
    trial, log = next(one for done in played() for one in done[MAIN] if one[0].kind == "B")
    assert trial.flip is not None
    revised = (random_revise(log, seed=seed) for seed in range(150))
    # its one correction after the reply, and another after the system's own: 2 of 42, as an item may be drawn twice
    assert np.mean([judge(trial, one, grace_s=FEW.grace_s).hit for one in revised]) == pytest.approx(2 / 42, abs=0.035)


@pytest.mark.parametrize("name", ["always_silent", "always_talk", "parse_attack"])
def test_what_claims_nothing_scores_nothing(name: str) -> None:
    row = table()["systems"][name]
    assert [row[metric]["value"] for metric in ("l5", "nl5", "pfc", "bcr", "frr")] == [None, None, 0, 0, None]


def test_differences_are_paired_on_the_same_resamples() -> None:
    found = table()["differences"]["never_revise"]
    assert (found["bcr"]["value"], found["bcr"]["lo"], found["bcr"]["hi"]) == (1, 1, 1)
    assert (found["pfc"]["lo"], found["pfc"]["hi"]) == (0, 0)
    assert MAIN not in table()["differences"]


def test_never_revise_repeats_the_first_value_token_by_token() -> None:
    rows: list[dict[str, Any]] = [*frame(0, 0.0)]
    for a, t, words in (("1", 1.0, ["A is", " pur", "ple."]), ("2", 3.0, ["A is", " or", "ange", ". B is red."])):
        rows.append({"k": "answer", "a": a, "q": "q1", "w": t, "state": "open"})
        rows += [{"k": "tok", "n": n, "w": t + 0.1 * n, "vis": 0, "text": word, "a": a} for n, word in enumerate(words)]
        rows.append({"k": "answer", "a": a, "q": "q1", "w": t + 1, "state": "final", "text": "".join(words)})
    frozen = never_revise(log_of(*rows, end_s=9.0))
    assert [speech.text for speech in frozen.speech] == ["A is purple.", "A is purple. B is red."]
    assert [token.text for token in frozen.speech[1].tokens] == ["A is", " purple", "", ". B is red."]
    assert [row["text"] for row in frozen.objects if row.get("state") == "final"][1] == "A is purple. B is red."


def test_random_revise_speaks_after_the_reply_and_at_its_pace() -> None:
    log = random_revise(calm(0, FEW), seed=1)
    first, second = log.speech
    assert second.supersedes == first.a
    end_w = next(row["w"] for row in log.objects if row["k"] == "answer" and row["state"] == "final")
    assert second.tau == pytest.approx([end_w + 0.1 * n for n in (1, 2, 3, 4)])
    (changed,) = [item for item, claims in claims_of_items(log).items() if len(claims) == 2]
    assert claims_of_items(log)[changed][0].v != claims_of_items(log)[changed][1].v


def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    config = replace(FEW, num_trials=3)
    todo = arms(reciter(corrects=True), ["blind", "never_revise"])
    for number, _ in play(todo, config, model="r", out=tmp_path, reel=SpeltReel):
        if number == 1:
            break
    with (tmp_path / "system.jsonl").open("a") as out:
        out.write('[{"number": 2, "ki')  # the line that was being written
    again: list[str] = []

    def noting(draws: Any, config: L5Config) -> SpeltReel:
        again.append(draws.number)
        return SpeltReel(draws, config)

    runs = [done for _, done in play(todo, config, model="r", out=tmp_path, reel=noting)]
    whole = [done for _, done in play(todo, config, model="r", reel=SpeltReel)]
    assert summary(runs, config, model="r", replicates=5) == summary(whole, config, model="r", replicates=5)
    assert len(list((tmp_path / "system").glob("*.log.jsonl"))) == 12
    with pytest.raises(ConfigError, match="holds a run with another setting"):
        next(play(todo, replace(config, prompt_s=2.0), model="r", out=tmp_path, reel=SpeltReel))


def test_more_trials_can_be_added_to_a_folder(tmp_path: Path) -> None:
    todo = arms(reciter(), [])
    list(play(todo, replace(FEW, num_trials=1), model="r", out=tmp_path, reel=SpeltReel))
    assert len(list(play(todo, replace(FEW, num_trials=2), model="r", out=tmp_path, reel=SpeltReel))) == 2


def test_a_table_needs_every_control() -> None:
    runs = [{name: done[name] for name in done if name != "blind"} for done in played()]
    with pytest.raises(DataError, match="lacks the controls blind"):
        report(runs, FEW, model="r")
    with pytest.raises(ConfigError, match="no L5 control 'nothing'"):
        arms(reciter(), ["nothing"])


class Clerk:
    """Reads the newest frame, and answers in one go."""

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        assert len(frames) <= 4
        return " ".join(f"{item} is {colour}." for item, colour in zip(ITEMS, read(frames[-1].image), strict=True))


def test_a_model_that_is_polled_is_too_late_for_its_reply_and_says_all_again() -> None:
    todo = arms(reciter(), ["recent_4"], offline=Clerk())
    runs = [done for _, done in play(todo, replace(FEW, num_trials=4), model="r", reel=SpeltReel)]
    found = summary(runs, FEW, model="r", replicates=5)
    row = found["systems"]["recent_4"]
    assert [row[name]["value"] for name in ("pfc", "bcr", "frr")] == [0, 1, 0]
    assert row["redundant"]["value"] == pytest.approx(5 / 2)  # five of six, in F and B
    assert found["controls_not_run"] == [*CONTROLS, "recent_16"]


def test_the_log_says_how_it_was_made() -> None:
    trial, log = played()[0][MAIN][0]
    assert (log.head.clock, log.head.fps, log.head.cost) == ("cost", 2.0, {"token": 0.1, "frame": 0.0, "prefill": 0.0})
    assert (trial.kind, log.prompts[0].text, log.prompts[0].t) == ("N", PROMPT, 1.0)
    assert HEAD["v"] == log.head.v


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("l5") / "tiny"
    save(tiny_model(), folder)
    return str(folder)


def test_the_command_prints_one_object_and_keeps_the_logs(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["eval", "l5", "--model", tiny, "--trials", "1", "--controls", "blind", "--out", str(out), "--json"]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["systems"]) == {MAIN, "blind"}
    assert result["run"]["trials"] == 1
    assert sorted(path.name for path in (out / "blind").iterdir()) == [f"00000-{kind}.log.jsonl" for kind in "BDFN"]
    assert main(argv[:-1]) == 0
    assert "closed loop, clock cost" in capsys.readouterr().out


def test_the_command_refuses_an_unknown_control(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "l5", "--model", tiny, "--controls", "blnd"]) == 2
    assert "no L5 control 'blnd'" in capsys.readouterr().err


def test_its_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["eval", "l5", "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert len(text.splitlines()) <= 48
    assert max(map(len, text.splitlines())) <= 90
