"""`/v1/realtime`: the messages of the MOSS-VL reference service, over the same sessions, limits and log.

Everything that is said comes from typed events. Its clients can only append, so a revision comes as new text; those
that read literal markers get them with `markers`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.serve.auth import Grant
from vigil.serve.gate import address_of
from vigil.serve.live import Live
from vigil.serve.media import Upload
from vigil.serve.protocol import Auth, FrameRef, Policy, Sampling, SessionOpen, SourceSpec
from vigil.serve.refusal import CLOSE_POLICY, CLOSE_UNAUTHENTICATED, Refusal
from vigil.serve.sessions import Hub
from vigil.serve.sockets import Door
from vigil.serve.sources import Source
from vigil.serve.strict import MAX_INT, parse_object
from vigil.serve.views import Bucket, SlowReader, View

START_S = 30.0
CLIENT = "realtime"
FRAMES, VIDEO = 0, 1
"""Source numbers: what the client pushes, and what the operator has listed."""
M = TypeVar("M", bound=BaseModel)
log = logging.getLogger("vigil.serve")


class _Loose(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Start(_Loose):
    """The first message, with the reference's defaults. Numbers are clamped to the server's ceilings."""

    type: Literal["start"]
    system_prompt: str | None = None
    prompt: str | None = None
    frame_queue_size: Annotated[int, Field(ge=1, le=MAX_INT)] = 256
    max_tokens_per_second: Annotated[float, Field(gt=0, le=MAX_INT)] = 12
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_INT)] = 4096
    do_sample: bool = False
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    temperature: Annotated[float, Field(ge=0, le=10)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=100_000)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0

    def sampling(self) -> Sampling:
        """The same for a session."""
        return Sampling(
            max_tokens=self.max_new_tokens,
            temperature=self.temperature if self.do_sample else 0.0,
            top_p=self.top_p if self.do_sample else 1.0,
            top_k=self.top_k if self.do_sample else 0,
            repetition_penalty=self.repetition_penalty,
        )


class FrameHead(_Loose):
    """Comes before each binary message."""

    type: Literal["frame"]
    timestamp: Annotated[float, Field(ge=0, le=1e9)]
    prompt: str | None = None


class Prompt(_Loose):
    """A question."""

    type: Literal["prompt"]
    text: Annotated[str, Field(min_length=1)]


class Video(_Loose):
    """A file that the operator has listed by name."""

    type: Literal["video"]
    path: str
    sample_fps: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    playback_speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_frames: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    timestamps: list[float] | None = None
    decode_batch_size: Annotated[int, Field(ge=1, le=MAX_INT)] = 1


class Realtime:
    """One connection of such a client."""

    def __init__(self, ws: WebSocket, hub: Hub, door: Door, *, markers: bool, media: Mapping[str, Path]) -> None:
        self._ws = ws
        self._hub = hub
        self._door = door
        self._markers = markers
        self._media = media
        self._grant: Grant | None = ws.scope["state"]["grant"]
        self._view = View(self._translate, hub.limits, controls=True, client_id=CLIENT)
        self._live: Live | None = None
        self._cmd = 0
        self._head: FrameHead | None = None
        self._bucket = Bucket(hub.limits.controls_per_s + hub.limits.frames_per_s, hub.limits.control_burst)

    async def run(self) -> None:
        """Until either side has had enough."""
        await self._ws.accept()
        sending: asyncio.Task[int] | None = None
        try:
            async with asyncio.timeout(START_S):
                await self._begin()
            sending = asyncio.create_task(self._view.run())
            reading = asyncio.create_task(self._read())
            await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            await self._end(reading, sending)
        except (Refusal, TimeoutError) as error:
            refusal = error if isinstance(error, Refusal) else Refusal("bad_message", close=CLOSE_POLICY)
            await self._say("error", message=refusal.code)
            await self._close(refusal.close or CLOSE_POLICY)
        except WebSocketDisconnect:
            return
        finally:
            if sending is not None:
                sending.cancel()
            if self._live is not None:
                self._live.leave(self._view)
                await self._hub.end(self._live, "client")

    async def _end(self, reading: asyncio.Task[None], sending: asyncio.Task[int]) -> None:
        """Close the session; everything it still has to say is sent first."""
        assert self._live is not None
        if reading.done() and reading.exception() is None:
            await self._hub.end(self._live, "client")
            with suppress(SlowReader, WebSocketDisconnect, RuntimeError):
                await sending
            await self._close(1000)
            return
        reading.cancel()
        if reading.done() and not isinstance(reading.exception(), WebSocketDisconnect):
            log.error("a socket failed", exc_info=reading.exception())
        await self._close(1000)

    # ---- from the client -------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Authentication where it is needed, then `start`. Raises: Refusal, WebSocketDisconnect."""
        if self._grant is None:
            row = parse_object(await self._text(), self._hub.limits)
            try:
                auth = Auth.model_validate(row)
            except ValidationError as error:
                raise Refusal("unauthorized", close=CLOSE_UNAUTHENTICATED) from error
            self._grant = self._door.check(auth, address_of(self._ws.scope))
        start = checked(Start, parse_object(await self._text(), self._hub.limits))
        opening = SessionOpen(
            type="session.open",
            client_id=CLIENT,
            open_id=secrets.token_hex(16),
            system=start.system_prompt or "",
            policy=Policy(),
            sampling=start.sampling(),
            sources=[SourceSpec(source=FRAMES, kind="push")],
        )
        self._live = await self._hub.open(opening, self._grant, self._view)
        await self._say("ready")
        if start.prompt:
            self._ask(start.prompt, None)

    async def _text(self) -> str:
        raw = await self._ws.receive()
        if raw["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(raw.get("code", 1000))
        if raw.get("text") is None:
            raise Refusal("bad_message")
        return str(raw["text"])

    async def _read(self) -> None:
        while True:
            raw = await self._ws.receive()
            if raw["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(raw.get("code", 1000))
            try:
                if not self._bucket.take():
                    raise Refusal("rate_limited")
                if raw.get("bytes") is not None:
                    await self._frame(bytes(raw["bytes"]))
                elif await self._message(parse_object(raw["text"], self._hub.limits)):
                    return
            except Refusal as refusal:
                self._hub.complain(None, refusal)
                await self._say("error", message=refusal.code)

    async def _message(self, row: dict[str, Any]) -> bool:
        """One text message; True if it was the last one. Raises: Refusal."""
        kind = row.get("type")
        if kind == "ping":
            await self._say("pong")
        elif kind == "prompt":
            self._ask(checked(Prompt, row).text, None)
            await self._say("prompt_ack")
        elif kind == "frame":
            self._head = checked(FrameHead, row)
        elif kind == "video":
            await self._video(checked(Video, row))
        elif kind == "stop_video":
            self._stop_video()
            await self._say("stop_video_ack")
        elif kind == "stop":
            await self._say("stopping")
            return True
        else:
            raise Refusal("unknown_type")
        return False

    async def _frame(self, image: bytes) -> None:
        """The picture that belongs to the message before; where four wait, the oldest goes."""
        head, self._head = self._head, None
        live = self._live
        assert live is not None
        if head is None:
            raise Refusal("bad_message")
        source = live.source(FRAMES)
        if len(image) > self._hub.limits.frame_bytes:
            raise Refusal("too_large")
        if head.timestamp < source.newest_ts:
            raise Refusal("bad_timestamp")
        live.input_s = live.log.now()
        has_dropped = source.feed(head.timestamp, image, live.input_s)
        live.lost(source)
        live.eye.look()
        if head.prompt:
            self._ask(head.prompt, FrameRef(source=FRAMES, frame_no=source.received))
        await self._say("frame_ack", dropped_oldest=has_dropped, pending_frames=len(source.queue))

    def _ask(self, text: str, about: FrameRef | None) -> None:
        assert self._live is not None
        if len(text.encode()) > self._hub.limits.text_bytes:
            raise Refusal("too_large")
        self._cmd += 1
        by = (CLIENT, self._cmd)
        self._live.dialogue.accept(text, interrupts=True, about=about, answer_by_s=None, by=by)

    async def _video(self, video: Video) -> None:
        """Play a listed file. Any other name is refused, and nothing is opened."""
        path = self._media.get(video.path)
        if path is None or self._live is None:
            raise Refusal("forbidden")
        source = self._live.sources.get(VIDEO)
        if source is not None and not source.is_ended:
            raise Refusal("not_ready")
        fps = min(video.sample_fps, self._hub.limits.media_fps)
        reader = Upload(path, self._hub.decoder(), fps=fps, start_s=0.0, pace=video.playback_speed)
        self._live.eye.play(Source(VIDEO, "upload", self._hub.limits), reader)
        await self._say("video_started", path=video.path)

    def _stop_video(self) -> None:
        assert self._live is not None
        source = self._live.sources.get(VIDEO)
        if source is not None and not source.is_ended:
            self._live.eye.finish(source, "removed")

    # ---- to the client ---------------------------------------------------------------------------------------

    async def _translate(self, text: str) -> None:
        """Spell one message of ours in the reference's way; most have no counterpart there."""
        row = json.loads(text)
        kind = row["type"]
        if kind == "answer.delta" and row["text"]:
            await self._say("output", text=row["text"])
        elif kind == "answer.done" and self._markers:
            await self._say("output", text=ELLIPSIS if row["status"] == "superseded" else SILENCE)
        elif kind == "silence" and self._markers:
            for _ in range(row["frames"]):
                await self._say("output", text=SILENCE)
        elif kind == "source.ended" and row["source"] == VIDEO:
            source = self._live.sources[VIDEO] if self._live is not None else Source(VIDEO, "upload", self._hub.limits)
            dropped = sum(source.dropped.values())
            await self._say("video_end", frames_sent=source.received, frames_dropped=dropped)
        elif kind == "session.closed":
            await self._say("session_end")
        elif kind == "error":
            await self._say("error", message=row["code"])

    async def _say(self, kind: str, /, **fields: Any) -> None:
        with suppress(RuntimeError):
            await self._ws.send_text(json.dumps({"type": kind, **fields}))

    async def _close(self, code: int) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._ws.close(code)


def checked(kind: type[M], row: dict[str, Any]) -> M:
    """Check the fields of a message. Raises: Refusal: `bad_message`."""
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        raise Refusal("bad_message") from error
