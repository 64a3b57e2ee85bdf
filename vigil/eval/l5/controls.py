"""Controls of the L5 measure, as wrappers of the door: each turns any system into one that lacks something, or cheats.

`NeverRevise` and `RandomRevise` change nothing that the system sees or knows, so they rewrite its finished logs instead
of running it again; the same holds for what a wrapper says. The others need runs of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from vigil.eval.door import EPSILON_S, Door, Image, Outbox, System, VirtualClock
from vigil.eval.l5.trials import COLOURS, QUESTION, claims_of_items
from vigil.eval.log import Log, validate
from vigil.eval.rows import AnswerRow, DropRow, FrameRow, PromptRow, Row, Timed, TokRow
from vigil.eval.text import closed_mentions
from vigil.world.words import ITEMS


class _Wrapped:
    """A door around another door; by itself it changes nothing."""

    def __init__(self, inner: Door, clock: VirtualClock) -> None:
        self._inner = inner
        self._clock = clock
        self._rows = Outbox()
        self._now_s = 0.0
        self._num_frames = 0

    def push_frame(self, image: Image, t: float) -> None:
        """Hand a frame on."""
        self._inner.push_frame(image, t)
        self._num_frames += 1

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        """Hand a question on."""
        self._inner.push_prompt(text, t, standing=standing)

    def advance(self, t: float) -> list[Timed]:
        """Hand time on, token by token, so that what the system does can be met at once."""
        while self._now_s < t - EPSILON_S:
            self._now_s = min(self._now_s + self._clock.token_s, t)
            for row in self._inner.advance(self._now_s):
                self._pass(row)
            self._look()
        return self._rows.take(t)

    def _pass(self, row: Timed) -> None:
        """Take a row of the inner door."""
        self._rows.put(row)

    def _look(self) -> None:
        """Meet what has just happened."""

    def _withhold(self, t: float) -> None:
        """A frame arrives that the system will never see."""
        self._rows.put(FrameRow(i=self._num_frames, t=t, w=t))
        self._rows.put(DropRow(i=self._num_frames, w=t, why="policy"))
        self._num_frames += 1


class _NoPixelsDoor(_Wrapped):
    def push_frame(self, image: Image, t: float) -> None:
        self._withhold(t)


class _BlindDoor(_Wrapped):
    _is_asked = False

    def push_frame(self, image: Image, t: float) -> None:
        if self._is_asked:
            self._withhold(t)
        else:
            super().push_frame(image, t)

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        self._is_asked = True
        super().push_prompt(text, t, standing=standing)


class _BlockingDoor(_Wrapped):
    """Frames that arrive during a reply wait for its end."""

    def __init__(self, inner: Door, clock: VirtualClock) -> None:
        super().__init__(inner, clock)
        self._open: set[str] = set()
        self._held: list[Image] = []

    def push_frame(self, image: Image, t: float) -> None:
        self._rows.put(FrameRow(i=self._num_frames, t=t, w=t))
        self._num_frames += 1
        self._held.append(image)
        self._look(t)

    def _pass(self, row: Timed) -> None:
        if isinstance(row, AnswerRow):
            (self._open.add if row.state == "open" else self._open.discard)(row.a)
        if not isinstance(row, FrameRow):
            super()._pass(row)

    def _look(self, t: float | None = None) -> None:
        held, self._held = ([], self._held) if self._open else (self._held, [])
        for image in held:
            self._inner.push_frame(image, self._now_s if t is None else t)


class _AskingDoor(_Wrapped):
    """Puts the question again by itself; in the log it stays one question, and each answer replaces the one before."""

    def __init__(self, inner: Door, clock: VirtualClock) -> None:
        super().__init__(inner, clock)
        self._prompt = ""
        self._last: str | None = None
        self._is_over = False

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        self._prompt = text
        super().push_prompt(text, t, standing=standing)

    def _ask_again(self, t: float) -> None:
        self._inner.push_prompt(self._prompt, t)

    def _pass(self, row: Timed) -> None:
        if isinstance(row, PromptRow) and row.q != QUESTION:
            return
        if isinstance(row, AnswerRow) and row.q is not None:
            row = replace(row, q=QUESTION)
            if row.state == "open":
                row, self._last = replace(row, supersedes=self._last), row.a
            self._is_over = row.state == "final"
        super()._pass(row)


class _RestartDoor(_AskingDoor):
    def changed(self, t: float) -> None:
        """Cut what is being said, and answer anew from what is seen now."""
        if self._prompt:
            self._ask_again(t)


class _RepeatAllDoor(_AskingDoor):
    def _look(self) -> None:
        if self._is_over:
            self._is_over = False
            self._ask_again(self._now_s)


@dataclass(frozen=True, slots=True)
class Control:
    """A system that is another system behind a wrapper."""

    name: str
    wrap: Callable[[Door, VirtualClock], Door]
    system: System

    def open(self, clock: VirtualClock) -> Door:
        """Begin a stream."""
        return self.wrap(self.system.open(clock), clock)


def blind(system: System) -> Control:
    """Frames are withheld after the question."""
    return Control("blind", _BlindDoor, system)


def no_pixels(system: System) -> Control:
    """There is no frame at all: the values are guessed."""
    return Control("no_pixels", _NoPixelsDoor, system)


def blocking(system: System) -> Control:
    """Frames become ready only between replies."""
    return Control("blocking", _BlockingDoor, system)


def restart(system: System) -> Control:
    """Is told of the flip: cuts its reply there, and answers anew."""
    return Control("restart", _RestartDoor, system)


def repeat_all(system: System) -> Control:
    """States every item again after each reply."""
    return Control("repeat_all", _RepeatAllDoor, system)


WRAPPERS: dict[str, Callable[[System], Control]] = {
    "blind": blind,
    "no_pixels": no_pixels,
    "blocking": blocking,
    "restart": restart,
    "repeat_all": repeat_all,
}


def never_revise(log: Log, *, seed: int = 0) -> Log:
    """The log of the same system with the first claim about each item frozen: later ones repeat it."""
    stated: dict[str, str] = {}
    texts = {id(token): token.text for speech in log.speech for token in speech.tokens}
    for speech in log.speech:
        if speech.q == QUESTION:
            said = [token.text for token in speech.tokens]
            for mention in closed_mentions(speech.text, items=ITEMS, values=COLOURS):
                stated.setdefault(mention.item, mention.value)
            for mention in reversed(closed_mentions(speech.text, items=ITEMS, values=COLOURS)):
                _overwrite(said, mention.end - len(mention.value), mention.end, stated[mention.item])
            texts |= {id(token): text for token, text in zip(speech.tokens, said, strict=True)}
    words: dict[str, list[str]] = {}
    rows: list[Row] = []
    for row in log.rows:
        if isinstance(row, TokRow):
            row = replace(row, text=texts[id(row)])
            words.setdefault(row.a, []).append(row.text)
        elif isinstance(row, AnswerRow) and row.text is not None:
            row = replace(row, text="".join(words.get(row.a, [])).strip())
        rows.append(row)
    return validate(rows)


def _overwrite(texts: list[str], start: int, end: int, new: str) -> None:
    """Replace characters [start, end) of a text that is cut into pieces; the new ones stand where the first did."""
    at = 0
    for n, text in enumerate(texts):
        first, last = max(start - at, 0), min(end - at, len(text))
        if first < last:
            texts[n] = text[:first] + new + text[last:]
            new = ""
        at += len(text)


def random_revise(log: Log, *, seed: int = 0) -> Log:
    """The log of the same system that revises without looking.

    What it claimed first is frozen, and after each reply it corrects a random item to a random other value.
    """
    log = never_revise(log)
    draw = random.Random(seed)
    claims = claims_of_items(log)
    token_s = (log.head.cost or {}).get("token", 0.1)
    added: list[tuple[float, Timed]] = []
    for n, row in enumerate(log.rows):
        if isinstance(row, AnswerRow) and row.q == QUESTION and row.state == "final":
            item = draw.choice(ITEMS)
            held = [claim.v for claim in claims[item] if claim.tau <= log.tau(row.w)]
            value = draw.choice([colour for colour in COLOURS if colour not in held[-1:]])
            words = [item, " is", f" {value}", "."]
            added += [(new.w, new) for new in _correction(row, f"random {n}", words, token_s)]
    return validate(list(_merged(log.rows, [row for _, row in sorted(added, key=lambda pair: pair[0])])))


def _correction(reply: AnswerRow, a: str, words: Sequence[str], token_s: float) -> Iterator[Timed]:
    yield AnswerRow(a=a, q=reply.q, w=reply.w, state="open", supersedes=reply.a)
    for n, word in enumerate(words, start=1):
        yield TokRow(n=n, w=round(reply.w + n * token_s, 6), vis=-1, text=word, a=a)
    end_w = round(reply.w + (len(words) + 1) * token_s, 6)
    yield AnswerRow(a=a, q=reply.q, w=end_w, state="final", text="".join(words))


def _merged(rows: Sequence[Row], added: Sequence[Timed]) -> Iterator[Row]:
    """All rows in order; an added token has seen what the rows before it had."""
    yield rows[0]
    vis, waiting = -1, list(added)
    for row in rows[1:]:
        assert not isinstance(row, type(rows[0]))
        while waiting and waiting[0].w < getattr(row, "w", 0.0):
            first = waiting.pop(0)
            yield replace(first, vis=vis) if isinstance(first, TokRow) else first
        vis = getattr(row, "vis", vis)
        yield row


REWRITES: dict[str, Callable[..., Log]] = {"never_revise": never_revise, "random_revise": random_revise}
"""Controls that need no run of their own: they take the logs of the system itself."""
