"""The controls that run the measured model itself: without any frame, or offline on the newest few of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vigil.data.records import Record
from vigil.eval.behaviour import Estimate, pooled_share
from vigil.eval.controls import OF_THE_MODEL
from vigil.eval.door import Ask, System, VirtualClock, play
from vigil.eval.l5.controls import no_pixels
from vigil.eval.log import Log
from vigil.eval.offline import OfflineConfig, answers, is_right, questions
from vigil.eval.recent import Offline, recent_n
from vigil.eval.run import BehaviourConfig
from vigil.eval.session_door import ModelSystem
from vigil.model.model import VideoModel
from vigil.stream.watch import answer
from vigil.world.render import render

POLL_HZ = 0.5
"""How often recent-N is polled in the table of `vigil eval behaviour`."""
NEWEST = dict(zip(OF_THE_MODEL, (0, 4, 16), strict=True))
"""How many of the newest frames each control sees of a video that is over."""


def model_systems(model: VideoModel, *, fps: float) -> dict[str, System]:
    """Control -> system, in the order of `OF_THE_MODEL`."""
    offline = Offline(model, fps=fps)
    recent = [recent_n(offline, n, poll_hz=POLL_HZ) for n in (NEWEST["recent_4"], NEWEST["recent_16"])]
    return dict(zip(OF_THE_MODEL, (no_pixels(ModelSystem(model)), *recent), strict=True))


def watch_controls(
    systems: dict[str, System], record: Record, frames_FHWC: NDArray[np.uint8], *, end_s: float, config: BehaviourConfig
) -> dict[str, Log]:
    """What each says about one video, with the questions, the clock and the pace of the measured run."""
    clock = VirtualClock(mode="free", fps=config.fps, token_s=1 / config.tokens_per_s)
    asks = [Ask(t=turn.ask_s, text=turn.question, standing=turn.standing) for turn in record.turns if turn.question]
    return {
        name: play(system, frames_FHWC, asks, clock=clock, end_s=end_s, seed=config.seed)
        for name, system in systems.items()
    }


def offline_controls(model: VideoModel, *, config: OfflineConfig) -> dict[str, Estimate]:
    """Offline accuracy of the model when it sees none, 4 or 16 of the newest frames of each video."""
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in NEWEST}
    for scene, records in questions(config):
        frames_FHWC = render(scene)
        for name, newest in NEWEST.items():
            said = answers(model, frames_FHWC[-newest:], records) if newest else _unseen(model, records)
            right = sum(is_right(text, record.turns[0]) for text, record in zip(said, records, strict=True))
            rows[name].append((right, len(records)))
    return {name: pooled_share(found, seed=config.seed) for name, found in rows.items()}


def _unseen(model: VideoModel, records: Sequence[Record]) -> list[str]:
    return [answer(model, [], record.turns[0].question) for record in records]
