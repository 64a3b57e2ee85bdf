"""Proves records right, or names what is wrong: one `Problem` per fault, with the record, the turn and the rule.

Every rule is judged against the captions, not against the program that wrote the record, so that records from a
language model or from anybody's file are held to the same standard.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from vigil.data.oracle import Due, due
from vigil.data.pace import max_wait_s
from vigil.data.phrases import NUMBERS, SPOKEN
from vigil.data.records import Record, Reply, Turn
from vigil.data.wording import content_words
from vigil.types import DenseCaptions

RULES = {
    "shape": "turns and replies are in order, within their spans, and hold plain text",
    "grid": "a reply is due on a frame, or right after the question",
    "future": "nothing is said before a frame shows it",
    "wrong": "what is said holds when it is said",
    "unknown": "nothing is said where nothing is known or due",
    "late": "what is known is said on the first frame that shows it",
    "missing": "what is due is said",
    "same": "different truths get different replies",
    "words": "the reply's words state its value",
    "rate": "a reply does not wait too long for the one before it to be spoken",
    "balance": "no answer can be guessed from the question",
}
_GRAIN_S = 1e-4
_BALANCE_FROM = 60
"""Questions of a kind from which on its balance is judged."""
_STATED_AS = {
    "never": ("no",),
    "not there": ("no",),
    "there": ("there is", "yes"),
    "no": ("no", "not"),
    "0": ("zero",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """How strictly records are judged."""

    words_per_s: float = 4.0
    """Speaking pace (words/s) at which a reply may wait at most `max_wait_s`."""
    max_wait_s: float = 4.0
    """Longest wait of a standing reply for the ones before it (s)."""
    min_grounded: float = 0.5
    """Share of a free reply's content words that captions begun by then must hold."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault."""

    record: str
    turn: int
    """Number of the turn; -1 where the fault is not one turn's."""
    rule: str
    """One of `RULES`."""
    message: str

    def __str__(self) -> str:
        place = self.record if self.turn < 0 else f"{self.record} turn {self.turn}"
        return f"{place}: {self.rule}: {self.message}"


def check(record: Record, captions: DenseCaptions | None, config: CheckConfig | None = None) -> list[Problem]:
    """Every fault of one record; without captions only its shape and rate are judged."""
    config = config or CheckConfig()
    found = list(_shape(record))
    if found:
        return found
    for number, (turn, end_s) in enumerate(zip(record.turns, _ends_s(record), strict=True)):
        faults = _rate(turn, config)
        if captions is not None:
            faults += _grid(turn, record)
            faults += _truth(turn, end_s, record, captions, config)
        found += [Problem(record.id, number, rule, message) for rule, message in faults]
    return found


def _ends_s(record: Record) -> list[float]:
    """Where each turn ends (s)."""
    return [*(turn.ask_s for turn in record.turns[1:]), record.duration_s] if record.turns else []


def _shape(record: Record) -> Iterable[Problem]:
    def bad(turn: int, message: str) -> Problem:
        return Problem(record.id, turn, "shape", message)

    if not record.turns or record.turns[0].question or record.turns[0].replies:
        yield bad(0, "a record begins with a turn without question and replies")
    if len(record.turns) < 2:
        yield bad(-1, "no question is asked")
    if record.duration_s <= 0 or record.fps <= 0:
        yield bad(-1, f"duration_s {record.duration_s} and fps {record.fps} must be above 0")
    for number, (before, after) in enumerate(pairwise(record.turns), start=1):
        if after.ask_s < before.ask_s:
            yield bad(number, f"asked at {after.ask_s} s, before the turn before it ({before.ask_s} s)")
    for number, (turn, end_s) in enumerate(zip(record.turns, _ends_s(record), strict=True)):
        if number and not turn.question.strip():
            yield bad(number, "the question is empty")
        if turn.ask_s > record.duration_s:
            yield bad(number, f"asked at {turn.ask_s} s, after the end of the video ({record.duration_s} s)")
        for text in (turn.question, *(r.text for r in turn.replies)):
            if "<|" in text or "\n" in text:
                yield bad(number, f"{text!r} holds a control mark or a line break")
        if any(not reply.text.strip() for reply in turn.replies):
            yield bad(number, "a reply is empty")
        if record.offline and number and (turn.ask_s != record.duration_s or len(turn.replies) != 1):
            yield bad(number, "an offline question is asked at the end and has one reply")
        for reply in turn.replies:
            late = reply.time_s > end_s if record.offline else reply.time_s >= end_s
            if reply.time_s < turn.ask_s or late:
                yield bad(number, f"reply at {reply.time_s} s lies outside its turn, {turn.ask_s} to {end_s} s")
        for one, two in pairwise(turn.replies):
            if two.time_s < one.time_s:
                yield bad(number, f"replies go back from {one.time_s} to {two.time_s} s")


def _grid(turn: Turn, record: Record) -> list[tuple[str, str]]:
    faults = []
    for reply in turn.replies:
        frame = reply.time_s * record.fps
        if abs(frame - round(frame)) > _GRAIN_S * record.fps and abs(reply.time_s - turn.ask_s) > _GRAIN_S:
            faults.append(("grid", f"reply at {reply.time_s} s is on no frame at {record.fps} fps"))
    return faults


def _rate(turn: Turn, config: CheckConfig) -> list[tuple[str, str]]:
    wait_s = max_wait_s(turn, config.words_per_s) if turn.standing else 0.0
    if wait_s > config.max_wait_s:
        return [
            ("rate", f"a reply waits {wait_s:.1f} s at {config.words_per_s} words/s, {config.max_wait_s} s allowed")
        ]
    return []


def _truth(
    turn: Turn, end_s: float, record: Record, captions: DenseCaptions, config: CheckConfig
) -> list[tuple[str, str]]:
    faults = [] if turn.standing else _same(turn)
    if not turn.question:
        return faults
    is_exact = bool(captions.states) and all(reply.value for reply in turn.replies)
    expected = due(turn, record, captions) if is_exact else None
    if expected is None:
        said = [reply for reply in turn.replies if turn.kind not in ("happened", "tally")]
        return faults + [fault for reply in said for fault in _grounded(reply, captions, config)]
    expected = [d for d in expected if d.time_s < end_s or record.offline]
    return (
        faults
        + _compare(_by_sentence(turn), expected)
        + [fault for reply in turn.replies for fault in _words(reply, turn)]
    )


def _by_sentence(turn: Turn) -> Turn:
    """A recital is judged by its whole sentences, because a colour alone does not tell whose it is."""
    if turn.kind != "recital":
        return turn
    return replace(turn, replies=tuple(replace(reply, value=reply.text) for reply in turn.replies))


def _same(turn: Turn) -> list[tuple[str, str]]:
    return [
        ("same", f"{one.value!r} and {two.value!r} are both told as {two.text!r}")
        for one, two in pairwise(turn.replies)
        if one.text == two.text
    ]


def _compare(turn: Turn, expected: list[Due]) -> list[tuple[str, str]]:
    """Match replies to what is due, in order, and name each difference."""
    faults: list[tuple[str, str]] = []
    open_dues = list(expected)
    for reply in turn.replies:
        fitting = [wanted for wanted in open_dues if wanted.value.lower() == reply.value.lower()]
        known = [wanted for wanted in expected if wanted.time_s <= reply.time_s + _GRAIN_S]
        exact = next((wanted for wanted in fitting if abs(wanted.time_s - reply.time_s) < _GRAIN_S), None)
        coming = next((wanted for wanted in fitting if wanted.time_s > reply.time_s), None)
        where = f"{reply.text!r} at {reply.time_s} s"
        if exact:
            open_dues.remove(exact)
        elif known and known[-1] in fitting:
            faults.append(("late", f"{where} was known at {known[-1].time_s} s"))
            open_dues.remove(known[-1])
        elif coming:
            faults.append(("future", f"{where} is shown at {coming.time_s} s only"))
            open_dues.remove(coming)
        elif not known:
            faults.append(("unknown", f"{where}, when nothing is known or due"))
        elif known[-1].value.lower() == reply.value.lower():
            faults.append(("unknown", f"{where} was said before, and nothing new is due"))
        else:
            faults.append(("wrong", f"{where}, but {known[-1].value!r} holds since {known[-1].time_s} s"))
            open_dues = [wanted for wanted in open_dues if wanted is not known[-1]]
    return faults + [
        ("missing", f"{wanted.value!r} is due at {wanted.time_s} s and never said") for wanted in open_dues
    ]


def _words(reply: Reply, turn: Turn) -> list[tuple[str, str]]:
    """A value is stated by its own words, by its number word, or by the words that stand for it."""
    value = reply.value
    ways = [value, *_STATED_AS.get(value, ()), *(words for (_, v), words in SPOKEN.items() if v == value)]
    if value.isdigit() and int(value) < len(NUMBERS):
        ways.append(NUMBERS[int(value)])
    is_stated = any(re.search(rf"(?<!\w){re.escape(way)}(?!\w)", reply.text, re.IGNORECASE) for way in ways)
    if turn.kind == "cue" or is_stated:  # a cue is one word, whatever the value
        return []
    return [("words", f"{reply.text!r} does not state its value {value!r}")]


def _grounded(reply: Reply, captions: DenseCaptions, config: CheckConfig) -> list[tuple[str, str]]:
    """Free text: its content words must stand in captions and states that have begun."""
    begun: set[str] = set()
    coming: set[str] = set()
    for caption in captions.captions:
        known_s = caption.end_s if caption.level == "video" else caption.start_s
        words = content_words(f"{caption.text} {caption.subject} {caption.value}")
        (begun if known_s <= reply.time_s + _GRAIN_S else coming).update(words)
    for state in captions.states:
        voiced = SPOKEN.get((state.attribute, state.value), state.value)
        words = content_words(f"{state.subject} {state.value} {voiced}")
        (begun if state.start_s <= reply.time_s + _GRAIN_S else coming).update(words)
    said = content_words(reply.text)
    early = sorted(said & coming - begun)
    if early:
        return [("future", f"{reply.text!r} at {reply.time_s} s says {early}, which captions begin to show later")]
    if captions.states and reply.value and not said & begun:
        return []
    if len(said & begun) < config.min_grounded * len(said):
        return [("unknown", f"{reply.text!r} at {reply.time_s} s says {sorted(said - begun)}, which no caption shows")]
    return []


def check_all(
    records: Iterable[Record], captions: Mapping[str, DenseCaptions], config: CheckConfig | None = None
) -> list[Problem]:
    """Every fault of every record, then the faults of the whole in balance; missing captions are one too."""
    found: list[Problem] = []
    kept = list(records)
    for record in kept:
        own = captions.get(record.id.rsplit(":", 1)[0])
        if own is None and captions:
            found.append(Problem(record.id, -1, "shape", "its captions are not in the captions file"))
        found += check(record, own, config)
    return found + balance(kept)


def balance(records: Iterable[Record]) -> list[Problem]:
    """Whether a blind listener could guess: how many requests are never met, the commonest first answer by kind."""
    met: dict[str, Counter[bool]] = defaultdict(Counter)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for turn in record.turns[1:]:
            if turn.kind in ("alert", "alert_change", "cue", "watch"):
                met[turn.kind][bool(turn.replies)] += 1
            elif turn.replies and not turn.standing:
                answers[f"{turn.kind} ({'offline' if record.offline else 'live'})"][turn.replies[0].text] += 1
    found = []
    for kind, counts in sorted(met.items()):
        share = counts[False] / counts.total()
        if counts.total() >= _BALANCE_FROM and not 0.3 <= share <= 0.75:
            found.append(
                Problem("file", -1, "balance", f"{share:.0%} of the {kind} requests are never met, about half is right")
            )
    for kind, texts in sorted(answers.items()):
        text, most = texts.most_common(1)[0]
        if texts.total() >= _BALANCE_FROM and most > 0.75 * texts.total():
            found.append(
                Problem("file", -1, "balance", f"{most / texts.total():.0%} of the {kind} answers begin with {text!r}")
            )
    return found
