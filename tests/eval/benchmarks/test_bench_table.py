"""From tallies to the table: which row is the best blind one, what is corrected, resampled, counted and printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from vigil.errors import ConfigError
from vigil.eval.benchmarks import BENCHMARKS, benchmark
from vigil.eval.benchmarks.base import Benchmark, Case, Mark, Score, Scorer, State, Sums, mean_of, share
from vigil.eval.benchmarks.rules import constant
from vigil.eval.benchmarks.runner import GENERIC, MAIN, MANDATORY, ORACLE, SEEING, BenchConfig, Played, items_text
from vigil.eval.benchmarks.table import KNOWING, TRICKS, Tallies, tabulate

CONFIG = BenchConfig(fps=2.0, token_s=0.5)
ALL = dict.fromkeys((*MANDATORY, ORACLE, "longest_option"), 0.0)
"""Row -> share right."""


def case(number: int, *, scorer: Scorer = "strict", video: str = "", serves: tuple[Scorer, ...] = ()) -> Case:
    return Case(
        id=f"c{number}",
        task="t",
        video=video or f"v{number}",
        scorer=scorer,
        play=lambda: (_ for _ in ()),  # type: ignore[arg-type, return-value]
        oracle=constant("A"),
        serves=serves,
    )


def toy(*scores: Score) -> Benchmark:
    return replace(benchmark("river"), scores=lambda cases: list(scores))


def right(*, scorer: Scorer = "strict", **more: Any) -> Score:
    return Score(name="s", scorer=scorer, definition="d", of=share("right", "items"), **more)


def played(shares: Mapping[str, float], *, num: int = 4, scorer: Scorer = "strict", **more: Any) -> list[Played]:
    """`num` cases of one video each; of each row so many (of 1) are right."""
    return [
        Played(
            arm=arm, case=case(n, scorer=scorer, **more), mark=Mark(sums={"right": float(n < part * num), "items": 1.0})
        )
        for arm, part in shares.items()
        for n in range(num)
    ]


def row_of(rows: Sequence[Played], score: Score) -> dict[str, Any]:
    (row,) = tabulate(toy(score), [], rows, run={}, config=CONFIG)["scores"]
    found: dict[str, Any] = row
    return found


def test_the_best_blind_row_is_named_and_the_score_is_corrected_by_it() -> None:
    row = row_of(played(ALL | {MAIN: 0.75, "longest_option": 0.5, "always_talk": 0.25}), right())
    assert (row["value"], row["blind"], row["blind_rule"], row["corrected"]) == (75.0, 50.0, "longest_option", 50.0)
    assert row["systems"] == {**dict.fromkeys(ALL, 0.0), MAIN: 75.0, "longest_option": 50.0, "always_talk": 25.0}
    assert (row["name"], row["definition"], row["is_shown"]) == ("s", "d", True)


@pytest.mark.parametrize("seeing", [*SEEING, *KNOWING])
def test_rows_that_see_or_know_the_truth_are_no_blind_rows(seeing: str) -> None:
    row = row_of(played(ALL | {MAIN: 0.5, seeing: 1.0}), right())
    assert (row["blind"], row["corrected"]) == (0.0, 50.0)
    assert row["systems"][seeing] == 100.0


@pytest.mark.parametrize("trick", TRICKS)
def test_a_row_that_only_fools_a_parser_is_blind_strictly_and_not_officially(trick: str) -> None:
    for scorer, blind in (("strict", 100.0), ("official", 0.0)):
        shares = ALL | {MAIN: 0.5, trick: 1.0}
        row = row_of(played(shares, scorer=scorer), right(scorer=scorer))  # type: ignore[arg-type]
        assert row["blind"] == blind
    strictly = row_of(played(ALL | {MAIN: 0.5, trick: 1.0}), right())
    assert (strictly["blind_rule"], strictly["corrected"]) == (trick, None)  # nothing is left to be gained


def test_where_low_is_better_nothing_is_corrected() -> None:
    row = row_of(played(ALL | {MAIN: 0.25, "longest_option": 0.5}), right(is_better_low=True))
    assert (row["value"], row["blind"], row["blind_rule"], row["corrected"]) == (25.0, None, None, None)


def test_what_is_undefined_is_null_and_counted() -> None:
    missing = Score(name="m", scorer="strict", definition="", of=share("nothing", "there"))
    result = tabulate(toy(missing, right()), [], played(ALL), run={}, config=CONFIG)
    first, second = result["scores"]
    assert (first["value"], first["lo"], first["blind"], first["corrected"]) == (None, None, None, None)
    assert (second["value"], result["undefined"]) == (0.0, 1)


def test_a_blind_row_that_is_undefined_does_not_stand_for_0() -> None:
    silent = [one for one in played(ALL) if one.arm != "longest_option"]
    silent += [
        Played(arm="longest_option", case=one.case, mark=Mark(sums={"right": 0.0, "items": 0.0}))
        for one in played({"x": 0.0})
    ]
    row = row_of(silent, right())
    assert row["systems"]["longest_option"] is None
    assert row["blind"] == 0.0


@pytest.mark.parametrize("missing", MANDATORY)
def test_each_mandatory_row_is_asked_for_by_name(missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"a table without the rows {missing} is not written. Play them too"):
        tabulate(toy(right()), [], played({arm: 0.0 for arm in ALL if arm != missing}), run={}, config=CONFIG)


def test_an_item_that_serves_both_scorers_counts_for_both_and_others_for_their_own() -> None:
    both = played(ALL | {MAIN: 1.0}, serves=("official", "strict"))
    for scorer in ("official", "strict"):
        assert row_of(both, right(scorer=scorer))["value"] == 100.0
    own = played(ALL | {MAIN: 1.0}) + played(ALL | {MAIN: 0.0}, scorer="official")
    assert (row_of(own, right())["value"], row_of(own, right(scorer="official"))["value"]) == (100.0, 0.0)


def test_the_whole_composite_is_resampled_by_video() -> None:
    """Two tasks, one in each half of the videos: the mean of both is 50 in every resample that holds both."""
    sums = [{"a": 1.0, "na": 1.0} if n < 6 else {"b": 0.0, "nb": 1.0} for n in range(12)]
    rows = [Played(arm=arm, case=case(n), mark=Mark(sums=one)) for arm in MANDATORY for n, one in enumerate(sums)]
    score = Score(name="m", scorer="strict", definition="", of=mean_of([share("a", "na"), share("b", "nb")]))
    row = row_of(rows, score)
    assert (row["value"], row["lo"], row["hi"]) == (50.0, 50.0, 50.0)
    assert row["redrawn"] >= 0
    pooled = Score(name="p", scorer="strict", definition="", of=_pooled)
    wide = row_of(rows, pooled)
    assert wide["lo"] < 35 < 50 < 65 < wide["hi"]


def _pooled(sums: Sums) -> float:
    return 100 * (sums.get("a", 0.0) + sums.get("b", 0.0)) / (sums.get("na", 0.0) + sums.get("nb", 0.0))


def test_items_of_one_video_are_drawn_together() -> None:
    rows = played(ALL | {MAIN: 0.5}, num=24)
    apart = row_of(rows, right())
    together = row_of(
        [replace(one, case=replace(one.case, video=f"v{int(one.case.id[1:]) // 2}")) for one in rows], right()
    )
    assert apart["value"] == together["value"] == 50.0
    assert together["hi"] - together["lo"] > apart["hi"] - apart["lo"] > 20
    few = [replace(one, case=replace(one.case, video=f"v{int(one.case.id[1:]) % 9}")) for one in rows]
    assert (row_of(few, right())["lo"], row_of(few, right())["hi"]) == (None, None)  # nine videos


def test_the_table_names_what_ran_and_counts_what_could_not_be_read() -> None:
    states: list[tuple[State, ...]] = [("read", "late"), ("unparsable",), ("unanswered",)]
    rows = [
        Played(arm=arm, case=case(n), mark=Mark(sums={}, states=state), hashes=("ab", f"{n}"), unseen=n, dropped=2)
        for arm in MANDATORY
        for n, state in enumerate(states)
    ]
    result = tabulate(toy(right()), [row.case for row in rows[:3]], rows, run={"model": "m"}, config=CONFIG)
    assert result["run"] == {
        **{"model": "m", "cases": 3, "videos": 3, "seed": 0, "policy": "greedy", "dropped_frames": 6},
        **{"log_sha256": sha256(b"ab0ab1ab2").hexdigest(), "clock": "free", "fps": 2.0, "token_s": 0.5},
    }
    assert result["states"][MAIN] == {"read": 1, "unanswered": 1, "unparsable": 1, "late": 1, "unseen": 3}
    assert list(result["states"]) == list(MANDATORY) == result["systems"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_tallies_of_nothing_are_nothing_and_keys_that_a_case_lacks_are_0() -> None:
    assert Tallies([]).value(right()) is None
    rows = [
        Played(arm="x", case=case(0, video="v"), mark=Mark(sums={"a": 1.0})),
        Played(arm="x", case=case(1, video="v"), mark=Mark(sums={"b": 2.0})),
        Played(arm="x", case=case(2, video="w"), mark=Mark(sums={"b": 3.0})),
    ]
    tallies = Tallies(rows)
    assert (tallies.videos, tallies.keys) == (["v", "w"], ["a", "b"])
    assert tallies.sums_VK.tolist() == [[1.0, 2.0], [0.0, 3.0]]
    total = Score(name="t", scorer="strict", definition="", of=lambda sums: sums["b"])
    assert (tallies.value(total), tallies.value(total, [0, 0]), tallies.value(total, [1])) == (5.0, 4.0, 3.0)


def test_lines_of_items_are_one_json_object_each_whatever_was_said() -> None:
    mark = Mark(sums={"right": 1.0}, replies=("zwei\nZeilen 門\u2028",), states=("read",))
    rows = [Played(arm=MAIN, case=case(n), mark=mark, hashes=("h",), unseen=1) for n in range(3)]
    lines = items_text(rows).split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["item"] for line in lines] == ["c0", "c1", "c2"]
    assert json.loads(lines[0]) == {
        **{
            "system": "system",
            "scorer": "strict",
            "item": "c0",
            "task": "t",
            "video": "v0",
            "unseen": 1,
            "logs": ["h"],
        },
        **{"replies": ["zwei\nZeilen 門\u2028"], "states": ["read"], "sums": {"right": 1.0}},
    }


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_score_says_what_it_is_and_no_two_of_one_scorer_share_a_name(name: str) -> None:
    scores = benchmark(name).scores([])
    assert all(score.definition for score in scores)
    names = [(score.scorer, score.name) for score in scores]
    assert len(set(names)) == len(names)
    for scorer in {score.scorer for score in scores}:
        first = next(score for score in scores if score.scorer == scorer)
        assert first.is_shown  # its headline
        assert not first.is_better_low


def test_mandatory_are_the_system_what_sees_and_what_needs_no_annotation() -> None:
    assert (*SEEING, *GENERIC) == MANDATORY[1:]
    assert set(TRICKS) < set(GENERIC)
    assert ORACLE in KNOWING
