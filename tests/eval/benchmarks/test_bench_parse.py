"""The publishers' parsers with their faults, and the strict ones that no trick gets past."""

from __future__ import annotations

import pytest

from vigil.eval.baselines import ATTACKS
from vigil.eval.benchmarks.base import Reading
from vigil.eval.benchmarks.parse import (
    bare,
    first_character,
    holds_letter,
    holds_verdict,
    holds_words,
    joined_digits,
    read,
    spoken_letter,
    strict_choice,
    strict_number,
    strict_yes_no,
)

OPTIONS = ["A. red", "B. blue", "(C) green"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (b). ", "B"),
        ("B. blue", "B"),
        ("C green", "C"),
        ("The best answer is: B.", "B"),
        ("B. red", None),
        ("D", None),
        ("Both B and C", None),
        ("I think B", None),
        ("", None),
        *((attack, None) for attack in ATTACKS),
    ],
)
def test_a_strict_choice_is_one_letter_and_nothing_else(text: str, letter: str | None) -> None:
    assert strict_choice(OPTIONS)(text) == letter


def test_attacks_get_past_every_official_parser_and_no_strict_one() -> None:
    assert holds_letter("ABCD", "B")
    assert holds_verdict("Yes No", True)
    assert holds_verdict("Yes No", False)
    assert first_character("ABCD") == "A"
    assert spoken_letter("ABCD", ["A", "B"]) == "A"
    assert strict_yes_no("Yes No") is None
    assert strict_number("0 1 2") is None


def test_official_faults_are_kept() -> None:
    assert first_character("Answer: B") == "A"
    assert first_character("(B)") == "("
    assert joined_digits("1 or 2") == "12"
    assert not holds_verdict("yes", True)
    assert holds_verdict("Y", True)
    assert spoken_letter("I see B", ["A", "B", "C", "D", "I"]) == "I"
    assert spoken_letter("answer:B", ["A", "B"]) == "B"
    assert spoken_letter("none", ["A", "B"]) is None


def test_words_must_stand_whole_and_in_order() -> None:
    assert holds_words('Now: "GREEN"!', "GREEN")
    assert not holds_words("evergreen", "green")
    assert not holds_words("two red cats", "red two")


def test_an_option_loses_its_own_letter_only() -> None:
    assert [bare(text) for text in ("A. red", "(B) red", "C) red", "A red car", "red")] == [
        "red",
        "red",
        "red",
        "A red car",
        "red",
    ]


def test_a_late_answer_is_not_read_even_if_it_is_right() -> None:
    assert read(Reading("B", "late"), strict_choice(OPTIONS)) == (None, "late")
    assert read(Reading("B or C", "read"), strict_choice(OPTIONS)) == (None, "unparsable")
    assert read(Reading("B", "read"), strict_choice(OPTIONS)) == ("B", "read")
