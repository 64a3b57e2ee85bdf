"""From words to values: how a text is compared, and the strict parsers of letters, numbers and mentions.

A parser that cannot be sure gives None: "ABCD", "Yes No" and "0 1 2" are no answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import decimal

# fmt: off
_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# fmt: on
_NUMBERS = {word: n for n, word in enumerate(_UNITS)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_PUNCTUATION = re.compile(r"(?<!\d)[^\w\s]|[^\w\s](?!\d)|_")
"""Everything but letters, digits and spaces; a mark between two digits (3.5, 12:30) stays."""
_LETTER = re.compile(r"[(\[]?([A-Z])[)\]]?[.):]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(r"[(\[]?([A-Z])[)\]]?[.):]?\s+(.+)", re.IGNORECASE | re.DOTALL)
_LETTER_SENTENCE = re.compile(r"(?:the )?(?:best )?(?:answer|option)(?: is)?[:\s]+\(?([A-Z])\)?\.?", re.IGNORECASE)


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """Fold case, strip punctuation, write number words as digits, and put single spaces: "Two cats!" -> "2 cats"."""
    words: list[str] = []
    tens = False
    for word in _PUNCTUATION.sub(" ", text.casefold()).split():
        number = _NUMBERS.get(word)
        if tens and number is not None and 1 <= number <= 9:
            words[-1] = str(int(words[-1]) + number)
        else:
            words.append(word if number is None else str(number))
        tens = number is not None and number >= 20
    return " ".join(words)


def strict_letter(text: str, options: Sequence[str]) -> str | None:
    """The one option letter that a reply states, or None.

    Accepted: a letter alone ("B", "(b)", "B."), a letter and its own option text, or "The best answer is: B."
    `options` are the texts in order, with or without their own prefix "A. ".
    """
    reply = text.strip()
    letters = [chr(ord("A") + n) for n in range(len(options))]
    match = _LETTER.fullmatch(reply) or _LETTER_SENTENCE.fullmatch(reply)
    if match:
        letter = match[1].upper()
        return letter if letter in letters else None
    match = _LETTER_AND_TEXT.fullmatch(reply)
    if not match or match[1].upper() not in letters:
        return None
    letter = match[1].upper()
    option = options[letters.index(letter)]
    own = re.sub(rf"^[(\[]?{letter}[)\]]?[.):]\s*", "", option.strip())
    return letter if normalise(match[2]) == normalise(own) else None


def one_number(text: str) -> str | None:
    """The one whole number in a text, as digits; None if there is none or more than one."""
    numbers = [word for word in normalise(text).split() if word.isdecimal()]
    if len(numbers) != 1:
        return None
    digits = "".join(str(decimal(digit)) for digit in numbers[0])
    return digits.lstrip("0") or "0"


def yes_or_no(text: str) -> str | None:
    """ "yes" or "no", if exactly one of them stands in the text as a whole word."""
    found = [word for word in normalise(text).split() if word in ("yes", "no")]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Mention:
    """`<item> is <value>`, found in a text."""

    item: str
    value: str
    end: int
    """Number of characters of the text up to and with the last one of the value."""


def closed_mentions(text: str, *, items: Sequence[str], values: Sequence[str]) -> list[Mention]:
    """Find every `<item> is <value>` of a closed vocabulary, in order, ignoring case."""
    item, value = (
        "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) for words in (items, values)
    )
    spell = {word.casefold(): word for word in (*items, *values)}
    found = re.finditer(rf"(?<!\w)({item})\s+is\s+({value})(?!\w)", text, re.IGNORECASE)
    return [Mention(spell[m[1].casefold()], spell[m[2].casefold()], m.end()) for m in found]
