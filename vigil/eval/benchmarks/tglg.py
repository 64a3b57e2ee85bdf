"""Running commentary against a reference: who said what when, after TGLG (yukw777/tglg).

Utterances are assigned one to one by their starts, then swapped where that brings like to like, and pairs more than 5 s
apart are dropped. The score is F1 of the matches times how well they agree in content and in time. Where theirs has no
value or crashes (no match, an empty list) ours is 0 or follows the rules of F1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from vigil.eval.matching import assign
from vigil.eval.stats import f_score
from vigil.eval.text import normalise

NEAR_S = 5.0
"""Matches further apart are none."""
SPREAD_S = 3.0
"""Of the closeness by which utterances are assigned."""
WORDS_PER_S = 2.5
"""How long an utterance without an end takes."""
PASSES = 5
_SCALE = 10**9
Similar = Callable[[str, str], float]
"""Cosine of two texts, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Something said, or to be said."""

    start_s: float
    text: str
    end_s: float | None = None

    @property
    def stop_s(self) -> float:
        """Its end; without one, by the number of its words."""
        return self.start_s + len(self.text.split()) / WORDS_PER_S if self.end_s is None else self.end_s


def word_f1(a: str, b: str) -> float:
    """F1 of the words of two texts, 0 to 1: the similarity where there are no embeddings."""
    words_a, words_b = Counter(normalise(a).split()), Counter(normalise(b).split())
    return f_score((words_a & words_b).total(), words_a.total(), words_b.total())


def match_utterances(
    said: Sequence[Utterance], due: Sequence[Utterance], *, similar: Similar = word_f1
) -> list[tuple[int, int]]:
    """Pairs (index said, index due), in order of what was said."""
    if not said or not due:
        return []
    is_flipped = len(said) > len(due)
    rows, columns = (due, said) if is_flipped else (said, due)
    worth = [[round(_SCALE * math.exp(-abs(a.start_s - b.start_s) / SPREAD_S)) for b in columns] for a in rows]
    pairs = [(column, row) if is_flipped else (row, column) for row, column in enumerate(assign(worth))]
    pairs = _swapped(sorted(pairs), said, due, similar)
    return [(i, j) for i, j in pairs if abs(said[i].start_s - due[j].start_s) <= NEAR_S]


def _swapped(
    pairs: list[tuple[int, int]], said: Sequence[Utterance], due: Sequence[Utterance], similar: Similar
) -> list[tuple[int, int]]:
    """Exchange partners while that raises the summed similarity and keeps both pairs near."""
    known: dict[tuple[int, int], float] = {}

    def alike(i: int, j: int) -> float:
        if (i, j) not in known:
            known[i, j] = similar(said[i].text, due[j].text)
        return known[i, j]

    def near(i: int, j: int) -> bool:
        return abs(said[i].start_s - due[j].start_s) <= NEAR_S

    for _ in range(PASSES):
        is_changed = False
        for a in range(len(pairs)):
            for b in range(a + 1, len(pairs)):
                (i, j), (k, m) = pairs[a], pairs[b]
                if near(i, m) and near(k, j) and alike(i, m) + alike(k, j) > alike(i, j) + alike(k, m) + 1e-12:
                    pairs[a], pairs[b] = (i, m), (k, j)
                    is_changed = True
        if not is_changed:
            break
    return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Sums over the matches of one video or of many: add them field by field, then read the properties."""

    said: float = 0.0
    due: float = 0.0
    matches: float = 0.0
    accuracy: float = 0.0
    start: float = 0.0
    stop: float = 0.0
    overlap: float = 0.0
    self_overlap: float = 0.0
    """Over everything that was said, matched or not: exp(-seconds of it that something else is said in)."""

    def sums(self) -> dict[str, float]:
        """The fields, to be added over videos."""
        return asdict(self)

    @property
    def f1(self) -> float:
        """1 where nothing was due and nothing said."""
        return 1.0 if not self.said and not self.due else f_score(self.matches, self.said, self.due)

    @property
    def timing(self) -> float:
        """0.4 start + 0.4 stop + 0.2 overlap, means over matches."""
        return (0.4 * self.start + 0.4 * self.stop + 0.2 * self.overlap) / self.matches if self.matches else 0.0

    @property
    def content(self) -> float:
        """Mean of (cos + 1) / 2 over matches. Unrelated texts still have about 0.5."""
        return self.accuracy / self.matches if self.matches else 0.0

    @property
    def final(self) -> float:
        """F1 * (content + timing) / 2."""
        return self.f1 * (0.5 * self.content + 0.5 * self.timing) if self.matches else float(self.f1 == 1.0)


def score_matching(
    pairs: Sequence[tuple[int, int]],
    said: Sequence[Utterance],
    due: Sequence[Utterance],
    *,
    similar: Similar = word_f1,
) -> Matching:
    """What the matches of one video come to. `similar` is a cosine; the F1 of words is one from 0 to 1."""
    matched = [i for i, _ in pairs]
    return Matching(
        said=float(len(said)),
        due=float(len(due)),
        matches=float(len(pairs)),
        accuracy=sum((similar(said[i].text, due[j].text) + 1) / 2 for i, j in pairs),
        start=sum(math.exp(-abs(said[i].start_s - due[j].start_s)) for i, j in pairs),
        stop=sum(math.exp(-abs(said[i].stop_s - due[j].stop_s)) for i, j in pairs),
        overlap=sum(math.exp(-_overlap_s(i, matched, said)) for i in matched),
        self_overlap=sum(math.exp(-_overlap_s(i, range(len(said)), said)) for i in range(len(said))),
    )


def _overlap_s(i: int, others: Sequence[int], said: Sequence[Utterance]) -> float:
    """Seconds that an utterance shares with others."""
    return sum(
        max(0.0, min(said[i].stop_s, said[k].stop_s) - max(said[i].start_s, said[k].start_s)) for k in others if k != i
    )
