"""StreamingBench: 2,500 real-time, 1,500 contextual and 250 sequential choices, and 250 times when to speak.

Official, as published: the clip stands still at the question; the first character of the reply is the answer; items
without a reply are left out. When to speak is polled: "Is it the right time to output ...?", which leaks the output.
Strict: frames go on, the strict parser, every item counts. When to speak: the question is put once, the whole video
runs, and the first thing said decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vigil.eval.baselines import EchoAfter, Unseeing
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
from vigil.eval.benchmarks.data import field, load_json, offered, seconds, texts
from vigil.eval.benchmarks.parse import LETTERS, bare, first_character, holds_words, read, strict_choice
from vigil.eval.benchmarks.published import STREAMINGBENCH
from vigil.eval.benchmarks.rules import Timetable, always, constant, fitted_majority, fitted_wait, longest
from vigil.eval.benchmarks.timing import event_sums, one_event, timing_scores
from vigil.eval.door import Ask
from vigil.eval.watcher import Reply

CONTEXT_S = 60.0
"""Length of the clip before a question (s)."""
CHOICES = {"real": "real-time", "omni": "contextual", "sqa": "SQA"}
PROACTIVE = "PO"
AFTER_S = 10.0
"""Seconds for which a strict run goes on after the output is due."""
POLL_AFTER_S = 4
INSTRUCTION = (
    "You are watching a video and are asked about it. Choose the best of the options, "
    "and reply with nothing but its letter (A, B, C, or D)."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A question with options."""

    id: str
    part: str
    task: str
    video: str
    at_s: float
    question: str
    options: tuple[str, ...]
    answer: str
    before: tuple[tuple[str, str], ...] = ()
    """Earlier questions about the video, with their true answers."""

    @property
    def prompt(self) -> str:
        """The publishers' instruction, what was answered so far, the question, and its options by letter."""
        told = "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in self.before)
        asked = f"Question: {self.question}\n\nOptions:\n" + "\n".join(
            f"{letter}. {bare(option)}" for letter, option in zip(LETTERS, self.options, strict=False)
        )
        context = f"Answered so far:\n{told}\n\n" if told else ""
        return f"{INSTRUCTION}\n\n{context}{asked}\n\nThe best option is:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proactive:
    """Something to be said when it becomes true."""

    id: str
    video: str
    at_s: float
    due_s: float
    question: str
    output: str


def read_cases(folder: Path) -> list[Case]:
    """Every item under both scorers."""
    choices = [choice for part in CHOICES for choice in _choices(folder, part)]
    return _choice_cases(choices) + _proactive_cases(_proactives(folder))


def _rows(folder: Path, part: str) -> list[tuple[str, str, Any]]:
    """(place, video, question) of one file, in its order."""
    rows: list[tuple[str, str, Any]] = []
    for where, found in load_json(folder, f"src/data/questions_{part}.json"):
        for group in found if isinstance(found, list) else [found]:
            video = field(group, "video_path", str, where=where)
            questions = field(group, "questions", list, where=where)
            rows += [(f"{where} question {n}", video, row) for n, row in enumerate(questions, start=1)]
    return rows


def _choices(folder: Path, part: str) -> list[Choice]:
    found: list[Choice] = []
    told: dict[str, tuple[tuple[str, str], ...]] = {}
    for n, (where, video, row) in enumerate(_rows(folder, part)):
        answer = field(row, "answer", str, where=where).strip()[:1].upper()
        choice = Choice(
            id=f"{part}-{n:04d}",
            part=CHOICES[part],
            task=field(row, "task_type", str, where=where),
            video=video,
            at_s=seconds(field(row, "time_stamp", str, where=where), where=where),
            question=field(row, "question", str, where=where),
            options=tuple(texts(row, "options", where=where)),
            answer=answer,
            before=told.get(video, ()) if part == "sqa" else (),
        )
        right = bare(offered(answer, choice.options, where=where))
        told[video] = (*told.get(video, ()), (choice.question, f"{answer}. {right}"))
        found.append(choice)
    return found


def _proactives(folder: Path) -> list[Proactive]:
    return [
        Proactive(
            id=f"proactive-{n:04d}",
            video=video,
            at_s=seconds(field(row, "time_stamp", str, where=where), where=where),
            due_s=seconds(field(row, "ground_truth_time_stamp", str, where=where), where=where),
            question=field(row, "question", str, where=where),
            output=field(row, "ground_truth_output", str, where=where),
        )
        for n, (where, video, row) in enumerate(_rows(folder, "proactive"))
    ]


def _choice_cases(choices: Sequence[Choice]) -> list[Case]:
    common = fitted_majority(
        choices,
        videos=[choice.video for choice in choices],
        answers=[choice.answer for choice in choices],
        tasks=[f"{choice.part} {choice.task}" for choice in choices],
    )
    return [
        Case(
            id=choice.id,
            task=f"{choice.part}/{choice.task}",
            video=choice.video,
            scorer=scorer,
            play=partial(_play_choice, choice, scorer),
            oracle=constant(choice.answer),
            blind={"longest_option": constant(longest(choice.options)), "majority_letter": constant(letter)},
        )
        for choice, letter in zip(choices, common, strict=True)
        for scorer in _BOTH
    ]


_BOTH: tuple[Scorer, ...] = ("official", "strict")


def _play_choice(choice: Choice, scorer: Scorer) -> Play:
    start_s = max(0.0, choice.at_s - CONTEXT_S)
    log = yield polled("answer", choice.prompt, at_s=choice.at_s, start_s=start_s, scorer=scorer)
    reading = first_answer(log, scorer=scorer)
    if scorer == "official":
        is_right, counts, state = first_character(reading.text) == choice.answer, bool(reading.text), reading.state
    else:
        letter, state = read(reading, strict_choice(choice.options))
        is_right, counts = letter == choice.answer, True
    keys = (choice.part, f"{choice.part}/{choice.task}")
    sums = {f"{key}:right": float(is_right and counts) for key in keys} | {
        f"{key}:items": float(counts) for key in keys
    }
    return Mark(sums=sums, replies=(reading.text,), states=(state,))


def _proactive_cases(items: Sequence[Proactive]) -> list[Case]:
    waits = fitted_wait(
        [item.due_s - item.at_s for item in items], videos=[item.video for item in items], early_s=2.0, late_s=2.0
    )
    cases: list[Case] = []
    for item, wait_s in zip(items, waits, strict=True):
        case = Case(
            id=item.id,
            task=PROACTIVE,
            video=item.video,
            scorer="official",
            play=partial(_play_polls, item),
            oracle=always(partial(PollEcho, item.due_s - item.at_s, item.output)),
            blind={"echo_after_k": always(partial(PollEcho, wait_s, item.question))},
        )
        cases += [
            case,
            replace(
                case,
                scorer="strict",
                play=partial(_play_push, item),
                oracle=always(partial(Timetable, [(item.due_s, item.output)])),
                blind={"echo_after_k": always(partial(EchoAfter, wait_s))},
            ),
        ]
    return cases


class PollEcho(Unseeing):
    """Says "Yes" when it is polled at or after a time of the clip, and repeats a text when it is asked for it."""

    def __init__(self, after_s: float, text: str) -> None:
        super().__init__()
        self.after_s, self.text = after_s, text

    def reply(self, t: float) -> Reply:
        """A verdict on the clock, or the text."""
        if self.question.endswith(POLL_END):
            return self.once("Yes" if self.asked_s >= self.after_s - 1e-6 else "No")
        return self.once(self.text)


POLL_END = '"?'


def _play_polls(item: Proactive) -> Play:
    poll = f'{item.question} Is it the right time to output "{item.output}{POLL_END}'
    reply, last_s = "", None
    for k in range(1, int(item.due_s - item.at_s) + POLL_AFTER_S + 1):
        at_s = item.at_s + k
        log = yield polled(f"poll-{k:03d}", poll, at_s=at_s, start_s=item.at_s, scorer="official")
        if "yes" in first_answer(log, scorer="official").text.lower():
            log = yield polled("answer", item.question, at_s=at_s, start_s=item.at_s, scorer="official")
            reply, last_s = first_answer(log, scorer="official").text, at_s
            break
    in_time = last_s is not None and abs(last_s - item.due_s) <= 2
    sums = {
        f"{PROACTIVE}:items": 1.0,
        f"{PROACTIVE}:in_time": float(in_time),
        f"{PROACTIVE}:right": float(in_time and item.output in reply),
    }
    return Mark(sums=sums, replies=(reply,), states=("read" if last_s is not None else "unanswered",))


def _play_push(item: Proactive) -> Play:
    log = yield Stream(
        id="watch", asks=(Ask(t=item.at_s, text=item.question, standing=True),), end_s=item.due_s + AFTER_S
    )
    said = [speech for speech in log.speech if speech.q is not None and speech.tau_first >= item.at_s]
    first = said[0] if said else None
    in_time = first is not None and -1 - 1e-6 <= first.tau_first - item.due_s <= 2 + 1e-6
    is_right = first is not None and in_time and holds_words(first.text, item.output)
    truth = one_event(item.at_s, item.question, s=item.due_s, v=item.output)
    sums = {
        f"{PROACTIVE}:items": 1.0,
        f"{PROACTIVE}:in_time": float(in_time),
        f"{PROACTIVE}:right": float(is_right),
        **event_sums(log, truth, early_s=1.0, delays_s=(2.0,), prefix=PROACTIVE),
    }
    return Mark(sums=sums, replies=tuple(s.text for s in said), states=("read" if first else "unanswered",))


def scores(cases: Sequence[Case]) -> list[Score]:
    """Parts, their tasks, and the four averages that are called "overall"."""
    return [score for scorer in _BOTH for score in _scores_of(cases, scorer)]


def _scores_of(cases: Sequence[Case], scorer: Scorer) -> list[Score]:
    def score(name: str, definition: str, of: Callable[[Sums], float | None], *, is_shown: bool = True) -> Score:
        return Score(name=name, scorer=scorer, definition=definition, of=of, is_shown=is_shown)

    tasks = list(dict.fromkeys(case.task for case in cases if case.scorer == scorer and case.task != PROACTIVE))
    parts = {part: share(f"{part}:right", f"{part}:items") for part in CHOICES.values()}
    parts[PROACTIVE] = share(f"{PROACTIVE}:right", f"{PROACTIVE}:items")
    by_task = {task: share(f"{task}:right", f"{task}:items") for task in tasks}
    counted = "items with a stored reply" if scorer == "official" else "all items"
    found = [score(name, f"{name}: share right of {counted}", of) for name, of in parts.items() if name != PROACTIVE]
    found.append(score(PROACTIVE, "output right and in time, share of all items", parts[PROACTIVE]))
    found.append(score("PO time", "in time, share of all items", share(f"{PROACTIVE}:in_time", f"{PROACTIVE}:items")))
    all_tasks = [*by_task.values(), parts[PROACTIVE]]
    found += [
        score("overall RT+CTX", "mean of real-time and contextual", mean_of([parts["real-time"], parts["contextual"]])),
        score("overall 4 parts", "mean of real-time, contextual, SQA and PO", mean_of(list(parts.values()))),
        score(f"overall {len(all_tasks)} tasks", f"mean of the {len(all_tasks)} tasks", mean_of(all_tasks)),
    ]
    found += [score(task, f"{task}: share right of {counted}", of, is_shown=False) for task, of in by_task.items()]
    if scorer == "strict":
        found += timing_scores(PROACTIVE, delays_s=(2.0,), scorer=scorer, early_s=1.0)
    return found


BENCHMARK = Benchmark(
    name="streamingbench",
    title="StreamingBench",
    download=Download(
        source="https://github.com/THUNLP-MT/StreamingBench (annotations); videos as its README says",
        revision="89299232c4cc",
        files=(
            AnnotationFile(path="src/data/questions_real.json", sha256="64ca14052205a240"),
            AnnotationFile(path="src/data/questions_omni.json", sha256="e2a769c22aa925ab"),
            AnnotationFile(path="src/data/questions_sqa.json", sha256="ea0be61f17313c72"),
            AnnotationFile(path="src/data/questions_proactive.json", sha256="e17db411762c643a"),
        ),
        videos="as named by video_path in the annotations, below DIR or DIR/videos",
        size="4,500 questions; the size of the videos is stated where they are downloaded",
        licence="MIT (repository); the videos follow their own terms",
    ),
    read=read_cases,
    scores=scores,
    published=STREAMINGBENCH,
    notes=(
        'Published "overall" scores follow at least four definitions; compare parts.',
        "Without any picture the longest option reaches 43.8 in the real-time part.",
    ),
)
