"""What a chat completion may ask for: OpenAI's form, every field checked, unknown fields refused."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.serve.strict import MAX_INT, parse_object


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Link(_Strict):
    """Where a picture or a video is."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"
    """Accepted from OpenAI's clients; a frame has one size here."""


class Part(_Strict):
    """A piece of a message."""

    type: Literal["text", "image_url", "video_url"]
    text: str | None = None
    image_url: Link | None = None
    video_url: Link | None = None


class ChatMessage(_Strict):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class StreamOptions(_Strict):
    """How a stream ends."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """What is accepted; each field has an effect, and any other is refused."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=64)]
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: Annotated[int, Field(ge=1, le=MAX_INT)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_INT)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=100_000)] = 0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    seed: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    n: Literal[1] = 1
    fps: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Frames read per second of a video."""


async def read_request(request: Request, limits: Limits) -> ChatRequest:
    """Read and check a body, counted while it comes in. Raises: Refusal."""
    body = bytearray()
    async with asyncio.timeout(limits.upload_s):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limits.chat_bytes:
                raise Refusal("too_large")
    return await asyncio.to_thread(check_request, bytes(body), limits)


def check_request(body: bytes, limits: Limits) -> ChatRequest:
    """Check a body. Raises: Refusal: `bad_json`, `bad_message`, `too_large` for a text."""
    try:
        asked = ChatRequest.model_validate(parse_object(body.decode(), limits, most_bytes=limits.chat_bytes))
    except UnicodeDecodeError as error:
        raise Refusal("bad_json") from error
    except ValidationError as error:
        raise Refusal("bad_message") from error
    for message in asked.messages:
        if len(text_of(message).encode()) > limits.text_bytes:
            raise Refusal("too_large")
    return asked


def text_of(message: ChatMessage) -> str:
    """The words of a message."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if part.type == "text" and part.text is not None)
