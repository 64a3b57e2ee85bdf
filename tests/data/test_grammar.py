"""Words: numbers, plurals, articles, endings, and what can stand for what."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.data import phrases
from vigil.data.wording import (
    POSSIBLE,
    all_texts,
    alternatives,
    as_clause,
    as_sentence,
    content_words,
    number_word,
    plural_of,
    say,
    singular_of,
    spoken_value,
    words_of,
)
from vigil.types import Caption, DenseCaptions, State


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("0", "no"),
        ("1", "one"),
        ("12", "twelve"),
        ("20", "twenty"),
        ("21", "21"),
        ("red", "red"),
        ("-1", "-1"),
        ("", ""),
    ],
)
def test_small_numbers_are_words(value: str, word: str) -> None:
    assert number_word(value) == word


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"), ("bus", "buses"), ("box", "boxes"), ("church", "churches"), ("boy", "boys"),
        ("baby", "babies"), ("mouse", "mice"), ("goose", "geese"), ("person", "people"), ("police man", "police men"),
        ("fish", "fish"), ("red square", "red squares"), ("old house", "old houses"), ("dress", "dresses"),
    ],
)  # fmt: skip
def test_plurals_and_back(one: str, many: str) -> None:
    assert plural_of(one) == many
    assert singular_of(many) == one


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [("dog", "a dog"), ("apple", "an apple"), ("umbrella", "an umbrella"), ("scissors", "scissors"), ("fish", "a fish"),
     ("grapes", "grapes"), ("orange cat", "an orange cat")],
)  # fmt: skip
def test_articles(noun: str, phrase: str) -> None:
    assert say("{a}", noun) == phrase


@pytest.mark.parametrize(
    ("template", "noun", "value", "text"),
    [
        ("there are {n} {nouns}.", "bus", "3", "There are three buses."),
        ("{count}.", "", "0", "Zero."),
        ("{n} {nouns}.", "dog", "0", "No dogs."),
        ("{times}.", "", "1", "One time."),
        ("{times}.", "", "30", "30 times."),
        ("{the} moves {to}.", "dog", "on the left", "The dog moves to the left."),
        ("{the} moves {to}.", "dog", "in the middle", "The dog moves to the middle."),
        ("{the} is {v}.", "dog", "in the middle", "The dog is in the middle."),
        ("{noun}?", "dog", "", "Dog?"),
        ("the {noun} leaves", "dog", "", "the dog leaves"),
        ("now.", "", "", "Now."),
        ("a fixed text", "dog", "5", "a fixed text"),
    ],
)
def test_templates(template: str, noun: str, value: str, text: str) -> None:
    assert say(template, noun, value) == text


def test_one_of_several_is_another_one() -> None:
    assert say("{a} comes and {the} goes.", "dog", many=True) == "Another dog comes and one dog goes."


# ---- people's sentences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence", "clause"),
    [
        ("a dog\n  runs", "A dog runs.", "a dog runs"),
        ("The dog runs!", "The dog runs!", "the dog runs"),
        ("Anna runs?", "Anna runs?", "Anna runs"),
        ("he waits, ", "He waits.", "he waits"),
    ],
)
def test_sentences_and_clauses(text: str, sentence: str, clause: str) -> None:
    assert as_sentence(text) == sentence
    assert as_clause(text) == clause


@given(text=st.text(alphabet=st.characters(codec="ascii", categories=("L", "Zs")), min_size=1, max_size=30))
def test_a_sentence_stays_a_sentence(text: str) -> None:
    assert as_sentence(as_sentence(text)) == as_sentence(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The dogs are running at 10:30.", {"dog", "runn", "10:30"}),
        ("A man opens boxes", {"man", "open", "box"}),
        ("it is on the", set()),
        ("Bus, bus; BUS!", {"bus"}),
        ("use", {"use"}),
    ],
)
def test_content_words_have_no_endings_and_no_small_words(text: str, words: set[str]) -> None:
    assert content_words(text) == words


# ---- values ---------------------------------------------------------------------------------------------------------


def test_values_are_spoken_as_they_are_unless_the_table_says_otherwise() -> None:
    assert spoken_value("brightness", "normal") == "bright"
    assert spoken_value("colour", "normal") == "normal"
    assert spoken_value("side", "left") == "something is moving on the left"


@pytest.mark.parametrize(
    ("key", "possible"),
    [
        (("light", "colour"), set(phrases.LIGHT_COLOURS)),
        (("counter", "number"), {str(number) for number in range(20)}),
        (("display", "number"), set(POSSIBLE["number"])),
        (("clock", "time"), set(POSSIBLE["time"])),
        (("scene", "place"), set()),
    ],
)
def test_what_a_state_might_have_been(key: tuple[str, str], possible: set[str]) -> None:
    drawn = {value for seed in range(2000) for value in alternatives(key, random.Random(seed))}
    assert drawn == possible


def test_nouns_and_values_are_collected_from_facts() -> None:
    film = DenseCaptions(
        id="v",
        duration_s=4.0,
        captions=(Caption(start_s=1.0, end_s=1.0, text="", kind="recolour", subject="red square", value="blue"),),
        states=tuple(
            State(subject=subject, attribute=attribute, value=value, start_s=0.0, end_s=4.0)
            for subject, attribute, value in (
                ("dog", "presence", "visible"),
                ("buses", "count", "0"),
                ("objects", "count", "1"),
                ("scene", "place", "beach"),
                ("light", "colour", "red"),
            )
        ),
    )
    words = words_of([film])
    assert words.nouns == ("bus", "dog"), "neither the scene nor the objects are things"
    values = dict(words.values)
    assert values["colour"] == ("blue", "red")
    assert values["place"] == ("beach",)
    texts = set(all_texts(words))
    assert {
        "There is no bus.",
        "Tell me when a dog appears.",
        "The light is blue.",
        "Now.",
        "There is nothing here.",
    } <= texts
