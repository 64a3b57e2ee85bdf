"""The released sample format: one conversation as text, with a mark for each frame and each silence.

`{"messages": [...], "images": [], "videos": ["[RealTime QA][INFO]{...}", "[RealTime QA][PLACEHOLDER]", ...]}`. The
first entry of `videos` names the file and the time of every frame; one more entry stands for each further frame, so
that there are as many entries as frames and as `<|video|>` marks. Frames come once a second.

Source: arXiv 2606.07639 and its released samples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vigil.data.recital import LATE_KINDS
from vigil.data.records import Record, Reply, Turn
from vigil.errors import DataError

SILENCE, FRAME, ABANDON = "<|silence|>", "<|video|>", "<|...|>"
_INFO, _PLACEHOLDER = "[RealTime QA][INFO]", "[RealTime QA][PLACEHOLDER]"
_EPS = 1e-6


def moss_sample(record: Record, *, words_per_s: float = 30.0) -> dict[str, Any]:
    """Spell a real-time record as a released sample.

    Args:
        words_per_s: speaking pace; the released samples have 25 to 37 words between two frames.

    Raises:
        DataError: the record is offline, recites a panel, or its frames do not come once a second.
    """
    if record.offline:
        raise DataError(f"{record.id} is an offline record; the released real-time format has none. Leave it out.")
    if any(turn.kind in LATE_KINDS for turn in record.turns):
        raise DataError(f"{record.id} recites a panel; the released format has no words for that. Leave it out.")
    if record.fps != 1.0:
        raise DataError(f"{record.id} has {record.fps} frames per second; the released format has 1. Set fps=1.0.")
    num_frames = max(1, math.ceil(record.duration_s - _EPS))
    times = [f"{second // 60:02d}:{second % 60:02d}" for second in range(num_frames)]
    info = json.dumps({"video_path": record.video, "time_info": times}, ensure_ascii=False)
    messages = [{"role": "system", "content": record.system}] if record.system else []
    frame = 0
    ends_s = [*(turn.ask_s for turn in record.turns[1:]), math.inf]
    for turn, end_s in zip(record.turns, ends_s, strict=True):
        past = frame
        while past < num_frames and past < end_s - _EPS:
            past += 1
        speech = _Speech(turn, words_per_s)
        content = speech.slot(turn.ask_s, min(float(frame), end_s), seen=frame > 0)
        for second in range(frame, past):
            content += FRAME + speech.slot(float(second), min(second + 1.0, end_s), seen=True)
        frame = past
        messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": content}]
    return {"messages": messages, "images": [], "videos": [_INFO + info, *[_PLACEHOLDER] * (num_frames - 1)]}


class _Speech:
    """What is said in one turn, slot by slot, at a pace."""

    def __init__(self, turn: Turn, words_per_s: float) -> None:
        self._waiting = list(turn.replies)
        self._is_standing = turn.standing
        self._pace = words_per_s
        self._left: list[str] = []

    def slot(self, now_s: float, until_s: float, *, seen: bool) -> str:
        """The text of the slot at `now_s`, with as many words as fit before `until_s`; nothing is said unseen."""
        due = [reply for reply in self._waiting if seen and reply.time_s <= now_s + _EPS]
        text = ""
        if self._left and due and due[0].overtakes:
            text, self._left = ABANDON, []
        if not self._left:
            if not due:
                return text + SILENCE
            self._start(due)
        room = max(1, round((until_s - now_s) * self._pace)) if until_s > now_s else 0
        said, self._left = self._left[:room], self._left[room:]
        return text + "".join(said) + ("" if self._left else SILENCE)

    def _start(self, due: list[Reply]) -> None:
        """Begin the oldest reply of a standing turn, or the newest of a state turn."""
        reply = due[0] if self._is_standing else due[-1]
        self._waiting = self._waiting[self._waiting.index(reply) + 1 :]
        first, *rest = reply.text.split()
        self._left = [first, *(f" {word}" for word in rest)]


def moss_samples(records: Iterable[Record], *, words_per_s: float = 30.0) -> Iterator[dict[str, Any]]:
    """The released form of every real-time record; offline ones are left out."""
    return (moss_sample(record, words_per_s=words_per_s) for record in records if not record.offline)


def write_moss(path: Path, records: Iterable[Record], *, words_per_s: float = 30.0) -> int:
    """Write samples as JSON lines; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for sample in moss_samples(records, words_per_s=words_per_s):
            out.write(json.dumps(sample, ensure_ascii=False) + "\n")
            count += 1
    return count
