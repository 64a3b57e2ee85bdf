"""Worked examples by hand: PAUC (Q1), the commentary matcher (T1), VideoLLM-online (V1), alerts, and step spans."""

from __future__ import annotations

import math

import pytest

from vigil.eval.benchmarks.base import mean_of, share
from vigil.eval.benchmarks.omnimmi import official_alert
from vigil.eval.benchmarks.ovo_forward import step_spans
from vigil.eval.benchmarks.proactive import Reply, Span, chat_judge, pauc, rated, word_judge
from vigil.eval.benchmarks.tglg import Matching, Utterance, match_utterances, score_matching, word_f1
from vigil.eval.benchmarks.videollm_online import Turn, does_trigger, fluency, frame_difference, measure

SPAN = Span(start_s=10, end_s=20, question="What happens?", content="a cup falls")


@pytest.mark.parametrize(
    ("ratings", "omega", "area"),
    [
        ([], 0.5, 0.125),
        ([(10, 4)], 0.5, 1.0),
        ([(20, 4)], 0.5, 0.5625),
        ([(10, 0)], 0.5, 0.0),
        ([(12, 2), (16, 4)], 0.5, 0.8125),
        ([(12, 2), (16, 4)], 0.0, 0.625),
        ([(12, 4), (16, 2)], 0.5, 0.5625),
    ],
    ids=["silent", "at-once", "at-the-end", "wrong", "better-later", "timeliness-only", "worse-later"],
)
def test_pauc_is_what_the_worked_example_gives(ratings: list[tuple[float, int]], omega: float, area: float) -> None:
    assert pauc(ratings, start_s=10, end_s=20, omega=omega) == pytest.approx(area)


def test_replies_outside_the_span_repeats_and_no_reply_are_not_rated() -> None:
    said = [Reply(9, "a cup falls"), Reply(11, "No reply."), Reply(12, "a cup falls"), Reply(15, "a cup falls")]
    assert rated(said, SPAN, word_judge, scorer="official") == [(12, 4)]


def test_a_judgement_that_fails_is_left_out_officially_and_the_lowest_strictly() -> None:
    said = [Reply(12, "what")]
    assert rated(said, SPAN, lambda *_: None, scorer="official") == []
    assert rated(said, SPAN, lambda *_: None, scorer="strict") == [(12, 0)]


class Examiner:
    """Answers every request for a rating with one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def answer(self, frames: object, question: str) -> str:
        assert "a cup falls" in question
        return self.text


@pytest.mark.parametrize(("text", "rating"), [("4", 4), ("Rating: 5.", 5), ("3 or 4", None), ("10", None), ("", None)])
def test_a_chat_judge_must_name_exactly_one_rating(text: str, rating: int | None) -> None:
    assert chat_judge(Examiner(text))("What happens?", "a cup falls", "a cup") == rating


SAID = [Utterance(start_s=1, end_s=3, text="one"), Utterance(start_s=10, end_s=12, text="two")]
DUE = [Utterance(start_s=2, end_s=3, text="due")]


def test_the_matcher_gives_what_the_worked_example_does() -> None:
    pairs = match_utterances(SAID, DUE, similar=lambda a, b: 0.6)
    found = score_matching(pairs, SAID, DUE, similar=lambda a, b: 0.6)
    assert pairs == [(0, 0)]
    assert (found.f1, found.content) == (pytest.approx(2 / 3), pytest.approx(0.8))
    assert (found.start, found.stop, found.overlap) == (pytest.approx(math.exp(-1)), 1.0, 1.0)
    assert (found.timing, found.final) == (pytest.approx(0.747, abs=5e-4), pytest.approx(0.516, abs=5e-4))


def test_near_pairs_are_swapped_where_that_brings_like_to_like_and_far_ones_are_not() -> None:
    def crossed(gap_s: float) -> list[tuple[int, int]]:
        said = [Utterance(start_s=0, text="red"), Utterance(start_s=gap_s, text="blue")]
        due = [Utterance(start_s=0, text="blue"), Utterance(start_s=gap_s, text="red")]
        return match_utterances(said, due)

    assert crossed(4.0) == [(0, 1), (1, 0)]
    assert crossed(6.0) == [(0, 0), (1, 1)]


def test_matches_further_apart_than_five_seconds_are_dropped() -> None:
    assert match_utterances([Utterance(start_s=0, text="a")], [Utterance(start_s=5.1, text="a")]) == []


def test_empty_lists_and_no_match_have_values() -> None:
    assert Matching().final == 1.0
    assert score_matching([], SAID, [], similar=word_f1).final == 0.0
    assert score_matching([], SAID, DUE, similar=word_f1).final == 0.0


def test_an_utterance_without_an_end_lasts_as_long_as_its_words() -> None:
    assert Utterance(start_s=1, text="five words are two seconds").stop_s == 3.0


def test_overlap_counts_matched_speech_and_self_overlap_all_of_it() -> None:
    said = [Utterance(start_s=0, end_s=2, text="a"), Utterance(start_s=0, end_s=2, text="b")]
    found = score_matching([(0, 0)], said, [Utterance(start_s=0, end_s=2, text="a")])
    assert found.overlap == 1.0
    assert found.self_overlap == pytest.approx(2 * math.exp(-2))


EARLY = Turn(triggers=(False, True, False, False), num_tokens=6, num_correct=3)
RIGHT = Turn(triggers=(False, False, False, True), num_tokens=6, num_correct=3, loss=math.log(2))
LATE = Turn(triggers=(False,) * 4, num_tokens=6, num_correct=3, after=(True, False, False))
NEVER = Turn(triggers=(False,) * 4, num_tokens=6, num_correct=6, after=(False,) * 9)


def test_videollm_online_turns_give_what_the_worked_example_does() -> None:
    assert [frame_difference(turn, RIGHT) for turn in (RIGHT, EARLY, LATE, NEVER)] == [0, 2, -1, -3]
    assert [fluency(RIGHT, 0), fluency(EARLY, 2), fluency(LATE, -1)] == [0.7, 0.2, 0.3]
    assert measure([[EARLY]], fps=2).time_diff_s == 1.0


def test_a_last_turn_that_never_speaks_costs_nothing() -> None:
    assert frame_difference(NEVER, None) == 0


def test_the_four_figures_are_means_over_turns() -> None:
    found = measure([[RIGHT, EARLY], [NEVER]], fps=2)
    assert found.lm_ppl == pytest.approx((2 + 1 + 1) / 3)
    assert found.lm_correctness == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found.time_diff_s == pytest.approx((0 + 1 + 0) / 3)
    assert found.fluency == pytest.approx((0.7 + 0.2 + 1.0) / 3)
    assert measure([], fps=2).fluency is None


def test_always_silent_is_fluent_only_in_last_turns_and_always_speaking_is_early() -> None:
    silent = [Turn(triggers=(False,) * 4, num_tokens=6, num_correct=0, after=(False,) * 4)] * 2
    eager = [Turn(triggers=(True,) * 4, num_tokens=6, num_correct=0)] * 2
    assert measure([silent], fps=1).time_diff_s == 1.5
    assert measure([eager], fps=1).time_diff_s == 3.0


def test_a_position_triggers_below_the_threshold_or_where_silence_is_not_the_best() -> None:
    assert does_trigger(0.7, is_argmax_silence=True, threshold=0.725)
    assert not does_trigger(0.7, is_argmax_silence=True)
    assert does_trigger(0.4, is_argmax_silence=False)


@pytest.mark.parametrize(
    ("alerts", "found"),
    [
        ([], (0.0, 0.0, 0.0)),
        ([7.0], (1.0, 1.0, 0.0)),
        ([5.0, 8.0], (0.0, 0.5, 0.4)),
        ([6.0, 10.0, 11.0], (1.0, 2 / 3, 0.8)),
    ],
    ids=["silent", "one-has-no-iou", "first-outside", "later-ones-are-free"],
)
def test_official_alerts_by_hand(alerts: list[float], found: tuple[float, float, float]) -> None:
    assert official_alert(alerts, (6.0, 10.0)) == pytest.approx(found)


def test_a_span_without_length_does_not_divide_by_zero() -> None:
    assert official_alert([5.0], (5.0, 5.0)) == (1.0, 1.0, 0.0)


def test_the_later_step_holds_at_a_shared_boundary_and_gaps_are_none() -> None:
    assert step_spans([2, 6], [6, 9], ["Whisk", "Pour"], 12) == [
        (0.0, 2, "none"),
        (2, 6, "Whisk"),
        (6, 9, "Pour"),
        (9, 12, "none"),
    ]


def test_a_composite_is_undefined_where_a_part_is() -> None:
    both = mean_of([share("a", "na"), share("b", "nb")])
    assert both({"a": 1, "na": 2, "b": 1, "nb": 1}) == 75.0
    assert both({"a": 1, "na": 2}) is None
