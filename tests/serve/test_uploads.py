"""Uploads: counted while they stream, cut at the limit, known by opaque ids alone (M8, S12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.serving import PATIENT, TALK, serving
from tests.stream.videos import grey, write_video
from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.serve.uploads import Uploads


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def take(uploads: Uploads, *chunks: bytes, owner: str = "me") -> tuple[str, int]:
    return asyncio.run(uploads.take(body(*chunks), owner))


def test_an_upload_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "up", Limits())
    name, size = take(uploads, b"ab", b"c")
    assert size == 3
    assert uploads.path(name, "me").read_bytes() == b"abc"
    assert uploads.path(name, "me").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refusal, match="not_found"):
        uploads.path(name, "you")


def test_it_is_cut_one_chunk_after_the_limit_and_leaves_nothing(tmp_path: Path) -> None:  # M8
    uploads, taken = Uploads(tmp_path / "up", Limits(upload_bytes=10)), []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            taken.append(1)
            yield b"12345"

    with pytest.raises(Refusal, match="too_large"):
        asyncio.run(uploads.take(endless(), "me"))
    assert len(taken) == 3
    assert list((tmp_path / "up").iterdir()) == []


def test_it_may_not_drip_for_ever(tmp_path: Path) -> None:  # M8
    uploads = Uploads(tmp_path / "up", Limits(upload_stall_s=0.01))

    async def stalls() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.Event().wait()

    with pytest.raises(Refusal, match="bad_message"):
        asyncio.run(uploads.take(stalls(), "me"))
    assert list((tmp_path / "up").iterdir()) == []


def test_the_oldest_of_an_owner_go_and_a_restart_forgets_all(tmp_path: Path) -> None:  # T19
    uploads = Uploads(tmp_path / "up", Limits(uploads_kept=2))
    names = [take(uploads, b"x")[0] for _ in range(3)]
    other, _ = take(uploads, b"x", owner="you")
    with pytest.raises(Refusal):
        uploads.path(names[0], "me")
    assert uploads.path(names[2], "me").exists()
    assert uploads.path(other, "you").exists()
    Uploads(tmp_path / "up", Limits())
    assert list((tmp_path / "up").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../token",
        "%2e%2e/token",
        "....//token",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "\x00",
        "",
        ".",
        "~",
        "C:\\x",
        "d" * 31,
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:  # S12
    uploads = Uploads(tmp_path / "up", Limits())
    (tmp_path / "token").write_text("secret")
    with pytest.raises(Refusal, match="not_found"):
        uploads.path(name, "me")


TRAVERSALS = [
    "../app.py",
    "..%2fapp.py",
    "%2e%2e/app.py",
    "....//app.py",
    "/etc/passwd",
    "./../app.py",
    "x/../../app.py",
]


def test_no_address_leads_out_of_the_page_or_the_log(tmp_path: Path) -> None:  # S12
    with serving(folder=tmp_path, limits=replace(PATIENT, upload_bytes=100)) as served, served.http as http:
        for name in [*TRAVERSALS, *(name.replace("app.py", "../../token") for name in TRAVERSALS)]:
            for path in (f"/page/{name}", f"/v1/sessions/{name}/events"):
                answer = http.get(path)
                assert answer.status_code in {400, 403, 404, 422}, path
                assert "import" not in answer.text
        assert http.put("/v1/uploads", content=b"x" * 101).status_code == 413
        answer = http.put("/v1/uploads", content=b"x" * 50, headers={"Authorization": f"Bearer {TALK}"})
        assert answer.json()["bytes"] == 50


def test_an_uploaded_clip_is_watched_to_its_end(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(30)])
    with serving() as served, served.http as http:
        upload = http.put("/v1/uploads", content=clip.read_bytes()).json()["upload_id"]
        client = served.session(sources=[])
        done = client.done(
            client.command("source.add", source=1, kind="upload", upload_id=upload, fps=2, pace=0, start_s=1)
        )
        assert done["result"] == {}
        client.until("source.ended", source=1, cause="eof", timeout=30)
        client.done(client.command("session.close", mode="drain"))
        seen = [row["ts"] for row in client.rows if row["type"] == "input.frame.perceived"]
        assert seen == sorted(seen)
        assert [round(ts, 1) for ts in seen] == [1.0, 1.5, 2.0, 2.5]
        total = [row for row in client.events if row["type"] == "input.frames.total"][-1]
        assert (total["received"], total["perceived"], total["pending"]) == (4, 4, 0)
        client = served.session("other-owner", sources=[])
        client.command("source.add", source=1, kind="upload", upload_id="0" * 32)
        assert client.error() == "not_found"


def test_deleting_a_session_leaves_nothing(tmp_path: Path) -> None:  # S15
    with serving(folder=tmp_path) as served, served.http as http:
        client = served.session("deleted-1")
        client.done(client.ask("unique canary sentence"))
        assert any(b"canary" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert http.delete(f"/v1/sessions/{client.ready['session_id']}").status_code == 204
        assert not any(b"canary" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert http.delete(f"/v1/sessions/{client.ready['session_id']}").status_code == 404
        back = served.client()
        ids = {"session_id": client.ready["session_id"], "resume_token": client.ready["resume_token"]}
        back.send(type="session.resume", client_id="me", after=0, **ids)
        assert back.close_code() == 4410
