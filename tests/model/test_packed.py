"""Several streams in one pass give what each gives alone, whatever their lengths and memories."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from fakes import CONV, TILE_VIT, tiny_config, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.model.packed import Part, decode_together
from vigil.stream.memory import FrameMemory, TextMemory

MODELS = {
    (vision.kind, before): tiny_model(tiny_config(vision, before_first_frame=before))
    for vision in (CONV, TILE_VIT)
    for before in ("skip", "null_key")
}


@dataclass
class Stream:
    """One stream by hand: its lanes, and how far it is."""

    model: VideoModel
    seed: int
    position: int = 0
    pending: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        text = self.model.config.text
        self.random = torch.Generator().manual_seed(self.seed)
        self.frames = FrameMemory(StreamConfig(memory_frames=3), num_layers=len(text.cross_layers))
        self.text = TextMemory(64, num_layers=text.num_layers - len(text.cross_layers))

    def frame(self) -> None:
        """Take a frame in; its placeholder waits to be fed."""
        vision, at = self.model.config.vision, self.position + len(self.pending)
        features = torch.randn(1, vision.tokens_per_frame, self.model.config.text.width, generator=self.random)
        self.frames.take(self.model.write_frames(features, torch.tensor([at])), [at])
        self.pending.append(self.model.config.image_token_id)

    def part(self) -> Part:
        """What waits to be fed."""
        views = self.frames.snapshot().views(torch.arange(self.position, self.position + len(self.pending)))
        return Part(self.pending, self.position, self.text, len(self.text), views)

    def fed(self) -> None:
        """It was fed."""
        self.text.advance(len(self.pending))
        self.position += len(self.pending)
        self.pending = []

    def alone(self) -> Tensor:
        """Logits of a pass for itself."""
        part = self.part()
        at_T = torch.arange(part.start, part.start + len(part.ids))
        ids_T = torch.tensor(part.ids)
        return self.model.decode(
            ids_T, at_T, cache=part.cache, cached_tokens=part.cached_tokens, views=list(part.views)
        )


@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(MODELS)),
    steps=st.lists(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=3, max_size=3), max_size=5),
)
def test_streams_in_one_pass_give_what_each_gives_alone(kind: tuple[str, str], steps: list[list[list[bool]]]) -> None:
    streams = [Stream(MODELS[kind], seed) for seed in range(3)]
    with torch.inference_mode():
        for step in steps:
            for stream, tokens in zip(streams, step, strict=True):
                for is_frame in tokens:
                    stream.frame() if is_frame else stream.pending.append(17 * stream.seed)
            alone = [stream.alone() for stream in streams]
            together = decode_together(MODELS[kind], [stream.part() for stream in streams])
            torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-5)
            for stream in streams:
                stream.fed()


@pytest.mark.parametrize("swapped", ["cache", "views", "start"])
def test_the_comparison_notices_streams_that_are_mixed_up(swapped: str) -> None:
    model = MODELS["conv", "skip"]
    with torch.inference_mode():
        streams = [Stream(model, seed) for seed in range(2)]
        for num, stream in enumerate(streams, start=1):
            for _ in range(num):
                stream.frame()
            stream.alone()
            stream.fed()
            stream.pending = [5]
        alone = torch.stack([stream.alone() for stream in streams])
        one, two = (stream.part() for stream in streams)
        torch.testing.assert_close(decode_together(model, [one, two]), alone, rtol=0, atol=1e-5)
        if swapped == "cache":
            mixed = Part(one.ids, one.start, two.cache, two.cached_tokens, one.views)
        elif swapped == "views":
            mixed = Part(one.ids, one.start, one.cache, one.cached_tokens, two.views)
        else:
            mixed = Part(one.ids, one.start + 9, one.cache, one.cached_tokens, one.views)
        assert (decode_together(model, [mixed, two])[0] - alone[0]).abs().max() > 1e-4
