"""From replies to values: the publishers' parsers with their faults, and the strict ones, which no trick gets past.

"ABCD", "Yes No" and "0 1 2" score full marks under some of the first; under the second they are no answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from vigil.eval.benchmarks.base import Reading, State
from vigil.eval.text import normalise, one_number, strict_letter, yes_or_no

Parser = Callable[[str], "str | None"]

LETTERS = "ABCDEFGHIJ"
_OWN_PREFIX = re.compile(r"^\s*[(\[]?([A-J])[)\].:]+\s*")


def bare(option: str) -> str:
    """An option without its own letter: "B. red" and "(B) red" are "red"."""
    return _OWN_PREFIX.sub("", option).strip()


def strict_choice(options: Sequence[str]) -> Parser:
    """Exactly one letter of the options, alone, with its own text, or in "the answer is B."."""
    texts = [bare(option) for option in options]
    return lambda text: strict_letter(text, texts)


strict_yes_no: Parser = yes_or_no
strict_number: Parser = one_number


def read(reading: Reading, parse: Parser) -> tuple[str | None, State]:
    """What a strict reader takes from a first answer: a value, or None and why."""
    if reading.state != "read":
        return None, reading.state
    value = parse(reading.text)
    return value, "read" if value is not None else "unparsable"


def first_character(reply: str) -> str:
    """StreamingBench: the first character is the answer. "Answer: B" is A; "(B)" is wrong."""
    return reply.strip()[:1]


def holds_letter(reply: str, key: str) -> bool:
    """OVO-Bench: right if the key stands anywhere in the reply. "ABCD" is always right."""
    return key in reply


def holds_verdict(reply: str, key: bool) -> bool:
    """OVO-Bench: "Y" or "N" alone, or "Yes" or "No" anywhere. "Yes No" is always right."""
    return (reply == "Y" or "Yes" in reply) if key else (reply == "N" or "No" in reply)


def joined_digits(reply: str) -> str:
    """OVO-Bench: all digits of a reply in a row are the count. "1 or 2" is 12."""
    return "".join(re.findall(r"\d+", reply))


def spoken_letter(reply: str, letters: Sequence[str]) -> str | None:
    """RTV-Bench: the first letter that stands alone, else the one after "option" or "answer", else the first of all."""
    text = reply.upper()
    alone = re.search(r"\b([A-Z])\b", text)
    named = re.search(r"(?:OPTION|ANSWER)\s*[:\-]?\s*([A-Z])", text)
    for found in (alone and alone[1], named and named[1], text.strip()[:1]):
        if found and found in letters:
            return str(found)
    return None


def holds_words(reply: str, words: str) -> bool:
    """Whether some words stand in a reply as whole words, in this order and without others between them."""
    return f" {normalise(words)} " in f" {normalise(reply)} "
