"""Answers to a whole conversation at once, without a session: what `/v1/chat/completions` is made of.

All frames stand before the last question, as in `vigil ask`. Text is text: roles and control come from here alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch

from vigil.config import SamplingConfig, StreamConfig
from vigil.model.model import VideoModel
from vigil.model.tokens import SILENCE, ControlIds, TextStream, Transcript
from vigil.serve.children import Rgb
from vigil.serve.refusal import Refusal
from vigil.stream.feed import allowed_tokens, feed
from vigil.stream.lanes import FrameQueue, lanes_for
from vigil.stream.memory import FrameMemory, TextMemory
from vigil.stream.perceiver import Perceiver
from vigil.stream.policy import Sampler
from vigil.types import Frame

PROMPT_TOKENS = 512
"""Most tokens of a prompt in one pass of the weights."""
Step = Callable[[], AbstractContextManager[None]]
"""Entered around each use of the model."""
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What is asked. The last message is the user's."""

    messages: tuple[tuple[Role, str], ...]
    frames: tuple[tuple[float, Rgb], ...] = ()
    """Times (s) and pictures, in order of time within each video."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    max_tokens: int = 512
    max_s: float = 20.0


@dataclass(slots=True)
class Outcome:
    """Filled in while the answer is being made."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"


@torch.inference_mode()
def complete(
    model: VideoModel,
    conversation: Conversation,
    outcome: Outcome,
    cancelled: threading.Event,
    *,
    text_tokens: int,
    step: Step = nullcontext,
) -> Iterator[str]:
    """Answer, piece by piece (whole characters only); blocks, so run it in a thread.

    Raises:
        Refusal: `too_large`: the conversation has more than `text_tokens` tokens.
    """
    assert model.tokenizer is not None
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    ids = _prompt(Transcript(model.tokenizer, control), conversation)
    num_vision = len(conversation.frames) * model.config.vision.tokens_per_frame
    if len(ids) > text_tokens:
        raise Refusal("too_large")
    outcome.prompt_tokens = len(ids) - len(conversation.frames) + num_vision
    config = StreamConfig(memory_frames=max(1, len(conversation.frames)))
    frames, text = lanes_for(model, config, text_tokens=model.num_entries(ids) + conversation.max_tokens)
    places = [i for i, token in enumerate(ids) if token == control.image]
    perceiver = Perceiver(model)
    for index, ((time_s, image), place) in enumerate(zip(conversation.frames, places, strict=True)):
        if cancelled.is_set():
            return
        with step():
            perceived = perceiver.perceive(index, Frame(image, time_s))
            at = torch.tensor([place], device=model.device)
            frames.take(model.place_frames(perceived.projected, at), [place])
    num_rows = len(ids) if isinstance(frames, FrameQueue) else PROMPT_TOKENS
    for start in range(0, len(ids), num_rows):
        if cancelled.is_set():
            return
        with step():
            logits_V = feed(model, ids[start : start + num_rows], start=start, text=text, frames=frames)
    yield from _say(model, control, conversation, outcome, _Words(cancelled, step, len(ids), text, frames, logits_V))


@dataclass(slots=True)
class _Words:
    """Where an answer stands: the prompt is in, and `logits_V` tell what comes next."""

    cancelled: threading.Event
    step: Step
    position: int
    text: TextMemory
    frames: FrameMemory | FrameQueue
    logits_V: torch.Tensor


def _say(
    model: VideoModel, control: ControlIds, conversation: Conversation, outcome: Outcome, at: _Words
) -> Iterator[str]:
    """Draw one token after the other until the answer ends."""
    assert model.tokenizer is not None
    ends = {control.end_of_turn, *([control.silence] if model.tokenizer.has(SILENCE) else [])}
    allowed_V = allowed_tokens(model, *ends)
    sampler, words = Sampler(conversation.sampling), TextStream(model.tokenizer)
    said: list[int] = []
    deadline = time.monotonic() + conversation.max_s
    while not at.cancelled.is_set():
        if len(said) >= conversation.max_tokens or time.monotonic() > deadline:
            outcome.finish = "length"
            return
        if said:
            with at.step():
                at.logits_V = feed(model, [said[-1]], start=at.position, text=at.text, frames=at.frames)
            at.position += 1
        token = sampler.pick(at.logits_V + allowed_V, said)
        if token in ends:
            return
        said.append(token)
        outcome.completion_tokens = len(said)
        if piece := words.push(token):
            yield piece


def _prompt(transcript: Transcript, conversation: Conversation) -> list[int]:
    *before, (_, question) = conversation.messages
    ids: list[int] = []
    for role, text in before:
        ids += transcript.message(role, text)
    return ids + transcript.offline(len(conversation.frames), question)


def messages_of(pairs: Sequence[tuple[Role, str]]) -> tuple[tuple[Role, str], ...]:
    """Check the order of a conversation. Raises: Refusal: `bad_message`: it does not end with a user's message."""
    if not pairs or pairs[-1][0] != "user":
        raise Refusal("bad_message")
    return tuple(pairs)
