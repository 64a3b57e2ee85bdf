"""`vigil export`: write a model as a folder, in our own layout or the released one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser
from vigil.errors import OutputError

HELP = f"""\
usage: vigil export MODEL --out DIR [--layout vigil|mllama]

Write config, weights and tokenizer of a model as a folder.

  MODEL                nano, a folder, or a hub name
  --out DIR            folder to write
  --layout NAME        vigil (ours) or mllama (that of the released models);
                       vigil reads both (default: mllama where it fits)

examples:
  vigil export runs/realtime_sft/realtime_sft --out my-model
  vigil export nano --out my-nano --layout vigil

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil export`."""
    flags = Parser("export", HELP)
    flags.add_argument("model", metavar="MODEL")
    flags.add_argument("--out", type=Path, required=True, metavar="DIR")
    flags.add_argument("--layout", choices=["vigil", "mllama"])
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ModelError: no such model, or it does not fit the layout. OutputError: the folder cannot be written.
    """
    from vigil.model.weights import load
    from vigil.train.export import export

    model = load(args.model, device="cpu")
    try:
        layout = export(model, args.out, args.layout)
    except OSError as error:
        raise OutputError(f"{args.out} cannot be written: {error.strerror}. Choose another --out.") from error
    print(f"{args.out} holds {args.model} in the {layout} layout", file=sys.stderr)
