"""Feeding the model: the tokens that a session wants fed, alone or together with those of other sessions.

Axes: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from vigil.model.model import VideoModel
from vigil.model.packed import Part, decode_together
from vigil.stream.lanes import FrameQueue
from vigil.stream.memory import FrameMemory, TextMemory
from vigil.stream.static import StaticStep

CAPTURED_ON = ("cuda",)
"""Where a static step is faster than an ordinary one."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens that a session wants fed; what it asks for is the logits of what follows them."""

    ids: list[int]
    start: int
    """Rotary position of the first token."""
    text: TextMemory
    frames: FrameMemory | FrameQueue


Asking = Generator[Feed, Tensor, Result]
"""Work that stops at each pass of the model: it yields a `Feed` and is sent logits [V]. Whoever drives it decides with
what else that pass is shared."""


def alone(model: VideoModel, asking: Asking[Result]) -> Result:
    """Do the work to its end, each of its passes for itself."""
    try:
        want = next(asking)
        while True:
            want = asking.send(feed(model, want.ids, start=want.start, text=want.text, frames=want.frames))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


@torch.inference_mode()
def feed(
    model: VideoModel, ids: list[int], *, start: int, text: TextMemory, frames: FrameMemory | FrameQueue
) -> Tensor:
    """Put tokens into the text lane at rotary positions from `start` on; logits of what follows. Shapes: -> [V].

    With `StreamConfig.static_steps` the logits are good until the next call.
    """
    if len(ids) == 1 and (step := _static_step(model, text, frames)) is not None:
        return step(ids[0], start)
    positions_T = torch.arange(start, start + len(ids))
    fed_T, at_T = torch.tensor(ids, device=model.device), positions_T.to(model.device)
    if isinstance(frames, FrameQueue):
        new_FPD = frames.release()
        logits_V = model.decode_interleaved(fed_T, at_T, new_FPD, cache=text, cached_tokens=len(text))
    else:
        views = frames.snapshot().views(positions_T)
        logits_V = model.decode(fed_T, at_T, cache=text, cached_tokens=len(text), views=views)
    text.advance(model.num_entries(ids))
    return logits_V


def _static_step(model: VideoModel, text: TextMemory, frames: FrameMemory | FrameQueue) -> StaticStep | None:
    """The stream's own static step, made when it is first wanted; None where an ordinary one is to be made."""
    if isinstance(frames, FrameQueue) or not frames.config.static_steps or not (len(text) and len(frames)):
        return None
    if frames.config.frame_storage != "model" or model.device.type not in CAPTURED_ON:
        return None
    if text.step is None or not text.step.fits():
        text.step = StaticStep(model, text, frames)
    return text.step


@torch.inference_mode()
def feed_together(model: VideoModel, feeds: Sequence[Feed]) -> list[Tensor]:
    """`feed` for several sessions in one pass of the weights; one logits row [V] each, in order.

    A pass that fails has changed nothing: tokens count only when it is over, and until then they are written over.
    """
    parts = []
    for want in feeds:
        if isinstance(want.frames, FrameQueue) or len(feeds) == 1:
            return [feed(model, f.ids, start=f.start, text=f.text, frames=f.frames) for f in feeds]
        views = want.frames.snapshot().views(torch.arange(want.start, want.start + len(want.ids)))
        parts.append(Part(want.ids, want.start, want.text, len(want.text), views))
    logits_RV = decode_together(model, parts)
    for want in feeds:
        want.text.advance(len(want.ids))
    return list(logits_RV)


def allowed_tokens(model: VideoModel, *control: int) -> Tensor:
    """0 for text and for the named control tokens, -inf for what may never be drawn. Shapes: -> [V]."""
    assert model.tokenizer is not None
    vocab_size = model.config.text.vocab_size
    allowed_V = torch.zeros(vocab_size, device=model.device)
    allowed_V[min(model.tokenizer.vocab_size, vocab_size) :] = -torch.inf
    banned = {*model.tokenizer.control_ids, model.config.image_token_id}
    allowed_V[[token for token in banned if token < vocab_size]] = -torch.inf
    allowed_V[list(control)] = 0
    return allowed_V
