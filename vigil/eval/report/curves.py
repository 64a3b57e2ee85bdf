"""The points behind the charts: distributions of delays, reliability of P(silence), risk against coverage.

All are pooled over streams. The single numbers beside them come from `stats`, `silence` and `revision`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigil.eval.behaviour import Pair
from vigil.eval.claims import parser_of
from vigil.eval.log import Log
from vigil.eval.silence import event_confidences, is_right, matched_speech, slot_time
from vigil.eval.stats import ratio

Points = list[tuple[float, float]]
Delays = Sequence[tuple[float, bool]]
"""(seconds, True if it was seen to happen then, False if only known to take longer)."""


def observed(values: Sequence[float]) -> list[tuple[float, bool]]:
    """Delays of which all were seen."""
    return [(value, True) for value in values]


def share_done(delays: Delays) -> Points:
    """Kaplan-Meier: the share that has happened by each time, as the corners of a step line; empty without data.

    Where every delay was seen it is the empirical distribution. At equal times the seen ones come first.
    """
    at_risk, survival = len(delays), 1.0
    points: Points = [(0.0, 0.0)] if delays else []
    for delay, hidden in sorted((delay, not seen) for delay, seen in delays):
        if not hidden:
            survival *= (at_risk - 1) / at_risk
            if len(points) > 1 and points[-1][0] == delay:
                points[-1] = (delay, 1 - survival)
            else:
                points.append((delay, 1 - survival))
        at_risk -= 1
    if points:
        points.append((max(delay for delay, _ in delays), 1 - survival))
    return points


def first_token_delays(log: Log) -> list[tuple[float, bool]]:
    """Per direct question, run-clock seconds to its first visible token; one without an answer never saw it."""
    found: list[tuple[float, bool]] = []
    for prompt in log.prompts:
        if prompt.direct:
            first_w = min((speech.tokens[0].w for speech in log.speech if speech.q == prompt.q), default=None)
            found.append((log.end.w - prompt.w, False) if first_w is None else (first_w - prompt.w, True))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The decision slots whose P(silence) lies in one of equal bins."""

    count: int
    silence_mean: float
    """Mean P(silence)."""
    quiet_share: float
    """Share of the slots in which no event was active."""


def reliability(pairs: Sequence[Pair], *, bins: int = 10) -> list[Bin]:
    """Bin all slots that tell their P(silence), by 1 - p as `calibration_error` does; empty bins are left out."""
    binned: dict[int, list[tuple[float, bool]]] = {}
    for log, truth in pairs:
        for slot in log.decisions:
            if slot.p is not None:
                at_s = slot_time(log, slot)
                is_quiet = not any(event.s <= at_s <= event.e for event in truth.all_events)
                binned.setdefault(min(int((1 - slot.p) * bins), bins - 1), []).append((slot.p, is_quiet))
    return [
        Bin(
            count=len(rows),
            silence_mean=sum(p for p, _ in rows) / len(rows),
            quiet_share=sum(quiet for _, quiet in rows) / len(rows),
        )
        for _, rows in sorted(binned.items(), reverse=True)
    ]


def calibration_error_of(found: Sequence[Bin]) -> float | None:
    """Expected calibration error: the gap of each bin, weighted by its slots; None without slots."""
    gaps = sum(one.count * abs(one.silence_mean - one.quiet_share) for one in found)
    return ratio(gaps, sum(one.count for one in found))


def event_risks(pairs: Sequence[Pair], *, late_s: float = 2.0) -> tuple[list[float], list[bool]]:
    """Per event (the largest 1 - p in its window, whether no right reply was matched to it).

    Of a free run, not of one that is forced to stay silent. Events whose window holds no P(silence) are left out.
    """
    confidences: list[float] = []
    is_wrong: list[bool] = []
    for log, truth in pairs:
        right = {
            pair.event for pair in matched_speech(log, truth, late_s=late_s) if is_right(pair.speech, pair.event, truth)
        }
        for event, confidence in zip(truth.all_events, event_confidences(log, truth, late_s=late_s), strict=True):
            if confidence is not None:
                confidences.append(confidence)
                is_wrong.append(event not in right)
    return confidences, is_wrong


def risk_curve(confidences: Sequence[float], is_wrong: Sequence[bool]) -> Points:
    """(coverage, share of errors) over the k most confident events, k = 1, 2, ...; ties keep their order."""
    order = sorted(range(len(confidences)), key=lambda n: -confidences[n])
    points: Points = []
    errors = 0
    for k, n in enumerate(order, start=1):
        errors += is_wrong[n]
        points.append((k / len(order), errors / k))
    return points


def count_unparsable(pairs: Sequence[Pair]) -> int:
    """Finished replies to questions with listed values that state none of them; they count as wrong."""
    unread = 0
    for log, truth in pairs:
        for question in truth.questions:
            if truth.values_of(question.q):
                parse = parser_of(question, truth)
                replies = [one for one in log.speech if one.q == question.q and one.state == "final"]
                unread += sum(parse(one.text) is None for one in replies)
    return unread
