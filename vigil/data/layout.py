"""From a record to token ids: the only place that knows the training layout.

It walks the record on the virtual clock with the session's own order of things (a frame, then a question, then the next
word) and writes through the same `Transcript`, so a sample laid out here and the same sample replayed through a session
agree token for token.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache

from vigil.data.recital import LATE_KINDS, Recitation
from vigil.data.records import Record, Reply, Turn
from vigil.model.loss import IGNORE
from vigil.model.tokens import ControlIds, Slot, Tokenizer, Transcript

EPSILON_S = 1e-9
"""Times closer than this are the same moment, as in a session."""


@dataclass(slots=True)
class Sample:
    """One conversation as the model sees it in training."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    """The id again where the model learns it, -100 elsewhere."""
    frame_positions: list[int] = field(default_factory=list)
    """Position of each frame's placeholder, in order of frames."""
    is_timed: bool = False
    """What is said depends on which frame came before which word, so that `jitter` leaves it as it is."""


class Layout:
    """Lays out records for one tokenizer. Thread-safe; a layout keeps no state between records."""

    def __init__(self, tokenizer: Tokenizer, *, image_token_id: int) -> None:
        self._tokenizer = tokenizer
        self.control = ControlIds(tokenizer, image_token_id=image_token_id)
        self.encode = lru_cache(maxsize=8192)(lambda text: tuple(tokenizer.encode(text)))

    def lay_out(self, record: Record, frame_times_s: list[float], *, tokens_per_s: float = 4.0) -> Sample:
        """Lay out one record.

        Args:
            frame_times_s: when each frame is seen, rising.
            tokens_per_s: speaking pace; random in training, so that the model learns any.
        """
        if record.offline:
            return self._offline(record, len(frame_times_s))
        walk = _Walk(self, record, tokens_per_s)
        walk.run(frame_times_s)
        walk.sample.is_timed = any(turn.kind in LATE_KINDS for turn in record.turns)
        return walk.sample

    def transcript(self) -> Transcript:
        """A fresh writer of the slot grammar."""
        return Transcript(self._tokenizer, self.control)

    def _offline(self, record: Record, num_frames: int) -> Sample:
        sample, transcript = Sample(), self.transcript()
        first = True
        for turn in record.turns:
            if not turn.question or not turn.replies:
                continue
            asked = transcript.offline(num_frames, turn.question) if first else transcript.user(turn.question)
            first = False
            _add(sample, asked, self.control.image)
            for token in self.encode(turn.replies[-1].text):
                _add(sample, transcript.text(token), self.control.image, learn=True)
            _add(sample, transcript.end(), self.control.image, learn=True)
        return sample

    def jitter(self, sample: Sample, rng: random.Random, *, share: float = 0.5) -> Sample:
        """Let frames arrive a token earlier, as they may while the model speaks.

        With probability `share` a frame swaps places with the text token before it, unless that token is the first of
        its answer or follows another frame.

        Source: arXiv 2606.07639, arrival jitter.
        """
        ids, labels, image = list(sample.ids), list(sample.labels), self.control.image
        control = {*self._tokenizer.control_ids, image}
        for i in range(2, 0 if sample.is_timed else len(ids)):
            inside = all(labels[k] != IGNORE and ids[k] not in control for k in (i - 2, i - 1))
            if ids[i] == image and inside and rng.random() < share:
                ids[i - 1], ids[i] = ids[i], ids[i - 1]
                labels[i - 1], labels[i] = labels[i], labels[i - 1]
        return Sample(ids, labels, [i for i, token in enumerate(ids) if token == image], sample.is_timed)


class _Walk:
    """One record on its way through virtual time."""

    def __init__(self, layout: Layout, record: Record, tokens_per_s: float) -> None:
        self.sample = Sample()
        self._layout = layout
        self._record = record
        self._pace = tokens_per_s
        self._transcript = layout.transcript()
        self._turn = record.turns[0] if not record.turns[0].question else None
        self._next_reply = 0
        self._recitation: Recitation | None = None
        self._words: tuple[int, ...] = ()
        self._said = 0
        self._started_s = 0.0
        self._due_s: float | None = None

    def run(self, frame_times_s: list[float]) -> None:
        """Walk to the end: all frames, all questions, and the answer that is still being spoken."""
        self._add(self._transcript.system(self._record.system))
        self._add(self._transcript.user(""))
        self._decide(0.0)
        frames = iter(frame_times_s)
        turns = iter(turn for turn in self._record.turns if turn.question)
        frame_s, turn, now_s = next(frames, None), next(turns, None), 0.0
        while True:
            coming: list[tuple[float, str]] = []
            if turn is not None and turn.ask_s <= 0:
                coming.append((0.0, "turn"))
            if frame_s is not None:
                coming.append((frame_s, "frame"))
            if turn is not None:
                over_s = now_s if frame_s is not None else max(now_s, frame_times_s[-1] + 1 / self._record.fps)
                coming.append((turn.ask_s if frame_s is not None else min(turn.ask_s, over_s), "turn"))
            if self._due_s is not None:
                coming.append((self._due_s, "due"))
            if not coming:
                return
            earliest_s = min(at_s for at_s, _ in coming)
            at_s, what = next(pair for pair in coming if pair[0] <= earliest_s + EPSILON_S)
            now_s = max(now_s, at_s)
            if what == "frame":
                self._see(now_s)
                frame_s = next(frames, None)
            elif what == "turn" and turn is not None:
                self._hear(turn, now_s)
                turn = next(turns, None)
            else:
                self._step(now_s)

    def _see(self, now_s: float) -> None:
        speaking = self._transcript.slot is Slot.SPEAKING
        self._add(self._transcript.frame())
        if not speaking:
            self._decide(now_s)
        elif self._recitation is not None:
            self._words = self._recitation.mend(self._words[: self._said], now_s + EPSILON_S)

    def _hear(self, turn: Turn, now_s: float) -> None:
        self._turn, self._next_reply, self._due_s = turn, 0, None
        self._recitation = Recitation(turn, self._layout.encode) if turn.kind in LATE_KINDS else None
        self._add(self._transcript.user(turn.question))
        self._decide(now_s)

    def _step(self, now_s: float) -> None:
        if self._overtaken(now_s):
            self._add(self._transcript.abandon(), learn=True)
            self._due_s = None
            self._decide(now_s)
        elif self._said < len(self._words):
            self._say(self._words[self._said])
        else:
            self._add(self._transcript.silence(), learn=True)
            self._due_s = None

    def _decide(self, now_s: float) -> None:
        words = self._due_words(now_s)
        if not words:
            self._add(self._transcript.silence(), learn=True)
            return
        self._words, self._said, self._started_s = words, 0, now_s
        self._say(words[0])

    def _say(self, token: int) -> None:
        self._add(self._transcript.text(token), learn=True)
        self._said += 1
        self._due_s = self._started_s + self._said / self._pace

    def _due_words(self, now_s: float) -> tuple[int, ...]:
        """Tokens of the reply to start now. Before the first frame nothing is known, so nothing is said."""
        if self._turn is None or not self.sample.frame_positions:
            return ()
        if self._recitation is not None:
            return self._recitation.begin(now_s + EPSILON_S)
        reply = self._due_reply(self._turn, now_s)
        return () if reply is None else self._layout.encode(reply.text)

    def _due_reply(self, turn: Turn, now_s: float) -> Reply | None:
        """The reply to start now. Of several that wait, a standing turn says the oldest, a state turn the newest."""
        waiting = [r for r in turn.replies[self._next_reply :] if r.time_s <= now_s + EPSILON_S]
        if not waiting:
            return None
        self._next_reply += 1 if turn.standing else len(waiting)
        return waiting[0] if turn.standing else waiting[-1]

    def _overtaken(self, now_s: float) -> bool:
        if self._turn is None:
            return False
        coming = self._turn.replies[self._next_reply :][:1]
        return any(r.overtakes and r.time_s <= now_s + EPSILON_S for r in coming)

    def _add(self, ids: list[int], *, learn: bool = False) -> None:
        _add(self.sample, ids, self._layout.control.image, learn=learn)


def _add(sample: Sample, ids: list[int], image: int, *, learn: bool = False) -> None:
    for token in ids:
        if token == image:
            sample.frame_positions.append(len(sample.ids))
        sample.ids.append(token)
        sample.labels.append(token if learn else IGNORE)
