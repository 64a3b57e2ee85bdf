"""How templates become sentences: numbers, plurals, articles, and the list of everything that can be said."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vigil.data import phrases
from vigil.data.phrases import NUMBERS, PLACES, SPOKEN
from vigil.types import DenseCaptions
from vigil.world.words import ITEMS, PANEL_COLOURS

_IRREGULAR = {
    "mouse": "mice",
    "goose": "geese",
    "leaf": "leaves",
    "wolf": "wolves",
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "fish": "fish",
    "sheep": "sheep",
    "deer": "deer",
    "snowman": "snowmen",
    "grapes": "grapes",
    "scissors": "scissors",
}
POSSIBLE = {"number": tuple(str(n) for n in range(100)), "time": tuple(f"{hour}:00" for hour in range(1, 13))}
"""Values that an attribute may be asked about, whether it takes them or not."""
_ENDING = re.compile(r"(?<=[a-z]{3})(?:ing|ed|es|s|e)$")
_SINGULAR = {plural: noun for noun, plural in _IRREGULAR.items()}


def number_word(value: str) -> str:
    """ "3" -> "three"; numbers above twenty stay digits, 0 is "no"."""
    return NUMBERS[int(value)] if value.isdigit() and int(value) < len(NUMBERS) else value


def spoken_value(attribute: str, value: str) -> str:
    """The words that stand for a value."""
    return SPOKEN.get((attribute, value), value)


def alternatives(key: tuple[str, str], rng: random.Random) -> tuple[str, ...]:
    """Values that a state might have taken, for requests that are never met."""
    if key == ("light", "colour"):
        return phrases.LIGHT_COLOURS
    possible = POSSIBLE.get(key[1], ())[: 20 if key[0] == "counter" else None]
    return (rng.choice(possible),) if possible else ()


def plural_of(noun: str) -> str:
    """Plural of the last word of a noun phrase."""
    head, _, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def singular_of(nouns: str) -> str:
    """Singular of the last word of a plural noun phrase; the inverse of `plural_of`."""
    head, _, last = nouns.rpartition(" ")
    if last in _SINGULAR:
        last = _SINGULAR[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "xes", "zes", "ches", "shes", "uses")) and not last.endswith("ouses"):
        last = last[:-2]
    elif last.endswith("s"):
        last = last[:-1]
    return f"{head} {last}".strip()


def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry its content, in lower case and without endings."""
    found = re.findall(r"[a-z0-9]+(?::[0-9]+)?", text.lower())
    return frozenset(_ENDING.sub("", word) for word in found if word not in phrases.STOPWORDS)


def as_sentence(text: str) -> str:
    """One line with a capital at the front and a full stop at the end."""
    text = " ".join(text.split()).rstrip(",;: ")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def as_clause(text: str) -> str:
    """A sentence as it stands after "when": no full stop, and a small first letter if the word is a common one."""
    text = " ".join(text.split()).rstrip(".!?,;: ")
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first.lower() in phrases.STOPWORDS else text


def _with_article(noun: str) -> str:
    if noun.endswith("s") and _IRREGULAR.get(noun) == noun:
        return noun
    return ("an " if noun[:1] in "aeiou" else "a ") + noun


def say(template: str, noun: str = "", value: str = "", *, many: bool = False) -> str:
    """Fill a template, and begin it with a capital unless it is a bare clause (no full stop or question mark).

    `many` tells that there are several of the thing: "another dog" and "one dog" instead of "a dog" and "the dog".
    """
    if "{" in template:
        number = number_word(value)
        count = "zero" if number == "no" else number
        template = template.format(
            noun=noun,
            nouns=plural_of(noun) if "{nouns}" in template else "",
            a=f"another {noun}" if many else _with_article(noun),
            the=f"one {noun}" if many else f"the {noun}",
            v=value,
            to=value.replace("on ", "to ").replace("in ", "to "),
            n=number,
            count=count,
            times=f"{count} time" if count == "one" else f"{count} times",
        )
    return template[:1].upper() + template[1:] if template.endswith((".", "?")) else template


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The open classes: what may fill a template."""

    nouns: tuple[str, ...]
    values: tuple[tuple[str, tuple[str, ...]], ...]
    """Per attribute (such as "colour"), its values."""


def words_of(captions: Iterable[DenseCaptions]) -> Words:
    """Collect the nouns and values that occur in captions with facts."""
    nouns: set[str] = set()
    values: dict[str, set[str]] = {}
    for video in captions:
        for state in video.states:
            values.setdefault(state.attribute, set()).add(state.value)
            if state.attribute in ("presence", "place") and (state.subject, state.attribute) not in phrases.STATES:
                nouns.add(state.subject)
            elif state.attribute == "count" and state.subject != "objects":
                nouns.add(singular_of(state.subject))
        for caption in video.captions:
            if caption.kind == "recolour":
                values.setdefault("colour", set()).add(caption.value)
    return Words(nouns=tuple(sorted(nouns)), values=tuple((k, tuple(sorted(v))) for k, v in sorted(values.items())))


def all_texts(words: Words) -> Iterator[str]:
    """Yield every question and reply: each template with each noun and with each value (descriptions: part by part).

    Word for word complete: whatever the rules writer says about captions whose nouns and values are in `words`
    consists of words that occur here.
    """
    things = ("object", *words.nouns)
    known = {value for _, group in words.values for value in group}
    for attribute, _ in words.values:
        known.update(POSSIBLE.get(attribute, ()))
    values = sorted(known | set(PLACES) | {str(n) for n in range(len(NUMBERS))}) + sorted(SPOKEN.values())
    for template in dict.fromkeys(_templates()):
        about_thing = any(slot in template for slot in ("{noun", "{a}", "{the}"))
        about_value = any(slot in template for slot in ("{v}", "{to}", "{n}", "{count}", "{times}"))
        if about_thing:
            yield from (say(template, thing, values[i % len(values)]) for i, thing in enumerate(things))
            yield say(template, things[0], values[0], many=True)
        if about_value:
            yield from (say(template, things[i % len(things)], value) for i, value in enumerate(values))
        if not about_thing and not about_value:
            yield say(template)
    yield from _panel_texts()


def _panel_texts() -> Iterator[str]:
    """What is asked and said about a panel; every item with every colour."""
    colours = tuple(PANEL_COLOURS)
    yield from phrases.ASK_RECITAL
    yield from (say(template, item) for group in phrases.ASK_ITEM for template in group for item in ITEMS)
    yield from (say(phrases.RECITED, item, colour) for item in ITEMS for colour in colours)
    for first in range(len(colours)):
        named = zip(ITEMS, (*colours, *colours)[first:], strict=False)
        yield " ".join(say(phrases.RECITED, item, colour) for item, colour in named)


def _templates() -> Iterator[str]:
    for template, also in phrases.REPLIES.values():
        yield from (template, *also)
    yield from (*phrases.HAPPENS.values(), *phrases.HAPPENED.values(), "{a} {v}, {a} {v} and {a} {v}.", "now.")
    yield from (question for pair in phrases.QUESTIONS.values() for group in pair for question in group)
    yield from (question for group in phrases.TIMES.values() for question in group)
    clauses = (phrases.ALERT_CLAUSES, phrases.TALLY_CLAUSES, phrases.VALUE_CLAUSES)
    for frame in (*phrases.REQUESTS, *phrases.CUES, *phrases.TALLY):
        yield from (frame.replace("{clause}", clause) for table in clauses for clause in table.values())
    for state in phrases.STATES.values():
        yield from (*state.ask, *state.ask_end, state.tell, *state.also)
    for subject, _ in phrases.NAMEABLE:
        yield from (t.replace("{noun}", subject) for t in (phrases.REPLIES["never"][0], *phrases.REPLIES["never"][1]))
    for question, yes, no in phrases.CHANGED.values():
        yield from (question, f"yes, {yes}.", f"no, {no}.", "yes.", "no.")
    yield phrases.EMPTY
