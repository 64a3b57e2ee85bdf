"""From words to values: the hard cases of each strict parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.eval.text import closed_mentions, normalise, one_number, strict_letter, yes_or_no

COLOURS = ["a red lamp", "B. a blue lamp", "(C) a green lamp", "D: it is B"]


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(st.sampled_from(["red", "Two", "cats", "twenty", "one", "12:30"]), min_size=1, max_size=5))
def test_case_marks_and_spaces_never_tell_two_texts_apart(words: list[str]) -> None:
    plain = " ".join(words)
    for other in (plain.upper(), f"  {plain}!?", "\n".join(words), ", ".join(words), f"({plain})"):
        assert normalise(other) == normalise(plain)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("zero", "0"),
        ("thirteen", "13"),
        ("forty two", "42"),
        ("Ninety-Nine", "99"),
        ("sixty four thousand", "64 thousand"),
        ("twenty zero", "20 0"),
        ("thirty eleven", "30 11"),
        ("twenty one two", "21 2"),
        ("two twenty", "2 20"),
        ("someone", "someone"),
        ("one's", "1 s"),
        ("3.5", "3.5"),
        ("3. 5", "3 5"),
        ("v2.0!", "v2.0"),
        ("10:30.", "10:30"),
        ("snake_case", "snake case"),
        ("Straße", "strasse"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_normalised_texts_by_hand(text: str, plain: str) -> None:
    assert normalise(text) == plain


def test_every_number_up_to_99_is_read_from_its_words() -> None:
    ones = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    for n in range(20, 100):
        word = tens[n // 10 - 2] + (f"-{ones[n % 10]}" if n % 10 else "")
        assert (normalise(word), one_number(f"There are {word} of them.")) == (str(n), str(n))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("a", "A"),
        ("[a]", "A"),
        ("(A):", "A"),
        ("A. a red lamp", "A"),
        ("A) A RED LAMP!", "A"),
        ("(B) a blue lamp", "B"),
        ("C a green lamp", "C"),
        ("C.\na green lamp", "C"),
        ("D it is B", "D"),  # its own text, which names another letter
        ("The answer is (C).", "C"),
        ("answer: d", "D"),
        ("The best option is B", "B"),
        ("Best answer C.", "C"),
        ("A.a red lamp", None),
        ("A, a red lamp", None),
        ("A. a blue lamp", None),
        ("A. a red lamp and more", None),
        ("a red lamp", None),  # the text without its letter
        ("A lamp", None),
        ("A B", None),
        ("A or B", None),
        ("A/B", None),
        ("(A) (B)", None),
        ("AA", None),
        ("A..", None),
        ("E", None),
        ("The answer is E.", None),
        ("The answer isn't B", None),
        ("It is not B. The answer is C.", None),
        ("The answer is B. The answer is C.", None),
        ("Α", None),  # a Greek capital
        ("  ", None),
    ],
)
def test_exactly_one_letter_is_read_or_none(text: str, letter: str | None) -> None:
    assert strict_letter(text, COLOURS) == letter


def test_letters_end_with_the_options() -> None:
    assert [strict_letter("B", ["x"] * n) for n in (0, 1, 2, 5)] == [None, None, "B", "B"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", "3"),
        ("Three.", "3"),
        ("There were twenty-one", "21"),
        ("007", "7"),
        ("0", "0"),
        ("000", "0"),
        ("٣", "3"),  # Arabic-Indic three
        ("9" * 5000, "9" * 5000),
        ("3 or 4", None),
        ("3, 3", None),
        ("twenty eleven", None),
        ("3.5", None),
        ("12:30", None),
        ("3rd", None),
        ("²", None),
        ("none", None),
        ("", None),
    ],
)
def test_exactly_one_whole_number_is_read_or_none(text: str, number: str | None) -> None:
    assert one_number(text) == number


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes", "yes"),
        ("YES!", "yes"),
        ("Well, no.", "no"),
        ("No, nothing moves.", "no"),
        ("Yes. Yes.", None),
        ("No... yes.", None),
        ("Nothing", None),
        ("eyes", None),
        ("yes-no", None),
        ("", None),
    ],
)
def test_exactly_one_verdict_is_read_or_none(text: str, verdict: str | None) -> None:
    assert yes_or_no(text) == verdict


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A is red", [("A", "red", 8)]),
        ("a\nIS  Red.", [("A", "red", 9)]),
        ("item A is red and B is sky blue", [("A", "red", 13), ("B", "sky blue", 31)]),
        ("A is red, is blue", [("A", "red", 8)]),
        ("A isn't red", []),
        ("A is not red", []),
        ("AA is red", []),
        ("_A is red", []),
        ("A is redder", []),
        ("A is red_", []),
        ("A is a red one", []),
        ("red is A", []),
        ("C++ is red", [("C++", "red", 10)]),
        ("Cxx is red", []),
        ("", []),
    ],
)
def test_mentions_of_a_closed_vocabulary_by_hand(text: str, found: list[tuple[str, str, int]]) -> None:
    mentions = closed_mentions(text, items=["A", "B", "C++"], values=["red", "blue", "sky blue"])
    assert [(m.item, m.value, m.end) for m in mentions] == found
    assert all(text[: m.end].casefold().endswith(m.value.casefold()) for m in mentions)
