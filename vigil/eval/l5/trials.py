"""Trials of the L5 measure: a system states the colours of six items while one of them changes.

A trial is a pure function of its number. Nothing is drawn while it runs: which items may flip, to what, and how far
into the reply are drawn in advance, so that every system gets the same ones.

Kinds: F an item not yet mentioned flips, B one already mentioned, D only the background, N nothing does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from vigil.data.phrases import ASK_RECITAL
from vigil.errors import ConfigError
from vigil.eval.claims import Claim, closed_claims
from vigil.eval.door import Image, System, VirtualClock, finish
from vigil.eval.log import Log, Speech
from vigil.eval.rows import AnswerRow, Timed, TokRow
from vigil.world.backgrounds import NUM_VARIANTS
from vigil.world.chance import Change, Draw, generator
from vigil.world.panel import Panel
from vigil.world.render import render
from vigil.world.scene import panel_scene
from vigil.world.words import ITEMS, PANEL_COLOURS, PLACES

Kind = Literal["N", "F", "B", "D"]
KINDS: tuple[Kind, ...] = ("N", "F", "B", "D")
"""N comes first: what a system says when nothing flips tells where the others may flip."""
Fault = Literal["", "no reply", "no item", "not reached", "outside"]
COLOURS = tuple(PANEL_COLOURS)
PROMPT = ASK_RECITAL[0]
QUESTION = "q1"
"""The prompt in the log; the claims about item A belong to "q1.A"."""
LONGEST_REPLY_S = 20.0
_EPSILON_S = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class L5Config:
    """The setting of `vigil eval l5`."""

    num_trials: int = 200
    """Trials of each kind."""
    seed: int = 0
    """Number of the first trial."""
    clock: VirtualClock = field(default_factory=VirtualClock)
    loop: Literal["closed", "open"] = "closed"
    """closed: the flip follows a token of the reply. open: its time is fixed before the run."""
    prompt_s: float = 1.0
    """When the question is asked, right after a frame (s)."""
    watch_s: float = 10.0
    """How long a trial goes on after the reply has ended, or without one after the question (s)."""

    def __post_init__(self) -> None:
        if self.num_trials < 1 or self.seed < 0 or self.prompt_s <= 0 or self.watch_s <= 0:
            raise ConfigError(
                f"L5 wants num_trials of at least 1, seed of at least 0, prompt_s and watch_s above 0, got "
                f"{self.num_trials}, {self.seed}, {self.prompt_s} and {self.watch_s}."
            )

    @property
    def grace_s(self) -> float:
        """How long after a flip a claim may still be of before it: one frame and one token."""
        return 1 / self.clock.fps + self.clock.token_s

    @property
    def num_frames(self) -> int:
        """Frames of the longest trial."""
        return math.ceil((self.prompt_s + LONGEST_REPLY_S + self.watch_s) * self.clock.fps) + 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """All that chance decides in one trial, for all its kinds."""

    number: int
    panel: Panel
    order: tuple[str, ...]
    """Items; the first one of the wanted kind flips."""
    values: tuple[tuple[str, str], ...]
    """(item, the colour that it would take), one of the other seven."""
    place: str
    """The background that would come."""
    share: float
    """Which of the moments at which something may flip is taken: a number in [0, 1)."""


def draw_trial(number: int) -> Draws:
    """Draw a trial by its number."""
    draw = Draw(generator("test", number, purpose=5))
    panel = Panel(
        colours=tuple(draw.pick(COLOURS) for _ in ITEMS),
        place=draw.pick(PLACES),
        variant=draw.below(NUM_VARIANTS),
        columns=draw.pick((2, 3)),
    )
    shown = zip(ITEMS, panel.colours, strict=True)
    return Draws(
        number=number,
        panel=panel,
        order=tuple(draw.some(ITEMS, len(ITEMS))),
        values=tuple((item, draw.pick([c for c in COLOURS if c != colour])) for item, colour in shown),
        place=draw.pick([place for place in PLACES if place != panel.place]),
        share=draw.unit(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Flip:
    """What changes, and when."""

    item: str
    """Empty for the background."""
    old: str
    new: str
    token: int
    """The change follows this token of the reply, counted from 1; 0 where the time is fixed instead."""
    at_s: float
    """Arrival of the first frame that shows it (s); after a token, where it is expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The truth of one run."""

    number: int
    kind: Kind
    flip: Flip | None = None
    flip_s: float | None = None
    """Arrival of the first frame that showed the flip; None: nothing flipped."""
    fault: Fault = ""
    """Why nothing could be tested. "outside": of an open-loop trial, whose reply does not contain the flip."""


class Reel:
    """The frames of one trial, drawn when they are first needed."""

    def __init__(self, draws: Draws, config: L5Config) -> None:
        self._draws = draws
        self._config = config
        self._drawn: dict[Change | None, Image] = {}

    def image(self, i: int, change: Change | None) -> Image:
        """Frame i of the trial in which this changes; a change has no influence on the frames before it."""
        if change not in self._drawn:
            changes = [] if change is None else [change]
            scene = panel_scene(self._draws.panel, changes, num_frames=self._config.num_frames, seed=self._draws.number)
            self._drawn[change] = render(scene)
        image_HWC: Image = self._drawn[change][i]
        return image_HWC


@runtime_checkable
class Told(Protocol):
    """A door of a control that may know what no system can: that something has just changed."""

    def changed(self, t: float) -> None:
        """The frame that was pushed at `t` shows the flip."""
        ...


class _Reply:
    """Follows the first answer to the prompt, row by row."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self.end_s: float | None = None
        self._a: str | None = None

    def take(self, rows: Sequence[Timed]) -> None:
        """Count the tokens of that answer in the next rows of the log, and note when it ends."""
        for row in rows:
            if isinstance(row, AnswerRow) and row.q == QUESTION and self._a in (None, row.a):
                self._a = row.a
                if row.state != "open":
                    self.end_s = self.end_s or row.w
            elif isinstance(row, TokRow) and row.a == self._a:
                self.num_tokens += 1

    @property
    def has_begun(self) -> bool:
        return self._a is not None


def run_trial(system: System, reel: Reel, flip: Flip | None, config: L5Config) -> tuple[Log, float | None]:
    """Run a system once; what happened, and the arrival of the first frame that showed the flip (s)."""
    clock, reply, rows = config.clock, _Reply(), list[Timed]()
    live = system.open(clock)
    change: Change | None = None
    end_s = config.prompt_s + config.watch_s
    is_asked = False
    for i in range(config.num_frames):
        t = i / clock.fps
        rows += (new := live.advance(min(t, end_s)))
        reply.take(new)
        end_s = _end_s(reply, change, config)
        if t >= end_s:
            break
        if change is None and flip is not None and _is_due(flip, reply, t):
            change = _change(flip, i)
        live.push_frame(reel.image(i, change), t)
        if change is not None and change.frame == i and isinstance(live, Told):
            live.changed(t)
        if t >= config.prompt_s - _EPSILON_S and not is_asked:
            live.push_prompt(PROMPT, t)
            is_asked = True
    rows += live.advance(end_s + 2 * _EPSILON_S)
    log = finish(clock.head(system.name, seed=config.seed), rows, end_s)
    return log, None if change is None else change.frame / clock.fps


def _end_s(reply: _Reply, change: Change | None, config: L5Config) -> float:
    if not reply.has_begun:
        return config.prompt_s + config.watch_s
    if reply.end_s is None:
        return config.num_frames / config.clock.fps
    return max(reply.end_s, 0.0 if change is None else change.frame / config.clock.fps) + config.watch_s


def _is_due(flip: Flip, reply: _Reply, t: float) -> bool:
    return reply.num_tokens >= flip.token if flip.token else t >= flip.at_s - _EPSILON_S


def _change(flip: Flip, frame: int) -> Change:
    if not flip.item:
        return Change(frame=frame, kind="cut", subject="scene", value=flip.new)
    return Change(frame=frame, kind="item", subject=flip.item, value=flip.new)


def reply_of(log: Log) -> Speech | None:
    """The first answer to the prompt that has a token."""
    return next((speech for speech in log.speech if speech.q == QUESTION), None)


def claims_of_items(log: Log) -> dict[str, list[Claim]]:
    """What was claimed about each item, in order of time."""
    claims = closed_claims(log, QUESTION, items=ITEMS, values=COLOURS)
    return {item: [claim for claim in claims if claim.q == f"{QUESTION}.{item}"] for item in ITEMS}


def place_flip(kind: Kind, draws: Draws, calm: Log, config: L5Config) -> Trial:
    """Decide what flips and when, from what the same system says when nothing does.

    A moment is good if an item of the wanted kind is left: one that was claimed before it (B), or that is not claimed
    until the grace after it is over, so that the change can still be told in time (F). The moments are the tokens from
    a quarter to three quarters of the reply, or, in the open loop, the frames over the same part.
    """
    reply = reply_of(calm)
    if kind == "N" or reply is None:
        return Trial(number=draws.number, kind=kind, fault="" if reply else "no reply")
    first = {item: claims[0].tau for item, claims in claims_of_items(calm).items() if claims}
    good = []
    for token, at_s in _moments(reply, config):
        found = next((item for item in draws.order if _fits(kind, first.get(item), at_s, config)), None)
        if found is not None or kind == "D":
            good.append((token, at_s, found or ""))
    if not good:
        return Trial(number=draws.number, kind=kind, fault="no item")
    token, at_s, item = good[int(draws.share * len(good))]
    if kind == "D":
        flip = Flip(item="", old=draws.panel.place, new=draws.place, token=token, at_s=at_s)
    else:
        old, new = draws.panel.colours[ITEMS.index(item)], dict(draws.values)[item]
        flip = Flip(item=item, old=old, new=new, token=token, at_s=at_s)
    return Trial(number=draws.number, kind=kind, flip=flip)


def _fits(kind: Kind, claimed_s: float | None, at_s: float, config: L5Config) -> bool:
    if kind == "B":
        return claimed_s is not None and claimed_s <= at_s
    return kind == "F" and (claimed_s is None or claimed_s > at_s + config.grace_s)


def _moments(reply: Speech, config: L5Config) -> list[tuple[int, float]]:
    """(token of the reply or 0, arrival of the first frame that would show a flip)."""
    fps, length = config.clock.fps, len(reply.tokens)
    first, last = math.ceil(0.25 * length), max(math.floor(0.75 * length), math.ceil(0.25 * length))
    after = [(k, (math.floor(reply.tau[k - 1] * fps + _EPSILON_S) + 1) / fps) for k in range(first, last + 1)]
    if config.loop == "closed":
        return after
    return sorted({(0, at_s) for _, at_s in after})


def run_kind(kind: Kind, system: System, reel: Reel, draws: Draws, calm: Log, config: L5Config) -> tuple[Trial, Log]:
    """Run one kind of trial, given the log of the same system when nothing flips; that log stands where none is run."""
    trial = place_flip(kind, draws, calm, config)
    if trial.flip is None:
        return trial, calm
    log, flip_s = run_trial(system, reel, trial.flip, config)
    return settle(trial, log, flip_s, config), log


def settle(trial: Trial, log: Log, flip_s: float | None, config: L5Config) -> Trial:
    """The truth of a trial once it has run; a system that is not deterministic may have left no room for the flip."""
    assert trial.flip is not None
    fault = trial.fault
    reply = reply_of(log)
    if flip_s is None or reply is None:
        fault = "not reached"
    elif config.loop == "open" and not reply.tau_first <= flip_s <= reply.tau_last:
        fault = "outside"
    elif trial.kind != "D":
        is_mentioned = any(claim.tau <= flip_s for claim in claims_of_items(log)[trial.flip.item])
        fault = "" if is_mentioned == (trial.kind == "B") else "no item"
    return replace(trial, flip_s=flip_s, fault=fault)
