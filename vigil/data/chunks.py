"""Work in chunks that can be stopped and taken up again: each finished chunk is one file, renamed into place.

A folder `OUT.parts` holds a manifest (what is being made from what) and the finished chunks. A run that finds it goes
on after the chunks that are there; a manifest that differs is an error, so that no file is ever put together from two
runs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from vigil.errors import DataError, OutputError

T = TypeVar("T")


def in_chunks(items: Iterable[T], size: int) -> Iterator[tuple[int, list[T]]]:
    """Number the items off in lists of `size`; the last one may be shorter."""
    source = iter(items)
    number = 0
    while chunk := list(islice(source, size)):
        yield number, chunk
        number += 1


class Parts:
    """The finished chunks of one output file."""

    def __init__(self, out: Path, manifest: dict[str, Any]) -> None:
        """Open or take up the parts of `out`.

        Raises:
            OutputError: the folder cannot be made.
            DataError: it holds the parts of another run.
        """
        self.out = out
        self.folder = out.with_name(out.name + ".parts")
        noted = self.folder / "manifest.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not noted.exists():
                write_atomically(noted, json.dumps(manifest, sort_keys=True))
            elif json.loads(noted.read_text(encoding="utf-8")) != json.loads(json.dumps(manifest)):
                raise DataError(
                    f"{self.folder.name} holds the unfinished parts of a run with other settings. "
                    "Run with those settings to finish it, or remove the folder."
                )
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror}. Choose another --out.") from error
        self.done = {int(path.stem) for path in self.folder.glob("[0-9]*.jsonl")}
        """Numbers of the chunks that are finished."""

    def commit(self, number: int, lines: Iterable[str], counts: Counter[str]) -> None:
        """Write one finished chunk; it is either there with its counts, or not at all."""
        text = json.dumps(counts, sort_keys=True) + "\n" + "".join(f"{line}\n" for line in lines)
        write_atomically(self.folder / f"{number:08d}.jsonl", text)
        self.done.add(number)

    def finish(self) -> Counter[str]:
        """Join all chunks in order into the output file, remove the parts, and return the counts of all."""
        counts: Counter[str] = Counter()
        partial = self.out.with_name(self.out.name + ".partial")
        try:
            with partial.open("w", encoding="utf-8") as joined:
                for number in sorted(self.done):
                    with (self.folder / f"{number:08d}.jsonl").open(encoding="utf-8") as part:
                        counts.update(json.loads(next(part)))
                        shutil.copyfileobj(part, joined)
            partial.replace(self.out)
            shutil.rmtree(self.folder)
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written: {error.strerror}. Choose another --out.") from error
        return counts


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
