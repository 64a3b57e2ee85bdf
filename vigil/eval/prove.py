"""Causality of a model, tried: one scene goes on in two ways, and what came before must not change.

Two forms. Streaming: the event logs of two sessions, line by line. Whole sequences, as in training: the logits of every
row before the first frame that differs; with `before_first_frame="leak"`, the released training code's fault, this form
must find violations, which shows that the check can fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from vigil.data.layout import Layout
from vigil.data.records import Record
from vigil.errors import ModelError
from vigil.eval.causality import Causality
from vigil.eval.log import Log
from vigil.eval.run import BehaviourConfig, scenes, watch_frames
from vigil.model.model import VideoModel
from vigil.model.vision import preprocess
from vigil.world.render import render
from vigil.world.scene import Scene

TOLERANCE = 1e-5
"""Largest difference of logits that arithmetic alone may make (float32)."""

Fork = tuple[Record, NDArray[np.uint8], NDArray[np.uint8], int]
"""A record, the frames of its scene [F, H, W, C], the same with another end, and the first frame that differs."""


def forks(config: BehaviourConfig) -> Iterator[Fork]:
    """Scenes of a setting, each cut at a random frame and carried on by the scene before it."""
    other: Scene | None = None
    rng = np.random.default_rng(config.seed)
    for scene, record in scenes(config):
        if other is not None:
            frames, end = render(scene), render(other)
            cut = int(rng.integers(1, len(frames)))
            yield record, frames, np.concatenate((frames[:cut], end[cut:])), cut
        other = scene


def streaming_trials(model: VideoModel, config: BehaviourConfig) -> Iterator[tuple[Log, Log, float]]:
    """Pairs of logs, and the media time of the first frame that differs (s)."""
    for record, one, another, cut in forks(config):
        first, second = (watch_frames(model, record, frames, config=config, name="trial") for frames in (one, another))
        yield first, second, cut / config.fps


@torch.inference_mode()
def forward_causality(model: VideoModel, config: BehaviourConfig, *, leak: bool = False) -> Causality:
    """Count the forks in which a row before the cut has other logits, in one full pass over text and frames.

    `leak` runs the same weights with the released training code's masks.
    """
    if model.tokenizer is None:
        raise ModelError("this model folder has no tokenizer.json, and a trial needs text. Add the file.")
    if leak:
        leaking = VideoModel(replace(model.config, before_first_frame="leak"))
        leaking.load_state_dict(model.state_dict(), strict=False)
        leaking.tokenizer, model = model.tokenizer, leaking.to(model.device)
    assert model.tokenizer is not None
    layout = Layout(model.tokenizer, image_token_id=model.config.image_token_id)
    violations = trials = 0
    for record, one, another, cut in forks(config):
        sample = layout.lay_out(record, [i / config.fps for i in range(len(one))], tokens_per_s=config.tokens_per_s)
        ids = torch.tensor([sample.ids], device=model.device)
        places = torch.tensor([sample.frame_positions], device=model.device)
        before = sample.frame_positions[cut]
        logits = []
        for frames in (one, another):
            pixels = torch.stack([preprocess(frame, model.config.vision) for frame in frames])[None]
            logits.append(model(ids, pixels.to(model.device), places).logits[0, :before])
        trials += 1
        violations += bool((logits[0] - logits[1]).abs().max() > TOLERANCE)
    return Causality(violations=violations, trials=trials)
