"""RTV-Bench as a revision benchmark: one question, several moments, another answer at each.

Official, as published: each question is a call on the clip up to its moment; the last question of a group counts only
if the basic ones are right. Strict: see `rtv_revision`; options are shuffled, since in the file they stand in the order
in which they become true. PCA is the share of pairs with different truths that are right at both moments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

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
    polled,
    share,
)
from vigil.eval.benchmarks.data import load_json, slug
from vigil.eval.benchmarks.parse import spoken_letter
from vigil.eval.benchmarks.rtv_items import Probe, asked, probe_of, question_groups, revision_groups
from vigil.eval.benchmarks.rtv_revision import strict_case
from vigil.eval.benchmarks.rules import constant, drawn, fitted_majority
from vigil.eval.stats import harmonic_mean

Of = Callable[[Sums], "float | None"]
_GROUP = re.compile(r"^q-group-([a-z0-9]+)-([012])(?:-[^-]+)*$", re.IGNORECASE)


def read_cases(folder: Path) -> list[Case]:
    """Official cases are groups of the file; strict ones are questions that are put at two moments or more."""
    probes = [probe_of(row, where) for where, row in load_json(folder, "QA.json")]
    return official_cases(probes) + [strict_case(group) for group in revision_groups(probes)]


def official_cases(probes: Sequence[Probe]) -> list[Case]:
    """One case per group of the file; a question whose id names no group is a group of its own."""
    places = {probe.id: k for group in question_groups(probes) for k, probe in enumerate(group)}
    common = fitted_majority(
        probes, videos=[p.video for p in probes], answers=[p.answer for p in probes], tasks=[""] * len(probes)
    )
    groups: dict[str, list[tuple[Probe, str]]] = {}
    for probe, letter in zip(probes, common, strict=True):
        found = _GROUP.match(probe.id.strip())
        groups.setdefault(found[1] if found else f"none {probe.id}", []).append((probe, letter))
    return [_official_case(name, rows, places) for name, rows in groups.items()]


def _official_case(name: str, rows: Sequence[tuple[Probe, str]], places: Mapping[str, int]) -> Case:
    group = [probe for probe, _ in rows]
    replies = {
        "kth_letter": [list(p.options)[min(places[p.id], len(p.options) - 1)] for p in group],
        "majority_letter": [letter for _, letter in rows],
        "letter_a": ["A"] * len(group),
        "uniform_guess": [drawn(list(p.options.values()), f"{p.id}:guess") for p in group],
    }
    return Case(
        id=slug(name),
        task=group[0].task,
        video=group[0].video,
        scorer="official",
        play=partial(_play_official, group),
        oracle=_by_stream([probe.answer for probe in group]),
        blind={rule: _by_stream(said) for rule, said in replies.items()},
    )


def _by_stream(replies: Sequence[str]) -> Rule:
    return lambda stream: constant(replies[int(stream.id.removeprefix("question-"))])(stream)


def _play_official(group: Sequence[Probe]) -> Play:
    replies: list[str] = []
    right: list[bool] = []
    states: list[State] = []
    for n, probe in enumerate(group):
        prompt = asked(probe.question, probe.options)
        log = yield polled(f"question-{n:03d}", prompt, at_s=probe.at_s, scorer="official")
        reading = first_answer(log, scorer="official")
        replies.append(reading.text)
        states.append(reading.state)
        right.append(spoken_letter(reading.text, list(probe.options)) == probe.answer)
    sums = {"items": float(len(group)), "right": float(sum(right))}
    kinds = [found[2] if (found := _GROUP.match(probe.id.strip())) else "" for probe in group]
    is_basic_right = all(ok for ok, kind in zip(right, kinds, strict=True) if kind in ("0", "1"))
    sums["q2"] = float(kinds.count("2"))
    sums["q2_credited"] = float(
        sum(ok and is_basic_right for ok, kind in zip(right, kinds, strict=True) if kind == "2")
    )
    return Mark(sums=sums, replies=tuple(replies), states=tuple(states))


def scores(cases: Sequence[Case]) -> list[Score]:
    """Official accuracy and score; strict pairs of answers, asked anew and standing."""
    pca, stab = share("reask:changed:both", "reask:changed"), share("twin:both", "probes")
    official: dict[str, tuple[str, Of]] = {
        "accuracy": ("share right of all questions", share("right", "items")),
        "score": ("right last questions of groups whose basic ones are right", share("q2_credited", "q2")),
    }
    strict: dict[str, tuple[str, Of]] = {
        "revision": ("harmonic mean of PCA and STAB", lambda sums: harmonic_mean(pca(sums), stab(sums))),
        "PCA": ("pairs with different truths right at both, asked anew", pca),
        "STAB": ("probes right under two orders of the options", stab),
        "stuck": ("pairs with different truths and one answer", share("reask:stuck", "reask:changed")),
        "PCA standing": ("the same pairs, asked once", share("standing:changed:both", "standing:changed")),
        "per probe": ("probes right, asked anew", share("reask:right", "probes")),
        "per probe standing": ("probes right, asked once", share("standing:right", "probes")),
        "gain": ("PCA beyond two independent answers", _gain),
        "STAB later": ("probes right now and 0.5 s later, truth assumed the same", share("later:both", "probes")),
        "STAB natural": ("pairs with one truth right at both", share("reask:held:both", "reask:held")),
    }
    both: dict[Scorer, dict[str, tuple[str, Of]]] = {"official": official, "strict": strict}
    return [
        Score(
            name=name,
            scorer=scorer,
            definition=definition,
            of=of,
            is_shown=name not in _HIDDEN,
            is_better_low=name == "stuck",
        )
        for scorer, named in both.items()
        for name, (definition, of) in named.items()
    ]


_HIDDEN = ("per probe standing", "gain", "STAB later", "STAB natural")


def _gain(sums: Sums) -> float | None:
    pairs = sums.get("reask:changed", 0.0)
    if not pairs:
        return None
    both, first, second = (sums.get(f"reask:{key}", 0.0) / pairs for key in ("changed:both", "first", "second"))
    return 100 * (both - first * second) / (1 - first * second) if first * second < 1 else None


BENCHMARK = Benchmark(
    name="rtv",
    title="RTV-Bench",
    download=Download(
        source="https://github.com/LJungang/RTV-Bench (annotations); videos as its README says",
        revision="a928cbe82b11",
        files=(AnnotationFile(path="QA.json", sha256="cf7b3ee4872a6052"),),
        videos="552 videos as named by video in the annotations, below DIR or DIR/videos",
        size="4,608 questions; the size of the videos is stated where they are downloaded",
        licence="none stated: no right to redistribute",
    ),
    read=read_cases,
    scores=scores,
    published=(),
    notes=(
        "No revision score is published; compare with recent_4 and never_revise (PCA 0).",
        "In the file the options stand in the order in which they become true: k-th letter scores 46.9 PCA unshuffled.",
    ),
)
