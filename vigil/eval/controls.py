"""Controls: what simple policies would have said, as logs that are scored like any other.

`always_silent` says nothing; `always_talk` speaks in every slot; `blind` gives one constant reply per kind of question,
a fitted time after it; `oracle` starts the true text on the frame of each change, and pays for its length.
All run on the "free" clock at a given pace. They are made from the truth; `vigil.eval.baselines` and
`vigil.eval.recent` have the controls that stand behind the streaming door like any other system.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from re import findall

from vigil.errors import ConfigError, DataError
from vigil.eval.door import VirtualClock
from vigil.eval.log import Log, validate
from vigil.eval.rows import (
    Act,
    AnswerRow,
    AnswerState,
    DecideRow,
    EndRow,
    FrameRow,
    HeadRow,
    PromptRow,
    ReadyRow,
    Row,
    Timed,
    TokRow,
)
from vigil.eval.stats import median
from vigil.eval.truth import Happening, Question, Truth

SEEING_NOTHING = ("always_silent", "always_talk", "blind", "echo_after_k", "parse_attack")
OF_THE_MODEL = ("text_only", "recent_4", "recent_16")
"""Controls that run the model itself: without frames, or offline on the newest 4 or 16 of them."""


def check_controls(names: Iterable[str], *, with_model: bool) -> None:
    """Refuse a table without its controls.

    Raises:
        DataError: a control is missing; those of the model are only asked for `with_model`.
    """
    required = (*SEEING_NOTHING, *(OF_THE_MODEL if with_model else ()))
    if missing := [name for name in required if name not in set(names)]:
        raise DataError(f"the table lacks the controls {', '.join(missing)}. Run them too: they are part of it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The stream that a control runs on."""

    duration_s: float
    fps: float = 1.0
    tokens_per_s: float = 4.0
    """Pace of speech; a token is a word here."""

    def __post_init__(self) -> None:
        if self.duration_s < 0 or self.fps <= 0 or self.tokens_per_s <= 0:
            raise ConfigError(
                f"duration_s = {self.duration_s}, fps = {self.fps}, tokens_per_s = {self.tokens_per_s}: "
                "the duration must not be negative, and the rates must be above 0."
            )

    @property
    def clock(self) -> VirtualClock:
        """The same pace for systems behind the streaming door."""
        return VirtualClock(mode="free", fps=self.fps, token_s=1 / self.tokens_per_s)

    @property
    def frame_times(self) -> list[float]:
        """Media time of every frame (s)."""
        return [i / self.fps for i in range(int(self.duration_s * self.fps - 1e-9) + 1)] if self.duration_s else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Something to be said about a question from `start_s` on."""

    start_s: float
    q: str | None
    text: str


def always_silent(truth: Truth, setting: Setting) -> Log:
    """Says nothing."""
    return _spoken(truth, setting, [], name="always_silent")


def always_talk(truth: Truth, setting: Setting) -> Log:
    """Repeats the newest question in every slot, cutting itself short."""
    replies: list[Reply] = []
    for start_s in _slots(truth, setting):
        asked = [question for question in _by_time(truth) if question.t_ask <= start_s]
        text = asked[-1].text or asked[-1].q if asked else "Still watching."
        replies.append(Reply(start_s=start_s, q=asked[-1].q if asked else None, text=text))
    return _spoken(truth, setting, replies, name="always_talk")


def oracle(truth: Truth, setting: Setting) -> Log:
    """Starts the true text in the first slot that shows each change; a later change cuts it."""
    replies = [Reply(start_s=event.s, q=event.q, text=_text_of(event)) for event in truth.all_events]
    return _spoken(truth, setting, replies, name="oracle")


Prior = Mapping[str, tuple[float, str]]
"""Role of a question -> (seconds after it, constant reply). A role that is not there is left unanswered."""


def blind(truth: Truth, setting: Setting, prior: Prior) -> Log:
    """Gives each question the constant reply of its role, without a look at a frame."""
    replies = [
        Reply(start_s=question.t_ask + prior[role][0], q=question.q, text=prior[role][1])
        for question in _by_time(truth)
        if (role := visible_role(question)) in prior
    ]
    return _spoken(truth, setting, sorted(replies, key=lambda reply: reply.start_s), name="blind")


def fit_prior(truths: Iterable[Truth]) -> Prior:
    """The most common first reply of each role and the median wait for it; none where most questions are never due."""
    first: dict[str, list[Happening | None]] = {}
    waits: dict[str, list[float]] = {}
    for truth in truths:
        for question in truth.questions:
            events = truth.events_of(question.q)
            first.setdefault(visible_role(question), []).append(events[0] if events else None)
            if events:
                waits.setdefault(visible_role(question), []).append(max(0.0, events[0].s - question.t_ask))
    prior: dict[str, tuple[float, str]] = {}
    for role, found in first.items():
        texts = Counter(_text_of(event) for event in found if event is not None)
        if 2 * texts.total() >= len(found):
            prior[role] = (median(waits[role]) or 0.0, texts.most_common(1)[0][0])
    return prior


def blind_logs(truths: Sequence[Truth], settings: Sequence[Setting], *, folds: int = 5) -> list[Log]:
    """One blind log per stream; the prior of each is fitted on the other folds, so that none is fitted on itself."""
    priors = [fit_prior(t for n, t in enumerate(truths) if n % folds != fold) for fold in range(folds)]
    return [blind(truth, settings[n], priors[n % folds]) for n, truth in enumerate(truths)]


def visible_role(question: Question) -> str:
    """The role as the question itself shows it: whether the thing will ever appear is not to be seen in it."""
    return (question.role or question.kind).removesuffix("_absent")


def _text_of(event: Happening) -> str:
    """A right text; where any words are right, some."""
    return event.accept[0] if event.accept else event.v or "Now."


def _by_time(truth: Truth) -> list[Question]:
    return sorted(truth.questions, key=lambda question: question.t_ask)


def _slots(truth: Truth, setting: Setting) -> list[float]:
    """Media times at which speech may begin: every frame, and every question."""
    asked = [question.t_ask for question in truth.questions if question.t_ask <= setting.duration_s]
    return sorted({*setting.frame_times, *asked})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Utterance:
    a: str
    reply: Reply
    begin_s: float
    stop_s: float
    """When it ended or was cut."""
    state: AnswerState
    words: tuple[str, ...]


def _utterances(replies: Sequence[Reply], truth: Truth, setting: Setting) -> list[_Utterance]:
    """When each reply is spoken. Those due in one slot follow each other; a later slot or question cuts them."""
    slots = _slots(truth, setting)
    due = [(slots[at], reply) for reply in replies if (at := bisect_left(slots, reply.start_s)) < len(slots)]
    cuts = sorted({begin for begin, _ in due} | {question.t_ask for question in truth.questions} | {setting.duration_s})
    spoken: list[_Utterance] = []
    free_s = 0.0
    for n, (slot_s, reply) in enumerate(due):
        begin_s = max(slot_s, free_s) if n and due[n - 1][0] == slot_s else slot_s
        limit_s = cuts[min(bisect_right(cuts, slot_s), len(cuts) - 1)]
        words = findall(r"\s*\S+", reply.text)
        said = [word for k, word in enumerate(words) if begin_s + k / setting.tokens_per_s < limit_s]
        free_s = begin_s + len(words) / setting.tokens_per_s
        if said:
            is_whole = free_s <= limit_s
            spoken.append(
                _Utterance(
                    a=f"{len(spoken) + 1}.1",
                    reply=reply,
                    begin_s=begin_s,
                    stop_s=min(free_s, limit_s),
                    state="final" if is_whole else "cut",
                    words=tuple(said),
                )
            )
    return spoken


def _spoken(truth: Truth, setting: Setting, replies: Sequence[Reply], *, name: str) -> Log:
    """The log of a session that says these replies; a second answer to a question with values replaces the first."""
    utterances = _utterances(replies, truth, setting)
    rows: list[tuple[float, int, Timed]] = []
    for i, t in enumerate(setting.frame_times):
        rows += [(t, 1, FrameRow(i=i, t=t, w=t)), (t, 2, ReadyRow(i=i, w=t))]
    for question in _by_time(truth):
        if (t := question.t_ask) <= setting.duration_s:
            text, direct = question.text or question.q, question.kind != "event"
            rows.append((t, 3, PromptRow(q=question.q, t=t, w=t, text=text, direct=direct)))
    for t in _slots(truth, setting):
        rows.append((t, 4, _decision(t, _act(t, utterances), setting)))
    last: dict[str | None, str] = {}
    number = 0
    for said in utterances:
        replaces = last.get(said.reply.q) if said.reply.q is not None and truth.values_of(said.reply.q) else None
        last[said.reply.q] = said.a
        rows.append((said.begin_s, 5, _answer(said, said.begin_s, "open", supersedes=replaces)))
        for k, word in enumerate(said.words):
            at_s = said.begin_s + k / setting.tokens_per_s
            rows.append((at_s, 6, TokRow(n=number, w=at_s, vis=_newest(at_s, setting), text=word, a=said.a)))
            number += 1
        rows.append((said.stop_s, 0, _answer(said, said.stop_s, said.state)))
    head = HeadRow(
        v=1, clock="free", w0=0.0, speed=1.0, fps=setting.fps, model=name, seed=0, policy="control", cost=None
    )
    ordered: list[Row] = [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]
    return validate([head, *ordered, EndRow(w=setting.duration_s, t=setting.duration_s, why="eof")])


def _answer(said: _Utterance, w: float, state: AnswerState, *, supersedes: str | None = None) -> AnswerRow:
    text = None if state == "open" else "".join(said.words)
    return AnswerRow(a=said.a, q=said.reply.q, w=w, state=state, supersedes=supersedes, text=text)


def _newest(t: float, setting: Setting) -> int:
    return bisect_right(setting.frame_times, t) - 1


def _decision(t: float, act: Act, setting: Setting) -> DecideRow:
    return DecideRow(w=t, vis=_newest(t, setting), p=None, act=act)


def _act(t: float, utterances: Sequence[_Utterance]) -> Act:
    if any(said.begin_s == t for said in utterances):
        return "speak"
    return "continue" if any(said.begin_s < t < said.stop_s for said in utterances) else "silent"
