"""Subtitles for a live stream, as they are said: live_subtitles.py SERVER OUT.vtt "Describe what happens." [CAMERA]

SERVER is the address that `vigil serve` prints, with its token; CAMERA is a name given to `vigil serve --camera`,
without one the bundled clip is watched. OUT.vtt is WebVTT that grows by one cue at a time, on the clock of the video:
a player that reads it again every few seconds always finds whole cues. A corrected answer is a new cue.
"""

import sys
from pathlib import Path

from vigil.client import Camera, Notice, Upload, connect
from vigil.types import Done, Revise, Say

READ_S, CHARS_PER_S = 2.0, 15.0


def stamp(time_s: float) -> str:
    ms = round(1000 * max(0.0, time_s))
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def cue(number: int, start_s: float, end_s: float, text: str) -> str:
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{number}\n{stamp(start_s)} --> {stamp(end_s)}\n{' '.join(shown.split())}\n\n"


def main(server: str, out: str, question: str, source: Camera | Upload) -> None:
    """Write a cue as soon as an answer has ended, until the source has."""
    starts: dict[tuple[int, int], float] = {}
    number = 0
    with (
        Path(out).open("w", encoding="utf-8") as file,
        connect(server) as client,
        client.session(source) as session,
    ):
        file.write("WEBVTT\n\n")
        file.flush()
        session.ask(question, standing=True)
        for event in session:
            if isinstance(event, Say | Revise):
                starts.setdefault((event.answer, event.rev), event.time_s)
            elif isinstance(event, Done) and event.text.strip():
                number += 1
                start_s = starts.pop((event.answer, event.rev), event.time_s)
                end_s = max(event.time_s + READ_S, start_s + len(event.text) / CHARS_PER_S)
                file.write(cue(number, start_s, end_s, event.text))
                file.flush()
            elif isinstance(event, Notice) and event.kind == "source.ended":
                session.close(drain=True)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:4], source=Camera(sys.argv[4]) if len(sys.argv) == 5 else Upload("demo"))
