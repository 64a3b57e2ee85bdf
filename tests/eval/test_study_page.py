"""The page of the studies and its pictures: what each section says, what is kept, and what is drawn."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studied import TINY, Given, around, speed

from vigil.eval.study import page, plots, tables
from vigil.eval.study.arms import STUDIES, Letter
from vigil.eval.study.page import SUPPORTS, agreement, keep, section, to_json, write_page
from vigil.eval.study.tables import FrameCost
from vigil.eval.study.verdicts import signed, verdicts

Times = dict[str, list[dict[str, Any]]]


def behaviour(x: float, *, offline: float = 0.5) -> dict[str, Any]:
    """A seed of every number that some table, picture or decision asks for."""
    columns = (*tables.A1, *tables.B, *tables.C, *tables.C_TUNED)
    own: dict[str, Any] = {name: around(x) for _, name, _ in columns}
    return own | {"offline": around(offline), "tuned_cost_0.3": x, "tuned_answer_guarantee_1s": 1.0}


def architecture(*, seeds: int = 2) -> tuple[Given, Times]:
    results = Given("A", *([behaviour(x)] * seeds for x in (0.5, 0.2, 0.3)))
    rows = [{"length_s": s, "ms_per_frame": ms, "bytes": 2048, "twa": 0.5} for s, ms in ((60.0, 4.0), (600.0, 5.0))]
    first = {label: speed(0.2 * (n + 1), 0.01, 1.0 + n, 2.0) for n, label in enumerate(results.labels)}
    times = {label: [{**one, "lengths": rows}] + [one] * (seeds - 1) for label, one in first.items()}
    return results, times


def of(letter: Letter) -> tuple[Given, Times]:
    if letter == "A":
        return architecture()
    if letter == "D":
        rows = [
            {"offline": around(x), "offline_where": around(x), "offline_count_named": around(0.5)} for x in range(5)
        ]
        return Given("D", *([row] for row in rows), controls={"blind": {"offline": 0.3}}), {}  # type: ignore[list-item]
    arms = len(STUDIES[letter].arms)
    return Given(letter, *([behaviour(0.1 * (n + 1))] for n in range(arms))), {}


# ---- sections -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", STUDIES)
def test_a_section_has_its_title_tables_decisions_and_what_it_supports(letter: Letter, tmp_path: Path) -> None:
    results, times = of(letter)
    sizes = {label: 1_000_000 + n for n, label in enumerate(results.labels)}
    costs = dict.fromkeys(results.labels, FrameCost(1e6, 4608))
    text = section(results, times, tmp_path, parameters=sizes, costs_of=costs)
    study = STUDIES[letter]
    assert text.startswith(f"## {letter}. {study.title}\n\nHeld fixed: {study.held_fixed}.")
    assert f"{results.labels[0]}: 1,000,000; {results.labels[1]}: 1,000,001" in text
    assert f"![study {letter}](study-{letter.lower()}.png)" in text
    assert (tmp_path / f"study-{letter.lower()}.png").stat().st_size > 1000
    assert SUPPORTS[letter] in text
    for one in verdicts(results):
        assert f"- **{'holds' if one.holds else 'does not hold'}**: {one.claim}. {one.because}." in text
    assert ("Hash of the logs: `0123456789abcdef`." in text) == (letter != "D"), "D keeps no logs"
    assert text.count("\n|---") == {"A": 4, "B": 2, "C": 3, "D": 2}[letter]


def test_the_section_on_architecture_tells_what_was_timed() -> None:
    results, times = architecture(seeds=1)
    text = page._tables(results, times, dict.fromkeys(results.labels, FrameCost(1e6, 4608)))
    assert f"{results.scale.timed_frames} frames, {results.scale.forced_tokens} forced tokens" in text
    assert "**A2**" in text
    assert "| cross-attention | 10 | 5.00 | 2 | 0.50 |" in text


# ---- agreement ------------------------------------------------------------------------------------------------------


def test_times_are_set_beside_the_published_ones() -> None:
    first, second = agreement(*architecture())
    assert "Published: 1.95 s against 9.94 s (5.1 times;" in first
    assert first.endswith("Here, all else equal: 0.200 s against 0.400 s (2.0 times).")
    assert second == (
        "- **Tokens per second.** Published: 38.4 against 14.3 (2.7 times). Here: 1000 against 500 (2.0 times)."
    )


def test_the_other_studies_say_their_own_means() -> None:
    results, _ = of("B")
    assert agreement(results, {}) == [
        "- **Revision.** Published: shown by examples, not measured. Here, RevF1-AUC: with revisions 0.10, "
        "cut after the first answer 0.20, unrelated replies 0.30."
    ]
    results.numbers[results.labels[1]] = [{}]
    assert "cut after the first answer -, unrelated" in agreement(results, {})[0]
    silence = agreement(*of("C"))[0]
    assert "silence recall / F1 of speech: uniform 0.10 / 0.10; weight .1, by weights 0.20 / 0.20;" in silence


@pytest.mark.parametrize(("after", "told"), [(0.25, "-25.0 points"), (0.625, "+12.5 points"), (None, "- points")])
def test_offline_ability_is_told_in_points(after: float | None, told: str) -> None:
    rows: list[Any] = [[{"offline": 0.5}], *([{"offline": after}] for _ in range(4))]
    assert agreement(Given("D", *rows), {})[0].endswith(f"Here, before to after, no replay: {told}.")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "undefined"), (0.0, "+0.000"), (-0.0416, "-0.042"), (1.5, "+1.500")]
)
def test_a_difference_has_its_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


# ---- decisions ------------------------------------------------------------------------------------------------------


def test_a_variant_with_a_tuned_threshold_may_be_picked_and_one_that_answers_too_seldom_may_not() -> None:
    def row(cost: float, kept: float, tuned_cost: float, tuned_kept: float) -> list[Any]:
        return [{
            "cost_0.3": cost, "answer_guarantee_1s": kept, "tuned_cost_0.3": tuned_cost,
            "tuned_answer_guarantee_1s": tuned_kept,
        }]  # fmt: skip

    results = Given("C", row(0.9, 1.0, 0.4, 0.95), row(0.1, 0.949, 0.1, 0.5), row(0.8, 0.96, 0.7, 1.0), [{}])
    (found,) = verdicts(results)
    assert found.holds
    assert found.claim == (
        "a variant answers 95% of direct questions within 1 s; picked by the least C(.3): uniform, threshold tuned"
    )
    assert found.because == (
        "C(.3): uniform, threshold tuned 0.40, weight .1, by tokens, threshold tuned 0.70, weight .1, by tokens 0.80, "
        "uniform 0.90"
    )
    (none,) = verdicts(Given("C", *(row(0.1, 0.9, 0.1, 0.94) for _ in range(4))))
    assert (none.holds, none.because) == (False, "none reaches it, so none is picked")


def test_a_loss_of_one_task_in_one_seed_of_two_is_not_shown() -> None:
    def seed(where: float) -> dict[str, Any]:
        return {"offline": around(0.5), "offline_where": around(where)}

    before = [seed(0.5), seed(0.5)]
    once, both = [seed(0.3), seed(0.5)], [seed(0.3), seed(0.3)]
    found = verdicts(Given("D", before, once, both, before, before))
    assert [one.holds for one in found] == [False, True, False, False]
    assert found[1].claim == "after, 10 % replay: a loss of offline ability is shown"
    assert "of 1 tasks 1 fall and 0 rise" in found[1].because


def test_a_mean_that_falls_is_a_loss_even_where_no_task_shows_it() -> None:
    before = {"offline": around(0.5), "offline_where": None}
    after = {"offline": around(0.4), "offline_where": None}
    found = verdicts(Given("D", [before], [after], [before], [before], [before]))  # type: ignore[list-item]
    assert [one.holds for one in found] == [True, False, False, False]
    assert found[0].because.startswith("mean -0.100; of 1 tasks 0 fall and 0 rise")


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_every_number_is_kept_and_what_json_lacks_is_null() -> None:
    rows: list[Any] = [[{"x": 0.1}, {"x": None}], [{"x": 0.25}, {"x": 0.5}], [{"x": 1.0}, {"x": 1.0}]]
    assert json.loads(to_json(Given("B", *rows))) == {
        "with revisions": [{"x": pytest.approx(0.1)}, {"x": None}],
        "cut after the first answer": [{"x": 0.25}, {"x": 0.5}],
        "unrelated replies": [{"x": 1.0}, {"x": 1.0}],
    }


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_null(value: float) -> None:
    results = Given("B", [{"x": value}], [{"x": 1.0}], [{"x": 1.0}])
    assert json.loads(to_json(results))["with revisions"] == [{"x": None}]


def test_the_page_joins_the_studies_that_have_been_run_in_their_order(tmp_path: Path) -> None:
    for letter in ("C", "B"):
        results, times = of(letter)  # type: ignore[arg-type]
        keep(results, times, tmp_path, f"## section {letter}\n")
    path = write_page(TINY, tmp_path, tmp_path / "new" / "docs")
    text = path.read_text(encoding="utf-8")
    assert path.name == "study.md"
    assert text.index("## section B") < text.index("## section C") < text.index("## Agreement with what has been")
    assert text.index("**Revision.**") < text.index("**Silence.**")
    assert "section A" not in text
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "tiny-B.json", "tiny-B.page.json", "tiny-C.json", "tiny-C.page.json"
    }  # fmt: skip


def test_studies_of_another_scale_are_another_page(tmp_path: Path) -> None:
    results, times = of("B")
    keep(results, times, tmp_path, "## section B\n")
    text = write_page(replace(TINY, name="nano"), tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "section B" not in text
    assert "--scale nano" in text


def test_a_study_that_is_run_again_replaces_its_section(tmp_path: Path) -> None:
    results, times = of("B")
    for text in ("## first\n", "## second\n"):
        keep(results, times, tmp_path, text)
    page_text = write_page(TINY, tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "## second" in page_text
    assert "## first" not in page_text


def test_the_head_states_the_scale_that_was_run() -> None:
    head = page._head(replace(TINY, seeds=7, scenes=123, scene_s=4.5, l5_trials=11, replicates=321))
    for fact in ("7 seeds; 4 + 4 + 6", "of 2 videos", "123 held-out scenes of 4.5 s", "11 L5 trials", "321 resamples"):
        assert fact in head
    assert "0.01 s for each token" in head
    assert "0.02 s to encode a frame" in head


# ---- pictures -------------------------------------------------------------------------------------------------------

Panel = dict[str, Any]


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """What each panel shows when the picture is written: title, heights of bars, dots and lines by colour, labels."""
    mpl = pytest.importorskip("matplotlib.figure")
    found: list[Panel] = []

    def spy(self: Any, path: Path, **how: Any) -> None:
        for axes in self.axes:
            legend = axes.get_legend()
            drawn = [(line.get_linestyle(), [float(y) for y in line.get_ydata()]) for line in axes.get_lines()]
            found.append({
                "title": axes.get_title(),
                "bars": [round(float(bar.get_height()), 6) for bar in axes.patches],
                "dots": [ys for style, ys in drawn if style == "None"],
                "lines": [ys for style, ys in drawn if style == "-"],
                "ticks": [label.get_text() for label in axes.get_xticklabels()],
                "legend": [] if legend is None else [text.get_text() for text in legend.get_texts()],
            })  # fmt: skip

    monkeypatch.setattr(mpl.Figure, "savefig", spy)
    return found


def test_the_picture_of_architecture(panels: list[Panel], tmp_path: Path) -> None:
    results, times = architecture()
    plots.draw(results, times, tmp_path / "new" / "a.png")
    nl5, lag, first, lengths = panels
    assert nl5["title"] == "nL5: contradiction in mid-reply"
    assert nl5["bars"] == lag["bars"] == [0.5, 0.2, 0.3]
    assert [len(dots) for dots in nl5["dots"]] == [2, 2, 2], "one for each seed"
    assert nl5["ticks"] == ["cross-\nattention", "twin,\nblocking", "twin, frames\nbetween\nsteps"]
    assert first["title"] == f"first token after {results.scale.timed_frames} frames (s)"
    assert first["bars"] == [0.2, 0.4]
    assert first["ticks"] == ["cross-attention", "twin"]
    assert lengths["lines"] == [[4.0, 5.0]] * 3
    assert lengths["ticks"] == ["1", "10"]
    assert lengths["legend"] == list(results.labels)


def test_the_picture_of_revisions(panels: list[Panel], tmp_path: Path) -> None:
    results, _ = of("B")
    results.numbers[results.labels[2]] = [{**results.numbers[results.labels[2]][0], "rev_f1_5s": None}]
    plots.draw(results, {}, tmp_path / "b.png")
    revisions, churn = panels
    assert revisions["lines"] == [
        [pytest.approx(0.1)] * 4,
        [pytest.approx(0.2)] * 4,
        [pytest.approx(0.3), pytest.approx(0.3), 0.0, pytest.approx(0.3)],
    ]
    assert revisions["ticks"] == ["1", "2", "5", "10"]
    assert churn["bars"] == [0.1, 0.2, 0.3]


def test_the_picture_of_silence_shows_what_always_being_silent_costs(panels: list[Panel], tmp_path: Path) -> None:
    results, _ = of("C")
    results.numbers[results.labels[3]] = [{}]
    plots.draw(results, {}, tmp_path / "c.png")
    assert [panel["title"] for panel in panels] == [
        "C(.3); always silent is 1", "F1 of speech, within 2 s", "silent slots among those due silent"
    ]  # fmt: skip
    assert panels[0]["bars"] == [0.1, 0.2, 0.3], "what is nowhere defined has no bar"
    assert len(panels[0]["ticks"]) == 4, "but keeps its place"


def test_the_picture_of_tasks_names_each_of_them(panels: list[Panel], tmp_path: Path) -> None:
    results, _ = of("D")
    plots.draw(results, {}, tmp_path / "d.png")
    (tasks,) = panels
    assert tasks["ticks"] == ["all", "where", "count\nnamed"]
    assert tasks["bars"] == [x for n in range(5) for x in (float(n), float(n), 0.5)]
    assert tasks["legend"] == list(results.labels)
