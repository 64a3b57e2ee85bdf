"""Questions after the whole video: greedy answers, many questions at one encoding of the video.

The text is laid out as in training, which is what a session does with the same question (law 8), and one full pass
gives the logits of a stream (law 1), so these are the answers that `vigil ask` gives, only sooner.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vigil.data.layout import Layout
from vigil.data.records import Record, Turn
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.errors import ConfigError, TokenizerError
from vigil.eval.behaviour import Estimate, pooled_share
from vigil.eval.text import normalise
from vigil.model.loss import IGNORE
from vigil.model.model import VideoModel
from vigil.model.vision import preprocess
from vigil.world.captions import describe
from vigil.world.chance import Split
from vigil.world.render import render
from vigil.world.scene import Scene, WorldConfig, sample_scene

FOLDS = 5
MAX_TOKENS = 40
"""An answer that is longer is cut; the longest true one of the world has 29 tokens."""
RECORDS_PER_VIDEO = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineConfig:
    """Which questions are asked."""

    split: Split = "test"
    num_questions: int = 5000
    seed: int = 0
    """Number of the first scene."""
    duration_s: float = 60.0
    fps: float = 1.0
    world: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        if self.num_questions < 1:
            raise ConfigError(f"num_questions must be at least 1, got {self.num_questions}.")


def questions(config: OfflineConfig) -> Iterator[tuple[Scene, list[Record]]]:
    """Scenes, each with its questions: records of one turn, all different. Whole scenes, so a few more may come."""
    world = replace(config.world, fps=config.fps, duration_s=(config.duration_s, config.duration_s))
    synth = SynthConfig(fps=config.fps, offline_share=1.0, records_per_video=RECORDS_PER_VIDEO)
    number, found = config.seed, 0
    while found < config.num_questions:
        scene = sample_scene(config.split, number, config=world)
        asked: dict[str, Record] = {}
        for record in synthesize(describe(scene), rng=random.Random(number), config=synth):
            for turn in record.turns:
                if turn.question and turn.replies:
                    asked.setdefault(turn.question, replace(record, turns=(turn,)))
        found += len(asked)
        number += 1
        yield scene, list(asked.values())


@torch.inference_mode()
def answers(model: VideoModel, frames_FHWC: NDArray[np.uint8], records: Sequence[Record]) -> list[str]:
    """What the model answers, greedily, to the one question of each record about the same video.

    Raises:
        TokenizerError: the model has no tokenizer.
    """
    tokenizer, config = model.tokenizer, model.config
    if tokenizer is None:
        raise TokenizerError("this model has no tokenizer, so it cannot be asked anything. Load a folder that has one.")
    layout = Layout(tokenizer, image_token_id=config.image_token_id)
    times_s = [index / records[0].fps for index in range(len(frames_FHWC))]
    samples = [layout.lay_out(record, times_s) for record in records]
    rows = [sample.ids[: next(i for i, label in enumerate(sample.labels) if label != IGNORE)] for sample in samples]
    positions = torch.tensor([sample.frame_positions for sample in samples], device=model.device)
    pixels = torch.stack([preprocess(frame_HWC, config.vision) for frame_HWC in frames_FHWC]).to(model.device)
    features_VFPD = model.encode_frames(pixels[None])[0]
    video_index = torch.zeros(len(rows), dtype=torch.long, device=model.device)
    said: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    for _ in range(MAX_TOKENS):
        if not live:
            break
        texts = [rows[row] + said[row] for row in live]
        length = max(map(len, texts))
        ids_BT = torch.tensor([text + [0] * (length - len(text)) for text in texts], device=model.device)
        kept = torch.tensor(live, device=model.device)
        logits_BTV = model(ids_BT, None, positions[kept], features=features_VFPD, video_index=video_index[kept]).logits
        ends = [len(text) - 1 for text in texts]
        chosen = logits_BTV[range(len(live)), ends].argmax(-1).tolist()
        for row, token in zip(list(live), chosen, strict=True):
            if token in tokenizer.control_ids or token == config.image_token_id:
                live.remove(row)
            else:
                said[row].append(token)
    return [tokenizer.decode(tokens) for tokens in said]


def is_right(said: str, turn: Turn) -> bool:
    """Whether a text is one that the turn accepts."""
    reply = turn.replies[-1]
    return normalise(said) in {normalise(text) for text in (reply.text, *reply.accept)}


def offline_accuracy(
    before: VideoModel,
    after: VideoModel,
    *,
    config: OfflineConfig,
    on_scene: Callable[[int], None] | None = None,
) -> dict[str, Estimate]:
    """Offline accuracy of two checkpoints on the same questions, resampled by video, and the paired loss.

    `offline_accuracy_blind` gives each kind of question its most common answer, fitted on the other four fifths of the
    videos; `offline_loss` is before minus after. `on_scene` hears how many questions each finished scene had.
    """
    asked = list(questions(config))
    tables: dict[str, list[tuple[float, float]]] = {f"offline_accuracy_{name}": [] for name in ("before", "after")}
    for scene, records in asked:
        frames_FHWC = render(scene)
        for model, rows in zip((before, after), tables.values(), strict=True):
            said = answers(model, frames_FHWC, records)
            right = sum(is_right(text, record.turns[0]) for text, record in zip(said, records, strict=True))
            rows.append((right, len(records)))
        if on_scene is not None:
            on_scene(len(records))
    tables["offline_accuracy_blind"] = [(_guessed(asked, number), len(r)) for number, (_, r) in enumerate(asked)]
    paired = zip(*(tables[f"offline_accuracy_{name}"] for name in ("before", "after")), strict=True)
    tables["offline_loss"] = [(first - second, num) for (first, num), (second, _) in paired]
    return {name: pooled_share(rows, seed=config.seed) for name, rows in tables.items()}


def _guessed(asked: Sequence[tuple[Scene, list[Record]]], number: int) -> int:
    """How many questions about a video are answered right by the most common answer to their kind."""
    common: dict[str, Counter[str]] = {}
    for other, (_, records) in enumerate(asked):
        if other % FOLDS != number % FOLDS:
            for record in records:
                common.setdefault(record.turns[0].kind, Counter())[record.turns[0].replies[-1].text] += 1
    turns = [record.turns[0] for record in asked[number][1]]
    return sum(turn.kind in common and is_right(common[turn.kind].most_common(1)[0][0], turn) for turn in turns)
