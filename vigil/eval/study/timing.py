"""Speed and memory on this machine, and what becomes of them in long streams.

Times are those that one thread of the processor spent, which is what a clock on the wall shows on a machine that does
nothing else.

Axes: F frames, H height, W width, C image channels.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vigil.config import StreamConfig
from vigil.data.answers import count
from vigil.data.records import Record, Turn
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask
from vigil.eval.study.arms import Design
from vigil.eval.study.designs import Costs, watch
from vigil.eval.study.measures import of_streams
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.scoring import TOKENS_PER_S, Measured, driven, due
from vigil.eval.summary import Scored, score
from vigil.model.model import VideoModel
from vigil.model.tokens import ControlIds, Transcript
from vigil.stream.feed import feed
from vigil.stream.lanes import lanes_for
from vigil.stream.perceiver import Perceiver
from vigil.types import Frame
from vigil.world.captions import describe
from vigil.world.render import render
from vigil.world.scene import Scene, sample_scene

ASKED_BEFORE_END_S = 20.5
"""In a long stream the question comes so long before the end."""
QUESTION = "How many objects are there?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Time of one thread, decoding and preprocessing of frames inside (medians over `REPEATS`)."""

    first_token_offline_s: float
    """From a video and a question to the first token: all frames are encoded and read."""
    first_token_stream_s: float
    """From a question to the first token, where the frames were taken in as they came."""
    ms_per_token: float
    """Median gap between forced tokens while no frame arrives."""
    ms_per_frame: float
    """Taking in one frame and deciding to be silent, after half of the frames."""


REPEATS = 3


@torch.inference_mode()
def speed_of(model: VideoModel, scale: StudyScale) -> Speed:
    """Measure a model with `StudyScale.timed_frames` frames in memory."""
    world = replace(scale.world, duration_s=(float(scale.timed_frames),) * 2)
    frames_FHWC = render(sample_scene("test", 0, config=world))
    _once(model, frames_FHWC[:4], 4)
    runs = [_once(model, frames_FHWC, scale.forced_tokens) for _ in range(REPEATS)]
    return Speed(**{name: median(getattr(run, name) for run in runs) for name in Speed.__dataclass_fields__})


def _once(model: VideoModel, frames_FHWC: NDArray[np.uint8], forced: int) -> Speed:
    assert model.tokenizer is not None
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    num = len(frames_FHWC)
    config = StreamConfig(memory_frames=num)
    start = time.thread_time()
    ids = Transcript(model.tokenizer, control).offline(num, QUESTION)
    frames, text = lanes_for(model, config, text_tokens=model.num_entries(ids) + forced + 1)
    perceiver = Perceiver(model)
    for index, place in enumerate(i for i, token in enumerate(ids) if token == control.image):
        projected = perceiver.perceive(index, Frame(frames_FHWC[index], float(index))).projected
        frames.take(model.place_frames(projected, torch.tensor([place])), [place])
    token = int(feed(model, ids, start=0, text=text, frames=frames).argmax())
    offline_s = time.thread_time() - start
    gaps = []
    for number in range(forced):
        start = time.thread_time()
        feed(model, [token], start=len(ids) + number, text=text, frames=frames)
        gaps.append(time.thread_time() - start)
    stream_s, per_frame_s = _streamed(model, control, frames_FHWC, config)
    return Speed(
        first_token_offline_s=offline_s,
        first_token_stream_s=stream_s,
        ms_per_token=1000 * median(gaps),
        ms_per_frame=1000 * per_frame_s,
    )


def _streamed(
    model: VideoModel, control: ControlIds, frames_FHWC: NDArray[np.uint8], config: StreamConfig
) -> tuple[float, float]:
    """(seconds from a question to its first token, seconds per frame) in a silent stream."""
    assert model.tokenizer is not None
    transcript, perceiver = Transcript(model.tokenizer, control), Perceiver(model)
    opening = transcript.user("")
    room = model.num_entries([*opening, *[control.image] * len(frames_FHWC)]) + len(frames_FHWC) + 64
    frames, text = lanes_for(model, config, text_tokens=room)
    ids, position, spent = [*opening, *transcript.silence()], 0, []
    for index, image in enumerate(frames_FHWC):
        start = time.thread_time()
        ids += transcript.frame()
        projected = perceiver.perceive(index, Frame(image, float(index))).projected
        place = position + len(ids) - 1
        frames.take(model.place_frames(projected, torch.tensor([place])), [place])
        feed(model, ids, start=position, text=text, frames=frames)
        position, ids = position + len(ids), transcript.silence()
        spent.append(time.thread_time() - start)
    start = time.thread_time()
    feed(model, [*ids, *transcript.user(QUESTION)], start=position, text=text, frames=frames)
    return time.thread_time() - start, median(spent[len(spent) // 2 :])


def long_streams(found: Measured, design: Design) -> list[dict[str, Any]]:
    """Streams of each length with a question near their end: speed, memory, and whether the answer is right."""
    return [_of_length(found, design, length_s) for length_s in found.run.scale.lengths_s]


def _of_length(found: Measured, design: Design, length_s: float) -> dict[str, Any]:
    scale = found.run.scale
    streams: list[Scored] = []
    kept_bytes: list[int] = []
    spent_s = 0.0
    for number in range(scale.length_scenes):
        scene, record = _asked_late(scale, number, length_s)
        frames = render(scene)
        system = driven(found.run, found.model, design, costs=Costs())
        start = time.thread_time()
        log = watch(
            system,
            record,
            frames,
            tokens_per_s=TOKENS_PER_S,
            end_s=length_s,
            on_end=lambda session: kept_bytes.append(session.num_bytes),
        )
        spent_s += time.thread_time() - start
        streams.append(score(log, due(scene, record)))
    return {
        "length_s": length_s,
        "ms_per_frame": 1000 * spent_s / (length_s * scale.length_scenes),
        "bytes": max(kept_bytes),
        "twa": of_streams("twa_now", streams).value,
        "rev_f1": of_streams("rev_f1_5s", streams).value,
        "streams": scale.length_scenes,
    }


def _asked_late(scale: StudyScale, number: int, length_s: float) -> tuple[Scene, Record]:
    """A scene of that length, and a question about how many objects there are, shortly before its end."""
    while True:
        world = replace(scale.world, duration_s=(length_s, length_s))
        scene = sample_scene("test", 500_000 + 1000 * number, config=world)
        dense = describe(scene)
        ask_s = max(0.5, length_s - ASKED_BEFORE_END_S)
        turn = count(Timeline(dense, world.fps), Ask(newest=int(ask_s), time_s=ask_s), random.Random(number))
        if turn is not None:
            opening = Turn(ask_s=0.0, question="", kind="opening")
            return scene, Record(id=dense.id, video=dense.id, duration_s=length_s, turns=(opening, turn))
        number += 1


def timed(found: Measured, design: Design, *, with_lengths: bool) -> dict[str, Any]:
    """All of this of one run, kept beside it."""
    torch.set_num_threads(1)
    scale = found.run.scale
    name = f"speed-{scale.timed_frames}-{scale.forced_tokens}"
    result = {"speed": found.shelf.json(name, lambda: asdict(speed_of(found.model, scale)))}
    if with_lengths:
        name = "-".join(["lengths", design, str(scale.length_scenes), *(f"{length:g}" for length in scale.lengths_s)])
        result["lengths"] = found.shelf.json(name, lambda: long_streams(found, design))
    return result
