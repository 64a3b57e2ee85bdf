"""Why the server says no: a code from one closed list, and sometimes a close code. Never the text of an exception."""

from __future__ import annotations

from typing import Literal, get_args

Code = Literal[
    "bad_json", "bad_message", "unknown_type", "bad_sequence", "bad_timestamp", "bad_image", "over_credit",
    "too_large", "rate_limited", "unauthorized", "forbidden", "not_found", "gone", "capacity", "not_ready",
    "placeholder_mismatch", "storage", "internal",
]  # fmt: skip
CODES: frozenset[str] = frozenset(get_args(Code))

CLOSE_NORMAL = 1000
CLOSE_NOT_TALKING = 1003
CLOSE_POLICY = 1008
CLOSE_INTERNAL = 1011
CLOSE_RESTART = 1012
CLOSE_FULL = 1013
CLOSE_SUPERSEDED = 4000
CLOSE_SLOW = 4008
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NO_SESSION = 4404
CLOSE_EXPIRED = 4410

HTTP_STATUS: dict[Code, int] = {
    "bad_json": 400, "bad_message": 400, "unknown_type": 400, "bad_sequence": 409, "bad_timestamp": 400,
    "bad_image": 422, "over_credit": 429, "too_large": 413, "rate_limited": 429, "unauthorized": 401,
    "forbidden": 403, "not_found": 404, "gone": 410, "capacity": 503, "not_ready": 503,
    "placeholder_mismatch": 422, "storage": 503, "internal": 500,
}  # fmt: skip


class Refusal(Exception):
    """A request that is not done. It changes nothing and, on a socket, consumes no command number."""

    def __init__(
        self,
        code: Code,
        *,
        close: int | None = None,
        expected: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """`close` ends the socket with that code; without it the socket stays open."""
        super().__init__(code)
        self.code: Code = code
        self.close = close
        self.expected = expected
        self.retry_after_s = retry_after_s
        self.cmd: int | None = None
        """The command that was refused, where it was one."""
