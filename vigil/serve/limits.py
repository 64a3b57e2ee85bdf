"""Every limit of the server with its default. All are finite, checked early, and no request can raise one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vigil.errors import ConfigError

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one server allows. Units are in the names; rates are per second."""

    json_bytes: int = 64 * KIB
    json_depth: int = 32
    frame_bytes: int = 2 * MIB
    """Largest binary message without its header; a longer message ends the connection before it is buffered."""
    text_bytes: int = 8 * KIB
    """One question, and the system text, as UTF-8."""
    controls_per_s: float = 20.0
    control_burst: int = 60
    frames_per_s: float = 10.0
    frame_burst: int = 20
    errors: int = 20
    """More errors than this in `errors_window_s` close the socket."""
    errors_window_s: float = 10.0
    auth_s: float = 5.0
    """For the handshake, for the first message, and for the message that opens a session."""
    ping_s: float = 10.0
    send_stall_s: float = 10.0
    send_messages: int = 256
    sockets_per_session: int = 4
    sockets_per_token: int = 32
    sockets_per_ip: int = 64
    sources: int = 16
    client_ids: int = 64
    seats: int = 8
    """Sessions that have a place on the model at the same time."""
    seat_s: float = 60.0
    """How long a session keeps its place after its last socket has gone."""
    idle_s: float = 300.0
    """A session without frames and without input ends after this."""
    keep_s: float = 86_400.0
    """How long events are kept."""
    queue_frames: int = 4
    stale_s: float = 2.0
    after_frame_s: float = 2.0
    """How long a question waits for the frame it is about."""
    min_side_px: int = 16
    max_side_px: int = 4096
    max_pixels: int = 4096 * 4096
    decode_s: float = 10.0
    """For one image or one frame of a file; then the decoder is killed."""
    upload_bytes: int = 256 * MIB
    upload_s: float = 600.0
    upload_stall_s: float = 10.0
    uploads_kept: int = 8
    media_s: float = 6 * 3600.0
    media_fps: float = 10.0
    """Frames read per second of an upload or a camera."""
    chat_frames: int = 64
    chat_bytes: int = 64 * MIB
    """Body of one chat completion, media included."""
    chats: int = 2
    """Chat completions that run at the same time."""
    answer_tokens: int = 512
    answer_s: float = 20.0
    wrong_tokens: int = 20
    """Per address and `wrong_tokens_window_s`; after that they are refused without being looked at closer."""
    wrong_tokens_window_s: float = 60.0
    ticket_s: float = 60.0
    tickets: int = 1024
    drain_s: float = 30.0
    step_s: float = 5.0
    """A step of the model that takes longer, and 20 times longer than usual, will never end: the server gives up."""
    start_s: float = 600.0
    """For the first step of the model, before anybody is let in."""
    canary_s: float = 5.0
    """How old the newest model step may be for the server to count as ready."""
    ring_events: int = 4096

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0 and finite, got {value}.")

    def shown(self) -> dict[str, Any]:
        """What a client is told in `session.ready` and in /v1/capabilities."""
        names = (
            "json_bytes", "frame_bytes", "text_bytes", "controls_per_s", "frames_per_s", "sources", "queue_frames",
            "max_side_px", "max_pixels", "min_side_px", "idle_s", "seat_s", "keep_s", "upload_bytes", "media_fps",
            "answer_tokens", "answer_s",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
