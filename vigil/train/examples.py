"""One example: pictures on the model's canvas, and the conversations about them, laid out.

A video comes with records (`vigil.data.records`), images and texts with messages:

    {"messages": [{"role": "user", "content": [{"image": "a.jpg"}, {"text": "What is it?"}]},
                  {"role": "assistant", "content": "A cat."}]}

Content is a text, or parts that are a text or an image each, in any order. What the assistant says is learnt.

Axes: F frames, I image side.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vigil.config import VisionConfig
from vigil.data.layout import Layout, Sample
from vigil.data.records import Record
from vigil.errors import DataError
from vigil.model.loss import IGNORE
from vigil.model.vision import preprocess
from vigil.train.stages import StageConfig
from vigil.types import Frame
from vigil.world.render import render
from vigil.world.scene import Scene, scene_from_id

Kind = Literal["text", "image", "video"]
KINDS: tuple[Kind, ...] = ("text", "image", "video")

VideoReader = Callable[[Path, float], Iterable[Frame]]
"""Frames of a video file at a rate (Hz), as a session would see them."""
ImageReader = Callable[[str], bytes]
"""Bytes of the image that a message names."""


@dataclass(frozen=True, slots=True)
class Example:
    """What is drawn at once: the conversations share the pictures."""

    name: str
    """Where it comes from, such as "train.jsonl line 3"."""
    frames: Tensor | None
    """[F, 3, I, I], normalised; None for a text."""
    samples: tuple[Sample, ...]


class Maker:
    """Makes examples for one stage and one model."""

    def __init__(
        self,
        stage: StageConfig,
        layout: Layout,
        vision: VisionConfig,
        *,
        image_token_id: int,
        read_video: VideoReader | None = None,
    ) -> None:
        self.stage = stage
        self._layout = layout
        self._vision = vision
        self._image = image_token_id
        self._read_video = read_video

    def from_records(
        self,
        name: str,
        records: Sequence[Record],
        video: Path | None,
        rng: random.Random,
        *,
        scene: Scene | None = None,
    ) -> Example:
        """Conversations about one video. All records have the same rate, and are all offline or all real-time.

        Args:
            video: the file, or None where `records` name a scene of the world or `scene` is given.

        Raises:
            DataError: the video has too few frames for the stage, or nothing is learnt from its records.
        """
        if video is None:
            scene = scene or scene_from_id(records[0].video)
            fps = scene.config.fps
            frames: Iterable[Frame] = (Frame(image, index / fps) for index, image in enumerate(render(scene)))
        elif self._read_video is None:
            raise DataError(f"{name} names the file {video.name}, but no reader of videos was given.")
        else:
            frames = self._read_video(video, rate(records[0], self.stage))
        canvases_FCII, times_s = self._watch(frames, whole=records[0].offline)
        fewest = self.stage.frames[0]
        if len(times_s) < fewest:
            raise DataError(f"{name} has {len(times_s)} frames; the stage {self.stage.name} wants {fewest} or more.")
        samples = tuple(self._lay_out(record, times_s, rng) for record in records)
        return self._example(name, canvases_FCII, samples)

    def from_messages(self, name: str, messages: Any, read_image: ImageReader) -> Example:
        """A conversation with images at any place, or none.

        Raises:
            DataError: the messages break their form, an image cannot be read, or nothing is learnt from them.
        """
        sample, images = Sample(), []
        transcript = self._layout.transcript()
        try:
            for message in messages:
                content, learn = message["content"], message["role"] == "assistant"
                start, end = _split(transcript.message(_role(message["role"]), ""))
                self._add(sample, start, learn=False)
                for part in [{"text": content}] if isinstance(content, str) else content:
                    if "image" in part:
                        images.append(self._canvas(read_image(part["image"]), f"{name}, image {part['image']!r},"))
                        self._add(sample, [self._image], learn=False)
                    else:
                        self._add(sample, list(self._layout.encode(part["text"])), learn=learn)
                self._add(sample, end, learn=learn)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{name} breaks the form of messages ({type(error).__name__}: {error}).") from error
        return self._example(name, images, (sample,))

    def _example(self, name: str, canvases: list[Tensor], samples: tuple[Sample, ...]) -> Example:
        if all(label == IGNORE for label in chain.from_iterable(sample.labels for sample in samples)):
            raise DataError(f"{name} holds nothing to learn: the assistant says nothing in it.")
        return Example(name, torch.stack(canvases) if canvases else None, samples)

    def _watch(self, frames: Iterable[Frame], *, whole: bool) -> tuple[list[Tensor], list[float]]:
        """Canvases and times. A long video is thinned out evenly for questions after it, and cut short otherwise.

        No more than twice the wanted number of frames is ever kept.
        """
        most, every = self.stage.frames[1], 1
        canvases: list[Tensor] = []
        times_s: list[float] = []
        for index, frame in enumerate(frames):
            if not whole and len(times_s) == most:
                break
            if index % every:
                continue
            canvases.append(preprocess(frame.image, self._vision))
            times_s.append(frame.time_s)
            if len(times_s) == 2 * most:
                canvases, times_s, every = canvases[::2], times_s[::2], 2 * every
        kept = evenly(len(times_s), most)
        return [canvases[i] for i in kept], [times_s[i] for i in kept]

    def _lay_out(self, record: Record, times_s: list[float], rng: random.Random) -> Sample:
        stage = self.stage
        seen_s = times_s[-1] + 1 / record.fps
        if not record.offline and seen_s < record.duration_s:
            heard = tuple(turn for turn in record.turns if turn.ask_s < seen_s)
            record = replace(record, duration_s=seen_s, turns=heard)
        sample = self._layout.lay_out(record, times_s, tokens_per_s=rng.uniform(*stage.tokens_per_s))
        if not record.offline and rng.random() < stage.jitter:
            sample = self._layout.jitter(sample, rng)
        return sample

    def _canvas(self, data: bytes, name: str) -> Tensor:
        try:
            with Image.open(io.BytesIO(data)) as image:
                rgb_HWC: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{name} cannot be decoded: {type(error).__name__}.") from error
        return preprocess(rgb_HWC, self._vision)

    def _add(self, sample: Sample, ids: list[int], *, learn: bool) -> None:
        for token in ids:
            if token == self._image:
                sample.frame_positions.append(len(sample.ids))
            sample.ids.append(token)
            sample.labels.append(token if learn else IGNORE)


def rate(record: Record, stage: StageConfig) -> float:
    """Frames per second at which a record's video is read: the record's own, unless it asks after the whole video."""
    return stage.fps if record.offline else record.fps


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` things, spread evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / max(1, most - 1)) for i in range(most)]


def _role(role: Any) -> str:
    if role not in ("system", "user", "assistant"):
        raise TypeError(f"role {role!r} is not system, user or assistant")
    return str(role)


def _split(message: list[int]) -> tuple[list[int], list[int]]:
    """An empty message as what stands before its content, and after."""
    return message[:-1], message[-1:]
