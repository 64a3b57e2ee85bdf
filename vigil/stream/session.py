"""The one state machine: frames, questions and interruptions in, typed events out.

A session knows no thread, no clock and no file. Whoever drives it says what time it is. It reads the frame memory only
through snapshots, and asks its policy in each decision slot: after a frame, and right after a question.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch

from vigil.config import StreamConfig
from vigil.errors import GrammarError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import ControlIds, Slot, TextStream, Transcript
from vigil.stream.feed import Asking, Feed, allowed_tokens, alone
from vigil.stream.inbox import Item, Mailbox
from vigil.stream.journal import Dropped, Instruction, Journal, Moment, Question, Totals
from vigil.stream.lanes import FrameQueue, lanes_for
from vigil.stream.memory import turner_of
from vigil.stream.notices import Outage, Return
from vigil.stream.perceiver import Perceived
from vigil.stream.policy import Greedy, Policy, Sampler, SlotChoice, weigh
from vigil.stream.text_lane import Ledger, begin_anew, make_room
from vigil.types import EndReason, Event, Finish

if TYPE_CHECKING:
    from vigil.stream.inbox import Speed
    from vigil.stream.source import SourceSpec

Trace = Callable[..., None]
"""Called as trace(kind, **fields) for what is not an event: "frame", "drop", "ready", "evict", "decide", "fed", "ran",
and "calm": an interruption was read, and nothing was being said."""


class Session:
    """One conversation about one live source.

    Used from outside::

        with vigil.Session(model, fps=1.0) as live:
            live.ask("What is happening?")
            for event in live.watch("clip.mp4"):
                print(event)

    `ask` and `interrupt` may be called from any thread. The methods under "core" are for drivers; each takes the
    moment at which it happens and returns the events it caused. `take` is for a driver of many sessions: it gives work
    that stops wherever the model is needed, so that one pass can serve them all.
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
        config = config or StreamConfig()
        if fps is not None:
            config = replace(config, fps=fps)
        self.config = config.settled(model.config)
        self.mailbox = Mailbox()
        self._policy = policy or Greedy()
        self._sampler = sampler or Sampler()
        self._system = system
        self._trace = trace or (lambda kind, **fields: None)
        self._tokenizer = model.tokenizer
        self._control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
        self._control.require_streaming()
        self._transcript = Transcript(model.tokenizer, self._control)
        self._frames, self._text = lanes_for(model, self.config)
        control = self._control
        self._allowed_V = allowed_tokens(model, control.silence, control.ellipsis, control.end_of_turn)
        self._slot_V = allowed_tokens(model, control.silence)
        self._pending: list[int] = []
        self._turner = turner_of(model)
        self._ledger = Ledger(
            image_id=control.image, silence_id=control.silence, entries_per_frame=model.num_entries([control.image])
        )
        self._journal = Journal()
        self._said: list[int] = []
        self._words = TextStream(self._tokenizer)
        self._started_s = 0.0
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

    def instruct(self, system: str) -> None:
        """Go on under another system text, from the next decision on. Frames and what was said stay.

        Raises:
            ModelError: the model keeps its frames in its text, which would have to be read anew with them.
        """
        if isinstance(self._frames, FrameQueue):
            raise ModelError("this model keeps its frames in its text, which cannot be read anew. Open a new Session.")
        self.mailbox.put(Instruction(system))

    def close(self) -> None:
        """End a running `watch`; it still yields how the open answer ended, and the totals."""
        self.mailbox.put("close")

    def watch(self, source: SourceSpec, *, speed: Speed = 1.0, live: bool = False) -> Iterator[Event]:
        """Watch a source to its end and yield events as they happen.

        Args:
            source: a path, a folder of images, a `Source`, or any iterable of (image, seconds).
            speed: on the virtual clock, how many seconds of video pass in one second; "max" never sleeps.
            live: use the wall clock: frames come when they come, and late ones are dropped and counted. A live source
                has no other clock.

        Raises:
            SourceError, MediaError: the source cannot be opened or decoded.
        """
        from vigil.stream.watch import drive

        return drive(self, source, speed=speed, live=live)

    def watch_async(self, source: SourceSpec, *, speed: Speed = 1.0, live: bool = False) -> AsyncIterator[Event]:
        """The same as `watch`, for asyncio: the event loop stays free between events."""
        from vigil.stream.watch import in_thread

        return in_thread(self.watch(source, speed=speed, live=live), self.close)

    @property
    def num_bytes(self) -> int:
        """Memory that both lanes hold."""
        return self._frames.num_bytes + self._text.num_bytes

    # ---- core ------------------------------------------------------------------------------------------------

    def open(self, now: Moment) -> list[Event]:
        """Begin: system text, the empty first turn, and its first slot.

        Raises:
            GrammarError: the session has begun before.
        """
        return alone(self.model, self.opening(now))

    def see(self, perceived: Perceived, now: Moment) -> list[Event]:
        """Take a frame in: it becomes readable, its placeholder enters the text, and a slot opens."""
        return alone(self.model, self.take(perceived, now))

    def hear(self, question: Question, now: Moment) -> list[Event]:
        """Take a question in: it cuts the answer being spoken, opens a turn, and is decided upon at once."""
        return alone(self.model, self.take(question, now))

    def step(self, now: Moment) -> list[Event]:
        """Say the token that is due: a word, the end of the answer, or `<|...|>` and what follows it."""
        return alone(self.model, self.take("due", now))

    def opening(self, now: Moment) -> Asking[list[Event]]:
        """`open`, as work that stops at each pass of the model."""
        if self._transcript.slot is not Slot.NONE:
            raise GrammarError("this session has watched a source already. Make a new Session for each source.")
        self._add(self._transcript.system(self._system))
        self._pin(self._transcript.user(""))
        return (yield from self._decide(now))

    def take(self, item: Item, now: Moment) -> Asking[list[Event]]:
        """Give one item of an inbox to the session, as work that stops at each pass of the model."""
        match item:
            case Perceived():
                return (yield from self._see(item, now))
            case Question():
                return (yield from self._hear(item, now))
            case Dropped():
                return self.lose(item, now)
            case Outage() | Return():
                return self._journal.source_changed(now, item)
            case Instruction(text=text):
                return (yield from self._instruct(text))
            case "interrupt":
                return self.stop_speaking(now)
            case _:
                return (yield from self._step(now))

    def stop_speaking(self, now: Moment) -> list[Event]:
        """The user interrupts without a question; nothing happens where nothing is being said."""
        if self._transcript.slot is not Slot.SPEAKING:
            self._trace("calm")
            return []
        self._add(self._transcript.silence())
        self.due_s = None
        return self._journal.cut(now, self._words.text, next_turn=None)

    def lose(self, dropped: Dropped, now: Moment) -> list[Event]:
        """Report frames that will never be perceived."""
        for index in dropped.indices:
            self._trace("drop", i=index, t=now.time_s, w=now.wall_s, why=dropped.reason)
        return self._journal.dropped(now, dropped.first_s, dropped.last_s, len(dropped.indices), dropped.reason)

    def events_after(self, seq: int) -> list[Event]:
        """The newest events with a higher number: those of work that failed before it could return them."""
        return [event for event in self._journal.newest if event.seq > seq]

    def end(self, now: Moment, reason: EndReason, totals: Totals) -> list[Event]:
        """Close what is open and report the totals."""
        events: list[Event] = []
        if self._transcript.slot is Slot.SPEAKING:
            events = self._journal.ends(now, self._words.text, status="interrupted", finish="cancel")
            self.due_s = None
        return events + self._journal.ended(now, reason, totals)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _see(self, perceived: Perceived, now: Moment) -> Asking[list[Event]]:
        speaking = self._transcript.slot is Slot.SPEAKING
        self._add(self._transcript.frame())
        position = len(self._ledger) - 1
        with torch.inference_mode():
            at = torch.tensor([position], device=self.model.device)
            gone = self._frames.take(self.model.place_frames(perceived.projected, at), [position], [perceived.index])
        self._journal.saw(perceived.index)
        self._trace("frame", i=perceived.index, t=perceived.time_s, w=min(perceived.arrived_s, now.wall_s))
        self._trace("ready", i=perceived.index, t=now.time_s, w=now.wall_s)
        for index in gone:
            self._trace("evict", i=index, t=now.time_s, w=now.wall_s)
        if speaking:
            self._note_decision(now, None, "continue")
            return []
        return (yield from self._decide(now))

    def _hear(self, question: Question, now: Moment) -> Asking[list[Event]]:
        events = self._journal.asked(question, now, self._words.text)
        self.due_s = None
        self._pin(self._transcript.user(question.text))
        return events + (yield from self._decide(now))

    def _instruct(self, system: str) -> Asking[list[Event]]:
        opening, lanes = Transcript(self._tokenizer, self._control), (self._text, self._frames, self._ledger)
        ids, spare = opening.system(system) + opening.user(""), self.config.text_tokens // 4
        yield Feed(begin_anew(*lanes, ids, num_pending=len(self._pending), num_spare=spare), 0, *lanes[:2])
        return []

    def _step(self, now: Moment) -> Asking[list[Event]]:
        spoken_s = now.time_s - self._started_s
        if len(self._said) >= self.config.max_answer_tokens or spoken_s >= self.config.max_answer_s:
            return self._finish(now, "length")
        logits_V = yield self._wanted()
        token = self._sampler.pick(logits_V + self._allowed_V, self._said)
        if token == self._control.silence:
            return self._finish(now, "silence")
        if token == self._control.end_of_turn:
            return self._finish(now, "end")
        if token == self._control.ellipsis:
            self._add(self._transcript.abandon())
            self.due_s = None
            superseded = self._journal.ends(now, self._words.text, status="superseded", finish="cancel")
            return superseded + (yield from self._decide(now))
        return self._say(token, now)

    def _decide(self, now: Moment) -> Asking[list[Event]]:
        """Ask the policy in the slot that has just opened; speak the first token, or stay silent."""
        logits_V = (yield self._wanted()) + self._slot_V
        p_silence, best, word = weigh(logits_V, self._control.silence)
        slot = SlotChoice(p_silence, best, self._journal.waited_s(now), has_seen=len(self._frames) > 0)
        if not self._policy.speaks(slot):
            self._note_decision(now, p_silence, "silent")
            self._add(self._transcript.silence())
            return self._journal.silent(now, p_silence)
        self._note_decision(now, p_silence, "speak")
        self._said, self._words = [], TextStream(self._tokenizer)
        self._started_s = now.time_s
        events = self._journal.starts(now)
        return events + self._say(word if self._sampler.is_greedy else self._sampler.pick(logits_V, []), now)

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
        self._ledger.add(ids)
        self._trace("fed", ids=ids)

    def _pin(self, ids: list[int]) -> None:
        """Put a user's message in; while it is the open question, the text lane keeps it."""
        self._pending += ids
        self._ledger.ask(ids)
        self._trace("fed", ids=ids)

    @torch.inference_mode()
    def _wanted(self) -> Feed:
        """The pending tokens: what the next logits wait for."""
        ids, self._pending = self._pending, []
        make_room(
            self._text,
            self._frames,
            self._ledger,
            num_pending=len(ids),
            num_spare=self.config.text_tokens // 4,
            turner=self._turner,
        )
        self._trace("ran", tokens=self.model.num_entries(ids))
        return Feed(ids, len(self._ledger) - len(ids), self._text, self._frames)
