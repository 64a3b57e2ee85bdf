"""Media that clients send to be watched: counted while they stream in, known by opaque ids, forgotten soon."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal

DEMO = "demo"
"""The id under which everybody can watch the bundled clip."""
KEPT_S = 3600.0
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Kept:
    """One upload."""

    owner: str
    path: Path
    num_bytes: int
    since: float


class Uploads:
    """The uploads of one server. What an earlier process left is removed."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        """Without a folder a temporary one is made."""
        self._limits = limits
        self._is_temporary = folder is None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="vigil-")) if folder is None else folder
        self._kept: dict[str, Kept] = {}

    async def take(self, chunks: AsyncIterator[bytes], owner: str) -> tuple[str, int]:
        """Store a body as it streams in; return its id and size.

        Raises:
            Refusal: `too_large` one chunk after the limit, `bad_message` for nothing, or a body that takes too long.
        """
        upload_id = secrets.token_hex(16)
        path = self._folder / upload_id
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        num_bytes = 0
        try:
            async with asyncio.timeout(self._limits.upload_s):
                while (chunk := await self._next(chunks)) is not None:
                    num_bytes += len(chunk)
                    if num_bytes > self._limits.upload_bytes:
                        raise Refusal("too_large")
                    await asyncio.to_thread(os.write, handle, chunk)
            if not num_bytes:
                raise Refusal("bad_message")
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise Refusal("bad_message") from error
            if isinstance(error, OSError):
                raise Refusal("storage") from error
            raise
        finally:
            os.close(handle)
        self._make_room(owner)
        self._kept[upload_id] = Kept(owner, path, num_bytes, time.monotonic())
        return upload_id, num_bytes

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._limits.upload_stall_s):
            return await anext(chunks, None)

    def path(self, upload_id: str, owner: str) -> Path:
        """Where an upload of this owner lies. Raises: Refusal: `not_found`."""
        if upload_id == DEMO:
            from vigil.assets import demo_clip

            return demo_clip()
        kept = self._kept.get(upload_id) if _ID.fullmatch(upload_id) else None
        if kept is None or kept.owner != owner:
            raise Refusal("not_found")
        return kept.path

    def expire(self) -> None:
        """Forget what is old."""
        now = time.monotonic()
        for upload_id, kept in list(self._kept.items()):
            if now - kept.since > KEPT_S:
                self.forget(upload_id)

    def close(self) -> None:
        """Forget everything."""
        for upload_id in list(self._kept):
            self.forget(upload_id)
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _make_room(self, owner: str) -> None:
        """An owner's oldest uploads go when there are too many."""
        own = sorted((k.since, name) for name, k in self._kept.items() if k.owner == owner)
        for _, name in own[: max(0, len(own) + 1 - self._limits.uploads_kept)]:
            self.forget(name)

    def forget(self, upload_id: str) -> None:
        """Remove one."""
        self._kept.pop(upload_id).path.unlink(missing_ok=True)
