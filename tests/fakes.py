"""Small real parts for tests: a tiny model, a tokenizer of bytes, a model with a script, and a clock moved by hand.

Nothing here imitates: `tiny_model` is a `VideoModel` of 40,000 random weights, `ScriptedModel` the same with its
next token prescribed, and `StepClock` a driver without threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from vigil.config import ModelConfig, TextConfig, VisionConfig
from vigil.model import VideoModel
from vigil.model.tokens import ELLIPSIS, END_OF_TURN, SILENCE, SPECIAL_TOKENS, Tokenizer
from vigil.model.views import FrameView, TextCache
from vigil.stream.journal import Moment, Question, Totals
from vigil.stream.perceiver import Perceiver
from vigil.stream.session import Session
from vigil.types import EndReason, Event, Frame, event_to_json

Image = NDArray[np.uint8]

NUM_BYTES = 256
VOCAB_SIZE = NUM_BYTES + len(SPECIAL_TOKENS) - 1
"""Rows of the tiny model's head: the bytes and every control token but the placeholder, which comes right after."""


def tokenizer_json(names: Sequence[str] = SPECIAL_TOKENS, *, special: bool = True) -> str:
    """A `tokenizer.json` with one id per byte, then the control tokens in the given order."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    tokens = [tokenizers.AddedToken(name, special=special, normalized=False) for name in names]
    (made.add_special_tokens if special else made.add_tokens)(tokens)
    return str(made.to_str())


def byte_tokenizer() -> Tokenizer:
    """One token per byte, so that a character outside ASCII takes several tokens."""
    return Tokenizer(tokenizer_json())


class Trusting(Tokenizer):
    """Broken on purpose: encodes text with the library's default, which reads control tokens out of it."""

    def encode(self, text: str) -> list[int]:
        """As the name says."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)


CONV = VisionConfig(
    kind="conv", image_px=32, fit="stretch", patch_px=16, width=16, channels=(4, 8), pooling="none", stride=1
)
"""Looks at the frame before too, as nano does; 4 vision tokens a frame."""
TILE_VIT = VisionConfig(
    image_px=28,
    width=16,
    num_heads=2,
    mlp_width=24,
    num_local_layers=2,
    num_global_layers=1,
    feature_layers=(1,),
    stride=2,
)
"""The released models' encoder; 2 vision tokens a frame."""


def tiny_config(vision: VisionConfig = CONV, **changes: Any) -> ModelConfig:
    """nano's form, a hundredth of its size; `changes` are fields of `ModelConfig`."""
    config = ModelConfig(
        vision=vision,
        text=TextConfig(
            vocab_size=VOCAB_SIZE,
            num_extra_embeddings=1,
            width=32,
            num_layers=4,
            cross_layers=(1, 3),
            num_heads=4,
            num_kv_heads=2,
            mlp_width=48,
            rope_theta=10_000.0,
            qk_norm=True,
            tie_embeddings=True,
        ),
        before_first_frame="null_key",
        image_token_id=VOCAB_SIZE,
        silence_token_id=byte_tokenizer().special(SILENCE),
    )
    return replace(config, **changes)


def randomise(model: VideoModel, seed: int) -> None:
    """Draw the weights anew, and nothing stays zero: gates are open, tables and null entries are filled."""
    random = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        spread = 1.0 if weight.ndim < 2 else 0.25 if "embed" in name else weight[0].numel() ** -0.5
        weight.data = torch.randn(weight.shape, generator=random) * spread
        if "norm" in name and name.endswith("weight"):
            weight.data = 1 + 0.1 * weight.data


def tiny_model(config: ModelConfig | None = None, *, seed: int = 0) -> VideoModel:
    """A real model with random weights and the byte tokenizer."""
    model = VideoModel(config or tiny_config())
    randomise(model, seed)
    model.tokenizer = byte_tokenizer()
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class Odds:
    """One entry of a script: silence with this probability, else this one-byte text."""

    text: str
    p_silence: float


class ScriptedModel(VideoModel):
    """A tiny real model, but what comes next is a script: text (byte by byte), control tokens by name, or `Odds`.

    One entry is used up each time the session wants to know what comes next; after the last, silence.
    """

    def __init__(self, *script: str | Odds) -> None:
        super().__init__(tiny_config())
        randomise(self, 0)
        self.tokenizer: Tokenizer = byte_tokenizer()
        self.script = [entry for part in script for entry in self._entries(part)]
        self.used = 0
        self.eval().requires_grad_(False)

    def _entries(self, part: str | Odds) -> list[tuple[int, float]]:
        silence = self.tokenizer.special(SILENCE)
        if isinstance(part, Odds):
            return [(self.tokenizer.encode(part.text)[0], part.p_silence)]
        if part in (SILENCE, ELLIPSIS, END_OF_TURN):
            token = self.tokenizer.special(part)
            return [(token, 1.0 if token == silence else 0.0)]
        return [(token, 0.0) for token in self.tokenizer.encode(part)]

    def decode(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        *,
        cache: TextCache,
        cached_tokens: int,
        views: list[FrameView | None],
    ) -> Tensor:
        """Run the real step, then put the script in the place of its logits."""
        super().decode(input_ids_T, positions_T, cache=cache, cached_tokens=cached_tokens, views=views)
        silence = self.tokenizer.special(SILENCE)
        token, p_silence = self.script[self.used] if self.used < len(self.script) else (silence, 1.0)
        self.used += 1
        logits_V = torch.full((VOCAB_SIZE,), -50.0)
        logits_V[token] = float(np.log(max(1 - p_silence, 1e-9)))
        logits_V[silence] = float(np.log(max(p_silence, 1e-9)))
        return logits_V


class StepClock:
    """Drives a session by hand, in order of video time; every event is kept in `events`.

    Each method first lets the session say what is due before its moment, as the virtual clock does.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []
        self.now_s = 0.0
        self._perceiver = Perceiver(session.model)
        self._num_frames = 0

    def open(self) -> list[Event]:
        """Begin at 0 s."""
        return self._keep(self.session.open(self._now()))

    def frame(self, time_s: float, image: Image | None = None) -> list[Event]:
        """A frame becomes readable."""
        image = picture(self._num_frames) if image is None else image
        perceived = self._perceiver.perceive(self._num_frames, Frame(image, time_s))
        self._num_frames += 1
        return self._words_before(time_s) + self._keep(self.session.see(perceived, self._now()))

    def ask(self, text: str, time_s: float, *, standing: bool = False) -> list[Event]:
        """A question comes."""
        return self._words_before(time_s) + self._keep(self.session.hear(Question(text, standing), self._now()))

    def interrupt(self, time_s: float) -> list[Event]:
        """The user stops the answer."""
        return self._words_before(time_s) + self._keep(self.session.stop_speaking(self._now()))

    def until(self, time_s: float) -> list[Event]:
        """Nothing but time passes; a word due at `time_s` itself is said."""
        return self._words_before(time_s + 1e-6)

    def end(self, time_s: float, reason: EndReason = "eof") -> list[Event]:
        """The stream is over."""
        totals = Totals(received=self._num_frames)
        return self._words_before(time_s) + self._keep(self.session.end(self._now(), reason, totals))

    def _words_before(self, time_s: float) -> list[Event]:
        events: list[Event] = []
        while self.session.due_s is not None and self.session.due_s < time_s:
            self.now_s = self.session.due_s
            events += self._keep(self.session.step(self._now()))
        self.now_s = time_s
        return events

    def _now(self) -> Moment:
        return Moment(self.now_s, self.now_s)

    def _keep(self, events: list[Event]) -> list[Event]:
        self.events += events
        return events


def picture(seed: int) -> Image:
    """A small picture of noise; two seeds never look alike to the model."""
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def pictures(num: int, *, every_s: float = 1.0, first: int = 0) -> list[tuple[Image, float]]:
    """A source of `num` pictures with their times."""
    return [(picture(first + i), i * every_s) for i in range(num)]


def frames(num: int, *, every_s: float = 1.0) -> Iterator[Frame]:
    """The same as frames."""
    return (Frame(image, time_s) for image, time_s in pictures(num, every_s=every_s))


def spell(events: Iterable[Event]) -> list[str]:
    """Each event in a few words, for comparing by eye: "ask 1 Where?", "say 1.1 red", "done 1.1 final"."""
    return [_spell_one(event_to_json(event)) for event in events]


def _spell_one(row: dict[str, Any]) -> str:
    of = f"{row['answer']}.{row['rev']}" if "answer" in row else ""
    last = {
        "ask": lambda: f"{row['turn']} {row['text']}",
        "say": lambda: f"{of} {row['text']}",
        "revise": lambda: f"{of} supersedes {row['supersedes']}",
        "done": lambda: f"{of} {row['status']}",
        "silence": lambda: f"{row['first_s']:g}-{row['last_s']:g}",
        "interrupted": lambda: f"{row['turn']} by {row['next_turn']}",
        "dropped": lambda: f"{row['count']} {row['reason']}",
        "ended": lambda: f"{row['reason']}",
    }
    return f"{row['event']} {last[row['event']]()}"


def without_wall(events: Iterable[Event]) -> list[Event]:
    """Events with everything but the wall time, which no two runs share."""
    return [replace(event, wall_s=0.0) for event in events]
