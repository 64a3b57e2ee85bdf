"""RTV-Bench, strict: one question at several moments is one stream, and pairs of answers are scored.

It is asked anew at each moment (`reask`), once more with other letters (`twin`) and half a second later (`later`),
which shows whether answers are stable, and once at the beginning (`standing`), where the answer that stands at each
moment is read. The change is only bracketed by the moments: see `vigil.eval.revision.paired_change`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from vigil.eval.baselines import KthLetter
from vigil.eval.benchmarks.base import ANSWER_S, Case, Mark, Play, State, Stream, first_answer
from vigil.eval.benchmarks.data import slug
from vigil.eval.benchmarks.parse import read, strict_choice
from vigil.eval.benchmarks.rtv_items import Probe, asked, letter_of, same_question, shuffled
from vigil.eval.benchmarks.rules import Replies, Timetable, always, drawn
from vigil.eval.claims import claim_of, current_answer
from vigil.eval.door import Ask
from vigil.eval.log import Log
from vigil.eval.watcher import Watcher

LATER_S = 0.5
"""Stability control: the same question so much later (s)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One stream in which the moments of a group are asked about: what each prompt offers, and the right letters."""

    stream: Stream
    options: tuple[Mapping[str, str], ...]
    right: tuple[str, ...]


def rounds(group: Sequence[Probe], *, is_shuffled: bool = True) -> dict[str, Round]:
    """The streams in which a group is asked anew: as it is, again with other letters, and half a second later."""
    return {
        name: _round(group, name, salt=salt, shift_s=shift_s, is_shuffled=is_shuffled)
        for name, salt, shift_s in (("reask", "", 0.0), ("twin", ":twin", 0.0), ("later", ":later", LATER_S))
    }


def _round(group: Sequence[Probe], name: str, *, salt: str, shift_s: float, is_shuffled: bool) -> Round:
    options = tuple(shuffled(p.options, p.id + salt) if is_shuffled else p.options for p in group)
    asks = tuple(
        Ask(t=probe.at_s + shift_s, text=asked(probe.question, offered))
        for probe, offered in zip(group, options, strict=True)
    )
    return Round(
        stream=Stream(id=name, asks=asks, end_s=asks[-1].t + ANSWER_S),
        options=options,
        right=tuple(letter_of(offered, p.truth) for offered, p in zip(options, group, strict=True)),
    )


def standing(group: Sequence[Probe]) -> Round:
    """The stream in which a group is asked once, at the beginning, for all moments."""
    offered = shuffled(group[0].options, group[0].id + ":standing")
    text = asked(f"{group[0].question} Keep your answer up to date: answer now, and whenever it changes.", offered)
    return Round(
        stream=Stream(id="standing", asks=(Ask(t=0.0, text=text, standing=True),), end_s=group[-1].at_s + ANSWER_S),
        options=(offered,) * len(group),
        right=tuple(letter_of(offered, p.truth) for p in group),
    )


def moments(group: Sequence[Probe]) -> list[Probe]:
    """The probes of a group, without those that are put at the same moment as the one before."""
    return [probe for n, probe in enumerate(group) if n == 0 or probe.at_s > group[n - 1].at_s]


def strict_case(group: Sequence[Probe]) -> Case:
    """All moments of a group as one case: asked anew at each of them, and once as a standing question."""
    group = moments(group)
    todo = {**rounds(group), "standing": standing(group)}

    def oracle(stream: Stream) -> Watcher:
        return _said(todo[stream.id], todo[stream.id].right, group)

    def never_revise(stream: Stream) -> Watcher:
        one = todo[stream.id]
        return _said(one, [letter_of(offered, group[0].truth) for offered in one.options], group)

    def guess(stream: Stream) -> Watcher:
        letters = [drawn(list(p.options.values()), f"{stream.id}:{p.id}") for p in group]
        return _said(todo[stream.id], letters, group)

    def no_replacement(stream: Stream) -> Watcher:
        order = list(shuffled(group[0].options, f"{group[0].id}:{stream.id}:draw").values())
        texts = [order[n % len(order)] for n in range(len(group))]
        one = todo[stream.id]
        letters = [letter_of(offered, text) for offered, text in zip(one.options, texts, strict=True)]
        return _said(one, letters, group)

    return Case(
        id=slug(group[0].id),
        task=group[0].task,
        video=group[0].video,
        scorer="strict",
        play=partial(_play_strict, group, todo),
        oracle=oracle,
        blind={
            "kth_letter": always(KthLetter),
            "uniform_guess": guess,
            "no_replacement": no_replacement,
            "never_revise": never_revise,
        },
    )


def _said(one: Round, letters: Sequence[str], group: Sequence[Probe]) -> Watcher:
    """Gives these letters: to each question, or, where it is put once, half-way between the moments."""
    if len(one.stream.asks) > 1:
        return Replies(letters)
    times = [0.0, *((a.at_s + b.at_s) / 2 for a, b in pairwise(group))]
    return Timetable(list(zip(times, letters, strict=True)))


def _play_strict(group: Sequence[Probe], todo: Mapping[str, Round]) -> Play:
    said: dict[str, list[str | None]] = {}
    replies: list[str] = []
    states: list[State] = []
    for name, one in todo.items():
        log = yield one.stream
        if name == "standing":
            said[name] = _standing_answers(log, one, group)
            continue
        said[name] = []
        for k, offered in enumerate(one.options):
            reading = first_answer(log, k, scorer="strict")
            letter, state = read(reading, strict_choice(list(offered.values())))
            said[name].append(None if letter is None else same_question(offered[letter]))
            replies.append(reading.text)
            states.append(state)
    return Mark(sums=_pair_sums(said, group), replies=tuple(replies), states=tuple(states))


def _standing_answers(log: Log, one: Round, group: Sequence[Probe]) -> list[str | None]:
    """The text of the answer that stands at each moment."""
    offered = one.options[0]
    parse = strict_choice(list(offered.values()))
    claims = [claim for speech in log.speech if (claim := claim_of(speech, "q1", parse)) is not None]
    standing_s = [current_answer(claims, probe.at_s) for probe in group]
    return [same_question(offered[c.v]) if c is not None and c.v in offered else None for c in standing_s]


def _pair_sums(said: Mapping[str, Sequence[str | None]], group: Sequence[Probe]) -> dict[str, float]:
    truth = [same_question(probe.truth) for probe in group]
    sums: dict[str, float] = {"probes": float(len(group))}

    def add(key: str, amount: bool) -> None:
        sums[key] = sums.get(key, 0.0) + float(amount)

    for k, right in enumerate(truth):
        add("reask:right", said["reask"][k] == right)
        add("standing:right", said["standing"][k] == right)
        add("twin:both", said["reask"][k] == right == said["twin"][k])
        add("later:both", said["reask"][k] == right == said["later"][k])
    for a, b in pairwise(range(len(group))):
        for name in ("reask", "standing"):
            first, second = said[name][a] == truth[a], said[name][b] == truth[b]
            kind = "changed" if truth[a] != truth[b] else "held"
            add(f"{name}:{kind}", True)
            add(f"{name}:{kind}:both", first and second)
            if kind == "changed":
                add(f"{name}:first", first)
                add(f"{name}:second", second)
                add(f"{name}:stuck", said[name][a] == said[name][b])
    return sums
