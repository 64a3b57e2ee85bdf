"""Dense captions -> records of real-time question answering, by rules (deterministic given the generator).

Two stages. What changed, what to ask and how to answer is decided by the roles (`vigil.data.roles`). When to ask and
how turns follow each other is decided here: before the first frame, in the middle, after the whole video, or while the
answer before is still being spoken (the user takes over).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import pairwise

from vigil.data.pace import max_wait_s
from vigil.data.recital import PANEL_ROLES, has_panel
from vigil.data.records import Record, Turn
from vigil.data.roles import OFFLINE, ONLINE, ROLE_WEIGHTS
from vigil.data.stories import STORY_OFFLINE, STORY_ONLINE
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask, Role
from vigil.errors import ConfigError
from vigil.types import DenseCaptions

_TRIES = 8
_ASKED = ONLINE | STORY_ONLINE | PANEL_ROLES


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthConfig:
    """What to ask about one video. Change a copy with `dataclasses.replace`."""

    fps: float = 1.0
    """Frames per second of video (Hz) that the records are made for."""
    records_per_video: int = 4
    """Conversations about one video; a trainer may share its encoding among them."""
    offline_share: float = 0.2
    """Share of the records that ask after the whole video."""
    at_start: float = 0.35
    """Share of the first questions asked before the first frame."""
    second_question: float = 0.35
    """Share of the real-time records in which the user asks again."""
    take_over: float = 0.5
    """Share of the further questions asked on the frame of a reply, so that it may still be being spoken."""
    words_per_s: float = 4.0
    """Speaking pace that a commentary must not outrun (words/s)."""
    max_wait_s: float = 2.0
    """A reply may wait this long for the one before it to be finished (s)."""
    known_after: float = 0.5
    """Share of a caption's span that must have been seen before it is said (captions without facts only)."""
    other_events: tuple[str, ...] = ()
    """Sentences from other videos, for requests that are never met (captions without facts only)."""
    roles: tuple[tuple[str, float], ...] = tuple((name, ROLE_WEIGHTS.get(name, 1.0)) for name in _ASKED)
    """Roles of real-time questions, and how often each is tried against the others."""

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.words_per_s <= 0:
            raise ConfigError(f"fps and words_per_s must be above 0, got {self.fps} and {self.words_per_s}.")
        if self.records_per_video < 1:
            raise ConfigError(f"records_per_video must be 1 or more, got {self.records_per_video}.")
        for name in ("offline_share", "at_start", "second_question", "take_over", "known_after"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie between 0 and 1, got {getattr(self, name)}.")
        unknown = sorted({name for name, _ in self.roles} - _ASKED.keys())
        if unknown or not self.roles:
            raise ConfigError(f"roles has {unknown or 'nothing'}. Choose from {sorted(_ASKED)}.")


def synthesize(captions: DenseCaptions, *, rng: random.Random, config: SynthConfig = SynthConfig()) -> list[Record]:
    """Write up to `config.records_per_video` records about one video.

    Every reply is due on the first frame that shows its fact: `time_s` is that frame's time, or the question's time if
    the fact was known by then. Questions are asked half-way between two frames, or at 0 s before the first frame.
    Fewer records come back where the captions give nothing to ask about.
    """
    line = Timeline(captions, config.fps, known_after=config.known_after, other_events=config.other_events)
    records = []
    for number in range(config.records_per_video):
        offline = rng.random() < config.offline_share
        turns = _offline_turns(line, rng) if offline else _turns(line, rng, config)
        if turns:
            opening = Turn(ask_s=0.0, question="", kind="opening")
            video = captions.video or captions.id
            records.append(
                Record(
                    id=f"{captions.id}:{number}",
                    video=video,
                    duration_s=captions.duration_s,
                    turns=(opening, *turns),
                    fps=config.fps,
                    offline=offline,
                )
            )
    return records


def _offline_turns(line: Timeline, rng: random.Random) -> list[Turn]:
    """One to three questions after the whole video, each of another kind."""
    ask = Ask(newest=line.num_frames - 1, time_s=line.captions.duration_s, offline=True)
    roles = _roles(line, offline=True)
    turns: list[Turn] = []
    for name in rng.sample(sorted(roles), k=min(len(roles), 5)):
        turn = roles[name](line, ask, rng)
        if turn and turn.replies:
            turns.append(turn)
    return turns[: rng.choice((1, 1, 2, 3))]


def _turns(line: Timeline, rng: random.Random, config: SynthConfig) -> list[Turn]:
    """A first question, and perhaps a second and a third that end the turn before."""
    newest = -1 if rng.random() < config.at_start else rng.randrange(max(1, (line.num_frames * 2) // 3))
    turns: list[Turn] = []
    while newest < line.num_frames - 1:
        turn = _one_turn(line, _ask_after(line, newest), rng, config)
        if turn is None:
            break
        turns.append(turn)
        if len(turns) == 3 or rng.random() >= config.second_question:
            break
        spoken = [line.frame_of(r.time_s - 1 / line.fps) for r in turn.replies[:4]]
        later = [f for f in spoken if f > newest]
        if later and rng.random() < config.take_over:
            newest = rng.choice(later)
        else:
            newest = rng.randrange(newest + 1, line.num_frames)
    for number, (turn, after) in enumerate(pairwise(turns)):
        cut = _until(turn, after.ask_s)
        if turn.replies and not cut.replies:  # cutting what fires would leave too many requests that never do
            return [*turns[:number], turn]
        turns[number] = cut
    return turns


def _one_turn(line: Timeline, ask: Ask, rng: random.Random, config: SynthConfig) -> Turn | None:
    roles = _roles(line, offline=False)
    names = [name for name, _ in config.roles if name in roles]
    weights = [weight for name, weight in config.roles if name in roles]
    for name in rng.choices(names, weights, k=_TRIES) if names else ():
        turn = roles[name](line, ask, rng)
        if turn and (not turn.standing or max_wait_s(turn, config.words_per_s) <= config.max_wait_s):
            return turn
    return None


def _roles(line: Timeline, *, offline: bool) -> dict[str, Role]:
    """What can be asked about this kind of video."""
    if has_panel(line):
        return PANEL_ROLES
    if line.told:
        return STORY_OFFLINE if offline else STORY_ONLINE
    return OFFLINE if offline else ONLINE


def _ask_after(line: Timeline, newest: int) -> Ask:
    """A question after frame `newest` and before the next one; -1 asks before the first frame."""
    return Ask(newest=newest, time_s=round((newest + 0.5) / line.fps, 4) if newest >= 0 else 0.0)


def _until(turn: Turn, next_s: float) -> Turn:
    """Cut a turn where the next question is asked."""
    return replace(turn, replies=tuple(r for r in turn.replies if r.time_s < next_s))
