"""Tallies and scores of when something was said, the same for every benchmark that has times."""

from __future__ import annotations

from collections.abc import Sequence

from vigil.eval.benchmarks.base import Score, Scorer, Sums, share
from vigil.eval.log import Log
from vigil.eval.revision import DELAYS_S, area_over_log_delay, rev_f1, revise
from vigil.eval.silence import judge_silence, speak_f1
from vigil.eval.truth import Happening, Question, Truth, Value


def one_event(
    ask_s: float, text: str, *, s: float, v: str, e: float | None = None, accept: Sequence[str] = ()
) -> Truth:
    """The truth of a stream with one question and one thing to say, from `s` to `e` (s)."""
    return Truth(
        questions=(Question(q="q1", t_ask=ask_s, kind="event", text=text),),
        events=(Happening(q="q1", s=s, e=s if e is None else e, v=v, accept=tuple(accept)),),
    )


def steps(
    ask_s: float, text: str, spans: Sequence[tuple[float, float, str]], *, alias: dict[str, tuple[str, ...]]
) -> Truth:
    """The truth of a stream with one question whose answer is a value over each span (s)."""
    values = tuple(
        Value(q="q1", start_s=start_s, end_s=end_s, v=v, alias=alias.get(v, ())) for start_s, end_s, v in spans
    )
    return Truth(questions=(Question(q="q1", t_ask=ask_s, kind="state", text=text),), values=values)


def event_sums(log: Log, truth: Truth, *, early_s: float, delays_s: Sequence[float], prefix: str) -> dict[str, float]:
    """Tallies of speech against events, per late tolerance."""
    sums: dict[str, float] = {}
    for late_s in delays_s:
        found = judge_silence(log, truth, late_s=late_s, early_s=early_s)
        sums[f"{prefix}:matches@{late_s:g}"] = found.matches
        sums[f"{prefix}:content@{late_s:g}"] = found.right_matches
        sums[f"{prefix}:said"] = found.speech
        sums[f"{prefix}:events"] = found.events
        sums[f"{prefix}:false"] = found.false_speech
        sums[f"{prefix}:quiet_s"] = found.quiet_s
        sums[f"{prefix}:duplicate"] = found.unmatched["duplicate"]
        sums[f"{prefix}:premature"] = found.unmatched["premature"] + found.unmatched["false"]
    return sums


def timing_scores(prefix: str, *, delays_s: Sequence[float], scorer: Scorer, early_s: float) -> list[Score]:
    """F1 with and without content per tolerance, recall, and how often it spoke while it should have waited."""
    scores: list[Score] = []
    for late_s in delays_s:
        window = f"[-{early_s:g}, {late_s:g}] s"
        for name, key in (("F1", "matches"), ("F1c", "content")):
            content = ", with the right content" if key == "content" else ""
            scores.append(
                Score(
                    name=f"{prefix} {name}@{late_s:g}",
                    scorer=scorer,
                    definition=f"F1 of speech against events in {window}{content}, pooled",
                    of=lambda sums, key=key, late_s=late_s: _f1(sums, prefix, f"{key}@{late_s:g}"),  # type: ignore[misc]
                    is_shown=late_s == delays_s[0],
                )
            )
        scores.append(
            Score(
                name=f"{prefix} recall@{late_s:g}",
                scorer=scorer,
                definition=f"share of events with speech in {window}",
                of=share(f"{prefix}:matches@{late_s:g}", f"{prefix}:events"),
                is_shown=False,
            )
        )
    quiet = Score(
        name=f"{prefix} false/min",
        scorer=scorer,
        definition="speech per minute of waiting, from the question to its first event",
        of=lambda sums: (
            60 * sums.get(f"{prefix}:false", 0.0) / sums[f"{prefix}:quiet_s"] if sums.get(f"{prefix}:quiet_s") else None
        ),
        is_better_low=True,
    )
    return [*scores, quiet]


def _f1(sums: Sums, prefix: str, key: str) -> float | None:
    f1 = speak_f1(sums.get(f"{prefix}:{key}", 0), sums.get(f"{prefix}:said", 0), sums.get(f"{prefix}:events", 0))
    return None if f1 is None else 100 * f1


def revision_sums(log: Log, truth: Truth, *, prefix: str) -> dict[str, float]:
    """Tallies of the answer that stands at each moment against the truth."""
    found = revise(log, truth)
    sums = {
        f"{prefix}:correct_s": found.correct_s,
        f"{prefix}:window_s": found.window_s,
        f"{prefix}:changes": found.changes,
        f"{prefix}:moves": found.transitions,
    }
    return sums | {f"{prefix}:credited@{delay:g}": found.credited[delay] for delay in DELAYS_S}


def revision_scores(prefix: str, *, scorer: Scorer) -> list[Score]:
    """Time-weighted accuracy, and F1 of revisions over ln delay."""

    def auc(sums: Sums) -> float | None:
        changes, moves = sums.get(f"{prefix}:changes", 0), sums.get(f"{prefix}:moves", 0)
        area = area_over_log_delay([rev_f1(sums.get(f"{prefix}:credited@{d:g}", 0), changes, moves) for d in DELAYS_S])
        return None if area is None else 100 * area

    return [
        Score(
            name=f"{prefix} TWA",
            scorer=scorer,
            definition="share of the time in which the standing answer is right, pooled",
            of=share(f"{prefix}:correct_s", f"{prefix}:window_s"),
        ),
        Score(
            name=f"{prefix} RevF1-AUC",
            scorer=scorer,
            definition="F1 of revisions, averaged over ln D from 1 to 10 s, pooled",
            of=auc,
        ),
    ]
