from __future__ import annotations

from typing import Any

import pytest
from event_logs import decide, frame, log_of, say

from vigil.errors import DataError
from vigil.eval.causality import check_causality, check_same, first_split
from vigil.eval.log import Log


def run(*rows: dict[str, Any], **head: Any) -> Log:
    return log_of(*frame(0, 0.0), *frame(1, 1.0), *frame(2, 2.0), *rows, **({"clock": "free"} | head))


def test_runs_that_part_after_the_cut_are_clean() -> None:
    first, second = run(*say("a", 2.0, "red")), run(*say("a", 2.5, "blue"))
    assert first_split(first, second, 2.0) is None
    result = check_causality([(first, second, 2.0)] * 1000)
    assert (result.violations, result.trials, result.passed) == (0, 1000, True)
    assert result.upper_bound == 0.003


def test_an_answer_before_its_evidence_breaks_causality() -> None:
    first, second = run(*say("a", 1.5, "red")), run(*say("a", 1.5, "blue"))
    split = first_split(first, second, 2.0)
    assert split is not None
    assert split.line == 7  # head, two frames with their ready lines, open, token
    assert split.first is not None
    assert '"text":"red"' in split.first
    result = check_causality([(first, second, 2.0), (first, first, 2.0)])
    assert (result.violations, result.trials, result.passed, result.upper_bound) == (1, 2, False, None)


def test_a_line_that_one_run_lacks_breaks_causality() -> None:
    split = first_split(run(decide(1.5, "silent")), run(), 2.0)
    assert split is not None
    assert split.second is None


def test_a_replay_must_be_the_same_to_its_end() -> None:
    assert check_same(run(*say("a", 2, "red")), run(*say("a", 2, "red"))) is None
    assert check_same(run(*say("a", 2, "red")), run(*say("a", 2, "red"), end_s=61.0)) is not None


def test_no_trial_shows_nothing() -> None:
    result = check_causality([])
    assert (result.passed, result.upper_bound) == (None, None)


def test_logs_of_another_clock_are_refused() -> None:
    with pytest.raises(DataError, match='"wall"'):
        first_split(run(), run(clock="wall"), 2.0)
