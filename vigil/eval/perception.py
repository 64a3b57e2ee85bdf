"""Continuous perception: does what is said keep up with what is seen, also while speaking?

All times here are on the run clock. An utterance is the tokens of one answer. What had arrived at a token is read from
the order of the log, so that a frame and a token of the same instant count as they happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vigil.eval.log import Log
from vigil.eval.rows import DecideRow, FrameRow, TokRow
from vigil.eval.stats import Slope, mean, median, percentile, pool, ratio, theil_sen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How old the world was that one token spoke of (s)."""

    since_start_s: float
    """Since the first token of its utterance."""
    lag_s: float
    """Since the frame it saw had arrived."""
    excess_s: float
    """Arrival of the newest frame there was, less that of the frame it saw. An ideal system has exactly 0."""
    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Perception:
    """Tallies of one stream or of many: add them with `pool_perception`, then read the properties."""

    sights: tuple[Sight, ...] = ()
    blind_tokens: int = 0
    """Tokens that had seen no frame (vis = -1); they have no lag."""
    lag_sxy: float = 0.0
    excess_sxy: float = 0.0
    sxx: float = 0.0
    """Sums of squares and products within utterances, of lag and excess on the seconds since the utterance began."""
    short_utterances: int = 0
    """Left out of the slopes: fewer than 3 tokens, or shorter than two frame periods."""
    frames_during_speech: int = 0
    frames_on_time: int = 0
    """Of those, the ones that were ready within `on_time_s` of their arrival; a dropped frame is late."""
    stall_s: float = 0.0
    gaps_with_frame_s: float = 0.0
    frames: int = 0
    drops: int = 0
    frames_in_step: int = 0
    """Frames on which something was decided or said before the next one came."""

    @property
    def lag_slope(self) -> float | None:
        """Headline: 1 = fully blocking, 0 = not blocking."""
        return ratio(self.lag_sxy, self.sxx)

    @property
    def excess_slope(self) -> float | None:
        """As `lag_slope`, free of the sawtooth of one frame period."""
        return ratio(self.excess_sxy, self.sxx)

    @property
    def mean_excess_s(self) -> float | None:
        return mean([sight.excess_s for sight in self.sights])

    @property
    def on_time_ingest(self) -> float | None:
        return ratio(self.frames_on_time, self.frames_during_speech)

    @property
    def decode_stall(self) -> float | None:
        return ratio(self.stall_s, self.gaps_with_frame_s)

    @property
    def frame_loss(self) -> float | None:
        return ratio(self.drops, self.frames)

    @property
    def synchrony(self) -> float | None:
        return ratio(self.frames_in_step, self.frames)

    def lags(self, *, first: bool) -> list[float]:
        """Lags of the first tokens of utterances, or of the other tokens (s)."""
        return [sight.lag_s for sight in self.sights if sight.is_first == first]

    def lag_summary(self, *, first: bool) -> dict[str, float | None]:
        """Mean, 95th percentile and maximum of the lags (s)."""
        lags = self.lags(first=first)
        return {"mean_s": mean(lags), "p95_s": percentile(lags, 95), "max_s": max(lags, default=None)}


def pool_perception(parts: Sequence[Perception]) -> Perception:
    """Add the tallies of several streams."""
    return pool(parts, Perception())


def perceive(log: Log, *, on_time_s: float | None = None) -> Perception:
    """Measure one stream. `on_time_s` is how late a frame may be ready; by default one frame period."""
    utterances = [[(token, newest) for token, newest in words] for words in _utterances(log)]
    slopes = [_sums(words, log) for words in utterances]
    kept = [sums for sums in slopes if sums is not None]
    during, on_time = _ingest(log, log.frame_period_w if on_time_s is None else on_time_s)
    stall_s, gaps_s = _stall(utterances)
    return Perception(
        sights=tuple(sight for words in utterances for sight in _sights(words, log)),
        blind_tokens=sum(token.vis == -1 for words in utterances for token, _ in words),
        lag_sxy=sum(sums[0] for sums in kept),
        excess_sxy=sum(sums[1] for sums in kept),
        sxx=sum(sums[2] for sums in kept),
        short_utterances=len(slopes) - len(kept),
        frames_during_speech=during,
        frames_on_time=on_time,
        stall_s=stall_s,
        gaps_with_frame_s=gaps_s,
        frames=len(log.frames),
        drops=len(log.drops),
        frames_in_step=_frames_in_step(log),
    )


Words = list[tuple[TokRow, int]]
"""The tokens of one utterance, each with the newest frame that had arrived."""


def _utterances(log: Log) -> list[Words]:
    newest = -1
    words: dict[str, Words] = {}
    for row in log.rows:
        if isinstance(row, FrameRow):
            newest = row.i
        elif isinstance(row, TokRow):
            words.setdefault(row.a, []).append((row, newest))
    return list(words.values())


def _sights(words: Words, log: Log) -> Iterator[Sight]:
    start_w = words[0][0].w
    for n, (token, newest) in enumerate(words):
        if token.vis >= 0:
            seen_w = log.frames[token.vis].w
            yield Sight(
                since_start_s=token.w - start_w,
                lag_s=token.w - seen_w,
                excess_s=log.frames[newest].w - seen_w,
                is_first=n == 0,
            )


def _sums(words: Words, log: Log) -> tuple[float, float, float] | None:
    """(lag Sxy, excess Sxy, Sxx) of one utterance; None if it is too short to have a slope."""
    duration_s = words[-1][0].w - words[0][0].w
    if len(words) < 3 or duration_s < 2 * log.frame_period_w - 1e-9:
        return None
    sights = list(_sights(words, log))
    if not sights:
        return 0.0, 0.0, 0.0
    centre = sum(sight.since_start_s for sight in sights) / len(sights)
    offsets = [sight.since_start_s - centre for sight in sights]
    return (
        sum(x * sight.lag_s for x, sight in zip(offsets, sights, strict=True)),
        sum(x * sight.excess_s for x, sight in zip(offsets, sights, strict=True)),
        sum(x * x for x in offsets),
    )


def _ingest(log: Log, on_time_s: float) -> tuple[int, int]:
    """(frames that arrived between the first and last token of some utterance, those of them ready in time)."""
    spans = [(speech.tokens[0].w, speech.tokens[-1].w) for speech in log.speech]
    during = [frame for frame in log.frames if any(start <= frame.w <= end for start, end in spans)]
    on_time = sum(frame.i in log.ready_w and log.ready_w[frame.i] - frame.w <= on_time_s + 1e-9 for frame in during)
    return len(during), on_time


def _stall(utterances: Sequence[Words]) -> tuple[float, float]:
    """(time lost in token gaps in which a frame arrived, all time in such gaps), in seconds."""
    with_frame: list[float] = []
    without: list[float] = []
    for words in utterances:
        for (before, newest_before), (after, newest_after) in pairwise(words):
            (with_frame if newest_after > newest_before else without).append(after.w - before.w)
    usual_s = median(without or with_frame)
    if usual_s is None:
        return 0.0, 0.0
    return sum(max(0.0, gap - usual_s) for gap in with_frame), sum(with_frame)


def _frames_in_step(log: Log) -> int:
    """Frames that a decision or a token had seen before the next one came (the last: within one frame period)."""
    newest: FrameRow | None = None
    in_step: set[int] = set()
    for row in log.rows:
        if isinstance(row, FrameRow):
            newest = row
        elif isinstance(row, DecideRow | TokRow) and newest is not None and row.vis == newest.i:
            is_last = newest.i == len(log.frames) - 1
            if not is_last or row.w < newest.w + log.frame_period_w:
                in_step.add(newest.i)
    return len(in_step)


def endurance(log: Log) -> dict[str, Slope | None]:
    """Drift per hour of what must stay constant in a long run: a clean run has `holds_zero` for each.

    Memory in bytes, milliseconds from arrival to ready, position index, seconds per token. None: fewer than 10 samples.
    """
    hours = [row.w / 3600 for row in log.samples]
    ready = [
        (frame.w / 3600, 1000 * (log.ready_w[frame.i] - frame.w)) for frame in log.frames if frame.i in log.ready_w
    ]
    gaps = [(after.w / 3600, after.w - before.w) for speech in log.speech for before, after in pairwise(speech.tokens)]
    return {
        "rss_bytes": theil_sen(hours, [row.rss for row in log.samples]),
        "vram_bytes": theil_sen(hours, [row.vram for row in log.samples]),
        "position": theil_sen(hours, [float(row.pos) for row in log.samples]),
        "ms_per_frame": theil_sen([x for x, _ in ready], [y for _, y in ready]),
        "token_gap_s": theil_sen([x for x, _ in gaps], [y for _, y in gaps]),
    }
