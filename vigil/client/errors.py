"""What the server's codes mean to a program: one class of `vigil.errors` and one sentence for each."""

from __future__ import annotations

from vigil.errors import (
    BadSequence,
    CapacityError,
    ConfigError,
    MediaError,
    ModelError,
    SourceLost,
    StorageError,
    VigilError,
)

CODES: dict[str, tuple[type[VigilError], str]] = {
    "bad_json": (ConfigError, "it could not be read. Are client and server of the same version?"),
    "bad_message": (ConfigError, "a field is unknown or out of range. docs/serve.md lists them."),
    "unknown_type": (ConfigError, "this server does not know it. Use a client and a server of the same version."),
    "bad_sequence": (BadSequence, "it came out of order. Let one program at a time use a client_id."),
    "bad_timestamp": (ConfigError, "its time is before the time of the one before. Give times that do not go back."),
    "bad_image": (MediaError, "it is no picture that can be decoded. Send JPEG, PNG or WebP."),
    "over_credit": (CapacityError, "too many frames were sent at once. Send fewer per second."),
    "too_large": (ConfigError, "it is more than the server or its model takes. `client.capabilities()` shows limits."),
    "rate_limited": (CapacityError, "there were too many messages. Send fewer per second."),
    "unauthorized": (ConfigError, "the token is not the right one. It is in the address that vigil serve prints."),
    "forbidden": (ConfigError, "the token does not allow it, or the server is called by another name (--allow-host)."),
    "not_found": (ConfigError, "there is no such thing. `client.capabilities()` lists models and cameras."),
    "gone": (SourceLost, "the session has ended. Open a new one."),
    "capacity": (CapacityError, "the server is full. Try again later, or start it with a higher --max-sessions."),
    "not_ready": (ConfigError, "this model cannot do it. Open a new session for another system text."),
    "placeholder_mismatch": (ConfigError, "pictures and places for them do not match. Send as many as are named."),
    "storage": (StorageError, "the server's disk does not take it. Free the disk."),
    "internal": (ModelError, "the server has failed. Its log says why."),
}
CLOSES: dict[int, tuple[type[VigilError], str]] = {
    4000: (SourceLost, "another program has taken this session over. Let one program at a time control it."),
    4401: (ConfigError, "the token is not the right one. It is in the address that vigil serve prints."),
    4404: (SourceLost, "there is no such session. Check its id and token, or open a new one."),
    4410: (SourceLost, "this session is not kept any more. Open a new one."),
}
"""Close codes after which coming back is of no use."""
STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 410: "gone", 413: "too_large", 503: "capacity"}
"""HTTP answers without a body of ours."""


def refused(what: str, code: str) -> VigilError:
    """The error for a code of the server."""
    kind, why = CODES.get(code, (VigilError, f"{code}. Use a client and a server of the same version."))
    return kind(f"the server refused {what}: {why}")


def cannot_import(name: str | None) -> ConfigError:
    """The error for a package that is missing."""
    return ConfigError(f"vigil.client needs {name}. Run pip install 'vigil-video[client]'.")
