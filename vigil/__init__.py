"""vigil watches a video while it plays, and speaks only when there is something to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vigil import config as config
    from vigil import errors as errors
    from vigil import types as types
    from vigil.model import load as load
    from vigil.stream.session import Session as Session
    from vigil.stream.watch import watch as watch
    from vigil.stream.watch import watch_async as watch_async

_HOME = {
    "load": "vigil.model",
    "Session": "vigil.stream.session",
    "watch": "vigil.stream.watch",
    "watch_async": "vigil.stream.watch",
}
__all__ = ["Session", "__version__", "config", "errors", "load", "types", "watch", "watch_async"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import vigil` needs no torch."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in ("config", "errors", "types"):
        return import_module(f"vigil.{name}")
    raise AttributeError(f"module 'vigil' has no attribute {name!r}")
