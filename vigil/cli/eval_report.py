"""`vigil eval report`: one HTML page about one run, made from its logs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count
from vigil.errors import OutputError

HELP = f"""\
usage: vigil eval report LOGS... --html FILE [--truth FILE...] [--video FILE...]
                         [--summary FILE] [--streams N]

Write one self-contained page about a run: scores with their controls, latency,
calibration, and each stream's time line and transcript beside its frames.

  LOGS           event logs of one run, or the folder that --logs wrote
  --html FILE    page to write
  --truth FILE   what should have been said, one for each log
                 (default: x.truth.jsonl beside x.log.jsonl)
  --video FILE   what was watched, one for each log; world scenes need none,
                 they are drawn again from the name of the log
  --summary FILE what vigil eval behaviour --json printed about these logs;
                 adds what logs cannot tell, such as other controls
  --streams N    streams shown in full (default: 12); scores are over all

examples:
  vigil eval behaviour --scenes 20 --logs runs/nano
  vigil eval report runs/nano --html nano.html
  vigil eval report run.jsonl --truth truth.jsonl --video cat.mp4 --html cat.html

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil eval report`."""
    flags = Parser("eval report", HELP)
    flags.add_argument("logs", nargs="+", type=Path, metavar="LOGS")
    flags.add_argument("--html", type=Path, required=True, metavar="FILE")
    flags.add_argument("--truth", nargs="+", type=Path, default=[], metavar="FILE")
    flags.add_argument("--video", nargs="+", type=Path, default=[], metavar="FILE")
    flags.add_argument("--summary", type=Path, metavar="FILE")
    flags.add_argument("--streams", type=count, default=12, metavar="N")
    return flags


def run(args: argparse.Namespace) -> None:
    """Write the page, and say on stderr what it holds.

    Raises:
        ConfigError: files that do not go together. SourceError, MediaError, DataError: one cannot be read.
        OutputError: the page cannot be written.
    """
    from vigil.eval.report.page import PageConfig, make_page
    from vigil.eval.report.streams import find_streams

    streams = find_streams(args.logs, truths=args.truth, videos=args.video)
    page = make_page(streams, PageConfig(num_streams=args.streams, summary=args.summary))
    try:
        args.html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{args.html} cannot be written: {error.strerror}. Choose another --html.") from error
    shown = min(args.streams, len(streams))
    print(f"{args.html}: {len(streams)} streams, {shown} in full, {len(page) / 1e6:.1f} MB", file=sys.stderr)
