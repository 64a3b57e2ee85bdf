"""The parts of a run, by the name that `--parts` takes, in their order."""

from __future__ import annotations

from collections.abc import Callable

from vigil.eval.speed import decode, gaps, live, memory, offline, question, video
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.figures import Part

PARTS: dict[str, Callable[[Bench], Part]] = {
    "memory": memory.memory,
    "question": question.question,
    "decode": decode.decode,
    "matched": offline.matched,
    "gaps": gaps.gaps,
    "live": live.live,
    "paper": offline.paper,
    "video": video.video,
}
