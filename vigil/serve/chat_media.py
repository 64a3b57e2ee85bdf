"""Pictures and videos inside a conversation: data URLs and ids of uploads. No address of a client is ever opened."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator
from pathlib import Path

from vigil.config import SamplingConfig
from vigil.serve.auth import Grant
from vigil.serve.chat_request import ChatRequest, Part, text_of
from vigil.serve.children import Decoder, DecoderGone, DecoderHopeless, Rgb
from vigil.serve.offline import Conversation, Role, messages_of
from vigil.serve.refusal import Refusal
from vigil.serve.sessions import Hub

UPLOAD_PREFIX = "upload:"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
VIDEO_TYPES = ("video/mp4", "video/webm", "video/x-matroska", "video/quicktime", "video/mp2t", "video/x-msvideo")

Frames = list[tuple[float, Rgb]]


async def gather(asked: ChatRequest, hub: Hub, grant: Grant) -> Conversation:
    """Decode what the messages hold. Raises: Refusal."""
    pairs: list[tuple[Role, str]] = []
    links: list[tuple[str, str]] = []
    for message in asked.messages:
        pairs.append(("system" if message.role == "developer" else message.role, text_of(message)))
        parts = [] if isinstance(message.content, str) else message.content
        links += [link_of(part, message.role) for part in parts if part.type != "text"]
    frames: list[tuple[float, Rgb]] = []
    decoder = hub.decoder()
    try:
        for kind, url in links:
            room = hub.limits.chat_frames - len(frames)
            if room < 1:
                raise Refusal("too_large")
            frames += await pictures(kind, url, hub, grant, decoder=decoder, fps=asked.fps, most=room)
    except (DecoderGone, DecoderHopeless) as error:
        raise Refusal("bad_image") from error
    finally:
        await decoder.close()
    most = asked.max_completion_tokens or asked.max_tokens or hub.limits.answer_tokens
    sampling = SamplingConfig(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        repetition_penalty=asked.repetition_penalty,
        seed=asked.seed,
    )
    return Conversation(
        messages=messages_of(pairs),
        frames=tuple(frames),
        sampling=sampling,
        max_tokens=min(most, hub.limits.answer_tokens),
        max_s=hub.limits.answer_s,
    )


def link_of(part: Part, role: str) -> tuple[str, str]:
    """Kind and address of a picture or video. Raises: Refusal: `placeholder_mismatch`: a part that does not hold what
    it says, or a picture that is not the user's.
    """
    link = part.image_url if part.type == "image_url" else part.video_url
    others = [part.text, part.video_url if part.type == "image_url" else part.image_url]
    if link is None or any(other is not None for other in others) or role != "user":
        raise Refusal("placeholder_mismatch")
    return part.type, link.url


async def pictures(kind: str, url: str, hub: Hub, grant: Grant, *, decoder: Decoder, fps: float, most: int) -> Frames:
    """The frames behind one part, at most `most`. Raises: Refusal, DecoderGone, DecoderHopeless."""
    if url.startswith(UPLOAD_PREFIX):
        path = hub.uploads.path(url.removeprefix(UPLOAD_PREFIX), grant.token_id)
        return await frames_of(path, decoder, fps=fps, most=most)
    data = await asyncio.to_thread(data_of, url, IMAGE_TYPES if kind == "image_url" else VIDEO_TYPES)
    if kind == "image_url":
        if len(data) > hub.limits.frame_bytes:
            raise Refusal("too_large")
        return [(0.0, await decoder.image(data))]
    upload_id, _ = await hub.uploads.take(one(data), grant.token_id)
    try:
        return await frames_of(hub.uploads.path(upload_id, grant.token_id), decoder, fps=fps, most=most)
    finally:
        hub.uploads.forget(upload_id)


async def frames_of(path: Path, decoder: Decoder, *, fps: float, most: int) -> Frames:
    """A video's frames; a long one is read at a lower rate, so that all of it is seen."""
    opened = await decoder.open_file(path, fps=fps)
    if opened.duration_s * fps > most:
        await decoder.open_file(path, fps=most / opened.duration_s)
    frames: Frames = []
    while len(frames) < most and (frame := await decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


def data_of(url: str, types: tuple[str, ...]) -> bytes:
    """The content of a data URL. Raises: Refusal: `forbidden` for any other address, `bad_image` if it is no data."""
    head, comma, body = url.partition(",")
    if not head.startswith("data:"):
        raise Refusal("forbidden")
    if not comma or head.removeprefix("data:") not in {f"{kind};base64" for kind in types}:
        raise Refusal("bad_image")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal("bad_image") from error


async def one(data: bytes) -> AsyncIterator[bytes]:
    """A body in one piece."""
    yield data
