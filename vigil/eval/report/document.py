"""The shell of the page: one file that asks nobody for anything, and allows no script but its own."""

from __future__ import annotations

import base64
from hashlib import sha256
from importlib.resources import files

from vigil.eval.report.markup import Child, Markup, tag


def document(header: Markup, main: Child, *, title: str) -> str:
    """A whole HTML page with its style sheet and script inside.

    Its content security policy names both by their hashes and forbids every request, so that no other script could run
    in it and nothing could leave it.
    """
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · vigil"),
        tag("style", Markup(style)),
    )
    body = tag("body", tag("a", "Skip to the scores", href="#scores", class_="skip"), header, tag("main", main),
               tag("script", Markup(script)))  # fmt: skip
    return "<!doctype html>\n" + tag("html", head, body, lang="en").html + "\n"


def _digest(text: str) -> str:
    """The hash by which a content security policy allows exactly this text."""
    return "sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode("ascii")


def section(anchor: str, title: str, lead: str, *children: Child) -> Markup:
    """A part of the page with its heading and, where there is something to say, an introduction."""
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else None, *children, id=anchor)


def scrollable(name: str, content: Markup, **attributes: str | float) -> Markup:
    """A box that is scrolled where the window is too narrow, by the keyboard too."""
    return tag("div", content, class_="wide", tabindex=0, role="region", aria_label=name, **attributes)


def many(count: float, noun: str) -> str:
    """A number and its noun: "1 stream", "2 streams"."""
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"
