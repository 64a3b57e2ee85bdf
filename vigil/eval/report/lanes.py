"""What a stream's time line shows, as plain spans: silence, what was said, and what stood against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vigil.eval.claims import Claim, claims_of, current_answer
from vigil.eval.log import Log, Speech
from vigil.eval.revision import truth_at
from vigil.eval.rows import DecideRow, PromptRow, TokRow
from vigil.eval.silence import is_right, matched_speech
from vigil.eval.text import normalise
from vigil.eval.truth import Happening, Truth

Standing = Literal["right", "stale", "early", "wrong", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A speech event, judged."""

    speech: Speech
    event: Happening | None
    """What it answers (within 2 s); None: nothing was due."""
    is_right: bool
    replaced_by: Speech | None
    """The answer that supersedes it."""


def judged(log: Log, truth: Truth) -> list[Verdict]:
    """Every speech event in order of time."""
    event_of = {pair.speech.a: pair.event for pair in matched_speech(log, truth)}
    later = {speech.supersedes: speech for speech in reversed(log.speech) if speech.supersedes is not None}
    return [
        Verdict(
            speech=speech,
            event=event_of.get(speech.a),
            is_right=speech.a in event_of and is_right(speech, event_of[speech.a], truth),
            replaced_by=later.get(speech.a),
        )
        for speech in sorted(log.speech, key=lambda one: one.tau_first)
    ]


def missed(log: Log, truth: Truth) -> list[Happening]:
    """Events that no speech answers within 2 s."""
    answered = {pair.event for pair in matched_speech(log, truth)}
    return [event for event in truth.all_events if event not in answered]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """A run of decision slots in which nothing was said."""

    first: DecideRow
    first_s: float
    last_s: float
    frames: tuple[int, ...]
    slots: int
    p_min: float | None
    """Least P(silence) of the run; None where the log tells none."""


def silences(log: Log) -> list[Quiet]:
    """Runs of silent slots, cut by every token and every question."""
    runs: list[list[DecideRow]] = [[]]
    for row in log.rows:
        if isinstance(row, DecideRow) and row.act == "silent":
            runs[-1].append(row)
        elif isinstance(row, TokRow | PromptRow) and runs[-1]:
            runs.append([])
    return [_quiet(log, run) for run in runs if run]


def _quiet(log: Log, run: Sequence[DecideRow]) -> Quiet:
    return Quiet(
        first=run[0],
        first_s=log.tau(run[0].w),
        last_s=log.tau(run[-1].w),
        frames=tuple(sorted({row.vis for row in run if row.vis >= 0})),
        slots=len(run),
        p_min=min((row.p for row in run if row.p is not None), default=None),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """From `start_s` to `end_s` the current answer to a question was `said`, and this is how it compares."""

    start_s: float
    end_s: float
    said: str | None
    state: Standing


def stands(log: Log, truth: Truth, q: str) -> list[Stand]:
    """The current answer to a question with values, against what holds; neighbours that agree are joined."""
    values = truth.values_of(q)
    if not values:
        return []
    claims = claims_of(log, truth, q)
    start_s = max(values[0].start_s, truth.by_id[q].t_ask)
    end_s = values[-1].end_s
    moments = [value.start_s for value in values] + [claim.tau for claim in claims]
    moments += [claim.retracted_s for claim in claims if claim.retracted_s is not None]
    cuts = sorted({start_s, end_s, *(t for t in moments if start_s < t < end_s)})
    found: list[Stand] = []
    for a_s, b_s in pairwise(cuts):
        claim = current_answer(claims, a_s)
        state = _state(claim, truth, q, a_s)
        said = None if claim is None else claim.v
        if found and (found[-1].state, found[-1].said, found[-1].end_s) == (state, said, a_s):
            a_s = found.pop().start_s
        found.append(Stand(start_s=a_s, end_s=b_s, said=said, state=state))
    return found


def _state(claim: Claim | None, truth: Truth, q: str, at_s: float) -> Standing:
    values = truth.values_of(q)
    holds = truth_at(values, at_s)
    if claim is None or holds is None:
        return "none"
    if claim.v == holds:
        return "right"
    if claim.v in {normalise(value.v) for value in values if value.end_s <= at_s}:
        return "stale"
    return "early" if claim.v in {normalise(value.v) for value in values if value.start_s > at_s} else "wrong"
