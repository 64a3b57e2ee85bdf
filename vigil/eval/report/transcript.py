"""What happened in one stream, in order of time, each moment beside the frames that had been seen by then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

from vigil.eval.log import Log, Speech
from vigil.eval.report.lanes import Quiet, Verdict, judged, missed, silences
from vigil.eval.report.markup import Child, Markup, group, tag
from vigil.eval.report.pictures import Sheet
from vigil.eval.report.scales import spell
from vigil.eval.report.streams import Stream
from vigil.eval.rows import PromptRow
from vigil.eval.truth import Happening, Truth

_ANSWER_FRAMES, _QUIET_FRAMES = 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One line of the transcript."""

    at_s: float
    place: int
    """Its row in the log, for moments of one instant."""
    kind: str
    """Class of the style sheet: "asked", "silence", "missed", "speech" or "revision"."""
    frames: tuple[int, ...]
    body: Markup


def transcript(stream: Stream, sheet: Sheet | None) -> Markup:
    """An ordered list: time, frames, and what was asked, said, or not said."""
    moments = sorted(_moments(stream.log, stream.truth), key=lambda moment: (moment.at_s, moment.place))
    lines = [_line(moment, stream.log, sheet) for moment in moments]
    return tag("ol", lines, class_="transcript", tabindex=0, aria_label=f"Transcript of {stream.name}")


def _moments(log: Log, truth: Truth) -> Iterator[Moment]:
    place_of = {id(row): n for n, row in enumerate(log.rows)}
    for prompt in log.prompts:
        yield _asked(log, prompt, place_of[id(prompt)])
    for quiet in silences(log):
        yield Moment(
            at_s=quiet.first_s,
            place=place_of[id(quiet.first)],
            kind="silence",
            frames=_thin(quiet.frames, _QUIET_FRAMES),
            body=_kept(quiet),
        )
    for event in missed(log, truth):
        frames = tuple(frame.i for frame in log.frames if event.s <= frame.t)[:1]
        yield Moment(at_s=event.s, place=0, kind="missed", frames=frames, body=_owed(event))
    for verdict in judged(log, truth):
        speech = verdict.speech
        seen = tuple(sorted({token.vis for token in speech.tokens if token.vis >= 0}))
        yield Moment(
            at_s=speech.tau_first,
            place=place_of[id(speech.tokens[0])],
            kind="speech" if speech.supersedes is None else "revision",
            frames=_thin(seen, _ANSWER_FRAMES),
            body=_answer(verdict),
        )


def _thin(frames: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the frames, evenly spaced, the first and the last among them."""
    if len(frames) <= most:
        return tuple(frames)
    return tuple(frames[round(n * (len(frames) - 1) / (most - 1))] for n in range(most))


def _asked(log: Log, prompt: PromptRow, place: int) -> Moment:
    seen = [i for i, w in log.ready_w.items() if w <= prompt.w]
    how = "answer expected now" if prompt.direct else "standing question"
    body = group(tag("p", prompt.text, class_="words"), tag("p", f"asked as {prompt.q}, {how}", class_="note"))
    return Moment(at_s=prompt.t, place=place, kind="asked", frames=tuple(seen[-1:]), body=body)


def _kept(quiet: Quiet) -> Markup:
    sure = "" if quiet.p_min is None else f", P(silence) at least {floor(1000 * quiet.p_min) / 1000:.3f}"
    slots = "1 slot" if quiet.slots == 1 else f"{quiet.slots} slots"
    until = f"silent until {spell(quiet.last_s)} s" if quiet.last_s > quiet.first_s else "silent"
    return tag("p", f"{until}: {slots}{sure}", class_="note")


def _owed(event: Happening) -> Markup:
    due = event.accept[0] if event.accept else event.v or "something"
    return tag("p", "missed, nothing said within 2 s: ", tag("q", due), class_="note")


def _answer(verdict: Verdict) -> Markup:
    speech, later = verdict.speech, verdict.replaced_by
    text: Child = speech.text.strip()
    said = tag("p", tag("s", text) if later is not None else text, _ending(speech), class_="words")
    notes: list[Child] = [_chip("revises " + speech.supersedes, "revises")] if speech.supersedes is not None else []
    if later is not None:
        notes.append(_chip(f"superseded at {spell(later.tau_first)} s", "old"))
    return group(said, tag("p", notes, _verdict(verdict), class_="note"))


def _ending(speech: Speech) -> Markup | None:
    if speech.retracted_s is not None:
        return _chip(f"retracted at {spell(speech.retracted_s)} s", "old")
    return None if speech.state == "final" else _chip("cut short" if speech.state == "cut" else "never ended", "old")


def _verdict(verdict: Verdict) -> Child:
    event = verdict.event
    if event is None:
        return [_chip("nothing was due", "off")]
    late_s = verdict.speech.tau_first - event.s
    delay = f"{spell(late_s)} s after it was due" if late_s else "at the moment it was due"
    if verdict.is_right:
        return [_chip("right", "right"), delay]
    due = event.accept[0] if event.accept else event.v or "something"
    return [_chip("not a right text", "off"), f"{delay}; right would be ", tag("q", due)]


def _chip(text: str, style: str) -> Markup:
    return tag("span", text, class_=f"chip {style}")


def _line(moment: Moment, log: Log, sheet: Sheet | None) -> Markup:
    frames: list[Markup] = []
    for i in moment.frames if sheet is not None else ():
        assert sheet is not None
        kept = sheet.by_then(i)
        title = f"frame {kept} at {spell(log.frames[kept].t)} s"
        frames.append(sheet.cell(kept, title=title, width=sheet.width_px, height=sheet.height_px, class_="frame"))
    return tag(
        "li",
        tag("span", f"{spell(moment.at_s)} s", class_="time"),
        tag("span", frames, class_="frames"),
        tag("div", moment.body, class_="what"),
        class_=moment.kind,
    )
