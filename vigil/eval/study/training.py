"""Trains one run, or finds it trained. A folder is named by what made it, so that no run is trained twice.

A run is a base (learn to see, then to answer after the video), which all arms with one network and one seed share, and
the arm's own real-time stage, which goes on from a copy of the base's state.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from vigil.config import Fusion
from vigil.data.chunks import write_atomically
from vigil.data.layout import Layout
from vigil.data.wording import all_texts, words_of
from vigil.errors import ConfigError
from vigil.eval.study.arms import Arm
from vigil.eval.study.scale import StudyScale
from vigil.model.model import VideoModel
from vigil.model.tokens import Tokenizer
from vigil.model.weights import load
from vigil.train.feed import WorldFeed
from vigil.train.loop import Trainer
from vigil.train.loss import RESPONSE, SILENT, StateIds
from vigil.train.nano import initialise
from vigil.train.stages import StageConfig
from vigil.train.tokenizer import train_tokenizer
from vigil.world.captions import describe
from vigil.world.scene import sample_scene

SAVE_EVERY_S = 20.0
_COUNTED_STEPS = 16
"""Steps whose silences and replies are counted for the focal loss."""
_TOKENIZER_SCENES = 500


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model to train: an arm at a scale, with a seed."""

    scale: StudyScale
    arm: Arm
    seed: int
    out: Path
    """Folder of all runs."""

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """Everything that it is trained by, in order."""
        base = self.scale.base(self.seed)
        return base if self.arm.is_base else (*base, self.arm.stage(self.scale.realtime(self.seed)))

    @property
    def base(self) -> Run:
        """What it goes on from."""
        return replace(self, arm=Arm(key="base", label="before", fusion=self.arm.fusion, is_base=True))

    @property
    def folder(self) -> Path:
        """Where it lies."""
        text = json.dumps([model_settings(self.scale, self.arm.fusion), self.seed, [asdict(s) for s in self.stages]])
        return self.out / f"{self.arm.key}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def model_folder(self) -> Path:
        """The finished model."""
        return self.folder / self.stages[-1].name

    @property
    def is_trained(self) -> bool:
        """Whether there is nothing left to train."""
        return (self.model_folder / "model.safetensors").is_file() and (self.folder / "done").is_file()

    def load(self) -> VideoModel:
        """The finished model."""
        return load(self.model_folder, device="cpu")


def model_settings(scale: StudyScale, fusion: Fusion) -> dict[str, object]:
    """What makes the network, as JSON."""
    names = ("width", "num_layers", "cross_layers", "mlp_ratio", "image_px", "patch_px", "channels", "vocab_size")
    return {"fusion": fusion, "world": asdict(scale.world), **{name: getattr(scale, name) for name in names}}


def make_tokenizer(scale: StudyScale, out: Path) -> Tokenizer:
    """The tokenizer of a scale, made once and kept beside its runs."""
    key = json.dumps([asdict(scale.world), scale.vocab_size])
    path = out / f"tokenizer-{hashlib.sha256(key.encode()).hexdigest()[:10]}.json"
    if not path.is_file():
        worlds = [scale.world] + ([replace(scale.world, family="panel")] if scale.panel_share else [])
        scenes = (sample_scene("train", n, config=world) for world in worlds for n in range(_TOKENIZER_SCENES))
        made = train_tokenizer(all_texts(words_of(map(describe, scenes))), vocab_size=scale.vocab_size)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, made.to_json())
    return Tokenizer.from_file(path)


def new_model(scale: StudyScale, fusion: Fusion, tokenizer: Tokenizer, *, seed: int) -> VideoModel:
    """A network with random weights. Everything that both networks have starts with the same numbers."""
    torch.manual_seed(seed)
    model = VideoModel(scale.model(tokenizer, "cross-attention"))
    initialise(model)
    if fusion == "decoder-only":
        model = _twin(model, VideoModel(scale.model(tokenizer, fusion)))
    model.tokenizer = tokenizer
    return model


def _twin(model: VideoModel, twin: VideoModel) -> VideoModel:
    """Give the twin the same numbers; a cross layer's attention becomes the self-attention in its place."""
    given = {name.replace(".cross_attn.", ".self_attn."): value for name, value in model.state_dict().items()}
    twin.load_state_dict({name: given[name] for name in twin.state_dict()})
    return twin


def train(run: Run) -> None:
    """Train a run to its end, from wherever its folder stands. Its base must be trained.

    Raises:
        ConfigError: the base is not trained.
    """
    if run.is_trained:
        return
    torch.set_num_threads(1)
    state = run.folder / "state.safetensors"
    if not run.arm.is_base and not state.is_file():
        if not run.base.is_trained:
            raise ConfigError(f"{run.folder.name} goes on from {run.base.folder.name}, which is not trained yet.")
        run.folder.mkdir(parents=True, exist_ok=True)
        partial = state.with_suffix(".copy")
        shutil.copyfile(run.base.folder / "state.safetensors", partial)
        partial.replace(state)
    model = new_model(run.scale, run.arm.fusion, make_tokenizer(run.scale, run.out), seed=run.seed)
    Trainer(model, run.folder, with_frequencies(run.stages, model), save_every_s=SAVE_EVERY_S).run()
    (run.folder / "done").touch()


def with_frequencies(stages: Sequence[StageConfig], model: VideoModel) -> tuple[StageConfig, ...]:
    """Stages whose focal losses know how frequent silence and replies are in their own data."""
    return tuple(_counted(stage, model) if stage.loss.kind == "focal" else stage for stage in stages)


def _counted(stage: StageConfig, model: VideoModel) -> StageConfig:
    assert model.tokenizer is not None
    image = model.config.image_token_id
    feed = WorldFeed(
        stage, Layout(model.tokenizer, image_token_id=image), StateIds.of(model.tokenizer, image_token_id=image)
    )
    kinds = torch.cat([feed.step(step).kinds.flatten() for step in range(_COUNTED_STEPS)])
    silent, response = int((kinds == SILENT).sum()), int((kinds == RESPONSE).sum())
    both = silent + response
    loss = replace(stage.loss, alpha_silence=both / (2 * silent), alpha_response=both / (2 * response))
    return replace(stage, loss=loss)
