"""What was claimed when: each answer is read by a parser, and its value counts from the token that determines it.

Parsers: "mcq" (one strict letter), "exact" (the whole text is a known value or one of its other spellings; for counts,
one number also), and "closed" (every `<item> is <value>` of a closed vocabulary).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from vigil.eval.log import Log, Speech
from vigil.eval.text import closed_mentions, normalise, one_number, strict_letter
from vigil.eval.truth import Question, Truth

Parser = Callable[[str], "str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """From media time `tau` on, the answer to `q` is said to be `v`."""

    tau: float
    q: str
    v: str
    a: str
    vis: int
    supersedes: str | None = None
    """The answer that this one says it replaces."""
    retracted_s: float | None = None
    """Media time at which its answer was taken back, or None."""


def parser_of(question: Question, truth: Truth) -> Parser:
    """The parser for the kind of a question: it maps a whole text to a normalised value, or to None."""
    if question.kind == "mcq":
        options = question.options or ()
        return lambda text: normalise(strict_letter(text, options) or "") or None
    known = truth.spellings(question.q)

    def exact(text: str) -> str | None:
        plain = normalise(text)
        if plain in known:
            return known[plain]
        return one_number(text) if question.kind == "count" else None

    return exact


def claim_of(speech: Speech, q: str, parse: Parser) -> Claim | None:
    """Read one answer. It counts from the earliest token after which the value read so far no longer changes.

    A finished answer that is no known value claims its own text, which is wrong whatever the truth. An answer that was
    abandoned before it stated a value claims nothing.
    """
    v = parse(speech.text)
    if v is None:
        if speech.state != "final" or not normalise(speech.text):
            return None
        v, parse = normalise(speech.text), normalise
    at = len(speech.tokens) - 1
    prefixes = list(accumulate(token.text for token in speech.tokens))
    while at > 0 and parse(prefixes[at - 1]) == v:
        at -= 1
    return _claim(speech, q, v, at)


def _claim(speech: Speech, q: str, v: str, at: int) -> Claim:
    return Claim(
        tau=speech.tau[at],
        q=q,
        v=v,
        a=speech.a,
        vis=speech.tokens[at].vis,
        supersedes=speech.supersedes,
        retracted_s=speech.retracted_s,
    )


def claims_of(log: Log, truth: Truth, q: str) -> list[Claim]:
    """Every claim about one question, in order of time; at one instant in the order of the log."""
    parse = parser_of(truth.by_id[q], truth)
    found = (claim_of(speech, q, parse) for speech in log.speech if speech.q == q)
    return sorted((claim for claim in found if claim is not None), key=lambda claim: claim.tau)


def closed_claims(log: Log, q: str, *, items: Sequence[str], values: Sequence[str]) -> list[Claim]:
    """Every `<item> is <value>` said in answers to `q`; each item is its own question "<q>.<item>"."""
    claims: list[Claim] = []
    for speech in log.speech:
        if speech.q == q:
            ends = list(accumulate(len(token.text) for token in speech.tokens))
            for mention in closed_mentions(speech.text, items=items, values=values):
                at = bisect_left(ends, mention.end)
                claims.append(_claim(speech, f"{q}.{mention.item}", mention.value, at))
    return sorted(claims, key=lambda claim: claim.tau)


def current_answer(claims: Sequence[Claim], t: float) -> Claim | None:
    """The last claim at or before media time `t` whose answer has not been taken back by then."""
    for claim in reversed(claims):
        if claim.tau <= t and (claim.retracted_s is None or t < claim.retracted_s):
            return claim
    return None


@dataclass(frozen=True, slots=True)
class Transition:
    """The value changed between two claims that follow each other."""

    old: Claim
    new: Claim

    @property
    def tau(self) -> float:
        return self.new.tau


def transitions(claims: Sequence[Claim]) -> list[Transition]:
    """Every change of value. The first claim is none, nor is repeating a value."""
    return [Transition(old, new) for old, new in pairwise(claims) if old.v != new.v]
