"""`/v1/chat/completions` and `/v1/models` in OpenAI's form, for clients that know no other."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from vigil.serve.chat_media import gather
from vigil.serve.chat_request import read_request
from vigil.serve.offline import Conversation, Outcome, complete
from vigil.serve.refusal import Refusal
from vigil.serve.sessions import Hub

RETRY_AFTER_S = 2.0


def add_chat(app: FastAPI, hub: Hub) -> None:
    """The routes."""
    chats = Chats(hub)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model_card(hub)]}

    @app.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        if name != hub.runner.name:
            raise Refusal("not_found")
        return model_card(hub)

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        return await chats.answer(request)


def model_card(hub: Hub) -> dict[str, Any]:
    """The one model, as OpenAI's clients want to see it."""
    return {"id": hub.runner.name, "object": "model", "created": 0, "owned_by": "vigil"}


class Chats:
    """Answers that are being made."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._running = 0

    async def answer(self, request: Request) -> Response:
        """Answer one request. Raises: Refusal."""
        if self._running >= self._hub.limits.chats or self._hub.is_draining:
            raise Refusal("capacity", retry_after_s=RETRY_AFTER_S)
        self._running += 1
        work: Work | None = None
        try:
            asked = await read_request(request, self._hub.limits)
            if asked.model != self._hub.runner.name:
                raise Refusal("not_found")
            grant = request.scope["state"]["grant"]
            conversation = await gather(asked, self._hub, grant)
            work = Work(self._hub, conversation, self._over)
            await work.begin()
        finally:
            if work is None:
                self._over()
        if asked.stream:
            usage = asked.stream_options.include_usage
            return StreamingResponse(work.chunks(include_usage=usage), media_type="text/event-stream")
        return JSONResponse(await work.whole())

    def _over(self) -> None:
        self._running -= 1


class Work:
    """One answer, made in a thread and handed over piece by piece."""

    def __init__(self, hub: Hub, conversation: Conversation, over: Callable[[], None]) -> None:
        self._hub = hub
        self._conversation = conversation
        self._over = over
        self._outcome = Outcome()
        self._cancelled = threading.Event()
        self._pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self._first: str | BaseException | None = None
        self._head = {
            "id": "chatcmpl-" + secrets.token_hex(12),
            "created": int(time.time()),
            "model": hub.runner.name,
        }

    async def begin(self) -> None:
        """Start, and wait for the first piece, so that errors still have a status. Raises: Refusal."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="vigil-chat", daemon=True).start()
        self._first = await self._pieces.get()
        if isinstance(self._first, BaseException):
            raise self._first if isinstance(self._first, Refusal) else Refusal("internal") from self._first

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        def put(item: str | BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._pieces.put_nowait, item)

        runner = self._hub.runner
        tokens = runner.stream.text_tokens
        try:
            said = complete(
                runner.model,
                self._conversation,
                self._outcome,
                self._cancelled,
                text_tokens=tokens,
                step=runner.side_door.step,
            )
            for piece in said:
                put(piece)
            put(None)
        except BaseException as error:  # noqa: BLE001 - carried over to the request
            put(error)
        finally:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._over)

    async def _all(self) -> AsyncIterator[str]:
        item = self._first
        while item is not None:
            if isinstance(item, BaseException):
                raise Refusal("internal") from item
            yield item
            item = await self._pieces.get()

    async def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        try:
            text = "".join([piece async for piece in self._all()])
        finally:
            self._cancelled.set()
        message = {"role": "assistant", "content": text.strip()}
        choice = {"index": 0, "message": message, "finish_reason": self._outcome.finish, "logprobs": None}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    async def chunks(self, *, include_usage: bool) -> AsyncIterator[str]:
        """The answer as server-sent events."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            async for piece in self._all():
                yield self._chunk({"content": piece})
            yield self._chunk({}, finish=self._outcome.finish)
            if include_usage:
                yield self._event({"choices": [], "usage": self._usage()})
            yield "data: [DONE]\n\n"
        finally:
            self._cancelled.set()

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> str:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    def _event(self, fields: dict[str, Any]) -> str:
        return f"data: {json.dumps({**self._head, 'object': 'chat.completion.chunk', **fields})}\n\n"

    def _usage(self) -> dict[str, int]:
        prompt, said = self._outcome.prompt_tokens, self._outcome.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
