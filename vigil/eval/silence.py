"""Timely silence: is something said when there is something to say, and only then?

A speech event stands at the media time of its first token. It is compared with the events of its own question; speech
without a question, with the unasked ones. Late tolerance `late_s` in {1, 2, 5} s, early tolerance `early_s` (0).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from vigil.eval.claims import parser_of
from vigil.eval.log import Log, Speech, microseconds
from vigil.eval.matching import match
from vigil.eval.rows import DecideRow, PromptRow
from vigil.eval.stats import f_score, mean, pool, ratio
from vigil.eval.text import normalise
from vigil.eval.truth import Happening, Truth

GUARANTEES_S = (0.5, 1.0, 2.0)
"""Within how many seconds of run clock a direct question should be answered."""
_MAX_LATE_US = 30_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A speech event and the event that it answers."""

    speech: Speech
    event: Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Tallies of one stream or of many: add them with `pool_silence`, then read the properties."""

    matches: int = 0
    right_matches: int = 0
    """Size of the matching in which a pair also needs the right value."""
    speech: int = 0
    events: int = 0
    unmatched: Counter[str] = field(default_factory=Counter)
    """Speech without an event, by class: duplicate, late, premature, false."""
    late_events: int = 0
    """Events that were not matched, but spoken of later; the other unmatched ones were missed."""
    stream_s: float = 0.0
    false_speech: int = 0
    """Speech in a null span, or while its question waited for its first event."""
    quiet_s: float = 0.0
    """Length of those spans."""
    silent_due: int = 0
    """Slots in which silence was due."""
    silent_right: int = 0
    """Of those, the ones that were silent."""
    silent: int = 0
    answerable: int = 0
    """Direct questions whose answer could be known when they were asked."""
    answered: Counter[float] = field(default_factory=Counter)
    """Seconds -> direct answerable questions whose first token came within them."""

    @property
    def precision(self) -> float | None:
        return ratio(self.matches, self.speech)

    @property
    def recall(self) -> float | None:
        return ratio(self.matches, self.events)

    @property
    def f1(self) -> float | None:
        return speak_f1(self.matches, self.speech, self.events)

    @property
    def f1_content(self) -> float | None:
        return speak_f1(self.right_matches, self.speech, self.events)

    @property
    def missed_events(self) -> int:
        return self.events - self.matches - self.late_events

    @property
    def false_alarms_per_min(self) -> float | None:
        """Duplicate, premature and false speech per minute of stream."""
        return ratio(60 * (self.unmatched.total() - self.unmatched["late"]), self.stream_s)

    @property
    def false_speech_per_min(self) -> float | None:
        return ratio(60 * self.false_speech, self.quiet_s)

    @property
    def silence_recall(self) -> float | None:
        return ratio(self.silent_right, self.silent_due)

    @property
    def silence_precision(self) -> float | None:
        return ratio(self.silent_right, self.silent)

    def cost(self, weight: float) -> float | None:
        """`weight` * false alarms per minute + share of events missed or late. Always silent costs 1."""
        alarms = self.false_alarms_per_min
        if alarms is None or not (self.events or self.speech):
            return None
        return weight * alarms + ((self.events - self.matches) / self.events if self.events else 0.0)

    @property
    def break_even_weight(self) -> float | None:
        """The weight at which this policy costs as much as silence; None without false alarms."""
        return None if self.recall is None else ratio(self.recall, self.false_alarms_per_min or 0.0)

    def answer_guarantee(self, seconds: float) -> float | None:
        return ratio(self.answered[seconds], self.answerable)


def pool_silence(parts: Sequence[Silence]) -> Silence:
    """Add the tallies of several streams."""
    return pool(parts, Silence())


def speak_f1(matches: float, speech: float, events: float) -> float | None:
    """F1 of speech against events; None where nothing was due, 0 where nothing due was said."""
    return f_score(matches, speech, events) if events else None


def matched_speech(log: Log, truth: Truth, *, late_s: float = 2.0, early_s: float = 0.0) -> list[Matched]:
    """The matching of 2.3 over all questions: which speech answers which event."""
    found: list[Matched] = []
    for q in _questions(log, truth):
        said, due = [speech for speech in log.speech if speech.q == q], truth.events_of(q)
        found += [Matched(speech=said[i], event=due[j]) for i, j in _pairs(said, due, late_s, early_s)]
    return found


def judge_silence(log: Log, truth: Truth, *, late_s: float = 2.0, early_s: float = 0.0) -> Silence:
    """Measure one stream."""
    parts = [_judge_question(log, truth, q, late_s=late_s, early_s=early_s) for q in _questions(log, truth)]
    nulls = [(null.start_s, null.end_s) for null in truth.nulls]
    waits = _waits(log, truth)
    due, right, silent = _slots(log, truth, late_s)
    answerable, answered = _guarantee(log, truth)
    rest = Silence(
        stream_s=log.tau(log.end.w),
        false_speech=sum(_is_inside(s.tau_first, nulls + waits.get(s.q, [])) for s in log.speech),
        quiet_s=_length(nulls + [span for spans in waits.values() for span in spans]),
        silent_due=due,
        silent_right=right,
        silent=silent,
        answerable=answerable,
        answered=answered,
    )
    return pool_silence([*parts, rest])


def _questions(log: Log, truth: Truth) -> list[str | None]:
    """Every question that was asked or answered, in a fixed order; None stands for the unasked."""
    named = {speech.q for speech in log.speech if speech.q is not None} | set(truth.by_id)
    return [None, *sorted(named)]


def _pairs(said: Sequence[Speech], due: Sequence[Happening], late_s: float, early_s: float) -> list[tuple[int, int]]:
    return match(
        [microseconds(speech.tau_first) for speech in said],
        [microseconds(event.s) for event in due],
        early_us=microseconds(early_s),
        late_us=microseconds(late_s),
    )


def _judge_question(log: Log, truth: Truth, q: str | None, *, late_s: float, early_s: float) -> Silence:
    said, due = [speech for speech in log.speech if speech.q == q], truth.events_of(q)
    said_us, due_us = [microseconds(s.tau_first) for s in said], [microseconds(event.s) for event in due]
    pairs = _pairs(said, due, late_s, early_s)
    right = match(
        said_us,
        due_us,
        early_us=microseconds(early_s),
        late_us=microseconds(late_s),
        fits=lambda i, j: is_right(said[i], due[j], truth),
    )
    matched_said, matched_due = {i for i, _ in pairs}, {j for _, j in pairs}
    classes: Counter[str] = Counter()
    late_events: set[int] = set()
    for i, speech in enumerate(said):
        if i not in matched_said:
            name, j = _classify(microseconds(speech.tau_first), due, matched_due, late_s=late_s, early_s=early_s)
            classes[name] += 1
            late_events |= {j} if name == "late" else set()
    return Silence(
        matches=len(pairs),
        right_matches=len(right),
        speech=len(said),
        events=len(due),
        unmatched=classes,
        late_events=len(late_events),
    )


def _classify(
    tau_us: int, due: Sequence[Happening], matched: set[int], *, late_s: float, early_s: float
) -> tuple[str, int]:
    """(class of unmatched speech, index of the last event before it or -1)."""
    starts = [microseconds(event.s) for event in due]
    j = sum(start - microseconds(early_s) <= tau_us for start in starts) - 1
    has_later = j + 1 < len(starts)
    if j >= 0 and j in matched:
        if tau_us <= max(microseconds(due[j].e), starts[j] + microseconds(late_s)):
            return "duplicate", j
    elif j >= 0:
        next_us = starts[j + 1] if has_later else math.inf
        if tau_us < min(next_us, starts[j] + _MAX_LATE_US):
            return "late", j
    return ("premature" if has_later else "false"), j


def is_right(speech: Speech, event: Happening, truth: Truth) -> bool:
    """True if the text is one that the event accepts, or states the event's value."""
    plain = normalise(speech.text)
    if plain in {normalise(text) for text in event.accept}:
        return True
    if event.v is None:
        return not event.accept
    if event.q is None:
        return plain == normalise(event.v)
    return parser_of(truth.by_id[event.q], truth)(speech.text) == normalise(event.v)


Spans = list[tuple[float, float]]


def _waits(log: Log, truth: Truth) -> dict[str | None, Spans]:
    """Question -> from its asking to its first event, or to where it stops being open."""
    waits: dict[str | None, Spans] = {}
    for question in truth.questions:
        events = truth.events_of(question.q)
        over_s = log.tau(log.end.w) if question.until is None else question.until
        end_s = min(events[0].s, over_s) if events else over_s
        if end_s > question.t_ask:
            waits[question.q] = [(question.t_ask, end_s)]
    return waits


def _is_inside(t: float, spans: Spans) -> bool:
    return any(start_s <= t < end_s for start_s, end_s in spans)


def _length(spans: Spans) -> float:
    """Seconds that the spans cover together; what they share counts once."""
    covered, reached = 0.0, -math.inf
    for start_s, end_s in sorted(spans):
        covered += max(0.0, end_s - max(start_s, reached))
        reached = max(reached, end_s)
    return covered


def _slots(log: Log, truth: Truth, late_s: float) -> tuple[int, int, int]:
    """(slots due silent, those that were silent, all silent slots)."""
    speak = [(event.s, event.s + late_s) for event in truth.all_events]
    speak += [(prompt.t, prompt.t + late_s) for prompt in log.prompts if prompt.direct]
    due = [slot for slot in log.decisions if not any(a <= slot_time(log, slot) <= b + 1e-9 for a, b in speak)]
    silent = sum(slot.act == "silent" for slot in log.decisions)
    return len(due), sum(slot.act == "silent" for slot in due), silent


def slot_time(log: Log, slot: DecideRow) -> float:
    """Media time of the frame that a slot saw (s); before the first frame, of the slot itself."""
    return log.frames[slot.vis].t if slot.vis >= 0 else log.tau(slot.w)


def _guarantee(log: Log, truth: Truth) -> tuple[int, Counter[float]]:
    """(direct answerable questions, seconds -> those whose first token came within them)."""
    prompts = [prompt for prompt in log.prompts if prompt.direct and _is_answerable(prompt, truth)]
    answered: Counter[float] = Counter()
    for prompt in prompts:
        first_w = min((speech.tokens[0].w for speech in log.speech if speech.q == prompt.q), default=math.inf)
        answered.update({seconds: int(first_w - prompt.w <= seconds + 1e-9) for seconds in GUARANTEES_S})
    return len(prompts), answered


def _is_answerable(prompt: PromptRow, truth: Truth) -> bool:
    if prompt.q not in truth.by_id:
        return False
    holds = any(value.start_s <= prompt.t <= value.end_s for value in truth.values_of(prompt.q))
    return holds or any(event.s <= prompt.t for event in truth.events_of(prompt.q))


def risk_coverage(confidences: Sequence[float], is_wrong: Sequence[bool]) -> float | None:
    """Area under the risk-coverage curve: mean over k of the errors among the k most confident, divided by k.

    Events are given in order of time; equal confidences keep that order.
    """
    order = sorted(range(len(confidences)), key=lambda n: -confidences[n])
    errors = 0
    risks: list[float] = []
    for k, n in enumerate(order, start=1):
        errors += is_wrong[n]
        risks.append(errors / k)
    return mean(risks)


def event_confidences(log: Log, truth: Truth, *, late_s: float = 2.0) -> list[float | None]:
    """Per event in order of time, the largest 1 - p over its window; for a run that was forced to stay silent."""
    found: list[float | None] = []
    for event in truth.all_events:
        inside = [
            1 - slot.p
            for slot in log.decisions
            if slot.p is not None and event.s <= slot_time(log, slot) <= event.s + late_s + 1e-9
        ]
        found.append(max(inside, default=None))
    return found


def calibration_error(log: Log, truth: Truth, *, bins: int = 10) -> float | None:
    """Expected calibration error of 1 - p against "an event is active", over equal bins; None without any p."""
    slots = [slot for slot in log.decisions if slot.p is not None]
    binned: dict[int, list[tuple[float, bool]]] = {}
    for slot in slots:
        speak = 1 - (slot.p or 0.0)
        active = any(event.s <= slot_time(log, slot) <= event.e for event in truth.all_events)
        binned.setdefault(min(int(speak * bins), bins - 1), []).append((speak, active))
    error = sum(abs(sum(p for p, _ in rows) - sum(active for _, active in rows)) for rows in binned.values())
    return ratio(error, len(slots))
