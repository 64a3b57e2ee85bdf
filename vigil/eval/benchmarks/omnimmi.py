"""OmniMMI, the two tasks that need no judge: proactive alerting (PA), and staying silent when not addressed (PT).

PA, official: the first thing said after the first second lies inside the span. Strict: F1 of speech against the span.
PT, official: no reply is right, so that always silent scores 100. Strict: each item is paired with a question that must
be answered, and the score is balanced accuracy: always silent has 50.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.eval.baselines import AlwaysSilent, Constant, EchoAfter, cross_fitted
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
    Sums,
    first_answer,
    mean_of,
    polled,
    share,
)
from vigil.eval.benchmarks.data import field, load_json, number, numbers, records
from vigil.eval.benchmarks.published import OMNIMMI
from vigil.eval.benchmarks.rules import WAITS_S, Timetable, always
from vigil.eval.benchmarks.timing import event_sums, one_event, timing_scores
from vigil.eval.door import Ask
from vigil.eval.log import Log

AFTER_S = 15.0
"""Seconds for which a PA run goes on after its span."""
ADDRESSED_S = 5.0
"""When the talk of a PT item is heard (s). Theirs comes near the end of the video, whose length is not annotated."""
WINDOW = "span"


def read_cases(folder: Path) -> list[Case]:
    """PA, PT, and for each PT item one question that must be answered."""
    alerts = load_json(folder, "proactive_alerting.json")
    talks = load_json(folder, "proactive_turntaking.json")
    speakers = load_json(folder, "speaker_identification.json")
    return _alert_cases(alerts) + _talk_cases(talks, speakers)


def _alert_cases(rows: Sequence[tuple[str, Any]]) -> list[Case]:
    spans = [_span(row, where) for where, row in rows]
    videos = [str(field(row, "video", str, where=where)) for where, row in rows]

    def best(some: list[tuple[float, float]]) -> float:
        return max(WAITS_S, key=lambda t: sum(start_s <= t <= end_s for start_s, end_s in some))

    fitted = cross_fitted(spans, videos, best)
    return [
        Case(
            id=f"PA-{n:04d}",
            task="PA",
            video=video,
            scorer="strict",
            serves=("official", "strict"),
            play=partial(_play_alert, field(row, "question", str, where=where), span),
            oracle=always(partial(Timetable, [(span[0], "Now.")])),
            blind={"echo_after_k": always(partial(EchoAfter, wait_s))},
        )
        for n, ((where, row), span, video, wait_s) in enumerate(zip(rows, spans, videos, fitted, strict=True))
    ]


def _span(row: Any, where: str) -> tuple[float, float]:
    start_s, end_s = numbers(row, "answer", where=where, exactly=2)
    if end_s < start_s:
        raise DataError(f"{where} has an answer that ends at {end_s:g} before it begins at {start_s:g}.")
    return start_s, end_s


def _play_alert(question: str, span: tuple[float, float]) -> Play:
    start_s, end_s = span
    log = yield Stream(id="watch", asks=(Ask(t=0.0, text=question, standing=True),), end_s=end_s + AFTER_S)
    alerts = [speech.tau_first for speech in log.speech if int(speech.tau_first) != 0]
    accuracy, precision, iou = official_alert(alerts, span)
    sums = {"PA:items": 1.0, "PA:accuracy": accuracy, "PA:precision": precision, "PA:iou": iou}
    truth = one_event(0.0, question, s=start_s, e=end_s, v="now")
    found = event_sums(log, truth, early_s=0.0, delays_s=(end_s - start_s,), prefix="PA")
    sums |= {key.replace(f"@{end_s - start_s:g}", f"@{WINDOW}"): value for key, value in found.items()}
    replies = tuple(speech.text.strip() for speech in log.speech)
    return Mark(sums=sums, replies=replies, states=("read" if alerts else "unanswered",))


def official_alert(alerts: Sequence[float], span: tuple[float, float]) -> tuple[float, float, float]:
    """Accuracy of the first alert, share of alerts inside, and IoU of first-to-last with the span.

    Everything after the first alert is free for accuracy, and a single alert has IoU 0. An empty union, by which theirs
    divides, gives 0.
    """
    if not alerts:
        return 0.0, 0.0, 0.0
    start_s, end_s = span
    inside = [start_s <= t <= end_s for t in alerts]
    union = max(alerts[-1], end_s) - min(alerts[0], start_s)
    shared = max(0.0, min(alerts[-1], end_s) - max(alerts[0], start_s))
    return float(inside[0]), sum(inside) / len(inside), shared / union if union else 0.0


def _talk_cases(talks: Sequence[tuple[str, Any]], speakers: Sequence[tuple[str, Any]]) -> list[Case]:
    """A PT item is paired with a question about its video where there is one, else with the next of the file."""
    cases: list[Case] = []
    for n, (where, row) in enumerate(talks):
        video = str(field(row, "video", str, where=where))
        cases.append(
            Case(
                id=f"PT-{n:04d}",
                task="PT",
                video=video,
                scorer="strict",
                serves=("official", "strict"),
                play=partial(_play_talk, spoken_turns(row, where)),
                oracle=always(AlwaysSilent),
                blind={"answers_always": always(partial(Constant, "Yes."))},
            )
        )
        if not speakers:
            continue
        same = [pair for pair in speakers if pair[1].get("video") == video]
        there, question = same[0] if same else speakers[n % len(speakers)]
        cases.append(
            Case(
                id=f"PT-{n:04d}-addressed",
                task="PT addressed",
                video=str(field(question, "video", str, where=there)),
                scorer="strict",
                serves=("official", "strict"),
                play=partial(
                    _play_addressed,
                    str(field(question, "question", str, where=there)),
                    number(question, "timestamp", where=there) if "timestamp" in question else ADDRESSED_S,
                ),
                oracle=always(partial(Constant, "Somebody.")),
                blind={"answers_always": always(partial(Constant, "Yes."))},
            )
        )
    return cases


def spoken_turns(row: Any, where: str) -> str:
    """The talk of a PT item as one text, each speaker's name before what is said."""
    turns = records(row, "conversation", where=where)
    return "\n".join(f"{name}: {said}" for _, turn in turns for name, said in turn.items())


def _play_talk(text: str) -> Play:
    log = yield _at(ADDRESSED_S, text)
    reading = first_answer(log, scorer="official")
    is_silent = reading.text == "" or reading.text.startswith("<2>")
    sums = {"PT:items": 1.0, "PT:right": float(is_silent)}
    return Mark(sums=sums, replies=(reading.text,), states=("read",))


def _at(at_s: float, text: str) -> Stream:
    return polled("talk", text, at_s=at_s, scorer="strict")


def _play_addressed(text: str, at_s: float) -> Play:
    log: Log = yield _at(at_s, text)
    reading = first_answer(log, scorer="strict")
    sums = {"addressed:items": 1.0, "addressed:right": float(reading.state == "read")}
    return Mark(sums=sums, replies=(reading.text,), states=(reading.state,))


def scores(cases: Sequence[Case]) -> list[Score]:
    """PA and PT under both scorers."""
    silent, answers = share("PT:right", "PT:items"), share("addressed:right", "addressed:items")
    balanced = mean_of([silent, answers])
    found = [
        _score("PA accuracy", "official", "first alert inside the span", share("PA:accuracy", "PA:items")),
        _score("PA precision", "official", "mean share of alerts inside", share("PA:precision", "PA:items")),
        _score("PA IoU", "official", "mean IoU of first to last alert with the span", share("PA:iou", "PA:items")),
        _score("PT accuracy", "official", "share of items without a reply", silent),
        _score("PT balanced", "strict", "mean of silent if not addressed, answered if asked", balanced),
    ]
    timed = timing_scores("PA", delays_s=(0.0,), scorer="strict", early_s=0.0)
    keep = {"PA F1@0": ("PA F1", "F1 of speech against spans, pooled", f"matches@{WINDOW}")}
    for score in timed:
        if score.name in keep:
            name, definition, key = keep[score.name]
            found.append(_score(name, "strict", definition, partial(_f1, key=key)))
        elif score.name == "PA false/min":
            found.append(score)
    found.append(_score("PA duplicates", "strict", "duplicates per item", share("PA:duplicate", "PA:items")))
    return found


def _f1(sums: Sums, *, key: str) -> float | None:
    total = sums.get("PA:said", 0.0) + sums.get("PA:events", 0.0)
    return 200 * sums.get(f"PA:{key}", 0.0) / total if sums.get("PA:events") else None


def _score(name: str, scorer: Scorer, definition: str, of: Any) -> Score:
    return Score(name=name, scorer=scorer, definition=definition, of=of, is_better_low=name == "PA duplicates")


BENCHMARK = Benchmark(
    name="omnimmi",
    title="OmniMMI (PA, PT)",
    download=Download(
        source="https://huggingface.co/datasets/ColorfulAI/OmniMMI",
        revision="none pinned",
        files=(
            AnnotationFile(path="proactive_alerting.json"),
            AnnotationFile(path="proactive_turntaking.json"),
            AnnotationFile(path="speaker_identification.json"),
        ),
        videos="200 videos of PA, 78 of PT and those of SI, below DIR/videos",
        size="annotations 236 kB; the size of the videos is stated on the data card",
        licence="per data card; the scorer's code is MIT",
    ),
    read=read_cases,
    scores=scores,
    published=OMNIMMI,
    notes=(
        "Official PT is 100 for a system that never speaks; read the balanced score.",
        f"The talk of a PT item is heard at {ADDRESSED_S:g} s, where the publishers put it near the end of the video.",
    ),
)
