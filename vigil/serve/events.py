"""What the server says: the fields of every durable event and of every transient message, in one table each.

A durable event also has `seq`, `t_mono`, `t_wall`, `epoch`, and `by{client_id, cmd}` where a command caused it; the log
adds them. A transient message has no number and changes no state.
"""

from __future__ import annotations

import json
from typing import Any

DURABLE: dict[str, tuple[str, ...]] = {
    "session.created": ("model", "weights_sha256", "policy", "sampling", "sources", "durability", "keep_s"),
    "session.updated": ("policy?", "sampling?", "system_changed"),
    "session.recovered": ("cause", "frames_restored", "turns_restored", "interrupted"),
    "session.closed": ("reason", "usage"),
    "session.usage": ("wall_s", "gpu_s", "frames", "tokens", "kv", "answers", "unanswered"),
    "source.opened": ("source", "stream_epoch", "kind", "name", "width", "height", "fps", "codec"),
    "source.discontinuity": ("source", "stream_epoch", "cause", "gap_s"),
    "source.lost": ("source", "cause", "attempt", "retry_in_s"),
    "source.ended": ("source", "cause", "last_ts"),
    "source.error": ("source", "code", "fatal"),
    "input.text.accepted": ("turn", "text", "after_frame?", "standing?"),
    "input.text.unanswered": ("turn", "waited_s", "cause"),
    "input.frames.dropped": ("source", "first_ts", "last_ts", "count", "reason"),
    "input.frames.skipped": ("source", "first_ts", "last_ts", "count"),
    "input.frames.total": ("source", "received", "perceived", "dropped", "pending", "newest_ts"),
    "turn.started": ("turn", "cause"),
    "turn.ended": ("turn", "cause"),
    "turn.interrupted": ("turn", "next_turn"),
    "answer.started": ("answer_id", "turn", "rev", "evidence"),
    "answer.delta": ("answer_id", "rev", "i", "text", "evidence"),
    "answer.revised": ("answer_id", "rev", "supersedes", "cause", "evidence"),
    "answer.done": ("answer_id", "rev", "status", "finish", "text", "evidence", "ttft_ms", "tokens"),
    "silence": ("first_ts", "last_ts", "frames", "p_silence"),
    "context.trimmed": ("lane", "tokens", "turns", "oldest_ts"),
    "storage.degraded": ("cause", "free_bytes"),
    "storage.restored": ("cause", "free_bytes"),
}
"""Fields of each event; one that ends in "?" may be left out."""

TRANSIENT: dict[str, tuple[str, ...]] = {
    "auth.ok": ("roles", "expires_s"),
    "pong": ("id", "t_mono"),
    "command.done": ("cmd", "seq", "result"),
    "session.ready": (
        "session_id", "resume_token?", "view_token", "epoch", "t_mono", "head", "applied_cmd", "received", "credit",
        "limits", "roles", "version",
    ),
    "input.credit": ("source", "up_to"),
    "input.frame.perceived": ("source", "frame_no", "ts", "age_ms"),
    "decision": ("ts", "speak", "p_silence"),
    "resume.gap": ("from", "to", "reason"),
    "resume.done": ("head",),
    "server.status": ("queue", "step_ms", "frame_age_ms", "load"),
    "server.going_away": ("deadline_s", "reason"),
    "storage.failed": ("cause",),
    "error": ("code", "ref", "cmd?", "expected?", "retry_after_s?"),
}  # fmt: skip


def event(kind: str, /, **fields: Any) -> dict[str, Any]:
    """A durable event, as the log takes it; fields that are None and may be left out are left out."""
    return _spelled(DURABLE, kind, fields)


def transient(kind: str, /, **fields: Any) -> str:
    """A transient message as the JSON that is sent. `from_` stands for "from"."""
    if "from_" in fields:
        fields["from"] = fields.pop("from_")
    return json.dumps(_spelled(TRANSIENT, kind, fields), ensure_ascii=True, allow_nan=False)


def _spelled(table: dict[str, tuple[str, ...]], kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    wanted = table[kind]
    optional = {name[:-1] for name in wanted if name.endswith("?")}
    row = {"type": kind, **{k: v for k, v in fields.items() if v is not None or k not in optional}}
    missing = {name for name in wanted if not name.endswith("?")} - set(row)
    unknown = set(row) - {"type", *(name.rstrip("?") for name in wanted)}
    assert not missing, f"{kind} lacks {sorted(missing)}"
    assert not unknown, f"{kind} has no {sorted(unknown)}"
    return row
