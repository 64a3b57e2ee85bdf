"""The server's own log: one JSON object per line. What was sent, and by whom, is not in it."""

from __future__ import annotations

import json
import logging
import re
import traceback

_SECRET = re.compile(r"\b[0-9a-fA-F]{32,}\b|[a-z]+://\S+|(?<=token=)\S+|\bBearer\s+\S+|vigil\.ticket\.\S+")


class JsonLines(logging.Formatter):
    """Time, level, message, and for a failure the places in the code; never the text of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        row = {"t": round(record.created, 3), "level": record.levelname.lower(), "message": redact(record.getMessage())}
        for name in ("code", "ref"):
            if hasattr(record, name):
                row[name] = getattr(record, name)
        if record.exc_info and record.exc_info[0] is not None:
            row["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            row["where"] = [f"{frame.name}:{frame.lineno}" for frame in frames[-8:]]
        return json.dumps(row)


def redact(text: str) -> str:
    """Remove what looks like a credential or an address."""
    return _SECRET.sub("[redacted]", text)
