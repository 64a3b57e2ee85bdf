"""What a session watches. The server never opens an address or a path that a client names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Push:
    """Frames that this program sends."""

    def wire(self, number: int) -> dict[str, Any]:
        """As `session.open` and `source.add` want it."""
        return {"source": number, "kind": "push"}


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that the operator has set up (`vigil serve --camera NAME=ADDRESS`)."""

    name: str
    fps: float | None = None
    """Frames read per second (Hz); None: the server's default, 1."""

    def wire(self, number: int) -> dict[str, Any]:
        """As `session.open` and `source.add` want it."""
        return _given(number, "camera", asdict(self))


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded before, or "demo" for the bundled clip."""

    upload_id: str
    fps: float | None = None
    """Frames read per second of video (Hz); None: the server's default, 1."""
    start_s: float | None = None
    pace: float | None = None
    """Seconds of video that pass in one second; 0: as fast as it is perceived. None: 1."""

    def wire(self, number: int) -> dict[str, Any]:
        """As `session.open` and `source.add` want it."""
        return _given(number, "upload", asdict(self))


Source = Push | Camera | Upload


def _given(number: int, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"source": number, "kind": kind, **{name: value for name, value in fields.items() if value is not None}}
