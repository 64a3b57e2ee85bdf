"""`vigil ask`: answer one question after the whole video."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, positive
from vigil.config import StreamConfig
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from vigil.stream.source import Source

HELP = f"""\
usage: vigil ask SOURCE QUESTION [--fps HZ] [--model NAME]

Answer one question after the whole video has been seen.

  SOURCE        file, or folder of images
  QUESTION      what to answer, in quotes
  --fps HZ      frames read per second of video (default: 1.0)
  --model NAME  nano, a folder, or a hub name (default: nano)
  --dry-run     say what would be used; load and answer nothing

examples:
  vigil ask kitchen.mp4 "How many people came in?"
  vigil ask holiday-photos "Where was this?" --model ./moss

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil ask`."""
    flags = Parser("ask", HELP)
    flags.add_argument("source", metavar="SOURCE")
    flags.add_argument("question", metavar="QUESTION")
    flags.add_argument("--fps", type=positive, default=1.0, metavar="HZ")
    flags.add_argument("--model", default="nano", metavar="NAME")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Print the answer on stdout.

    Raises:
        VigilError: see the exit codes.
    """
    if not args.question.strip():
        raise ConfigError("the question is empty. Run vigil ask --help.")
    from vigil.cli.lines import note, write_line
    from vigil.stream.address import address_of
    from vigil.stream.source import open_source, printable

    if address_of(args.source) is not None:
        raise ConfigError(
            "a live source has no end, and vigil ask answers after it. Use vigil watch SOURCE --ask TEXT."
        )
    if args.dry_run:
        from vigil.cli.plan import model_fact, source_fact, stream_fact, tell

        fact, config = model_fact(args.model)
        memory = stream_fact(StreamConfig(fps=args.fps), config)
        tell("ask", source=source_fact(args.source, args.fps), question=args.question, model=fact, memory=memory)
        return
    with open_source(args.source, fps=args.fps) as source:  # a wrong source is found before the model is loaded
        text = answer(args.model, source, args.question, args.fps)
    for warning in source.warnings:
        note(f"warning: {warning}")
    if not text:
        note("the model had nothing to say.")
    write_line(printable(text))


def answer(model: str, source: Source, question: str, fps: float) -> str:
    """Load the model and answer: the one place where arguments become calls."""
    import vigil
    from vigil.cli.lines import loading, note
    from vigil.stream import watch

    with loading(model):
        loaded = vigil.load(model)
    config = StreamConfig(fps=fps).settled(loaded.config)
    fitting = watch.fitting_fps(source.duration_s, config)
    if fitting < fps:
        note(f"a long video: read at {fitting:.3f} frames per second, so that all of it fits into memory.")
    return watch.answer(loaded, source, question, config=config)
