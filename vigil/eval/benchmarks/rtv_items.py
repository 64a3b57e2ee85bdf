"""RTV-Bench, its questions: how they are read, grouped, shuffled and put."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from vigil.errors import DataError
from vigil.eval.benchmarks.data import field, number
from vigil.eval.benchmarks.parse import bare

SEED = 0
"""Of the shuffled options."""
INSTRUCTION = "Answer with the letter of the right option and nothing else."


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One question of the file."""

    id: str
    video: str
    at_s: float
    task: str
    question: str
    options: Mapping[str, str]
    """Letter -> text."""
    answer: str

    @property
    def truth(self) -> str:
        """The text of the right option. Raises: DataError."""
        if self.answer not in self.options:
            raise DataError(f"{self.id} has the answer {self.answer!r}, which is none of its options.")
        return self.options[self.answer]


def probe_of(row: object, where: str) -> Probe:
    """One record. Raises: DataError."""
    options = {str(k).upper(): str(v) for k, v in field(row, "options", dict, where=where).items()}
    if not options:
        raise DataError(f"{where} has no 'options', of which one must be right.")
    return Probe(
        id=field(row, "questionID", str, where=where),
        video=field(row, "video", str, where=where),
        at_s=number(row, "end_time", where=where),
        task=field(row, "type", str, where=where),
        question=field(row, "question", str, where=where),
        options=dict(sorted(options.items())),
        answer=field(row, "answer", str, where=where).strip()[:1].upper(),
    )


def same_question(text: str) -> str:
    """A question as a key: lower case, single spaces."""
    return " ".join(text.lower().split())


def question_groups(probes: Sequence[Probe]) -> list[list[Probe]]:
    """Probes of one video with the same question, each in order of time."""
    groups: dict[tuple[str, str], list[Probe]] = {}
    for probe in probes:
        groups.setdefault((probe.video, same_question(probe.question)), []).append(probe)
    return [sorted(group, key=lambda probe: probe.at_s) for group in groups.values()]


def revision_groups(probes: Sequence[Probe]) -> list[list[Probe]]:
    """Those with at least two moments and one set of options."""
    return [
        group
        for group in question_groups(probes)
        if len({probe.at_s for probe in group}) > 1
        and len({frozenset(map(same_question, probe.options.values())) for probe in group}) == 1
    ]


def asked(question: str, options: Mapping[str, str]) -> str:
    """The prompt of a choice."""
    listed = "\n".join(f"{letter}. {bare(text)}" for letter, text in options.items())
    return f"{question}\n{listed}\n{INSTRUCTION}"


def shuffled(options: Mapping[str, str], key: str) -> dict[str, str]:
    """The same options under other letters; the order depends on the seed and `key` alone."""
    values = list(options.values())
    random.Random(int.from_bytes(sha256(f"{SEED}:{key}".encode()).digest()[:8], "big")).shuffle(values)
    return dict(zip(options, values, strict=True))


def letter_of(options: Mapping[str, str], text: str) -> str:
    """The letter under which a text stands."""
    return next(letter for letter, other in options.items() if same_question(other) == same_question(text))
