"""Markup read back as a tree, for tests of what a page shows; and the small stream that they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from event_logs import ask, decide, frame, happening, log_of, null, question, say, truth_of, value
from studied import seeing

from vigil.eval.report.markup import Markup
from vigil.eval.report.streams import Stream

VOID = frozenset({"meta", "input", "br", "img", "link"})


@dataclass
class Node:
    """An element with its attributes, and what is in it."""

    tag: str
    attrs: dict[str, str | None] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, joined."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def classes(self) -> set[str]:
        """Its classes."""
        return set((self.attrs.get("class") or "").split())

    def all(self, tag: str = "", *, of: str = "") -> list[Node]:
        """The elements below with this name and, where it is given, all of these classes; in order."""
        return [one for one in self._below() if tag in ("", one.tag) and set(of.split()) <= one.classes]

    def one(self, tag: str = "", *, of: str = "") -> Node:
        """The only one."""
        (found,) = self.all(tag, of=of)
        return found

    def number(self, name: str) -> float:
        """An attribute that is a number."""
        return float(self.attrs[name] or "nan")

    def _below(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child._below()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def tree(markup: Markup | str) -> Node:
    """Read markup; what is not closed in order is an error."""
    reader = _Reader()
    reader.feed(markup if isinstance(markup, str) else markup.html)
    reader.close()
    (root,) = reader.open
    return root


def light(name: str = "one", **head: Any) -> Stream:
    """Ten seconds of a light that is red and from 5 s on blue, told at 1.5 s and revised at 5.5 s.

    A cat at 3 s is missed, at 9.5 s something is said that nobody asked for; nothing is due in the first half second.
    """
    slots = [row for i in range(10) for row in (*frame(i, float(i)), decide(i + 0.1, "silent", vis=i, p=0.75))]
    log = log_of(
        *slots,
        ask("q1", 0.5, direct=True),
        *seeing(say("1.1", 1.5, "It is red.", q="q1")),
        *seeing(say("1.2", 5.5, "It is blue.", q="q1", supersedes="1.1")),
        *seeing(say("2.1", 9.5, "Nobody asked.", q=None)),
        end_s=10.0,
        **head,
    )
    truth = truth_of(
        question("q1", 0.5, "state", text="What colour?", role="colour"),
        value(0.5, 5, "red", alias=["It is red."]),
        value(5, 10, "blue", alias=["It is blue."]),
        question("q2", 0.0, "event"),
        happening(3, 4, "a cat", q="q2", accept=["A cat appears."]),
        null(0, 0.5),
    )
    return Stream(name=name, log=log, truth=truth)
