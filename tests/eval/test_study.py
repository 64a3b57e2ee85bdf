"""The studies: which runs they need, what their numbers say, and the whole way from training to the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vigil.cli import main
from vigil.errors import ConfigError
from vigil.eval.study.arms import FOCAL, FULL, STUDIES, TWIN, arms_of
from vigil.eval.study.measures import Measure, Measures, of_pairs, of_videos
from vigil.eval.study.results import Results
from vigil.eval.study.runner import StudyJob, plan, run_studies, runs_of
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.tables import cell, difference_cell, paired
from vigil.eval.study.training import Run, make_tokenizer, new_model, train, with_frequencies
from vigil.eval.study.verdicts import verdicts
from vigil.train.stages import StageConfig
from vigil.world.config import WorldConfig

SMALL = replace(
    StudyScale.tiny(),
    width=16,
    channels=(4, 8),
    vocab_size=300,
    world=WorldConfig(family="objects", size_px=48, num_nouns=4, max_objects=1, event_gap=(1, 2)),
    vision_steps=1,
    offline_steps=1,
    realtime_steps=1,
    frames=(4, 4),
    seeds=1,
    offline_videos=4,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs in which the tokenizer is made once."""
    return tmp_path_factory.mktemp("runs")


# ---- which runs -----------------------------------------------------------------------------------------------------


def test_arms_that_studies_share_are_trained_once(tmp_path: Path) -> None:
    job = StudyJob(letters=("A", "B", "C", "D"), scale=StudyScale.nano(), out=tmp_path, docs=tmp_path)
    bases, runs = runs_of(job)
    assert len(bases) == 2 * 3, "one per network and seed"
    assert len(runs) == 10 * 3
    assert len({run.folder for run in (*bases, *runs)}) == len(bases) + len(runs)
    assert [sum(arm.key == "full" for arm in study.arms) for study in STUDIES.values()] == [1, 1, 1, 1]


def test_every_arm_differs_from_the_default_in_one_thing() -> None:
    default = StudyScale.nano().realtime(0)
    for arm in arms_of("BCD"):  # type: ignore[arg-type]
        stage, full = arm.stage(default), FULL.stage(default)
        changed = [n for n in StageConfig.__dataclass_fields__ if getattr(stage, n) != getattr(full, n)]
        assert len(changed) == (arm.key not in ("full", "base")), arm.key


def test_a_folder_is_named_by_what_made_it(tmp_path: Path) -> None:
    run = Run(scale=SMALL, arm=FULL, seed=0, out=tmp_path)
    again = Run(scale=SMALL, arm=replace(FULL, label="other words"), seed=0, out=tmp_path)
    assert run.folder == again.folder
    others = [
        replace(run, seed=1),
        replace(run, arm=TWIN),
        replace(run, scale=replace(SMALL, realtime_steps=2)),
        replace(run, scale=replace(SMALL, width=32)),
    ]
    assert len({run.folder, *(other.folder for other in others)}) == 5
    assert replace(run, scale=replace(SMALL, scenes=99)).folder == run.folder, "scoring more scenes trains nothing anew"


def test_both_networks_start_with_the_same_numbers(runs: Path) -> None:
    tokenizer = make_tokenizer(SMALL, runs)
    cross, twin = (new_model(SMALL, fusion, tokenizer, seed=3) for fusion in ("cross-attention", "decoder-only"))
    mine, other = cross.state_dict(), twin.state_dict()
    assert set(mine) - set(other) == {
        f"decoder.layers.{i}.{name}"
        for i in SMALL.cross_layers
        for name in (
            *(f"cross_attn.{part}" for part in ("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight")),
            *(f"cross_attn.{part}" for part in ("q_norm.weight", "k_norm.weight", "null_value")),
            "cross_attn_attn_gate",
            "cross_attn_mlp_gate",
        )
    }
    for name, value in other.items():
        assert torch.equal(value, mine[name if name in mine else name.replace("self_attn", "cross_attn")]), name


def test_the_focal_loss_counts_the_data_of_its_own_stage(runs: Path) -> None:
    model = new_model(SMALL, "cross-attention", make_tokenizer(SMALL, runs), seed=0)
    stage = replace(SMALL.realtime(0), loss=FOCAL)
    counted, plain = with_frequencies([stage, SMALL.realtime(0)], model)
    assert plain == SMALL.realtime(0)
    assert counted.loss.alpha_silence < 1 < counted.loss.alpha_response
    silence, response = counted.loss.alpha_silence, counted.loss.alpha_response
    assert 1 / silence + 1 / response == pytest.approx(2.0), "both classes have the same mass"


def test_an_arm_wants_its_base(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is not trained yet"):
        train(Run(scale=SMALL, arm=FULL, seed=0, out=tmp_path))


# ---- what the numbers say -------------------------------------------------------------------------------------------


class Given(Results):
    """Results with numbers from nowhere: per row and seed, a name and its value on each unit."""

    def __init__(self, letter: str, numbers: dict[str, list[dict[str, list[float]]]]) -> None:
        super().__init__(letter, replace(SMALL, seeds=len(next(iter(numbers.values()))), replicates=50), Path())  # type: ignore[arg-type]
        self.given = numbers

    @property
    def measures(self) -> dict[str, tuple[Measures, ...]]:  # type: ignore[override]
        def measure(values: list[float]) -> Measure:
            units = np.asarray(values)
            return Measure(lambda drawn: float(units[drawn].mean()), len(units))

        return {
            label: tuple({name: measure(values) for name, values in seed.items()} for seed in seeds)
            for label, seeds in self.given.items()
        }


def spread_out(middle: float) -> list[float]:
    return [middle + 0.01 * (i % 3 - 1) for i in range(30)]


def architecture(nl5: float, lag: float, offline: float, *, seeds: int = 2) -> Given:
    def seed(nl5: float, lag: float, offline: float) -> dict[str, list[float]]:
        return {"l5_nl5": spread_out(nl5), "el_mean_s": spread_out(lag), "offline": spread_out(offline)}

    ours, *twins = [arm.label for arm in STUDIES["A"].arms]
    return Given("A", {ours: [seed(nl5, lag, offline)] * seeds, **{t: [seed(0.2, 0.5, 0.6)] * seeds for t in twins}})


def test_architecture_is_decided_by_nl5_and_lag_and_offline_together() -> None:
    assert [v.holds for v in verdicts(architecture(0.5, 0.1, 0.6))] == [True, True]
    assert [v.holds for v in verdicts(architecture(0.2, 0.1, 0.6))] == [False, False], "nL5 is the same"
    assert [v.holds for v in verdicts(architecture(0.5, 0.5, 0.6))] == [False, False], "the lag is the same"
    assert [v.holds for v in verdicts(architecture(0.5, 0.1, 0.55))] == [False, False], "five points lost"
    assert [v.holds for v in verdicts(architecture(0.5, 0.1, 0.595))] == [True, True], "half a point is allowed"


def test_a_difference_counts_only_if_every_seed_shows_it() -> None:
    results = architecture(0.5, 0.1, 0.6)
    ours = results.labels[0]
    results.given[ours] = [results.given[ours][0], {**results.given[ours][1], "l5_nl5": spread_out(0.2)}]
    assert not any(v.holds for v in verdicts(results))
    assert "1 of 2 seeds above 0" in verdicts(results)[0].because


def test_revisions_must_not_be_bought_with_churn_where_nothing_changes() -> None:
    def given(auc: float, churn: float) -> Given:
        rows = {"rev_f1_auc": spread_out(auc), "churn_constant_per_min": spread_out(churn)}
        plain = {"rev_f1_auc": spread_out(0.1), "churn_constant_per_min": spread_out(1.0)}
        labels = [arm.label for arm in STUDIES["B"].arms]
        return Given("B", {label: [rows if n == 0 else plain] for n, label in enumerate(labels)})

    assert all(v.holds for v in verdicts(given(0.4, 1.0)))
    assert not any(v.holds for v in verdicts(given(0.4, 2.0)))
    assert not any(v.holds for v in verdicts(given(0.1, 1.0)))


def test_the_loss_with_the_least_cost_is_picked_among_those_that_answer() -> None:
    def row(cost: float, kept: float) -> dict[str, list[float]]:
        own = {"cost_0.3": spread_out(cost), "answer_guarantee_1s": [kept] * 30}
        return own | {f"tuned_{name}": values for name, values in own.items()}

    labels = [arm.label for arm in STUDIES["C"].arms]
    rows = dict(zip(labels, (row(0.2, 0.5), row(0.9, 1.0), row(0.6, 0.97), row(0.8, 0.96)), strict=True))
    assert labels[2] in verdicts(Given("C", {k: [v] for k, v in rows.items()}))[0].claim
    none = Given("C", {label: [row(0.1, 0.9)] for label in labels})
    assert not verdicts(none)[0].holds


def test_a_loss_offline_is_named_even_where_the_mean_gains() -> None:
    def row(where: float, count: float) -> dict[str, list[float]]:
        tasks = {"offline_where": spread_out(where), "offline_count": spread_out(count)}
        return {"offline": spread_out((where + count) / 2), **tasks}

    labels = [arm.label for arm in STUDIES["D"].arms]
    rows = {label: [row(0.5, 0.5) if n == 0 else row(0.4, 0.8)] for n, label in enumerate(labels)}
    found = verdicts(Given("D", rows))
    assert all(v.holds for v in found)
    assert "1 fall and 1 rise" in found[0].because
    same = Given("D", {label: [row(0.5, 0.5)] for label in labels})
    assert not any(v.holds for v in verdicts(same)), "what is not shown is not claimed"


def test_cells_tell_mean_range_and_how_many_seeds_agree() -> None:
    results = architecture(0.5, 0.1, 0.6)
    twin = results.labels[1]
    assert cell(results.spread(twin, "l5_nl5"), 2) == "**0.20** 0.20 to 0.20"
    assert cell(results.spread(twin, "nothing"), 2) == "-"
    assert difference_cell(results.differences(twin, "l5_nl5"), 2) == "-0.30 (-0.30 to -0.30; 2 of 2)"
    assert paired(results, [("nL5", "l5_nl5", 2)]).count("-0.300") == 6, "two rows: mean, lowest, highest"


def test_offline_accuracy_is_pooled_over_questions_and_told_by_kind() -> None:
    found = of_videos([[("where", True), ("count", False)], [("where", True)], [("count", True)]])
    assert found["offline"].value == pytest.approx(3 / 4)
    assert found["offline_where"].value == 1.0
    assert found["offline_count"].value == 0.5
    assert found["offline_where"].less(found["offline_count"]).value == 0.5


def test_behaviour_of_nothing_is_undefined_not_zero() -> None:
    assert of_pairs([])["twa_now"].value is None


# ---- the whole way --------------------------------------------------------------------------------------------------


def test_a_study_goes_from_training_to_the_page_and_trains_nothing_twice(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = StudyJob(letters=("D",), scale=SMALL, out=runs, docs=tmp_path / "docs")
    assert plan(job)[-1] == "1 seeds: 1 bases and 4 real-time runs, 5 of them not trained yet"
    text = run_studies(job).read_text(encoding="utf-8")
    assert "## D. Offline ability before and after real-time training" in text
    assert "after, 30 % replay" in text
    assert "Decisions fixed in advance" in text
    assert (tmp_path / "docs" / "study-d.png").stat().st_size > 1000
    assert len(json.loads((runs / "tiny-D.json").read_text(encoding="utf-8"))) == 5
    assert capsys.readouterr().err.count("train ") == 5
    assert plan(job)[-1].endswith("0 of them not trained yet")
    assert run_studies(job).read_text(encoding="utf-8") == text
    assert capsys.readouterr().err.count("train ") == 0


def test_the_command_plans_a_larger_scale_without_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--out", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    assert main(["eval", "study", "A", "--scale", "gpu", "--seeds", "1", "--dry-run", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    cross, twin = (int(line.split()[1].replace(",", "")) for line in lines[:2])
    assert lines[0].startswith("cross-attention")
    assert abs(twin / cross - 1) < 0.02
    assert lines[-1] == "1 seeds: 2 bases and 2 real-time runs, 4 of them not trained yet"
