"""Drivers: they add threads and a clock to a session, and hand its events on. Also offline answering.

Axes: F frames, T tokens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from vigil.config import StreamConfig
from vigil.errors import ModelError, SourceError, VigilError
from vigil.model.model import VideoModel
from vigil.model.tokens import SILENCE, ControlIds, Transcript
from vigil.stream.clock import VirtualInbox, WallInbox
from vigil.stream.feed import allowed_tokens, alone, feed
from vigil.stream.inbox import Inbox, Speed
from vigil.stream.lanes import lanes_for
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.stream.policy import Sampler
from vigil.stream.session import Session
from vigil.stream.source import Source, open_source
from vigil.types import EndReason, Event

if TYPE_CHECKING:
    from vigil.stream.source import SourceSpec


ASYNC_AHEAD = 256
"""Events that may wait for a slow reader in the asyncio form."""


def watch(
    source: SourceSpec,
    *,
    ask: str | Iterable[str | tuple[float, str]] = (),
    model: VideoModel | str = "nano",
    fps: float = 1.0,
    speed: Speed = 1.0,
) -> Iterator[Event]:
    """Watch a source and yield typed events as they happen.

    Args:
        source: a path, a folder of images, a live address, or any iterable of (image, seconds).
        ask: a question at 0 s, or several, each alone or as (seconds, text).
        model: a loaded model, or a name for `vigil.load`.
        fps: frames read per second of video (Hz).
        speed: seconds of video per second; "max" never sleeps.

    Raises:
        SourceError, MediaError, ModelError: the source or the model cannot be opened.
    """
    return _asked(ask, model, fps).watch(source, speed=speed)


def _asked(ask: str | Iterable[str | tuple[float, str]], model: VideoModel | str, fps: float) -> Session:
    """A session that will be asked these questions."""
    from vigil.model import load

    session = Session(load(model) if isinstance(model, str) else model, fps=fps)
    for question in [ask] if isinstance(ask, str) else ask:
        at_s, text = (0.0, question) if isinstance(question, str) else question
        session.ask(text, at_s=at_s)
    return session


def watch_async(
    source: SourceSpec,
    *,
    ask: str | Iterable[str | tuple[float, str]] = (),
    model: VideoModel | str = "nano",
    fps: float = 1.0,
    speed: Speed = 1.0,
) -> AsyncIterator[Event]:
    """The same as `watch`, for asyncio."""
    session = _asked(ask, model, fps)
    return session.watch_async(source, speed=speed)


async def in_thread(events: Iterator[Event], close: Callable[[], None]) -> AsyncIterator[Event]:
    """Hand events on from a thread, so that the event loop stays free while nothing happens.

    Cancelling, or leaving the loop early, calls `close` and returns at once; the thread ends by itself.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(ASYNC_AHEAD)
    left = threading.Event()

    def put(item: Event | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(arrived.put_nowait, item)

    def work() -> None:
        """Take every event in a thread, and how they ended; wait where the reader is too slow."""
        try:
            for event in events:
                put(event)
                if not left.is_set():
                    room.acquire()
            put(None)
        except BaseException as error:  # noqa: BLE001 - carried over, and raised in the event loop
            put(error)

    threading.Thread(target=work, name="vigil-events", daemon=True).start()
    try:
        while (item := await arrived.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            room.release()
    finally:
        left.set()
        room.release()
        close()


def drive(session: Session, source: SourceSpec, *, speed: Speed = 1.0, live: bool = False) -> Iterator[Event]:
    """Open a source and run a session over it. See `Session.watch`."""
    opened = open_source(source, fps=session.config.fps)
    perceiver = Perceiver(session.model)
    inbox: Inbox
    if live or opened.is_live:
        inbox = WallInbox(session.mailbox, iter(opened), perceiver, config=session.config)
        opened.on_notice = inbox.note
    else:
        inbox = VirtualInbox(session.mailbox, iter(opened), perceiver, config=session.config, speed=speed)
    return _run(session, opened, inbox)


def _run(session: Session, source: Source, inbox: Inbox) -> Iterator[Event]:
    """Run a session to its end. A source that is lost for good, or fails, is raised after the totals."""
    reason: EndReason = "eof"
    failed: VigilError | None = None
    with inbox, source:  # the source ends first, so that no thread waits for it
        yield from session.open(inbox.now())
        while True:
            try:
                item, now = inbox.next(session.due_s)
            except VigilError as error:
                reason, failed, now = "error", error, inbox.now()
                break
            if item in ("end", "close"):
                reason = "eof" if item == "end" else "closed"
                break
            yield from alone(session.model, session.take(item, now))
        for dropped in inbox.settle():
            yield from session.lose(dropped, now)
        yield from session.end(now, reason, inbox.totals)
    if failed is not None:
        raise failed


@torch.inference_mode()
def answer(
    model: VideoModel,
    source: SourceSpec,
    question: str,
    *,
    fps: float = 1.0,
    config: StreamConfig | None = None,
    sampler: Sampler | None = None,
) -> str:
    """Answer a question after the whole video (offline): all frames first, then the question, then the answer.

    A video with more frames than `StreamConfig.memory_frames` is read at a lower rate, so that all of it is seen.

    Raises:
        SourceError, MediaError: the source cannot be opened or decoded. ModelError: the model has no tokenizer.
    """
    config, sampler = (config or StreamConfig(fps=fps)).settled(model.config), sampler or Sampler()
    if model.tokenizer is None:
        raise ModelError("this model folder has no tokenizer.json, and an answer needs text. Add the file.")
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    perceived = _perceive_all(model, source, config)
    ids = Transcript(model.tokenizer, control).offline(len(perceived), question)
    capacity = model.num_entries(ids) + config.max_answer_tokens
    frames, text = lanes_for(model, config, text_tokens=capacity)
    places = [i for i, token in enumerate(ids) if token == control.image]
    for frame, place in zip(perceived, places, strict=True):
        at = torch.tensor([place], device=model.device)
        frames.take(model.place_frames(frame.projected, at), [place])
    ends = {control.end_of_turn, *([control.silence] if model.tokenizer.has(SILENCE) else [])}
    allowed_V = allowed_tokens(model, *ends)
    said: list[int] = []
    while len(said) < config.max_answer_tokens:
        start = len(ids) + len(said) - 1 if said else 0
        logits_V = feed(model, [said[-1]] if said else ids, start=start, text=text, frames=frames)
        token = sampler.pick(logits_V + allowed_V, said)
        if token in ends:
            break
        said.append(token)
    return model.tokenizer.decode(said).strip()


def fitting_fps(duration_s: float | None, config: StreamConfig) -> float:
    """The rate (Hz) at which all of a video fits into the frame memory: `config.fps`, or less for a long video."""
    return min(config.fps, config.memory_frames / duration_s) if duration_s else config.fps


def _perceive_all(model: VideoModel, source: SourceSpec, config: StreamConfig) -> list[Perceived]:
    opened = open_source(source, fps=config.fps)
    fps = fitting_fps(opened.duration_s, config)
    perceiver = Perceiver(model)
    with opened:
        if opened.is_live:
            raise SourceError(f"{opened.name} has no end, and this answer comes after it. Watch it, and ask there.")
        opened.read_at(min(fps, opened.fps))
        return [perceiver.perceive(index, frame) for index, frame in enumerate(opened)]
