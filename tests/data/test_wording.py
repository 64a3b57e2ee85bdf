"""Sentences from templates, and the closed vocabulary."""

from __future__ import annotations

import random
import re

import pytest

from tests.data.scenes import NOUNS, camera_film, object_film
from vigil.data.synthesize import synthesize
from vigil.data.wording import all_texts, as_clause, as_sentence, content_words, plural_of, say, singular_of, words_of
from vigil.world.words import NOUNS as WORLD_NOUNS
from vigil.world.words import plural, with_article


def test_templates_by_hand() -> None:
    assert say("{a} appears.", "apple") == "An apple appears."
    assert say("{a} appears.", "dog", many=True) == "Another dog appears."
    assert say("{the} moves {to}.", "red square", "in the middle") == "The red square moves to the middle."
    assert say("there are {n} {nouns}.", "bus", "0") == "There are no buses."
    assert say("{times}.", value="0") == "Zero times."
    assert say("{times}.", value="1") == "One time."
    assert say("{count}.", value="21") == "21."
    assert say("{a} appears", "dog") == "a dog appears"  # a clause stays small


@pytest.mark.parametrize("noun", [*WORLD_NOUNS, "house", "horse", "baby", "fox", "dress", "leaf", "red square"])
def test_singular_undoes_plural(noun: str) -> None:
    assert singular_of(plural_of(noun)) == noun


def test_the_world_and_the_writer_agree_on_grammar() -> None:
    assert [noun for noun in WORLD_NOUNS if plural(noun) != plural_of(noun) and noun != "cactus"] == []
    assert [noun for noun in WORLD_NOUNS if with_article(noun) != say("{a}", noun)] == []


def test_no_word_is_ever_said_that_the_vocabulary_lacks() -> None:
    films = [(object_film if seed % 2 else camera_film)(seed) for seed in range(60)]
    known = {word for text in all_texts(words_of(films)) for word in _words(text)}
    said = {
        word
        for seed, film in enumerate(films)
        for record in synthesize(film, rng=random.Random(seed))
        for turn in record.turns
        for text in (turn.question, *(t for r in turn.replies for t in (r.text, *r.accept)))
        for word in _words(text)
    }
    assert said - known == set()
    assert len(known) < 400


def test_words_of_finds_all_nouns_including_those_that_never_appear() -> None:
    assert set(NOUNS) <= set(words_of([object_film(3)]).nouns)


def test_people_write_sentences_in_many_ways() -> None:
    assert as_sentence("  a dog\nruns ") == "A dog runs."
    assert as_clause("The dog runs!") == "the dog runs"
    assert as_clause("Anna runs.") == "Anna runs"
    assert content_words("The dogs are opening a box") == content_words("a dog opens boxes")


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9:]+|[.,?]", text.lower())
