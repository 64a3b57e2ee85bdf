"""HTML and SVG as values: only `tag` makes markup, and every other string is text.

A question, a caption or a file name is a plain `str`, so it is escaped wherever it is put; nothing in this package
joins strings into markup. Text loses control and direction characters on the way (`printable`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from vigil.stream.source import printable


@dataclass(frozen=True, slots=True)
class Markup:
    """Finished markup. Build it with `tag`; call it directly only on text that is part of the program."""

    html: str


Child: TypeAlias = "Markup | str | Iterable[Child] | None"
Value: TypeAlias = "str | float | bool | None"

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})


def tag(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """Build one element.

    An attribute `stroke_width` is spelled `stroke-width`, and `class_` `class`; True stands alone, None and False are
    left out, numbers keep two decimals.
    """
    assert _NAME.fullmatch(name), name
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opening if name in _VOID else f"{opening}{_inner(children)}</{name}>")


def group(*children: Child) -> Markup:
    """Put markup and text side by side, without an element around them."""
    return Markup(_inner(children))


def number(value: float) -> str:
    """Spell a coordinate: at most two decimals, no trailing zeros."""
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _inner(children: Iterable[Child]) -> str:
    return "".join(map(_spelled, children))


def _spelled(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child.html
    return escape(printable(child)) if isinstance(child, str) else _inner(child)


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert _NAME.fullmatch(name), name
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = printable(value) if isinstance(value, str) else number(value)
    return f' {name}="{escape(text, quote=True)}"'
