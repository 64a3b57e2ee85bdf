"""Who may do what: tokens in a file, one-time tickets, and the tokens of single sessions.

Nothing here is ever logged or put into an error. Comparisons take the same time whatever is compared.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vigil.errors import ConfigError
from vigil.serve.limits import Limits
from vigil.serve.protocol import Role

TOKEN_BITS = 256
IMPLIED: dict[str, frozenset[Role]] = {
    "view": frozenset({"view"}),
    "talk": frozenset({"view", "talk"}),
    "admin": frozenset({"view", "talk", "admin"}),
}
MAX_ADDRESSES = 4096
"""Addresses with wrong tokens that are remembered."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a credential allows."""

    token_id: str
    """Stands for the token where its bearer must be told apart; says nothing about it."""
    roles: frozenset[Role]


LOCAL = Grant("local", IMPLIED["talk"])
"""Whoever may connect without a token, where the operator allows that."""


def fingerprint(token: str) -> str:
    """A name for a token from which it cannot be found."""
    return hashlib.sha256(b"vigil token id " + token.encode()).hexdigest()[:16]


class Tokens:
    """The tokens of a server, from a file with one `ROLE TOKEN` per line; a line with a token alone means admin."""

    def __init__(self, by_hash: dict[bytes, Grant]) -> None:
        self._by_hash = by_hash

    @classmethod
    def of(cls, **roles: str) -> Tokens:
        """From role=token pairs."""
        return cls({_digest(token): Grant(fingerprint(token), IMPLIED[role]) for role, token in roles.items()})

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """Read the file; where there is none, make it with one admin token, readable by its owner alone.

        Raises:
            ConfigError: it cannot be read or made, others may read it, or a line is wrong.
        """
        try:
            if not path.exists():
                _make(path, f"admin {secrets.token_hex(TOKEN_BITS // 8)}\n")
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise ConfigError(f"others may read the token file {path.name}. Run chmod 600 on it.")
            lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the token file {path.name} cannot be read or made. Check its folder.") from error
        found: dict[bytes, Grant] = {}
        for number, parts in enumerate(lines, start=1):
            role, token = parts if len(parts) == 2 else ("admin", parts[0])
            if len(parts) > 2 or role not in IMPLIED or len(token) < 32 or token.startswith("#"):
                raise ConfigError(
                    f"line {number} of the token file {path.name} is not a role and a token of 32 characters or more."
                )
            found[_digest(token)] = Grant(fingerprint(token), IMPLIED[role])
        if not found:
            raise ConfigError(f"the token file {path.name} holds no token. Remove it, and a new one is made.")
        return cls(found)

    def check(self, token: str) -> Grant | None:
        """What a token allows; None if it is wrong. Every known token is compared, whatever the first ones give."""
        digest, found = _digest(token), None
        for known, grant in self._by_hash.items():
            if hmac.compare_digest(known, digest):
                found = grant
        return found


def first_token(path: Path) -> str:
    """The token of the first line, for the operator's own screen."""
    return path.read_text(encoding="ascii").split("\n", 1)[0].split()[-1]


class Tickets:
    """One-time credentials for browsers, which cannot send a header with a WebSocket."""

    def __init__(self, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._open: OrderedDict[bytes, tuple[float, Grant]] = OrderedDict()

    def issue(self, grant: Grant) -> str:
        """A new ticket; where there are too many, the oldest one goes."""
        ticket = secrets.token_urlsafe(24)
        self._open[_digest(ticket)] = (self._clock() + self._limits.ticket_s, grant)
        while len(self._open) > self._limits.tickets:
            self._open.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> Grant | None:
        """What a ticket allows, once; None if it is wrong, used or too old."""
        expires, grant = self._open.pop(_digest(ticket), (0.0, None))
        return grant if grant is not None and self._clock() <= expires else None


class WrongTokens:
    """Counts wrong credentials per address. A right one is never held up, so nobody can lock others out."""

    def __init__(self, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> bool:
        """Count one; True if the address has had its share."""
        now = self._clock()
        times = self._seen.setdefault(address, deque(maxlen=self._limits.wrong_tokens))
        self._seen.move_to_end(address)
        while len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
        full = len(times) == self._limits.wrong_tokens and now - times[0] < self._limits.wrong_tokens_window_s
        times.append(now)
        return full


class SessionKeys:
    """Ids and tokens of sessions, made from one secret: they need no storage and hold after a restart."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def from_file(cls, path: Path) -> SessionKeys:
        """Read the secret; make it where there is none.

        Raises:
            ConfigError: it can neither be read nor made.
        """
        try:
            if not path.exists():
                _make(path, secrets.token_hex(32) + "\n")
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except (OSError, ValueError) as error:
            raise ConfigError(f"the file {path.name} in the data folder cannot be read or made.") from error

    def session_id(self, owner: str, client_id: str, open_id: str) -> str:
        """128 bits; the same for the same `open_id` of the same client with the same token."""
        return self._make("session", owner, client_id, open_id)[:32]

    def resume_token(self, session_id: str) -> str:
        """Gives control of a session."""
        return self._make("resume", session_id)

    def view_token(self, session_id: str) -> str:
        """Lets look on."""
        return self._make("view", session_id)

    def _make(self, *parts: str) -> str:
        return hmac.new(self._secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def same(given: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _make(path: Path, text: str) -> None:
    """Write a new file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
