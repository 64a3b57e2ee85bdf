"""OVO-Bench, forward: what is yet to come. Counting (REC), steps (SSR), and questions asked before their clue (CRR).

Official: every probe is a call of its own. Strict: the question is put once, and the truth is known at every moment
from the annotated times, so that it is judged when something is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from vigil.eval.baselines import EchoAfter, cross_fitted
from vigil.eval.benchmarks.base import Case, Mark, Play, Rule, State, Stream, first_answer, polled
from vigil.eval.benchmarks.data import field, number, numbers, records, texts
from vigil.eval.benchmarks.parse import holds_verdict, joined_digits
from vigil.eval.benchmarks.rules import Timetable, always, constant, fitted_wait
from vigil.eval.benchmarks.timing import event_sums, one_event, revision_sums, steps
from vigil.eval.door import Ask
from vigil.eval.truth import Truth

NONE = "none"
"""SSR, strict: no step is being performed."""
AFTER_S = 10.0
"""Seconds for which a strict CRR run goes on after its clue."""
COUNT_EVERY_S = 10
"""The blind count goes up by one in this many seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One official call of a forward item, and what is right there."""

    at_s: float
    prompt: str
    truth: bool | int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """A forward item: official probes, and the strict stream with its truth."""

    id: str
    task: str
    video: str
    probes: tuple[Probe, ...]
    ask: Ask
    end_s: float
    truth: Truth
    said: tuple[tuple[float, str], ...]
    """When what should be said (s)."""


def _tests(row: Any, where: str) -> list[tuple[str, Any]]:
    """(place, probe) of each, in order of time."""
    return sorted(records(row, "test_info", where=where), key=lambda test: number(test[1], "realtime", where=test[0]))


def item_id(row: Any, where: str) -> str:
    return f"{row['task']}-{row.get('id', where.rsplit(' ', 1)[-1])}"


def _count_item(row: Any, *, where: str) -> Forward:
    """REC: how often has it been done by now?"""
    activity = field(row, "activity", str, where=where)
    prompt = f"How many times did they {activity}? Answer with one number and nothing else."
    probes = [
        Probe(at_s=float(test["realtime"]), prompt=prompt, truth=int(number(test, "count", where=place)))
        for place, test in _tests(row, where)
    ]
    last_s = probes[-1].at_s
    ends = [t for t in sorted(numbers(row, "end_times", where=where)) if t < last_s]
    spans = [(a, b, str(n)) for n, (a, b) in enumerate(zip([0.0, *ends], [*ends, last_s], strict=True)) if b > a]
    text = f"How many times did they {activity}? Keep counting: say the number now, and again whenever it changes."
    return _followed(row, where, "REC", probes, text, spans)


def _step_item(row: Any, *, where: str) -> Forward:
    """SSR: which step is being performed now?"""
    probes = []
    for place, test in _tests(row, where):
        prompt = f'Is the person performing the step "{field(test, "step", str, where=place)}" now? Answer Yes or No.'
        is_so = bool(number(test, "type", where=place))
        probes.append(Probe(at_s=float(test["realtime"]), prompt=prompt, truth=is_so))
    names = texts(row, "all_steps", where=where) if "all_steps" in row else []
    starts = numbers(row, "start_time", where=where)
    ends = numbers(row, "end_time", where=where, exactly=len(starts))
    names += [f"step {n + 1}" for n in range(len(names), len(starts))]
    spans = step_spans(starts, ends, names, probes[-1].at_s)
    listed = "; ".join(dict.fromkeys(names))
    text = (
        f"Which of these steps is the person performing now: {listed}? "
        f'Say its name, and "{NONE}" while it is none of them; say so again whenever it changes.'
    )
    return _followed(row, where, "SSR", probes, text, spans)


def _followed(
    row: Any, where: str, task: str, probes: Sequence[Probe], text: str, spans: Sequence[tuple[float, float, str]]
) -> Forward:
    """An item whose strict question is put at the start, and has a true value at every moment until the last probe."""
    return Forward(
        id=item_id(row, where),
        task=task,
        video=field(row, "video", str, where=where),
        probes=tuple(probes),
        ask=Ask(t=0.0, text=text, standing=True),
        end_s=probes[-1].at_s,
        truth=steps(0.0, text, spans, alias={}),
        said=tuple((start_s, v) for start_s, _, v in spans),
    )


def step_spans(
    starts: Sequence[float], ends: Sequence[float], names: Sequence[str], last_s: float
) -> list[tuple[float, float, str]]:
    """What is performed when, over [0, last_s]: step k on [start_k, end_k], the later one at a shared boundary."""
    cuts = sorted({0.0, last_s, *(t for t in (*starts, *ends) if 0 < t < last_s)})
    spans: list[tuple[float, float, str]] = []
    for a, b in pairwise(cuts):
        inside = [n for n, (start_s, end_s) in enumerate(zip(starts, ends, strict=True)) if start_s <= a and b <= end_s]
        v = names[inside[-1]] if inside else NONE
        if spans and spans[-1][2] == v:
            a = spans.pop()[0]
        spans.append((a, b, v))
    return spans


def _clue_item(row: Any, *, where: str) -> Forward:
    """CRR: the answer is not known when it is asked for."""
    ask_s, clue_s = number(row, "ask_time", where=where), number(row, "clue_time", where=where)
    question = field(row, "question", str, where=where)
    answer = str(field(row, "answer", (str, int, float), where=where))
    return Forward(
        id=item_id(row, where),
        task="CRR",
        video=field(row, "video", str, where=where),
        probes=tuple(
            Probe(
                at_s=float(test["realtime"]),
                prompt=f"Does the video so far show enough to answer this: {question} Answer Yes or No.",
                truth=bool(number(test, "type", where=place)),
            )
            for place, test in _tests(row, where)
        ),
        ask=Ask(t=ask_s, text=f"{question} Answer as soon as the video shows it.", standing=True),
        end_s=clue_s + AFTER_S,
        truth=one_event(ask_s, question, s=clue_s, v=answer),
        said=((clue_s, answer),),
    )


READERS: dict[str, Callable[..., Forward]] = {"REC": _count_item, "SSR": _step_item, "CRR": _clue_item}


def forward_cases(items: Sequence[Forward]) -> list[Case]:
    """Two cases of each item, official and strict; what blind rules say is fitted on the items of other videos."""
    clues = [item for item in items if item.task == "CRR"]
    fitted = fitted_wait(
        [item.said[0][0] - item.ask.t for item in clues], videos=[c.video for c in clues], early_s=0.0, late_s=2.0
    )
    waits = {item.id: wait_s for item, wait_s in zip(clues, fitted, strict=True)}
    places = _answers_by_place(items)
    return [
        case
        for item, by_place in zip(items, places, strict=True)
        for case in (_official(item, by_place), _strict(item, waits.get(item.id)))
    ]


def _official(item: Forward, by_place: Sequence[str]) -> Case:
    right = [_spoken(probe.truth) for probe in item.probes]
    return Case(
        id=item.id,
        task=item.task,
        video=item.video,
        scorer="official",
        play=partial(_play_probes, item),
        oracle=lambda stream: constant(right[_place(stream)])(stream),
        blind={
            "constant": constant("1" if item.task == "REC" else "Yes"),
            "order_known": lambda stream: constant(by_place[_place(stream)])(stream),
        },
    )


def _strict(item: Forward, wait_s: float | None) -> Case:
    blind: dict[str, Rule] = {"constant": constant("0" if item.task == "REC" else NONE)}
    if item.task == "REC":
        counts = [(float(COUNT_EVERY_S * n), str(n)) for n in range(int(item.end_s) // COUNT_EVERY_S + 1)]
        blind["count_every_10_s"] = always(partial(Timetable, counts))
    elif wait_s is not None:
        blind = {"echo_after_k": always(partial(EchoAfter, wait_s))}
    return Case(
        id=item.id,
        task=item.task,
        video=item.video,
        scorer="strict",
        play=partial(_play_forward, item),
        oracle=always(partial(Timetable, item.said)),
        blind=blind,
    )


def _place(stream: Stream) -> int:
    return int(stream.id.removeprefix("probe-"))


def _answers_by_place(items: Sequence[Forward]) -> list[list[str]]:
    """For each item what is most often right at the first, second, ... probe of its task, in other videos."""

    def fit(some: list[Forward]) -> dict[tuple[str, int], str]:
        seen: dict[tuple[str, int], Counter[str]] = {}
        for item in some:
            for place, probe in enumerate(item.probes):
                seen.setdefault((item.task, place), Counter())[_spoken(probe.truth)] += 1
        return {key: found.most_common(1)[0][0] for key, found in seen.items()}

    fitted = cross_fitted(items, [item.video for item in items], fit)
    return [
        [table.get((item.task, place), "Yes") for place in range(len(item.probes))]
        for item, table in zip(items, fitted, strict=True)
    ]


def _spoken(truth: bool | int) -> str:
    return ("Yes" if truth else "No") if isinstance(truth, bool) else str(truth)


def _play_probes(item: Forward) -> Play:
    right = 0
    replies: list[str] = []
    states: list[State] = []
    for n, probe in enumerate(item.probes):
        log = yield polled(f"probe-{n:03d}", probe.prompt, at_s=probe.at_s, scorer="official")
        reading = first_answer(log, scorer="official")
        replies.append(reading.text)
        states.append(reading.state)
        if isinstance(probe.truth, bool):
            right += holds_verdict(reading.text, probe.truth)
        else:
            right += joined_digits(reading.text) == str(probe.truth)
    sums = {f"{item.task}:right": float(right), f"{item.task}:items": float(len(item.probes))}
    return Mark(sums=sums, replies=tuple(replies), states=tuple(states))


def _play_forward(item: Forward) -> Play:
    log = yield Stream(id="watch", asks=(item.ask,), end_s=item.end_s)
    if item.task == "CRR":
        sums = event_sums(log, item.truth, early_s=0.0, delays_s=(2.0, 5.0), prefix="CRR")
    else:
        sums = revision_sums(log, item.truth, prefix=item.task)
    said = tuple(speech.text.strip() for speech in log.speech)
    return Mark(sums=sums, replies=said, states=("read" if said else "unanswered",))
