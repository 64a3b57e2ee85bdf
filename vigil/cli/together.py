"""`vigil watch A B C`: several sources at once on one model, and what is said told apart by source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, Self

from vigil.cli.interrupt import ctrl_c
from vigil.cli.options import Options, patience_of, policy_of, shows_live
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from vigil.cli.lines import Printer
    from vigil.stream.engine import Engine
    from vigil.stream.handle import Handle
    from vigil.stream.source import Source
    from vigil.types import Event

SINGLE = {name: f"--{name}" for name in ("srt", "vtt", "video", "out", "log", "resume")}
"""Options that are for one source."""
NAME_WIDTH = 24
"""Most columns of a source's name before a plain line."""


class Screen(Protocol):
    """Shows several sources to somebody."""

    def show(self, source: int, event: Event) -> None:
        """Take one event of a source."""

    def trace(self, source: int, kind: str, **fields: object) -> None:
        """Take one measurement of a source; see `vigil.stream.session.Trace`."""

    def typing(self, text: str) -> None:
        """The user has typed this much of a question."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Lines:
    """Lines of all sources, in the order in which things happen; each printer names its source."""

    def __init__(self, printers: Sequence[Printer]) -> None:
        self._printers = printers

    def show(self, source: int, event: Event) -> None:
        """Print an event of a source."""
        self._printers[source].show(event)

    def trace(self, source: int, kind: str, **fields: object) -> None:
        """Nothing to do."""

    def typing(self, text: str) -> None:
        """Nothing to do: the terminal echoes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


def watch_together(options: Options) -> None:
    """Watch every source to its end, and show each event with its source.

    What can fail early fails before the model loads. A source that fails later ends its own session alone; its error is
    raised when the others have ended.

    Raises:
        ConfigError: an option that is for one source. VigilError: see the exit codes.
    """
    from vigil.cli.keyboard import Keyboard
    from vigil.cli.lines import note
    from vigil.stream.source import open_source

    for name, flag in SINGLE.items():
        if getattr(options, name) is not None:
            raise ConfigError(f"{flag} is for one source, and {1 + len(options.others)} are given. Leave it out.")
    assert options.source is not None
    with ExitStack() as stack:
        sources = [
            stack.enter_context(open_source(spec, fps=options.stream.fps, live=patience_of(options)))
            for spec in (options.source, *options.others)
        ]
        names = unlike([source.name for source in sources])
        screen = screen_for(options, sources, names)
        engine = load_engine(options)
        arrived: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        handles = start(engine, options, sources, screen, arrived)
        keyboard = Keyboard(ask_all(handles), on_change=screen.typing, echo=not shows_live(options))
        with engine, screen, keyboard, ctrl_c(close_all(handles), keyboard.restore) as was_pressed:
            for index, event in until_all_ended(arrived, len(handles)):
                screen.show(index, event)
    for source in sources:
        for warning in source.warnings:
            note(f"warning: {warning}")
    if was_pressed.is_set():
        raise KeyboardInterrupt
    for error in (handle.error for handle in handles):
        if error is not None:
            raise error


def unlike(names: Sequence[str]) -> list[str]:
    """Tell sources of one name apart: the second becomes "name (2)"."""
    return [
        name if names[:i].count(name) == 0 else f"{name} ({names[:i].count(name) + 1})" for i, name in enumerate(names)
    ]


def load_engine(options: Options) -> Engine:
    """Load the model.

    Raises:
        ModelError: it cannot be loaded.
    """
    import vigil
    from vigil.cli.lines import loading
    from vigil.stream.engine import Engine

    with loading(options.model):
        return Engine(vigil.load(options.model))


def start(
    engine: Engine,
    options: Options,
    sources: Sequence[Source],
    screen: Screen,
    arrived: SimpleQueue[tuple[int, Event]],
) -> list[Handle]:
    """Open a session for each source, and ask each the same.

    Raises:
        CapacityError: there is not room for all of them.
    """
    from functools import partial

    from vigil.stream.journal import Question

    questions = [Question(q.text, q.standing, q.at_s) for q in options.questions]

    def listener(index: int) -> Callable[[Event], None]:
        return lambda event: arrived.put((index, event))

    return [
        engine.watch(
            source,
            config=options.stream,
            speed=None if options.live else options.speed,
            questions=questions,
            policy=policy_of(options),
            trace=partial(screen.trace, index),
            on_event=listener(index),
        )
        for index, source in enumerate(sources)
    ]


def until_all_ended(arrived: SimpleQueue[tuple[int, Event]], num_sources: int) -> Iterator[tuple[int, Event]]:
    """Events as they come, until every source has given its last."""
    from vigil.types import Ended

    while num_sources:
        index, event = arrived.get()
        yield index, event
        num_sources -= isinstance(event, Ended)


def ask_all(handles: Sequence[Handle]) -> Callable[[str], None]:
    """Ask a typed question of every source."""

    def ask(text: str) -> None:
        for handle in handles:
            handle.ask(text)

    return ask


def close_all(handles: Sequence[Handle]) -> Callable[[], None]:
    """End every session."""

    def close() -> None:
        for handle in handles:
            handle.close()

    return close


def screen_for(options: Options, sources: Sequence[Source], names: Sequence[str]) -> Screen:
    """JSON lines, a lane for each source, or plain lines."""
    from vigil.cli.keyboard import is_ours
    from vigil.cli.lines import JsonLines, PlainLines

    if options.json:
        return Lines([JsonLines(name) for name in names])
    if not shows_live(options):
        width = min(NAME_WIDTH, max(len(name) for name in names))
        return Lines([PlainLines(f"{name[:width]:<{width}} ") for name in names])
    from vigil.cli.lanes import Lanes

    pace = "live" if options.live or all(source.is_live for source in sources) else options.speed
    durations = [source.duration_s for source in sources]
    return Lanes(names, durations, pace=pace, typed=is_ours())
