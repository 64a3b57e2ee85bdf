"""Every setting of a model and of a stream: frozen, keyword-only, impossible values refused when constructed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from vigil.errors import ConfigError

Pooling = Literal["average", "max", "bilinear", "channelFusion", "none"]
BeforeFirstFrame = Literal["skip", "null_key", "leak"]
EncoderKind = Literal["tile_vit", "conv"]
Fit = Literal["pad", "stretch"]
KNorm = Literal["after_rotation", "before_rotation"]
Fusion = Literal["cross-attention", "decoder-only"]
Eviction = Literal["oldest", "error"]
Retention = Literal["window", "keyframes", "pool", "merge"]
Storage = Literal["model", "int8", "fp8"]


def _one_of(choices: Any, **given: str) -> None:
    """Refuse a word that is not among the choices of a `Literal`."""
    for name, value in given.items():
        if value not in get_args(choices):
            raise ConfigError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionConfig:
    """How one frame becomes vision tokens."""

    kind: EncoderKind = "tile_vit"
    """tile_vit: the released models' encoder, each frame alone. conv: nano's, which also sees what changed."""
    image_px: int = 560
    """Side of the square canvas (px)."""
    fit: Fit = "pad"
    """How a frame is brought onto the canvas: aspect kept and black padding right and below, or stretched."""
    patch_px: int = 14
    """Side of one patch (px); for conv the side of the picture area that one token stands for."""
    width: int = 1280
    """Channels of the encoder."""
    num_heads: int = 16
    mlp_width: int = 5120
    num_local_layers: int = 32
    num_global_layers: int = 8
    feature_layers: tuple[int, ...] = (3, 7, 15, 23, 30)
    """Local layers whose input is concatenated to the last hidden state."""
    norm_eps: float = 1e-5
    max_num_tiles: int = 4
    """Sizes the tile tables of a checkpoint; a frame is always one tile."""
    num_aspect_ratios: int = 8
    pad_multiple: int = 8
    """The token sequence is zero-padded to a multiple of this; the padding takes part as keys, as in training."""
    padding_sees_padding: bool = True
    """False: padding does not attend to padding, as in plain Llama-3.2-Vision."""
    skip_padding: bool = False
    """tile_vit only. Leave out patches beyond which, to the right and below, a frame is black: 44 % of a 16:9 frame.
    The other patches then lack them as keys, so features differ from training's; see docs/speed.md for how much."""
    pooling: Pooling = "average"
    stride: int = 4
    """Side of the square of patches that pooling merges into one token."""
    channels: tuple[int, ...] = ()
    """conv only: channels of the stem's stages."""

    def __post_init__(self) -> None:
        _one_of(EncoderKind, kind=self.kind)
        _one_of(Fit, fit=self.fit)
        _one_of(Pooling, pooling=self.pooling)
        if self.image_px % self.patch_px:
            raise ConfigError(f"image_px must be a multiple of patch_px, got {self.image_px} and {self.patch_px}.")
        if self.stride < 1 or self.stride > self.grid:
            raise ConfigError(f"stride must be between 1 and the grid side {self.grid}, got {self.stride}.")
        if self.kind == "conv" and self.skip_padding:
            raise ConfigError("skip_padding is for the tile_vit encoder; the conv encoder has no padding to skip.")
        if self.kind == "conv" and (self.pooling != "none" or len(self.channels) != 2):
            raise ConfigError(
                f'the conv encoder wants pooling="none" and two channels, got {self.pooling!r} and {self.channels}.'
            )

    @property
    def grid(self) -> int:
        """Patches per side of a frame."""
        return self.image_px // self.patch_px

    @property
    def feature_dim(self) -> int:
        """Channels that enter the projector."""
        return self.width * (1 + len(self.feature_layers)) if self.kind == "tile_vit" else self.width

    @property
    def tokens_per_frame(self) -> int:
        """Vision tokens of one frame after pooling, class token included."""
        if self.kind == "conv":
            return self.grid**2
        if self.pooling == "none":
            return 1 + self.grid**2
        side = -(-self.grid // self.stride) if self.pooling == "bilinear" else self.grid // self.stride
        return 1 + side**2


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeScaling:
    """Llama 3's stretching of low rotary frequencies to longer contexts."""

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """The decoder: self-attention layers with gated cross-attention layers among them."""

    vocab_size: int = 128256
    """Rows of the output head."""
    num_extra_embeddings: int = 8
    """Input rows beyond the vocabulary; the frame placeholder is the first of them."""
    width: int = 4096
    num_layers: int = 40
    cross_layers: tuple[int, ...] = (3, 8, 13, 18, 23, 28, 33, 38)
    """Which of the layers are cross-attention layers."""
    num_heads: int = 32
    num_kv_heads: int = 8
    mlp_width: int = 14336
    norm_eps: float = 1e-5
    rope_theta: float = 500_000.0
    rope_scaling: RopeScaling | None = None
    qk_norm: bool = False
    """RMS norm on queries and keys of self-attention too (nano)."""
    tie_embeddings: bool = False
    """The output head is the input table."""
    gate_start: float = 0.0
    """Value of the cross layers' gates before training; tanh of it scales what they add."""

    def __post_init__(self) -> None:
        if self.width % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"width {self.width} must divide into num_heads {self.num_heads}, "
                f"and those into num_kv_heads {self.num_kv_heads}."
            )
        if any(not 0 <= layer < self.num_layers for layer in self.cross_layers):
            raise ConfigError(f"cross_layers {self.cross_layers} must lie within num_layers {self.num_layers}.")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """All that differs between nano and the released models."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    before_first_frame: BeforeFirstFrame = "skip"
    """What a text row that sees no frame gets from a cross layer: nothing, a learnt null entry, or (as the released
    training code had it) all frames, future ones included. `leak` exists for comparison only."""
    k_norm: KNorm = "after_rotation"
    """Order of the key norm and the rotation in cross layers."""
    fusion: Fusion = "cross-attention"
    """How frames reach the text: it reads them from the side, or (decoder-only, a twin to compare with; see
    `vigil.model.interleave`) their vision tokens stand in it and every layer is a self-attention layer."""
    frame_rope: bool = True
    """Cross layers rotate queries by text and keys by frame position. False in plain Llama-3.2-Vision."""
    image_token_id: int = 128256
    """Id that stands for a frame in the token sequence."""
    silence_token_id: int | None = 128011
    silence_weight: float = 1.0
    """Loss weight where the target is silence, unless `forward` is given one."""
    memory_frames: int = 256
    """Frames that a stream keeps unless `StreamConfig` says otherwise: set it within what the model was trained on."""
    text_tokens: int = 4096
    """Text tokens that a stream keeps unless `StreamConfig` says otherwise: set it within what the model was trained
    on. It bounds the rotary positions of text and frames."""

    def __post_init__(self) -> None:
        _one_of(BeforeFirstFrame, before_first_frame=self.before_first_frame)
        _one_of(KNorm, k_norm=self.k_norm)
        _one_of(Fusion, fusion=self.fusion)
        if self.fusion == "decoder-only" and self.text.cross_layers:
            raise ConfigError(
                f'fusion="decoder-only" has no cross layers, got cross_layers={self.text.cross_layers}. '
                "Make the config with vigil.model.interleave.twin_of."
            )
        if self.memory_frames < 1 or self.text_tokens < 64:
            raise ConfigError(
                "a model's memory_frames must be at least 1 and its text_tokens at least 64, got "
                f"{self.memory_frames} and {self.text_tokens}."
            )

    @property
    def kv_bytes_per_frame(self) -> int:
        """Memory that the keys and values of one frame take at 2 bytes a number."""
        text = self.text
        layers = text.num_layers if self.fusion == "decoder-only" else len(text.cross_layers)
        return 2 * 2 * layers * self.vision.tokens_per_frame * text.num_kv_heads * text.head_dim


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """How a live stream is read. Change a copy with `dataclasses.replace`."""

    fps: float = 1.0
    """Frames read per second of video (Hz). The released models were trained at 1.0."""
    memory_frames: int = 0
    """Frames kept in memory; each costs `ModelConfig.kv_bytes_per_frame` bytes. 0: `ModelConfig.memory_frames`."""
    eviction: Eviction = "oldest"
    """When memory is full: drop the oldest frame, or raise `MemoryFull`."""
    retention: Retention = "window"
    """What becomes of frames that are no longer recent. window: they go. keyframes: those that differ most from the
    one before stay. pool: `pool_frames` of them become one, their average. merge: the same, but similar tokens are
    merged, so that what is rare stays sharp. Each entry of the memory costs as much as a frame, whatever it is."""
    recent_frames: int | None = None
    """Newest frames that are always kept as they are; default a quarter of `memory_frames`. Of no use for "window"."""
    pool_frames: int = 4
    """Frames that become one entry under "pool" and "merge"."""
    frame_storage: Storage = "model"
    """How the frame memory holds numbers: as the model computes them, or in 8 bits with a scale per token and head.
    Half the memory of 16 bits; each read unpacks one layer at a time."""
    static_steps: bool = False
    """On a GPU, replay one captured step for each word instead of launching its kernels anew; see
    `vigil.stream.static`. It holds memory for the graph of each stream, and frames must be stored as "model"."""
    text_tokens: int = 0
    """Text tokens kept, and with them the largest rotary position of text and frames. 0: `ModelConfig.text_tokens`.
    When full, silent slots of evicted frames go first, then the oldest turns."""
    tokens_per_s: float = 8.0
    """Speaking pace (Hz of video time). Speech and video stay in step under every clock."""
    max_answer_tokens: int = 512
    """An answer that reaches this is closed with finish "length"."""
    max_answer_s: float = 20.0
    """The same for its duration (s of video)."""
    queue_frames: int = 4
    """Frames that may wait for the perceiver on the wall clock; when full, the oldest is dropped."""
    stale_s: float = 2.0
    """A waiting frame older than this is dropped (s, wall clock)."""

    def __post_init__(self) -> None:
        _one_of(Eviction, eviction=self.eviction)
        _one_of(Retention, retention=self.retention)
        _one_of(Storage, frame_storage=self.frame_storage)
        for name in ("fps", "tokens_per_s", "max_answer_s", "stale_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}.")
        for name in ("max_answer_tokens", "queue_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.memory_frames < 0:
            raise ConfigError(f"memory_frames must be at least 1, or 0 for the model's own, got {self.memory_frames}.")
        if self.text_tokens and self.text_tokens < 64:
            raise ConfigError(f"text_tokens must be at least 64, or 0 for the model's own, got {self.text_tokens}.")
        if self.retention == "window" or not self.memory_frames:
            return
        if self.eviction == "error":
            raise ConfigError(f'eviction="error" wants retention="window", got {self.retention!r}.')
        if self.pool_frames < 2:
            raise ConfigError(f"pool_frames must be at least 2, got {self.pool_frames}.")
        if not 1 <= self.num_recent <= self.memory_frames - self.pool_frames:
            raise ConfigError(
                f"recent_frames must be at least 1 and leave pool_frames={self.pool_frames} of "
                f"memory_frames={self.memory_frames} to what is older, got {self.num_recent}."
            )

    def settled(self, model: ModelConfig) -> StreamConfig:
        """The same with the model's own lengths where none were given.

        Raises:
            ConfigError: the model's memory has no room for `recent_frames`.
        """
        return replace(
            self,
            memory_frames=self.memory_frames or model.memory_frames,
            text_tokens=self.text_tokens or model.text_tokens,
        )

    @property
    def num_recent(self) -> int:
        """Newest frames that are always kept as they are."""
        if self.retention == "window":
            return self.memory_frames
        return max(1, self.memory_frames // 4) if self.recent_frames is None else self.recent_frames


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """How the next text token is drawn. The defaults are greedy."""

    temperature: float = 0.0
    """0 takes the most likely token."""
    top_k: int = 0
    """Draw among the k most likely tokens; 0: no limit."""
    top_p: float = 1.0
    """Draw among the smallest set of tokens with this total probability."""
    repetition_penalty: float = 1.0
    """Divides the score of tokens already said in this answer; 1.0: none."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or self.repetition_penalty <= 0:
            raise ConfigError(
                "sampling wants temperature >= 0, top_k >= 0, 0 < top_p <= 1 and repetition_penalty > 0, got "
                f"{self.temperature}, {self.top_k}, {self.top_p} and {self.repetition_penalty}."
            )


def moss_11b() -> ModelConfig:
    """The released MOSS-Video-Preview models: 10.67 B parameters, 101 vision tokens a frame."""
    return ModelConfig(text=TextConfig(rope_scaling=RopeScaling()))


def nano(*, vocab_size: int, image_token_id: int, silence_token_id: int) -> ModelConfig:
    """The model inside the package: about 2 M parameters, 16 vision tokens a frame."""
    return ModelConfig(
        vision=VisionConfig(
            kind="conv", image_px=64, fit="stretch", patch_px=16, width=128, channels=(32, 64), pooling="none", stride=1
        ),
        text=TextConfig(
            vocab_size=vocab_size,
            num_extra_embeddings=1,
            width=128,
            num_layers=6,
            cross_layers=(2, 4),
            num_heads=4,
            num_kv_heads=4,
            mlp_width=384,
            rope_theta=10_000.0,
            qk_norm=True,
            tie_embeddings=True,
            gate_start=1.0,
        ),
        before_first_frame="null_key",
        image_token_id=image_token_id,
        silence_token_id=silence_token_id,
        memory_frames=60,
        text_tokens=256,
    )
