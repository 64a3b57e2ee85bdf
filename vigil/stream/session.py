"""The one state machine: frames, questions and interruptions in, typed events out.

A session knows no thread, no clock and no file. Whoever drives it says what time it is. It reads the frame memory only
through snapshots, and asks its policy in each decision slot: after a frame, and right after a question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import GrammarError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import ControlIds, Slot, TextStream, Transcript
from vigil.stream.inbox import Mailbox
from vigil.stream.journal import Dropped, Journal, Moment, Question, Totals
from vigil.stream.memory import FrameMemory, TextMemory
from vigil.stream.perceiver import Perceived
from vigil.stream.policy import Greedy, Policy, Sampler, SlotChoice
from vigil.types import EndReason, Event, Finish

if TYPE_CHECKING:
    from vigil.stream.inbox import Speed
    from vigil.stream.source import SourceSpec

Trace = Callable[..., None]
"""Called as trace(kind, **fields) for what is not an event: "frame", "ready", "evict", "decide", "fed"."""


class Session:
    """One conversation about one live source.

    Used from outside::

        with vigil.Session(model, fps=1.0) as live:
            live.ask("What is happening?")
            for event in live.watch("clip.mp4"):
                print(event)

    `ask` and `interrupt` may be called from any thread. The methods under "core" are for drivers; each takes the
    moment at which it happens and returns the events it caused.
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        fps: float | None = None,
        config: StreamConfig | None = None,
        policy: Policy | None = None,
        sampler: Sampler | None = None,
        system: str = "",
        trace: Trace | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            fps: frames read per second of video; a short way to set `StreamConfig.fps`.
            policy: when to speak; default `Greedy()`.
            sampler: which token to say; default greedy.
            system: system text that opens the conversation.
            trace: see `Trace`.

        Raises:
            ModelError: the model has no tokenizer. TokenizerError: a control token is missing.
        """
        if model.tokenizer is None:
            raise ModelError("this model folder has no tokenizer.json, and a session needs text. Add the file.")
        self.model = model
        self.config = config or StreamConfig()
        if fps is not None:
            self.config = replace(self.config, fps=fps)
        self.mailbox = Mailbox()
        self._policy = policy or Greedy()
        self._sampler = sampler or Sampler()
        self._system = system
        self._trace = trace or (lambda kind, **fields: None)
        self._tokenizer = model.tokenizer
        self._control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
        self._control.require_streaming()
        self._transcript = Transcript(model.tokenizer, self._control)
        text = model.config.text
        self._frames = FrameMemory(self.config, num_layers=len(text.cross_layers))
        self._text = TextMemory(self.config.text_tokens, num_layers=text.num_layers - len(text.cross_layers))
        self._allowed_V = allowed_tokens(
            model, self._control.silence, self._control.ellipsis, self._control.end_of_turn
        )
        self._pending: list[int] = []
        self._position = 0
        self._prefix = 0
        self._question = (0, 0)
        self._journal = Journal()
        self._said: list[int] = []
        self._words = TextStream(self._tokenizer)
        self._started_s = 0.0
        self._kept: deque[int] = deque()
        self.due_s: float | None = None
        """Video time at which the next token is due; None while nothing is being said."""

    # ---- from outside ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ask(self, text: str, *, standing: bool = False, at_s: float | None = None) -> None:
        """Ask now, or at a video time. A standing question is answered anew each time there is news."""
        self.mailbox.put(Question(text, standing, at_s))

    def interrupt(self) -> None:
        """Stop the answer that is being spoken, without a new question."""
        self.mailbox.put("interrupt")

    def close(self) -> None:
        """End a running `watch`; it still yields how the open answer ended, and the totals."""
        self.mailbox.put("close")

    def watch(self, source: SourceSpec, *, speed: Speed = 1.0, live: bool = False) -> Iterator[Event]:
        """Watch a source to its end and yield events as they happen.

        Args:
            source: a path, a folder of images, a `Source`, or any iterable of (image, seconds).
            speed: on the virtual clock, how many seconds of video pass in one second; "max" never sleeps.
            live: use the wall clock: frames come when they come, and late ones are dropped and counted.

        Raises:
            SourceError, MediaError: the source cannot be opened or decoded.
        """
        from vigil.stream.watch import drive

        return drive(self, source, speed=speed, live=live)

    def watch_async(self, source: SourceSpec, *, speed: Speed = 1.0, live: bool = False) -> AsyncIterator[Event]:
        """The same as `watch`, for asyncio: the event loop stays free between events."""
        from vigil.stream.watch import in_thread

        return in_thread(self.watch(source, speed=speed, live=live), self.close)

    # ---- core ------------------------------------------------------------------------------------------------

    def open(self, now: Moment) -> list[Event]:
        """Begin: system text, the empty first turn, and its first slot.

        Raises:
            GrammarError: the session has begun before.
        """
        if self._transcript.slot is not Slot.NONE:
            raise GrammarError("this session has watched a source already. Make a new Session for each source.")
        self._add(self._transcript.system(self._system))
        self._pin(self._transcript.user(""))
        return self._decide(now)

    def see(self, perceived: Perceived, now: Moment) -> list[Event]:
        """Take a frame in: it becomes readable, its placeholder enters the text, and a slot opens."""
        speaking = self._transcript.slot is Slot.SPEAKING
        self._add(self._transcript.frame())
        position = self._position - 1
        with torch.inference_mode():
            at = torch.tensor([position], device=self.model.device)
            gone = self._frames.take(self.model.place_frames(perceived.projected, at), [position])
        self._journal.saw(perceived.index)
        self._trace("frame", i=perceived.index, t=perceived.time_s, w=min(perceived.arrived_s, now.wall_s))
        self._trace("ready", i=perceived.index, t=now.time_s, w=now.wall_s)
        for _ in range(gone):
            self._trace("evict", i=self._kept.popleft(), t=now.time_s, w=now.wall_s)
        self._kept.append(perceived.index)
        if speaking:
            self._note_decision(now, None, "continue")
            return []
        return self._decide(now)

    def hear(self, question: Question, now: Moment) -> list[Event]:
        """Take a question in: it cuts the answer being spoken, opens a turn, and is decided upon at once."""
        events = self._journal.asked(question, now, self._words.text)
        self.due_s = None
        self._pin(self._transcript.user(question.text))
        return events + self._decide(now)

    def stop_speaking(self, now: Moment) -> list[Event]:
        """The user interrupts without a question; nothing happens where nothing is being said."""
        if self._transcript.slot is not Slot.SPEAKING:
            return []
        self._add(self._transcript.silence())
        self.due_s = None
        return self._journal.cut(now, self._words.text, next_turn=None)

    def step(self, now: Moment) -> list[Event]:
        """Say the token that is due: a word, the end of the answer, or `<|...|>` and what follows it."""
        spoken_s = now.time_s - self._started_s
        if len(self._said) >= self.config.max_answer_tokens or spoken_s >= self.config.max_answer_s:
            return self._finish(now, "length")
        token = self._sampler.pick(self._logits() + self._allowed_V, self._said)
        if token == self._control.silence:
            return self._finish(now, "silence")
        if token == self._control.end_of_turn:
            return self._finish(now, "end")
        if token == self._control.ellipsis:
            self._add(self._transcript.abandon())
            self.due_s = None
            superseded = self._journal.ends(now, self._words.text, status="superseded", finish="cancel")
            return superseded + self._decide(now)
        return self._say(token, now)

    def lose(self, dropped: Dropped, now: Moment) -> list[Event]:
        """Report frames that will never be perceived."""
        for index in dropped.indices:
            self._trace("drop", i=index, t=now.time_s, w=now.wall_s, why=dropped.reason)
        return self._journal.dropped(now, dropped.first_s, dropped.last_s, len(dropped.indices), dropped.reason)

    def end(self, now: Moment, reason: EndReason, totals: Totals) -> list[Event]:
        """Close what is open and report the totals."""
        events: list[Event] = []
        if self._transcript.slot is Slot.SPEAKING:
            events = self._journal.ends(now, self._words.text, status="interrupted", finish="cancel")
            self.due_s = None
        return events + self._journal.ended(now, reason, totals)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _decide(self, now: Moment) -> list[Event]:
        """Ask the policy in the slot that has just opened; speak the first token, or stay silent."""
        logits_V = self._logits() + self._allowed_V
        logits_V[[self._control.ellipsis, self._control.end_of_turn]] = -torch.inf
        silence = self._control.silence
        p_silence = float(logits_V.float().softmax(-1)[silence])
        best = int(logits_V.argmax()) == silence
        waited_s = self._journal.waited_s(now)
        if not self._policy.speaks(SlotChoice(p_silence, best, waited_s, has_seen=len(self._frames) > 0)):
            self._note_decision(now, p_silence, "silent")
            self._add(self._transcript.silence())
            return self._journal.silent(now, p_silence)
        self._note_decision(now, p_silence, "speak")
        logits_V[silence] = -torch.inf
        self._said, self._words = [], TextStream(self._tokenizer)
        self._started_s = now.time_s
        events = self._journal.starts(now)
        return events + self._say(self._sampler.pick(logits_V, self._said), now)

    def _say(self, token: int, now: Moment) -> list[Event]:
        self._add(self._transcript.text(token))
        self._said.append(token)
        self.due_s = self._started_s + len(self._said) / self.config.tokens_per_s
        return self._journal.says(now, self._words.push(token))

    def _finish(self, now: Moment, finish: Finish) -> list[Event]:
        self._add(self._transcript.silence())
        self._note_decision(now, None, "stop")
        self.due_s = None
        return self._journal.ends(now, self._words.text, status="final", finish=finish)

    def _note_decision(self, now: Moment, p_silence: float | None, act: str) -> None:
        vis = self._journal.newest_frame
        self._trace("decide", t=now.time_s, w=now.wall_s, vis=vis, p=p_silence, act=act)

    def _add(self, ids: list[int]) -> None:
        """Put tokens into the text; the model reads them when the next logits are wanted."""
        self._pending += ids
        self._position += len(ids)
        self._trace("fed", ids=ids)

    def _pin(self, ids: list[int]) -> None:
        """Put a user's message in, and keep it in the text lane when older text is dropped."""
        start = len(self._text) + len(self._pending)
        self._add(ids)
        self._question = (start, start + len(ids))
        if self._prefix == 0:
            self._prefix = start + len(ids)

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        """Feed the pending tokens; logits of what follows them. Shapes: -> [V]."""
        ids, self._pending = self._pending, []
        self._make_text_room(len(ids))
        return feed(self.model, ids, start=self._position - len(ids), text=self._text, frames=self._frames)

    def _make_text_room(self, num_tokens: int) -> None:
        """Drop the oldest text outside the opening messages and the open question, a quarter of the lane at a time."""
        lacking = len(self._text) + num_tokens - self._text.capacity
        if lacking <= 0:
            return
        lacking = max(lacking, self._text.capacity // 4)
        start, stop = self._question
        before = max(0, min(lacking, start - self._prefix, len(self._text) - self._prefix))
        self._text.drop(self._prefix, self._prefix + before)
        start, stop = start - before, stop - before
        self._question = (start, stop)
        after = max(0, min(lacking - before, len(self._text) - stop))
        self._text.drop(stop, stop + after)


def feed(model: VideoModel, ids: list[int], *, start: int, text: TextMemory, frames: FrameMemory) -> Tensor:
    """Put tokens into the text lane at rotary positions from `start` on; logits of what follows. Shapes: -> [V]."""
    positions_T = torch.arange(start, start + len(ids), device=model.device)
    views = frames.snapshot().views(positions_T)
    fed_T = torch.tensor(ids, device=model.device)
    logits_V = model.decode(fed_T, positions_T, cache=text, cached_tokens=len(text), views=views)
    text.advance(len(ids))
    return logits_V


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
