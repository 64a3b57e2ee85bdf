"""OVO-Bench: what was (backward), what is (real time), and what is yet to come (forward).

Official, as published: every probe is a call of its own on the clip up to it; a choice is right if its letter stands
anywhere in the reply. Strict: the strict parser; what is yet to come is asked once, and judged by when it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.eval.benchmarks.base import (
    AnnotationFile,
    Benchmark,
    Case,
    Download,
    Mark,
    Play,
    Rule,
    Score,
    Scorer,
    State,
    Sums,
    first_answer,
    mean_of,
    polled,
    share,
)
from vigil.eval.benchmarks.data import field, load_json, number, texts
from vigil.eval.benchmarks.ovo_forward import READERS, forward_cases, item_id
from vigil.eval.benchmarks.parse import LETTERS, bare, holds_letter, read, strict_choice
from vigil.eval.benchmarks.published import OVO
from vigil.eval.benchmarks.rules import constant, fitted_majority, longest, special
from vigil.eval.benchmarks.timing import revision_scores, timing_scores

BACKWARD = ("EPM", "HLD", "ASI")
REAL_TIME = ("OJR", "STU", "OCR", "ATR", "ACR", "FPD")
FORWARD = ("REC", "SSR", "CRR")


def read_cases(folder: Path) -> list[Case]:
    """Every item under both scorers."""
    rows = load_json(folder, "data/ovo_bench_new.json")
    choices = [row for row in rows if field(row[1], "task", str, where=row[0]) not in FORWARD]
    forward = [READERS[row["task"]](row, where=where) for where, row in rows if row["task"] in FORWARD]
    return _choice_cases(choices) + forward_cases(forward)


def _choice_cases(rows: Sequence[tuple[str, Any]]) -> list[Case]:
    answers = [_letter(row, where) for where, row in rows]
    videos = [str(field(row, "video", str, where=where)) for where, row in rows]
    common = fitted_majority(rows, videos=videos, answers=answers, tasks=[row["task"] for _, row in rows])
    cases: list[Case] = []
    for (where, row), answer, letter in zip(rows, answers, common, strict=True):
        options = texts(row, "options", where=where)
        listed = " ".join(f"{name}. {bare(option)};" for name, option in zip(LETTERS, options, strict=False))
        prompt = (
            f"Question: {field(row, 'question', str, where=where)}\nOptions: {listed}\n"
            "Answer with the letter of the right option and nothing else."
        )
        blind: dict[str, Rule] = {
            "longest_option": constant(longest(options)),
            "majority_letter": constant(letter),
            "special_or_majority": constant(special(options, letter)),
            "special_or_longest": constant(special(options, longest(options))),
        }
        for scorer in _BOTH:
            play = partial(
                _play_choice, prompt, options, answer, number(row, "realtime", where=where), row["task"], scorer
            )
            cases.append(
                Case(
                    id=item_id(row, where),
                    task=row["task"],
                    video=row["video"],
                    scorer=scorer,
                    play=play,
                    oracle=constant(answer),
                    blind=blind,
                )
            )
    return cases


def _letter(row: Any, where: str) -> str:
    place = number(row, "gt", where=where)
    if place not in range(len(LETTERS)) or not texts(row, "options", where=where):
        raise DataError(f"{where} has 'gt' = {place:g} and the options {row['options']}: no letter is right.")
    return LETTERS[int(place)]


_BOTH: tuple[Scorer, ...] = ("official", "strict")


def _play_choice(prompt: str, options: Sequence[str], answer: str, at_s: float, task: str, scorer: Scorer) -> Play:
    log = yield polled("answer", prompt, at_s=at_s, scorer=scorer)
    reading = first_answer(log, scorer=scorer)
    state: State
    if scorer == "official":
        is_right, state = holds_letter(reading.text, answer), reading.state
    else:
        letter, state = read(reading, strict_choice(options))
        is_right = letter == answer
    return Mark(sums={f"{task}:right": float(is_right), f"{task}:items": 1.0}, replies=(reading.text,), states=(state,))


def scores(cases: Sequence[Case]) -> list[Score]:
    """Categories are means of their tasks, the total is the mean of three categories. Print the triple."""
    return _official() + _strict()


def _tasks(names: Sequence[str]) -> list[Callable[[Sums], float | None]]:
    return [share(f"{name}:right", f"{name}:items") for name in names]


def _official() -> list[Score]:
    groups = {"real-time": _tasks(REAL_TIME), "backward": _tasks(BACKWARD), "forward": _tasks(FORWARD)}
    found = [
        Score(name=name, scorer="official", definition=f"mean of its {len(of)} tasks", of=mean_of(of))
        for name, of in groups.items()
    ]
    means = [score.of for score in found]
    found.append(Score(name="total", scorer="official", definition="mean of the three categories", of=mean_of(means)))
    return found + _per_task((*REAL_TIME, *BACKWARD, *FORWARD), "official")


def _strict() -> list[Score]:
    groups = {"real-time": _tasks(REAL_TIME), "backward": _tasks(BACKWARD)}
    found = [
        Score(name=name, scorer="strict", definition=f"mean of its {len(of)} tasks", of=mean_of(of))
        for name, of in groups.items()
    ]
    found += revision_scores("REC", scorer="strict") + revision_scores("SSR", scorer="strict")
    found += timing_scores("CRR", delays_s=(2.0, 5.0), scorer="strict", early_s=0.0)
    return found + _per_task((*REAL_TIME, *BACKWARD), "strict")


def _per_task(names: Sequence[str], scorer: Scorer) -> list[Score]:
    return [
        Score(name=name, scorer=scorer, definition="share right of its probes", of=of, is_shown=False)
        for name, of in zip(names, _tasks(names), strict=True)
    ]


BENCHMARK = Benchmark(
    name="ovo",
    title="OVO-Bench",
    download=Download(
        source="https://github.com/JoeLeelyf/OVO-Bench (annotations); videos as its README says",
        revision="c34093f9a072",
        files=(AnnotationFile(path="data/ovo_bench_new.json", sha256="dc4a90daf26764dc"),),
        videos="as named by video in the annotations, below DIR, DIR/videos or DIR/src_videos (whole, no chunks)",
        size="1,640 items; the size of the videos is stated where they are downloaded",
        licence="code MIT, data CC BY-NC-SA 4.0: non-commercial use only",
    ),
    read=read_cases,
    scores=scores,
    published=OVO,
    notes=(
        "Published totals are means of two or of three categories; print the triple.",
        "Without any picture the forward probes reach 74.0 when their order is known.",
    ),
)
