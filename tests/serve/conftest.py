"""No test of the log leaves its writing thread behind for the tests after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vigil.serve.writer import Writer


@pytest.fixture(autouse=True)
def no_writer_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests that play a crash abandon their store; its thread ends here."""
    writers: list[Writer] = []
    begin = Writer.__init__

    def begin_and_note(writer: Writer, *args: object, **named: object) -> None:
        begin(writer, *args, **named)  # type: ignore[arg-type]
        writers.append(writer)

    monkeypatch.setattr(Writer, "__init__", begin_and_note)
    yield
    for writer in writers:
        writer.close(0.5)
