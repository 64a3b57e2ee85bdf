"""`vigil watch`: watch a video while it plays, and print what the model says, as it says it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vigil.cli import EXIT_CODES
from vigil.cli.interrupt import ctrl_c
from vigil.cli.options import PATIENCE_S, Options, patience_of, policy_of, shows_live
from vigil.cli.parser import AddQuestion, Parser, Question, count, positive, probability, speed
from vigil.config import Retention, Storage, StreamConfig
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from vigil.cli.lines import Printer
    from vigil.cli.recorded import Kept
    from vigil.cli.story import Pace
    from vigil.stream.session import Session
    from vigil.stream.source import Source
    from vigil.types import Event

HELP = f"""\
usage: vigil watch [SOURCE]... [--ask TEXT]... [--watch-for TEXT]... [OPTIONS]

Watch a video while it plays, and print what the model says, as it says it.
Type a question and press Enter at any time. One question is open at a time:
the next one, typed or given, ends the one before.

  SOURCE               file, folder of images, camera:0, screen:, rtsp://..., or
                       http://... (default: the bundled clip); several are
                       watched at once, each asked the same
  --ask TEXT           question asked at 0 s (default: none)
  --ask-at S TEXT      question asked at a video time in seconds (default: none)
  --watch-for TEXT     what to report each time it happens (default: none)
  --fps HZ             frames read per second of video (default: 1.0)
  --model NAME         nano, a folder, or a hub name (default: nano)
  --speed FACTOR       seconds of video per second, or max (default: 1.0)
  --live               keep real time: frames that come too late are dropped
  --patience SECONDS   how long a live source may be away (default: 300.0)
  --still-ok           a camera whose picture never changes is not stuck
  --memory FRAMES      frames kept (default: as many as in the model's training)
  --text-tokens N      text tokens kept (default: the same)
  --retention WORD     window, keyframes, pool or merge (default: window)
  --frame-storage WORD model, int8 or fp8 (default: model)
  --pace TOKENS        tokens spoken per second of video (default: 8.0)
  --threshold P        speak where P(silence) < P, 0 to 1 (default: greedy)
  --json               one JSON event per line, for other programs
  --srt, --vtt FILE    write what was said as SRT or WebVTT subtitles
  --video FILE         write an MP4 of what was watched, with what was said
  --dry-run            say what would be used; open no camera, load no weights
  --out FILE           write the lines of --json to a file
  --log DIR            keep the session in a folder; see vigil log --help
  --resume ID          go on with a kept session after the last frame it saw

examples:
  vigil watch kitchen.mp4 --ask "Tell me when the water boils."
  vigil watch camera:0 --json | jq 'select(.event == "done")'

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil watch`."""
    flags = Parser("watch", HELP)
    default = StreamConfig()
    flags.add_argument("sources", nargs="*", metavar="SOURCE")
    flags.add_argument("--ask", action=AddQuestion, dest="questions", metavar="TEXT")
    flags.add_argument("--ask-at", action=AddQuestion, dest="questions", nargs=2, metavar=("S", "TEXT"))
    flags.add_argument("--watch-for", action=AddQuestion, dest="questions", metavar="TEXT")
    flags.add_argument("--fps", type=positive, default=default.fps, metavar="HZ")
    flags.add_argument("--model", default="nano", metavar="NAME")
    flags.add_argument("--speed", type=speed, metavar="FACTOR")
    flags.add_argument("--live", action="store_true")
    flags.add_argument("--patience", type=positive, default=PATIENCE_S, metavar="SECONDS")
    flags.add_argument("--still-ok", action="store_true")
    flags.add_argument("--memory", type=count, default=default.memory_frames, metavar="FRAMES")
    flags.add_argument("--text-tokens", type=count, default=default.text_tokens, metavar="N")
    flags.add_argument("--retention", choices=get_args(Retention), default=default.retention)
    flags.add_argument("--frame-storage", choices=get_args(Storage), default=default.frame_storage)
    flags.add_argument("--pace", type=positive, default=default.tokens_per_s, metavar="TOKENS")
    flags.add_argument("--threshold", type=probability, metavar="P")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--srt", type=Path, metavar="FILE")
    flags.add_argument("--vtt", type=Path, metavar="FILE")
    flags.add_argument("--video", type=Path, metavar="FILE")
    flags.add_argument("--out", type=Path, metavar="FILE")
    flags.add_argument("--log", type=Path, metavar="DIR")
    flags.add_argument("--resume", metavar="ID")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        VigilError: see the exit codes. KeyboardInterrupt: ctrl-C, after a clean end.
    """
    given = options(args)
    if args.dry_run:
        tell_plan(given)
    else:
        watch(given)


def options(args: argparse.Namespace) -> Options:
    """Turn flags into options.

    Raises:
        ConfigError: flags that do not go together. SourceError: an address that may not be opened.
    """
    from vigil.stream.address import address_of

    if args.live and args.speed not in (None, 1.0):
        raise ConfigError(f"--live keeps real time, so --speed {args.speed} cannot hold. Leave one of them out.")
    if args.speed is not None and any(address_of(source) is not None for source in args.sources):
        raise ConfigError(f"a live source has a time of its own, so --speed {args.speed} cannot hold. Leave it out.")
    if args.video is not None and args.video.suffix.lower() != ".mp4":
        raise ConfigError(f"--video writes MP4, so the name of its file must end in .mp4, got {str(args.video)!r}.")
    if args.video is not None and args.resume is not None:
        raise ConfigError("--video shows a session from its beginning, --resume goes on in its middle. Leave one out.")
    return Options(
        source=args.sources[0] if args.sources else None,
        others=tuple(args.sources[1:]),
        questions=tuple(args.questions or ()),
        stream=StreamConfig(
            fps=args.fps,
            memory_frames=args.memory,
            text_tokens=args.text_tokens,
            retention=args.retention,
            frame_storage=args.frame_storage,
            tokens_per_s=args.pace,
        ),
        model=args.model,
        speed=args.speed or 1.0,
        live=args.live,
        patience_s=args.patience,
        still_ok=args.still_ok,
        threshold=args.threshold,
        json=args.json,
        srt=args.srt,
        vtt=args.vtt,
        video=args.video,
        out=args.out,
        log=args.log,
        resume=args.resume,
    )


def tell_plan(options: Options) -> None:
    """Say what would be watched, by whom, and what it keeps."""
    from vigil.cli.plan import model_fact, source_fact, stream_fact, tell

    options = options if options.others else with_demo(options)
    sources = [source for source in (options.source, *options.others) if source is not None]
    fact, config = model_fact(options.model)
    tell(
        "watch",
        sources=", ".join(source_fact(source, options.stream.fps) for source in sources),
        questions="; ".join(question.text for question in options.questions) or "none",
        model=fact,
        each_keeps=stream_fact(options.stream, config),
    )


def watch(options: Options) -> None:
    """Open everything, show each event, and write the subtitles; what can fail early fails before the model loads."""
    if options.others:
        from vigil.cli.together import watch_together

        watch_together(options)
        return
    from vigil.cli.recorded import recorded
    from vigil.cli.subtitles import check_writable

    for path in (options.srt, options.vtt, options.video, options.out):
        if path is not None:
            check_writable(path)
    with recorded(options) as kept:
        play(with_demo(kept.options), kept)


def play(options: Options, kept: Kept) -> None:
    """Watch the source of `options`, show each event once `kept` has it, and write the subtitles."""
    from vigil.cli.annotated import Film
    from vigil.cli.keyboard import Keyboard
    from vigil.cli.lines import note
    from vigil.cli.story import Story
    from vigil.cli.subtitles import write_subtitles
    from vigil.stream.source import open_source

    assert options.source is not None
    for at_s, number in Counter(question.at_s for question in options.questions).items():
        if number > 1:
            note(f"{number} questions at {at_s:g} s: each ends the one before, so only the last of them stays open.")
    story = Story(keep=None if options.srt or options.vtt else 1)
    opening = open_source(options.source, fps=options.stream.fps, live=patience_of(options))
    with opening as opened, Film(options.video) as film:
        source = film.of(kept.rest_of(opened, options), pace_of(options, opened))
        printer = printer_for(options, source)
        session, events = start(options, source, film.trace(kept.trace(printer.trace)))
        kept.begin(source, options)
        keyboard = Keyboard(session.ask, on_change=printer.typing, echo=not shows_live(options))
        try:
            with session, printer, keyboard, ctrl_c(session.close, keyboard.restore) as was_pressed:
                for event in kept.keep(events):
                    story.add(event)
                    film.show(event)
                    printer.show(event)
        finally:
            write_subtitles(story, srt=options.srt, vtt=options.vtt)
            for warning in source.warnings:
                note(f"warning: {warning}")
    if was_pressed.is_set():
        raise KeyboardInterrupt


def start(options: Options, source: Source, trace: Callable[..., None]) -> tuple[Session, Iterator[Event]]:
    """Load the model and begin to watch: the one place where flags become calls.

    Raises:
        ModelError: the model cannot be loaded.
    """
    import vigil
    from vigil.cli.lines import loading

    with loading(options.model):
        model = vigil.load(options.model)
    session = vigil.Session(model, config=options.stream, policy=policy_of(options), trace=trace)
    for question in options.questions:
        session.ask(question.text, standing=question.standing, at_s=question.at_s)
    return session, session.watch(source, speed=options.speed, live=options.live)


def with_demo(options: Options) -> Options:
    """Fill in the bundled clip, and its questions unless there are others."""
    if options.source is not None:
        return options
    from vigil.assets import demo_clip, demo_questions

    questions = tuple(Question(q.text, at_s=q.at_s, standing=q.standing) for q in demo_questions())
    return replace(options, source=str(demo_clip()), questions=options.questions or questions)


def printer_for(options: Options, source: Source) -> Printer:
    """JSON lines, the live view, or plain lines."""
    from vigil.cli.keyboard import is_ours
    from vigil.cli.lines import JsonLines, PlainLines

    if options.json:
        return JsonLines(source.name)
    if not shows_live(options):
        return PlainLines()
    from vigil.cli.view import LiveView

    return LiveView(source.name, duration_s=source.duration_s, pace=pace_of(options, source), typed=is_ours())


def pace_of(options: Options, source: Source) -> Pace:
    """How fast a source is watched."""
    return "live" if options.live or source.is_live else options.speed
