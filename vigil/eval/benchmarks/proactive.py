"""ProactiveVideoQA: replies that grow better while a span lasts, scored by the area under a curve (PAUC).

A judge rates each reply. Official: replies outside the spans cost nothing, and a reply whose judgement fails is left
out. Strict: a failed judgement is the lowest rating, spans without length are rejected, and what was said outside the
spans, twice, or while waiting is reported beside PAUC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.eval.baselines import EchoAfter
from vigil.eval.benchmarks.base import (
    AnnotationFile,
    Benchmark,
    Case,
    Download,
    Mark,
    Play,
    Score,
    Scorer,
    Stream,
    mean_of,
    share,
)
from vigil.eval.benchmarks.data import field, load_json, number, numbers, records, slug
from vigil.eval.benchmarks.published import PROACTIVE
from vigil.eval.benchmarks.rules import Timetable, always, fitted_wait
from vigil.eval.benchmarks.tglg import word_f1
from vigil.eval.door import Ask
from vigil.eval.log import Log
from vigil.eval.recent import Answerer
from vigil.eval.text import normalise

SUBSETS = ("WEB", "EGO", "TV", "VAD")
OMEGAS = (0.0, 0.5, 0.99)
SCALE = 4
"""Ratings 1 to 5 less 1. Some evaluators rate 1 to 3; silence then has 25 in place of 12.5."""
START = 0.5
"""Height of the curve before the first reply."""
NO_REPLY = "no reply"
Judge = Callable[[str, str, str], "int | None"]
"""(question, what is right, reply) -> rating from 1 to 5; None where it failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What is to be said, and when."""

    start_s: float
    end_s: float
    question: str
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Something that was said."""

    t: float
    text: str


def word_judge(question: str, truth: str, reply: str) -> int:
    """A rating by the F1 of words: not comparable with published figures, but free and the same every time."""
    return 1 + round(4 * word_f1(truth, reply))


def chat_judge(chat: Answerer) -> Judge:
    """A rating by a language model; its answer must hold exactly one digit from 1 to 5."""

    @cache
    def rate(question: str, truth: str, reply: str) -> int | None:
        """The rating; None where the answer holds no digit from 1 to 5, or several."""
        text = chat.answer(
            (),
            "Rate how well a reply covers the right answer, from 1 (wrong or beside the point) to 5 (all of it). "
            f"Say the number only.\nQuestion: {question}\nRight answer: {truth}\nReply: {reply}\nRating:",
        )
        digits = re.findall(r"(?<!\d)[1-5](?!\d)", text)
        return int(digits[0]) if len(digits) == 1 else None

    return rate


def pauc(ratings: Sequence[tuple[float, int]], *, start_s: float, end_s: float, omega: float = 0.5) -> float:
    """Area under the curve of one span, 0 to 1. `ratings` are (time, height 0 to `SCALE`) of replies inside it."""
    if not ratings:
        return START / SCALE
    length = end_s - start_s
    area, height, reached = 0.0, START, 0.0
    for t, level in sorted(ratings):
        x = (t - start_s) * (1 - omega)
        area += height * (x - reached)
        height, reached = level, x
    return (area + height * (length - reached)) / (SCALE * length)


def rated(said: Sequence[Reply], span: Span, judge: Judge, *, scorer: Scorer) -> list[tuple[float, int]]:
    """(time, height) of the replies in a span: exact repeats and "NO REPLY" are left out."""
    kept: list[tuple[float, int]] = []
    seen: set[str] = set()
    for reply in said:
        if span.start_s <= reply.t <= span.end_s and normalise(reply.text) != NO_REPLY and reply.text not in seen:
            seen.add(reply.text)
            rating = judge(span.question, span.content, reply.text)
            if rating is not None or scorer == "strict":
                kept.append((reply.t, (1 if rating is None else rating) - 1))
    return kept


def with_judge(judge: Judge, name: str) -> Benchmark:
    """The benchmark with another judge."""
    return Benchmark(
        name="proactive",
        title="ProactiveVideoQA",
        download=DOWNLOAD,
        read=partial(read_cases, judge=judge),
        scores=scores,
        published=PROACTIVE,
        notes=(
            f"Judge: {name}. It sees one reply at a time; ratings 1 to 5, so that silence has 12.5.",
            "Published figures come from another judge, and some evaluators rate 1 to 3.",
        ),
    )


def read_cases(folder: Path, *, judge: Judge) -> list[Case]:
    """Every question of the four subsets; one run serves both scorers."""
    rows = [(subset, *row) for subset in SUBSETS for row in load_json(folder, f"{subset}/anno.json")]
    items = [(subset, row, _asks(row, where), _spans(row, where)) for subset, where, row in rows]
    videos = [f"{subset}/videos/{row['video']}" for subset, row, _, _ in items]
    waits = fitted_wait(
        [spans[0].start_s - asks[0].t for _, _, asks, spans in items], videos=videos, early_s=0.0, late_s=5.0
    )
    return [
        Case(
            id=slug(f"{subset}-{row['question_id']}"),
            task=subset,
            video=video,
            scorer="strict",
            serves=("official", "strict"),
            play=partial(_play, subset, asks, spans, judge),
            oracle=always(partial(Timetable, [(span.start_s, span.content) for span in spans])),
            blind={"echo_after_k": always(partial(EchoAfter, wait_s))},
        )
        for (subset, row, asks, spans), video, wait_s in zip(items, videos, waits, strict=True)
    ]


def _asks(row: Any, where: str) -> tuple[Ask, ...]:
    asks = [
        Ask(
            t=number(turn, "time", where=place) if "time" in turn else 0.0,
            text=field(turn, "content", str, where=place),
            standing=True,
        )
        for place, turn in records(row, "conversation", where=where)
        if turn.get("role") == "user"
    ]
    if not asks:
        raise DataError(f"{where} has no turn of the role 'user' in 'conversation', so nothing is asked.")
    return tuple(sorted(asks, key=lambda ask: ask.t))


def _spans(row: Any, where: str) -> list[Span]:
    asks = _asks(row, where)
    spans = []
    for place, turn in records(row, "answer", where=where):
        start_s, end_s = numbers(turn, "reply_timespan", where=place, exactly=2)
        open_ask = next((ask.text for ask in reversed(asks) if ask.t <= start_s), asks[0].text)
        question = str(turn.get("question", open_ask))
        content = str(field(turn, "content", str, where=place))
        spans.append(Span(start_s=start_s, end_s=end_s, question=question, content=content))
    return sorted(spans, key=lambda span: span.start_s)


def _play(subset: str, asks: tuple[Ask, ...], spans: Sequence[Span], judge: Judge) -> Play:
    log = yield Stream(id="watch", asks=asks, end_s=max(span.end_s for span in spans) + 2.0)
    said = replies_of(log)
    sums: dict[str, float] = {}
    for scorer in _BOTH:
        kept = [span for span in spans if span.end_s > span.start_s]
        for omega in OMEGAS:
            areas = [
                pauc(rated(said, span, judge, scorer=scorer), start_s=span.start_s, end_s=span.end_s, omega=omega)
                for span in kept
            ]
            sums[f"{scorer}:{subset}@{omega:g}"] = sum(areas) / len(areas) if areas else 0.0
        sums[f"{scorer}:{subset}"] = float(bool(kept))
    outside = [reply for reply in said if not any(span.start_s <= reply.t <= span.end_s for span in spans)]
    first_s = spans[0].start_s
    sums |= {
        "said": float(len(said)),
        "outside": float(len(outside)),
        "repeated": float(len(said) - len({reply.text for reply in said})),
        "early": float(sum(reply.t < first_s for reply in said)),
        "waited_s": max(0.0, first_s - asks[0].t),
    }
    return Mark(sums=sums, replies=tuple(reply.text for reply in said), states=("read" if said else "unanswered",))


_BOTH: tuple[Scorer, ...] = ("official", "strict")


def replies_of(log: Log) -> list[Reply]:
    """Everything said after the first question, at its first word."""
    return [Reply(speech.tau_first, speech.text.strip()) for speech in log.speech if speech.q is not None]


def scores(cases: Sequence[Case]) -> list[Score]:
    """PAUC per subset and their mean, for three omegas; and what PAUC does not see."""
    found: list[Score] = []
    subsets = list(dict.fromkeys(case.task for case in cases))
    for scorer in _BOTH:
        for omega in sorted(OMEGAS, key=lambda omega: omega != 0.5):
            tail = "" if omega == 0.5 else f" omega {omega:g}"
            parts = [share(f"{scorer}:{subset}@{omega:g}", f"{scorer}:{subset}") for subset in subsets]
            definition = f"PAUC, omega {omega:g}, S = {SCALE}: mean over turns, then over questions"
            named = [(f"mean of {len(subsets)} subsets", mean_of(parts)), *zip(subsets, parts, strict=True)]
            found += [
                Score(name=name + tail, scorer=scorer, definition=definition, of=of, is_shown=not tail)
                for name, of in named
            ]
    extra = (
        ("outside", "share of replies outside every span", share("outside", "said")),
        ("repeated", "share of replies that repeat an earlier one", share("repeated", "said")),
        ("false/min", "replies per minute before the first span", _per_minute),
    )
    return found + [
        Score(name=name, scorer="strict", definition=definition, of=of, is_better_low=True)
        for name, definition, of in extra
    ]


def _per_minute(sums: Any) -> float | None:
    return 60 * sums.get("early", 0.0) / sums["waited_s"] if sums.get("waited_s") else None


DOWNLOAD = Download(
    source="https://huggingface.co/datasets (ProactiveVideoQA), https://github.com/yellow-binary-tree/ProactiveVideoQA",
    revision="none pinned",
    files=tuple(AnnotationFile(path=f"{subset}/anno.json") for subset in SUBSETS),
    videos="1,377 videos, below DIR/<subset>/videos",
    size="1,427 questions; the size of the videos is stated on the data card",
    licence="per data card",
)
BENCHMARK = with_judge(word_judge, "F1 of words")
