"""`vigil log`: list, show, export, check and index the sessions that `vigil watch --log` and `vigil serve` keep."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser
from vigil.errors import ConfigError, DataError, SourceError, StorageError

if TYPE_CHECKING:
    from vigil.serve.lines import Entry, Gap

HELP = f"""\
usage: vigil log list DIR
       vigil log show DIR ID [--json] [--after N]
       vigil log export DIR ID [--format WORD] [--out FILE]
       vigil log verify DIR [ID]
       vigil log rebuild DIR

Read the sessions that vigil watch --log DIR and vigil serve keep in a folder.

  list       one line for each session
  show       a session for people, or with --json its events, one per line
  export     what was said as subtitles, or all events as lines of JSON
  verify     read every byte; name file and place of what is damaged (7)
  rebuild    make the index (index.sqlite) anew from the log

  ID         a session, or the beginning of its id
  --json     events as they were sent, for other programs
  --after N  only what comes after event N (default: 0)
  --format WORD
             srt, vtt or jsonl (default: srt)
  --out FILE where it is written (default: stdout)

examples:
  vigil watch kitchen.mp4 --log logs
  vigil log export logs 3f9a --format vtt --out kitchen.vtt

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil log`."""
    flags = Parser("log", HELP)
    flags.add_argument("what", choices=["list", "show", "export", "verify", "rebuild"])
    flags.add_argument("folder", type=Path, metavar="DIR")
    flags.add_argument("id", nargs="?", metavar="ID")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--after", type=int, default=0, metavar="N")
    flags.add_argument("--format", choices=["srt", "vtt", "jsonl"])
    flags.add_argument("--out", type=Path, metavar="FILE")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: flags that do not go together. SourceError: there is no such folder or session.
        DataError: something is damaged. OutputError: the index or `--out` cannot be written.
    """
    if args.what in ("list", "rebuild") and args.id is not None:
        raise ConfigError(f"vigil log {args.what} takes no session. Leave {args.id} out.")
    if args.what in ("show", "export") and args.id is None:
        raise ConfigError(f"vigil log {args.what} needs the id of a session; vigil log list DIR shows them.")
    if args.what != "show" and (args.json or args.after):
        raise ConfigError("--json and --after belong to vigil log show.")
    if args.what != "export" and (args.format or args.out):
        raise ConfigError("--format and --out belong to vigil log export.")
    if args.after < 0:
        raise ConfigError(f"--after must be 0 or more, got {args.after}.")
    if not (args.folder / "sessions").is_dir():
        raise SourceError(f"{args.folder} holds no sessions. Give the folder of vigil watch --log.")
    match args.what:
        case "list":
            list_sessions(args.folder)
        case "show":
            show(session(args.folder, args.id), after=args.after, as_json=args.json)
        case "export":
            export(session(args.folder, args.id), form=args.format or "srt", out=args.out)
        case "verify":
            verify(args.folder, None if args.id is None else session(args.folder, args.id))
        case "rebuild":
            rebuild(args.folder)


def session(folder: Path, name: str) -> Path:
    """The folder of the session whose id begins with `name`.

    Raises:
        SourceError: none does, or several do.
    """
    from vigil.serve.store_folder import session_folder, session_ids

    found = [one for one in session_ids(folder) if one == name] or [
        one for one in session_ids(folder) if one.startswith(name)
    ]
    if len(found) != 1:
        raise SourceError(f"{len(found)} sessions in {folder} begin with {name!r}. vigil log list shows them.")
    path = session_folder(folder, found[0])
    if path is None:
        raise SourceError(f"session {found[0]} is not a folder of its own.")
    return path


def list_sessions(folder: Path) -> None:
    """One line for each session: id, begin, events, length, size, and how it ended."""
    from vigil.cli.lines import write_line
    from vigil.cli.story import clock
    from vigil.serve.retention import peek
    from vigil.serve.store_folder import session_folder, session_ids

    for name in session_ids(folder):
        path = session_folder(folder, name)
        seen = None
        with suppress(StorageError, DataError):
            seen = None if path is None else peek(path)
        if path is None or seen is None:
            write_line(f"{name}  cannot be read; vigil log verify tells more")
            continue
        begun = datetime.fromtimestamp(seen.t_wall - seen.t_mono, UTC).strftime("%Y-%m-%d %H:%M:%S")
        size_kib = sum(file.stat().st_size for file in path.iterdir()) / 1024
        state = "closed" if seen.is_closed else "open"
        write_line(f"{name}  {begun}Z  {clock(seen.t_mono):>9}  {seen.seq:>7} events  {size_kib:8.1f} KiB  {state}")


def show(path: Path, *, after: int, as_json: bool) -> None:
    """Print a session.

    Raises:
        DataError: events are damaged; they are left out, and named at the end.
    """
    from vigil.cli.lines import write_line

    told, events = Told(), Events(path, after=after)
    for item in events:
        line = as_message(item) if as_json else told.line(item)
        if line is not None:
            write_line(line)
    events.check()


def export(path: Path, *, form: str, out: Path | None) -> None:
    """Write a session as subtitles or as lines of JSON, to a file or to stdout.

    Raises:
        DataError: events are damaged; what is whole has been written. OutputError: it cannot be written.
    """
    from vigil.cli.lines import write_line
    from vigil.cli.subtitles import check_writable, write_whole

    if out is not None:
        check_writable(out)
    events = Events(path)
    lines = map(as_message, events) if form == "jsonl" else iter(subtitles(events, form).splitlines())
    if out is not None:
        write_whole(out, (line + "\n" for line in lines))
    else:
        for line in lines:
            write_line(line)
    events.check()


def subtitles(events: Iterable[Entry | Gap], form: str) -> str:
    """What was said in a session, by the clock of its video."""
    from vigil.cli.story import Story
    from vigil.cli.subtitles import cues, to_srt, to_vtt
    from vigil.client.events import Translator

    story, translator = Story(), Translator()
    for item in events:
        row = json.loads(as_message(item))
        if row["type"].startswith("answer."):
            story.add(translator.event(row))
    return (to_srt if form == "srt" else to_vtt)(cues(story))


class Events:
    """The events of a session; what is damaged is left out and counted.

    Raises:
        DataError: nothing of it can be read.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        from vigil.serve.retention import peek

        seen = peek(path)
        if seen is None:
            raise DataError(f"session {path.name} cannot be read. Run vigil log verify.")
        self._path, self._after, self._upto = path, after, seen.seq
        self._damaged = 0

    def __iter__(self) -> Iterator[Entry | Gap]:
        from vigil.serve.lines import Gap
        from vigil.serve.segments import read_events

        for item in read_events(self._path, after=self._after, upto=self._upto):
            if isinstance(item, Gap) and item.reason == "corrupt":
                self._damaged += item.last - item.first + 1
            yield item

    def check(self) -> None:
        """Raises DataError: some of those that were read are damaged."""
        if self._damaged:
            raise DataError(f"{self._damaged} events of session {self._path.name} are damaged. Run vigil log verify.")


def as_message(item: Entry | Gap) -> str:
    """An event as it was sent, or what a client gets in its place."""
    from vigil.serve.lines import Gap

    if isinstance(item, Gap):
        return json.dumps({"type": "resume.gap", "from": item.first, "to": item.last, "reason": item.reason})
    return item.json


class Told:
    """Tells a session to people: a line for what is complete, nothing for what only machines need."""

    def line(self, item: Entry | Gap) -> str | None:
        """The line of one event; None where it gets none."""
        from vigil.cli.story import clock
        from vigil.serve.lines import Gap
        from vigil.stream.source import printable

        if isinstance(item, Gap):
            return f"{'':>9}  {'gap':<9}  events {item.first} to {item.last} are gone ({item.reason})"
        event = item.event
        told = tell(event)
        if told is None:
            return None
        return f"{clock(event['t_mono']):>9}  {told[0]:<9}  {printable(told[1])}".rstrip()


def tell(event: dict[str, Any]) -> tuple[str, str] | None:
    """What happened, in a word and a text."""
    match event["type"]:
        case "session.created":
            return "begin", f"{event.get('model')}: {', '.join(map(str, event.get('sources') or ()))}"
        case "session.recovered":
            return "again", f"life {event['epoch']} ({event.get('cause')})"
        case "session.closed":
            return "end", str(event.get("reason"))
        case "input.text.accepted":
            return ("watch for" if event.get("standing") else "ask"), event["text"]
        case "answer.done":
            note = {"interrupted": " [cut]", "superseded": " [withdrawn]", "error": " [failed]"}
            return ("revise" if event["rev"] > 1 else "say"), event["text"] + note.get(event["status"], "") + _at(event)
        case "input.text.unanswered":
            return "no answer", str(event.get("cause"))
        case "silence":
            return "silence", f"{event['frames']} frames, from {event['first_ts']:g} to {event['last_ts']:g} s"
        case "input.frames.dropped":
            return "dropped", f"{event['count']} frames ({event['reason']})"
        case "source.opened" | "source.lost" | "source.ended" | "source.error" | "source.discontinuity":
            what = event.get("cause") or event.get("code") or event.get("name")
            return event["type"].replace("source.", ""), f"source {event['source']}: {what}"
        case _:
            return None


def _at(event: dict[str, Any]) -> str:
    """The newest frame that an answer had seen."""
    from vigil.cli.story import clock

    seen = event.get("evidence")
    return f"  [frame {seen['frame_no']} at {clock(seen['ts'])}]" if seen else ""


def verify(folder: Path, only: Path | None) -> None:
    """Read every byte of all sessions, or of one.

    Raises:
        DataError: something is damaged; each place has been printed.
    """
    from vigil.cli.lines import write_line
    from vigil.serve.store_folder import session_folder, session_ids
    from vigil.serve.verify import verify as check

    paths = [only] if only is not None else [session_folder(folder, name) for name in session_ids(folder)]
    damaged = 0
    for path in paths:
        if path is None:
            continue
        report = check(path)
        damaged += bool(report.damage)
        for damage in report.damage:
            write_line(f"{damage.path} bytes {damage.offset} to {damage.end}: {damage.what}")
        tail = f", {report.tail_bytes} bytes at the end were never shown" if report.tail_bytes else ""
        state = f"{len(report.damage)} damaged places" if report.damage else "whole"
        write_line(f"{path.name}: {report.events} events in {report.segments} files, {state}{tail}")
    if damaged:
        raise DataError(
            f"{damaged} of {len(paths)} sessions are damaged. What is whole can still be shown and resumed."
        )


def rebuild(folder: Path) -> None:
    """Make the index anew; refused while another process writes to the folder.

    Raises:
        StorageError: the folder is in use, or the index cannot be written.
    """
    import os

    from vigil.cli.lines import note
    from vigil.serve.disk import Files
    from vigil.serve.index import FILE, Index
    from vigil.serve.store_folder import take

    lock = take(folder, Files())
    try:
        (folder / FILE).unlink(missing_ok=True)
        index = Index(folder)
        note(f"{len(index.rows())} events are in {folder / FILE}")
        index.close()
    finally:
        os.close(lock)
