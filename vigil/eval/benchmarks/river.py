"""RIVER: memory at growing distance, the present, one alert after a wait, and running commentary.

The repository has no scorer, so that there is only ours. Choices: the strict parser. Alerts (Instant): the question is
put once, the first moment of the event is `time_reference`. Commentary (Streaming): the matcher of
`vigil.eval.benchmarks.tglg` with the F1 of words in place of embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
    Rule,
    Score,
    Stream,
    Sums,
    first_answer,
    polled,
    share,
)
from vigil.eval.benchmarks.data import field, load_json, number, numbers, offered, slug, texts
from vigil.eval.benchmarks.parse import LETTERS, bare, read, strict_choice
from vigil.eval.benchmarks.rules import Timetable, always, constant, fitted_majority, fitted_wait, longest
from vigil.eval.benchmarks.tglg import Matching, Utterance, match_utterances, score_matching, word_f1
from vigil.eval.benchmarks.timing import event_sums, one_event, timing_scores
from vigil.eval.door import Ask

INSTANT, STREAMING = "Pro-Response-Instant", "Pro-Response-Streaming"
DELAYS_S = (2.0, 5.0, 10.0)
EARLY_S = 1.0
AFTER_S = 15.0
"""Seconds for which a run goes on after its last event."""
INSTRUCTION = "Answer with the letter of the right option and nothing else."


def read_cases(folder: Path) -> list[Case]:
    """Every item, in the order of the files."""
    rows = load_json(folder, "annotations/*.json")
    kinds = [str(field(row, "question_type", str, where=where)) for where, row in rows]
    choices = [row for row, kind in zip(rows, kinds, strict=True) if not kind.startswith((INSTANT, STREAMING))]
    alerts = [row for row, kind in zip(rows, kinds, strict=True) if kind.startswith(INSTANT)]
    streams = [row for row, kind in zip(rows, kinds, strict=True) if kind.startswith(STREAMING)]
    return _choice_cases(choices) + _alert_cases(alerts) + [_commentary(row, where) for where, row in streams]


def _video(row: Any, where: str) -> str:
    return str(row.get("video_path") or f"{field(row, 'video_id', str, where=where)}.mp4")


def _case_id(row: Any) -> str:
    return slug(f"{row['question_type']}-{row['question_id']}")


def _choice_cases(rows: Sequence[tuple[str, Any]]) -> list[Case]:
    answers = [bare_letter(field(row, "correct_answer", str, where=where)) for where, row in rows]
    videos = [_video(row, where) for where, row in rows]
    common = fitted_majority(rows, videos=videos, answers=answers, tasks=[row["question_type"] for _, row in rows])
    cases: list[Case] = []
    for (where, row), answer, video, letter in zip(rows, answers, videos, common, strict=True):
        options = texts(row, "choices", where=where)
        if not options:
            raise DataError(f"{where} has no 'choices', of which one must be right.")
        listed = "\n".join(f"{name}. {bare(option)}" for name, option in zip(LETTERS, options, strict=False))
        prompt = f"{field(row, 'question', str, where=where)}\n{listed}\n{INSTRUCTION}"
        at_s = number(row, "question_time", where=where)
        cases.append(
            Case(
                id=_case_id(row),
                task=row["question_type"],
                video=video,
                scorer="strict",
                play=partial(_play_choice, prompt, options, answer, at_s, row["question_type"]),
                oracle=constant(answer),
                blind={"majority_letter": constant(letter), "longest_option": constant(longest(options))},
            )
        )
    return cases


def bare_letter(answer: str) -> str:
    """The letter of "B", "(B)" or "B. red"."""
    return answer.strip().lstrip("([")[:1].upper()


def _play_choice(prompt: str, options: Sequence[str], answer: str, at_s: float, task: str) -> Play:
    log = yield polled("answer", prompt, at_s=at_s, scorer="strict")
    reading = first_answer(log, scorer="strict")
    letter, state = read(reading, strict_choice(options))
    sums = {f"{key}:{what}": n for key in (task, "choices") for what, n in _counted(letter == answer)}
    return Mark(sums=sums, replies=(reading.text,), states=(state,))


def _counted(is_right: bool) -> tuple[tuple[str, float], ...]:
    return ("right", float(is_right)), ("items", 1.0)


def _alert_cases(rows: Sequence[tuple[str, Any]]) -> list[Case]:
    asks = [number(row, "question_time", where=where) for where, row in rows]
    dues = [number(row, "time_reference", where=where) for where, row in rows]
    videos = [_video(row, where) for where, row in rows]
    waits = [due_s - ask_s for due_s, ask_s in zip(dues, asks, strict=True)]
    fitted = fitted_wait(waits, videos=videos, early_s=EARLY_S, late_s=DELAYS_S[0])
    cases: list[Case] = []
    for (where, row), ask_s, due_s, video, wait_s in zip(rows, asks, dues, videos, fitted, strict=True):
        answer = str(field(row, "correct_answer", str, where=where))
        options = texts(row, "choices", where=where) if row.get("choices") else []
        right = bare(offered(bare_letter(answer), options, where=where)) if options else answer
        question = field(row, "question", str, where=where)
        text = question if not options else f"{question} Answer as soon as the video shows it."
        blind: dict[str, Rule] = {"echo_after_k": always(partial(EchoAfter, wait_s))}
        cases.append(
            Case(
                id=_case_id(row),
                task=row["question_type"],
                video=video,
                scorer="strict",
                play=partial(_play_alert, text, ask_s, due_s, right),
                oracle=always(partial(Timetable, [(due_s, right)])),
                blind=blind,
            )
        )
    return cases


def _play_alert(text: str, ask_s: float, due_s: float, answer: str) -> Play:
    log = yield Stream(id="watch", asks=(Ask(t=ask_s, text=text, standing=True),), end_s=due_s + AFTER_S)
    truth = one_event(ask_s, text, s=due_s, v=answer)
    sums = event_sums(log, truth, early_s=EARLY_S, delays_s=DELAYS_S, prefix="Instant")
    said = tuple(speech.text.strip() for speech in log.speech)
    return Mark(sums=sums, replies=said, states=("read" if said else "unanswered",))


def _commentary(row: Any, where: str) -> Case:
    ids, asked = texts(row, "question_id", where=where), texts(row, "question", where=where)
    asked_s = numbers(row, "question_time", where=where, exactly=len(asked))
    asks = [Ask(t=t, text=text, standing=True) for t, text in zip(asked_s, asked, strict=True)]
    answers = field(row, "correct_answer", dict, where=where)
    times = field(row, "time_reference", dict, where=where)
    due: list[Utterance] = []
    for name in ids:
        said = texts(answers, name, where=where)
        due_s = numbers(times, name, where=where, exactly=len(said))
        due += [Utterance(start_s=t, text=text) for t, text in zip(due_s, said, strict=True)]
    if not asks or not due:
        raise DataError(f"{where} has {len(asks)} questions and {len(due)} answers, where one of each must be.")
    due = sorted(due, key=lambda one: one.start_s)
    return Case(
        id=slug(f"{STREAMING}-{ids[0]}"),
        task=STREAMING,
        video=_video(row, where),
        scorer="strict",
        play=partial(_play_commentary, tuple(asks), due),
        oracle=always(partial(Timetable, [(one.start_s, one.text) for one in due])),
        blind={"echo_after_k": always(partial(EchoAfter, 0.0))},
    )


def _play_commentary(asks: tuple[Ask, ...], due: Sequence[Utterance]) -> Play:
    log = yield Stream(id="watch", asks=asks, end_s=max(due[-1].start_s, asks[-1].t) + AFTER_S)
    said = [
        Utterance(start_s=speech.tau_first, end_s=speech.tau_last, text=speech.text.strip())
        for speech in log.speech
        if speech.q is not None
    ]
    found = score_matching(match_utterances(said, due, similar=word_f1), said, due, similar=word_f1)
    sums = {f"commentary:{key}": value for key, value in found.sums().items()}
    replies = tuple(one.text for one in said)
    return Mark(sums=sums, replies=replies, states=("read" if said else "unanswered",))


def scores(cases: Sequence[Case]) -> list[Score]:
    """Choices per task, alerts, and commentary."""
    tasks = list(dict.fromkeys(case.task for case in cases if not case.task.startswith((INSTANT, STREAMING))))
    found = [_score("choices", "share right of all choice items", share("choices:right", "choices:items"))]
    found += [_score(task, "share right of its items", share(f"{task}:right", f"{task}:items")) for task in tasks]
    found += timing_scores("Instant", delays_s=DELAYS_S, scorer="strict", early_s=EARLY_S)
    found.append(_score("commentary F1", "F1 of matched utterances, pooled", lambda sums: _matching(sums, "f1")))
    found.append(
        _score("commentary", "F1 times content and timing of the matches", lambda sums: _matching(sums, "final"))
    )
    return found


def _score(name: str, definition: str, of: Any) -> Score:
    return Score(name=name, scorer="strict", definition=definition, of=of)


def _matching(sums: Sums, what: str) -> float | None:
    own = {key.removeprefix("commentary:"): value for key, value in sums.items() if key.startswith("commentary:")}
    if not own:
        return None
    found = Matching(**own)
    return 100 * (found.f1 if what == "f1" else found.final)


BENCHMARK = Benchmark(
    name="river",
    title="RIVER",
    download=Download(
        source="https://github.com/OpenGVLab/RIVER (annotations); videos from Ego4D, QVHighlights, LVBench, "
        "LongVideoBench and Vript, each by its own form",
        revision="e6225abcec45",
        files=(AnnotationFile(path="annotations/*.json"),),
        videos="as named by video_path in the annotations, below DIR or DIR/videos",
        size="3,424 items; the sizes of the videos are stated where they are downloaded",
        licence="none stated: no right to redistribute; the videos follow the terms of their five sources",
    ),
    read=read_cases,
    scores=scores,
    published=(),
    notes=(
        "No published figures are recorded here, and the repository has no scorer.",
        "Instant is hard to guess: the best constant delay reaches 7.2 within 2 s; one alert per second has F1 .0035.",
    ),
)
