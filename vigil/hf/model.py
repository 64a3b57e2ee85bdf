"""`VideoModel` in the class that `transformers` asks for: loading, saving, `generate`.

Axes: B rows, T new text tokens, S all text tokens so far, F frames, P vision tokens of a frame, D channels,
V vocabulary, K key/value heads, H head channels, I image side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import HfApi
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from vigil.config import ModelConfig, StreamConfig
from vigil.errors import ConfigError, ShapeError
from vigil.hf.arguments import device_of, download_of, dtype_of
from vigil.hf.config import VigilConfig
from vigil.hf.placing import frame_positions_of, mask_of, positions_of
from vigil.model.loss import released_loss
from vigil.model.model import VideoModel
from vigil.model.tokens import SILENCE, ControlIds
from vigil.model.views import FrameView, visible_frames
from vigil.model.weights import find_folder, load
from vigil.model.whole import frame_views

FRAMES_AT_ONCE = 16
"""Frames that are encoded together: bounds memory, since 256 frames of the 11B model are 400,000 patches."""
CARD = "README.md"
UPLOAD = ("commit_message", "private", "token", "revision", "create_pr")


@dataclass(frozen=True, slots=True)
class _TextLane:
    """The first layers of a cache, one for each self-attention layer, as a `TextCache`. Frames lie in the others."""

    cache: DynamicCache

    def extend(self, layer: int, keys_BKTH: Tensor, values_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        return self.cache.update(keys_BKTH, values_BKTH, layer)  # type: ignore[no-any-return]


class VigilForImageTextToText(PreTrainedModel, GenerationMixin):
    """A vigil model for offline use: questions about whole videos. `network` is the `VideoModel` itself.

    Watching while a video plays is `vigil.Session(model.network)`.
    """

    config_class = VigilConfig
    base_model_prefix = "network"
    _supports_sdpa = True

    def __init__(self, config: VigilConfig, network: VideoModel | None = None) -> None:
        """Wrap a network, or make one with random weights.

        Raises:
            ConfigError: the config is that of the decoder-only twin.
        """
        super().__init__(config)
        if config.network.fusion != "cross-attention":
            raise ConfigError(f"vigil.hf wraps models with cross-attention, not fusion={config.network.fusion!r}.")
        self.network = VideoModel(config.network) if network is None else network
        self.card: str | None = None
        """Text of the model card, saved and uploaded along with the weights."""
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the network's modules have set their weights, or they were loaded."""

    # ---- in and out --------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: VigilConfig | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: Any = None,
        **kwargs: Any,
    ) -> VigilForImageTextToText:
        """Load any folder or hub name that `vigil.load` reads. Missing or left-over tensors are an error.

        Args:
            pretrained_model_name_or_path: as in `vigil.load`.
            config: must agree with the folder; the Auto classes hand over what they have read from it.
            dtype: of the weights, or its name; default as stored. `torch_dtype` is its older name.
            device_map: one device, or "auto" for a GPU where there is one; default the CPU.
            kwargs: `cache_dir`, `force_download`, `local_files_only`, `revision`, `token`, for a download.

        Raises:
            ModelError, CheckpointError: as in `vigil.load`. ConfigError: an argument that has no meaning here.
        """
        folder = find_folder(pretrained_model_name_or_path, **download_of(kwargs))
        network = load(folder, dtype=dtype_of(dtype or torch_dtype), device=device_of(device_map))
        if config is not None and config.network != network.config:
            raise ConfigError(f"the config given is not that of {folder.name}. Change its config.json instead.")
        model = cls(VigilConfig(network.config, name_or_path=str(pretrained_model_name_or_path)), network)
        model.generation_config = _generation_config(folder, network)
        if (folder / CARD).is_file():
            model.card = (folder / CARD).read_text(encoding="utf-8")
        model.requires_grad_(True).eval()
        return model

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write a folder in our own layout, whatever the layout it was loaded from; `vigil.load` reads it too.

        `kwargs` are those of `PreTrainedModel`, such as `max_shard_size`, and with `push_to_hub=True` those of
        `push_to_hub`.
        """
        push, repo_id = kwargs.pop("push_to_hub", False), kwargs.pop("repo_id", Path(save_directory).name)
        upload = {name: kwargs.pop(name) for name in UPLOAD if name in kwargs}
        tensors = kwargs.pop("state_dict", None) or self.state_dict()
        tensors = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
        super().save_pretrained(save_directory, state_dict=tensors, **kwargs)
        if self.network.tokenizer is not None:
            (Path(save_directory) / "tokenizer.json").write_text(self.network.tokenizer.to_json(), encoding="utf-8")
        if self.card is not None:
            (Path(save_directory) / CARD).write_text(self.card, encoding="utf-8")
        if push:
            self.push_to_hub(repo_id, **upload)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload model",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "50GB",
    ) -> str:
        """Upload what `save_pretrained` writes: weights, config, tokenizer, model card. Returns the commit's URL."""
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
            )
        return str(commit)

    # ---- computing ---------------------------------------------------------------------------------------------

    def get_input_embeddings(self) -> nn.Module:
        """The table of token embeddings."""
        return self.network.decoder.embed_tokens

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        frame_positions: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
    ) -> Any:
        """Run whole sequences, or go on after those in a cache.

        Args:
            input_ids: [B, T]; the placeholder id stands at each frame.
            pixel_values: [B, F, 3, I, I] normalised floats; the i-th frame of a row belongs to its i-th placeholder. A
                row with fewer is filled up at its end. They stay in the cache: give them once.
            attention_mask: [B, S], 0 at padding, which may be on either side; default no padding.
            past_key_values: what was computed for the first S - T tokens.
            frame_positions: [B, F] rotary positions of all frames so far, -1 where a row has fewer; only to go on after
                a cache with frames. `generate` works them out.
            labels: [B, T], -100 where a token does not count; the loss is the released one.
            use_cache: fill `past_key_values`, made if there is none.
            logits_to_keep: only those of the last tokens; 0: all.

        Returns:
            `CausalLMOutputWithPast` with logits [B, T or `logits_to_keep`, V]; a tuple with `return_dict=False`.

        Raises:
            ShapeError: shapes disagree, or the frames are not as many as the placeholders.
            ConfigError: the cache is of another kind than `DynamicCache`, or lies elsewhere.
        """
        cache = DynamicCache(config=self.config) if use_cache and past_key_values is None else past_key_values
        if cache is not None and (type(cache) is not DynamicCache or cache.offloading):
            raise ConfigError(f"vigil.hf keeps frames in a plain DynamicCache, got {type(cache).__name__}.")
        num_cached = cache.get_seq_length() if cache is not None else 0
        B, T = input_ids.shape
        positions_BT = positions_of(attention_mask, B, num_cached + T, self.device)[:, num_cached:]
        if frame_positions is None:
            frame_positions = frame_positions_of(input_ids, positions_BT, self.config.network.image_token_id)
        views = self._views(pixel_values, positions_BT, frame_positions, cache)
        h_BTD = self.network.decoder(
            input_ids,
            positions_BT,
            views,
            cache=_TextLane(cache) if cache is not None else None,
            mask=mask_of(attention_mask, num_cached, T, self.device),
        )
        logits_BTV = self.network.decoder.head(h_BTD[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            config: ModelConfig = self.config.network
            loss = released_loss(
                logits_BTV, labels, silence_id=config.silence_token_id, silence_weight=config.silence_weight
            )
        output = CausalLMOutputWithPast(loss=loss, logits=logits_BTV, past_key_values=cache)
        return output.to_tuple() if return_dict is False else output

    def _views(
        self, frames: Tensor | None, positions_BT: Tensor, frame_positions_BF: Tensor, cache: DynamicCache | None
    ) -> list[FrameView | None]:
        """What each cross layer reads: frames that lie in the cache, or those given, which are put there."""
        config, num_frames = self.config.network, frame_positions_BF.shape[1]
        first = config.text.num_layers - len(config.text.cross_layers)
        if frames is not None and frames.ndim != 5:
            raise ShapeError(f"pixel_values must be [B, F, 3, I, I], got {list(frames.shape)}.")
        num_held = cache.get_seq_length(first) // config.vision.tokens_per_frame if cache is not None else 0
        num_given = 0 if frames is None else frames.shape[1]
        if num_held + num_given != num_frames or (num_held and num_given):
            raise ShapeError(
                f"{num_held or num_given} frames for {num_frames} placeholders in the fullest row. Give pixel_values "
                "[B, F, 3, I, I] once, with a frame for each placeholder; frame_positions to go on after a cache."
            )
        if not num_frames:
            return [None] * len(config.text.cross_layers)
        visible = visible_frames(positions_BT, frame_positions_BF)
        if cache is not None and num_held:
            return [FrameView(layer.keys, layer.values, visible) for layer in cache.layers[first:]]
        assert frames is not None
        views = frame_views(self.network, self._encode(frames), frame_positions_BF, None, visible)
        for layer, view in enumerate(views, start=first):
            if cache is not None and view is not None:
                cache.update(view.keys_BKSH, view.values_BKSH, layer)
        return views

    def _encode(self, frames: Tensor) -> Tensor:
        """Vision tokens, a few frames at a time. Shapes: [B, F, 3, I, I] -> [B, F, P, D]."""
        parts, state = [], None
        for part in frames.to(self.device).split(FRAMES_AT_ONCE, dim=1):
            features_BFPD, state = self.network.encode_frames(part, state)
            parts.append(features_BFPD)
        return torch.cat(parts, dim=1)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: DynamicCache | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `forward` is called with in one step of `generate`: the tokens that are not in the cache yet.

        `kwargs` is what the library keeps count of and this model works out itself. Shapes: `input_ids` and
        `attention_mask` [B, S], `pixel_values` as in `forward`, used in the first step alone.
        """
        num_cached = past_key_values.get_seq_length() if past_key_values is not None else 0
        rows, total = input_ids.shape
        positions_BS = positions_of(attention_mask, rows, total, self.device)
        return {
            "input_ids": input_ids[:, num_cached:],
            "pixel_values": None if num_cached else pixel_values,
            "attention_mask": attention_mask,
            "past_key_values": past_key_values,
            "frame_positions": frame_positions_of(input_ids, positions_BS, self.config.network.image_token_id),
            "use_cache": use_cache,
            "logits_to_keep": logits_to_keep,
        }


def _generation_config(folder: Path, network: VideoModel) -> GenerationConfig:
    """The folder's own, or greedy; the grammar says what ends an answer and what is never said, as in `vigil ask`."""
    if (folder / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(folder)
    else:
        config = GenerationConfig(max_new_tokens=StreamConfig().max_answer_tokens, do_sample=False)
    tokenizer, vocab_size = network.tokenizer, network.config.text.vocab_size
    if tokenizer is None:
        return config
    control = ControlIds(tokenizer, image_token_id=network.config.image_token_id)
    ends = [control.end_of_turn, *([control.silence] if tokenizer.has(SILENCE) else [])]
    never = {*tokenizer.control_ids, control.image, *range(tokenizer.vocab_size, vocab_size)} - {*ends}
    config.eos_token_id, config.pad_token_id = ends, control.end_of_turn
    config.suppress_tokens = sorted(token for token in never if token < vocab_size)
    return config
