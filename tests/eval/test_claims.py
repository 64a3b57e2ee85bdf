from __future__ import annotations

from typing import Any

import pytest
from event_logs import log_of, question, say, truth_of, value

from vigil.eval.claims import claims_of, closed_claims, current_answer, transitions
from vigil.eval.log import Log
from vigil.eval.text import closed_mentions, normalise, one_number, strict_letter, yes_or_no

OPTIONS = ["A. a red lamp", "B. a blue lamp", "a green lamp"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Two CATS!", "2 cats"),
        ("  twenty-one, thirty ", "21 30"),
        ("twenty ten", "20 10"),
        ("It's 12:30; 3.5 m.", "it s 12:30 3.5 m"),
        ("...", ""),
    ],
)
def test_texts_are_compared_without_case_marks_and_number_words(text: str, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize(
    "text",
    ["B", " b. ", "(B)", "[B]", "B)", "B:", "B. a blue lamp", "b a Blue lamp.", "The best answer is: B.", "Option (B)"],
)
def test_one_strict_letter_is_accepted(text: str) -> None:
    assert strict_letter(text, OPTIONS) == "B"


@pytest.mark.parametrize(
    "text",
    ["ABCD", "A B", "D", "B a red lamp", "", "Blue", "Answer: D", "I think B", "The answer is B or C", "Bananas"],
)
def test_anything_else_is_no_letter(text: str) -> None:
    assert strict_letter(text, OPTIONS) is None


def test_the_parse_attacks_score_nothing() -> None:
    assert strict_letter("ABCD", ["w", "x", "y", "z"]) is None
    assert yes_or_no("Yes No") is None
    assert one_number("0 1 2") is None


def test_yes_and_numbers_are_whole_words() -> None:
    assert yes_or_no("Yes, it is.") == "yes"
    assert yes_or_no("Yesterday") is None
    assert one_number("There are three of them.") == "3"
    assert one_number("at 3.5") is None


def test_closed_mentions_are_whole_words_and_prefer_the_longer_value() -> None:
    found = closed_mentions(
        "A is red. B is dark red; a IS blue, C is reddish.", items=["A", "B", "C"], values=["red", "dark red", "blue"]
    )
    assert [(m.item, m.value) for m in found] == [("A", "red"), ("B", "dark red"), ("A", "blue")]


def spoken(words: list[str], *, state: str = "final", q: str = "q1") -> Log:
    """One token per second from 1 s on; the answer ends one second after the last."""
    rows: list[dict[str, Any]] = [{"k": "answer", "a": "a", "q": q, "w": 1.0, "state": "open"}]
    rows += [{"k": "tok", "n": n, "w": 1.0 + n, "vis": -1, "text": w, "a": "a"} for n, w in enumerate(words)]
    return log_of(*rows, {"k": "answer", "a": "a", "q": q, "w": 1.0 + len(words), "state": state})


STATE = truth_of(question(kind="state"), value(0, 9, "red", alias=["It is red."]), value(9, 20, "dark red"))


@pytest.mark.parametrize(
    ("words", "v", "tau"),
    [
        (["Red", "."], "red", 1.0),
        (["It", " is", " red", "."], "red", 3.0),
        (["Dark", " red"], "dark red", 2.0),
        (["Red", " as", " ever"], "red as ever", 3.0),
        (["Re", "d"], "red", 2.0),
    ],
)
def test_an_exact_claim_counts_from_the_token_that_determines_it(words: list[str], v: str, tau: float) -> None:
    (claim,) = claims_of(spoken(words), STATE, "q1")
    assert (claim.v, claim.tau) == (v, tau)


def test_an_answer_cut_before_its_value_claims_nothing_and_after_it_claims_it() -> None:
    assert claims_of(spoken(["It", " is"], state="cut"), STATE, "q1") == []
    (claim,) = claims_of(spoken(["It", " is", " red"], state="cut"), STATE, "q1")
    assert claim.v == "red"


def test_a_count_is_read_from_its_one_number() -> None:
    truth = truth_of(question(kind="count"), value(0, 9, "3"))
    (claim,) = claims_of(spoken(["There", " are", " three", " here"]), truth, "q1")
    assert (claim.v, claim.tau) == ("3", 3.0)
    (claim,) = claims_of(spoken(["two", " or", " three"]), truth, "q1")
    assert claim.v == "2 or 3"


def test_a_choice_is_read_by_the_strict_letter() -> None:
    truth = truth_of(question(kind="mcq", options=["x", "y"]), value(0, 9, "B"))
    (claim,) = claims_of(spoken(["The", " answer", " is", " B", "."]), truth, "q1")
    assert (claim.v, claim.tau) == ("b", 4.0)
    (claim,) = claims_of(spoken(["AB"]), truth, "q1")
    assert claim.v == "ab"


def test_closed_claims_stand_at_the_token_that_ends_the_value() -> None:
    log = spoken(["A", " is", " re", "d.", " B is", " blue"])
    claims = closed_claims(log, "q1", items=["A", "B"], values=["red", "blue"])
    assert [(claim.q, claim.v, claim.tau) for claim in claims] == [("q1.A", "red", 4.0), ("q1.B", "blue", 6.0)]


def test_the_current_answer_is_the_last_claim_that_was_not_taken_back() -> None:
    rows = [*say("a", 1, "red"), *say("b", 3, "dark red")]
    rows += [{"k": "answer", "a": "b", "q": "q1", "w": 5.0, "state": "retracted"}]
    claims = claims_of(log_of(*rows), STATE, "q1")
    answers = [current_answer(claims, t) for t in (0.9, 1.0, 3.0, 4.9, 5.0)]
    assert [a and a.v for a in answers] == [None, "red", "dark red", "dark red", "red"]


def test_of_two_claims_at_one_instant_the_last_of_the_log_wins() -> None:
    claims = claims_of(log_of(*say("a", 1, "red"), *say("b", 1, "dark red")), STATE, "q1")
    answer = current_answer(claims, 1.0)
    assert answer is not None
    assert answer.v == "dark red"


def test_neither_the_first_claim_nor_a_repeated_one_is_a_transition() -> None:
    claims = claims_of(log_of(*say("a", 1, "red"), *say("b", 2, "Red!"), *say("c", 3, "dark red")), STATE, "q1")
    assert [(move.old.v, move.new.v, move.tau) for move in transitions(claims)] == [("red", "dark red", 3.0)]
