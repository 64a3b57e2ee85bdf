"""WebDataset tars: members that share a name up to the first dot are one example.

| members of one key | what it is |
|---|---|
| KEY.json with a record or a list of records, and KEY.mp4 (.webm .mkv .avi .mov) | conversations about a video |
| KEY.json with messages, and the images they name by what follows the key ("jpg", "0.png") | images and text |
| KEY.txt and KEY.jpg (.png .webp) | an image and its caption |

Only the headers are read to index a tar; an example is read by seeking to it. Compressed tars cannot be sought in, and
are refused.
"""

from __future__ import annotations

import json
import random
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vigil.data.records import record_from_json
from vigil.errors import DataError
from vigil.train.examples import Example, Kind, Maker, rate

VIDEOS = ("mp4", "webm", "mkv", "avi", "mov")
IMAGES = ("jpg", "jpeg", "png", "webp")


class _Member(NamedTuple):
    offset: int
    size_bytes: int


class _Entry(NamedTuple):
    tar: Path
    key: str
    members: dict[str, _Member]
    """By what follows the first dot of the name, in lower case."""


class TarSource:
    """Examples of one or more tars."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.name = paths[0].name if len(paths) == 1 else f"{paths[0].parent.name}/*.tar"
        self._entries: list[_Entry] = []
        for path in paths:
            self._entries += _index(path)
        kinds: dict[Kind, list[int]] = {}
        for number, entry in enumerate(self._entries):
            kinds.setdefault(_kind(entry), []).append(number)
        self.items: dict[Kind, Sequence[int]] = dict(kinds)

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """Read the members of one key."""
        entry = self._entries[number]
        name = f"{entry.tar.name} {entry.key}"
        if "json" not in entry.members:
            return self._captioned(entry, name, maker)
        try:
            content = json.loads(_bytes(entry, "json", name))
        except ValueError as error:
            raise DataError(f"{name}.json is not JSON: {error}.") from error
        if isinstance(content, dict) and "messages" in content:
            return maker.from_messages(name, content["messages"], lambda image: _bytes(entry, image.lower(), name))
        rows = content if isinstance(content, list) else [content]
        records = [record_from_json(row, where=f"{name}.json") for row in rows]
        if len({(rate(record, maker.stage), record.offline) for record in records}) != 1:
            raise DataError(f"{name}.json wants one or more records of one rate, all offline or all real-time.")
        video = next((ending for ending in VIDEOS if ending in entry.members), None)
        if video is None:
            raise DataError(f"{name} has no video; a member .{', .'.join(VIDEOS)} is wanted.")
        with tempfile.NamedTemporaryFile(suffix=f".{video}") as file:  # the decoder wants a file of its own
            file.write(_bytes(entry, video, name))
            file.flush()
            return maker.from_records(name, records, Path(file.name), rng)

    @staticmethod
    def _captioned(entry: _Entry, name: str, maker: Maker) -> Example:
        image = next((ending for ending in IMAGES if ending in entry.members), None)
        if image is None or "txt" not in entry.members:
            raise DataError(
                f"{name} has neither .json nor .txt with an image, only {', '.join(sorted(entry.members))}."
            )
        caption = _bytes(entry, "txt", name).decode("utf-8", "replace").strip()
        messages = [
            {"role": "user", "content": [{"image": image}]},
            {"role": "assistant", "content": caption},
        ]
        return maker.from_messages(name, messages, lambda ending: _bytes(entry, ending, name))


def _index(path: Path) -> list[_Entry]:
    entries: dict[str, _Entry] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if info.isfile():
                    base = PurePosixPath(info.name)
                    stem, _, ending = base.name.partition(".")
                    key = str(base.parent / stem)
                    entry = entries.setdefault(key, _Entry(path, key, {}))
                    entry.members[ending.lower()] = _Member(info.offset_data, info.size)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path.name} is not a whole, uncompressed tar: {error}.") from error
    return list(entries.values())


def _kind(entry: _Entry) -> Kind:
    endings = {ending.rpartition(".")[2] for ending in entry.members}
    if endings & set(VIDEOS):
        return "video"
    return "image" if endings & set(IMAGES) else "text"


def _bytes(entry: _Entry, ending: str, name: str) -> bytes:
    member = entry.members.get(ending)
    if member is None:
        raise DataError(f"{name} has no member .{ending}, only {', '.join(sorted(entry.members))}.")
    with entry.tar.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size_bytes)
