"""The reference service's dialogue, replayed against ours (W13)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, PATIENT, Client, Served, jpeg, serving
from tests.stream.videos import grey, write_video
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.serve.gate import GateConfig

COMPAT: dict[str, Any] = {"gate": GateConfig(compat=True), "limits": PATIENT}


def connected(served: Served, **start: Any) -> Client:
    client = served.raw(path="/v1/realtime", subprotocols=[])
    client.send(type="start", **start)
    client.until("ready")
    return client


def text_of(client: Client) -> str:
    return "".join(row["text"] for row in client.rows if row["type"] == "output")


def test_the_reference_dialogue() -> None:  # W13
    with serving(ScriptedModel(SILENCE, SILENCE, SILENCE, "A dog.", SILENCE), **COMPAT) as served:
        client = connected(served, system_prompt="Watch.", prompt="What now?", max_tokens_per_second=12)
        client.send(type="ping")
        client.until("pong")
        for number in (1, 2):
            client.send(type="frame", timestamp=float(number))
            client.ws.send(jpeg(number))
            ack = client.until("frame_ack")
            assert set(ack) == {"type", "dropped_oldest", "pending_frames"}
        while text_of(client) != "A dog.":
            client.until("output")
        client.send(type="prompt", text="And now?")
        client.until("prompt_ack")
        client.send(type="stop")
        client.until("stopping")
        client.until("session_end")
        assert client.close_code() == 1000


def test_a_revision_comes_as_new_text_and_markers_only_where_asked_for() -> None:
    script = (SILENCE, "Re", ELLIPSIS, "Blue", SILENCE)
    for markers, wanted in ((False, "ReBlue"), (True, f"Re{ELLIPSIS}Blue{SILENCE}")):
        with serving(ScriptedModel(*script), compat_markers=markers, **COMPAT) as served:
            client = connected(served, prompt="What?")
            while len(text_of(client).removeprefix(SILENCE)) < len(wanted):
                client.until("output")
            assert text_of(client).removeprefix(SILENCE) == wanted


def test_words_that_look_like_markers_are_words() -> None:  # P4
    with serving(ScriptedModel(SILENCE, "[DONE]", SILENCE), **COMPAT) as served:
        client = connected(served, prompt="What does the sign say?")
        while text_of(client) != "[DONE]":
            client.until("output")
        client.send(type="ping")
        client.until("pong")


PATHS = [
    "/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x.mp4", "rtsp://127.0.0.1/x", "~", "",
    "clip2", "clip/", "./clip", "CLIP", "clip\n", "C:\\clip", "\\\\host\\clip", "%2e%2e", "concat:clip", "pipe:0", "0",
    "/dev/video0", "data:video/mp4;base64,AAAA",
]  # fmt: skip


def test_no_file_is_opened_but_what_the_operator_has_listed(tmp_path: Path) -> None:  # W13
    clip = write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(30)])
    with serving(media={"clip": clip}, **COMPAT) as served:
        client = connected(served)
        for path in PATHS:
            client.send(type="video", path=path)
            assert client.until("error")["message"] == "forbidden"
        client.send(type="video", path="clip", sample_fps=2.0, playback_speed=50)
        client.until("video_started")
        assert client.until("video_end", timeout=30) == {"type": "video_end", "frames_sent": 6, "frames_dropped": 0}
        client.send(type="stop_video")
        client.until("stop_video_ack")


def test_wrong_messages_are_told_and_the_session_goes_on() -> None:
    with serving(**COMPAT) as served:
        client = connected(served)
        for text, code in (
            ("{", "bad_json"),
            ('{"type":"exec"}', "unknown_type"),
            ('{"type":"prompt"}', "bad_message"),
        ):
            client.ws.send(text)
            assert client.until("error")["message"] == code
        client.ws.send(jpeg(1))
        assert client.until("error")["message"] == "bad_message"
        for timestamp, code in ((5.0, None), (4.0, "bad_timestamp")):
            client.send(type="frame", timestamp=timestamp)
            client.ws.send(jpeg(1))
            row = client.until("frame_ack") if code is None else client.until("error")
            assert row.get("message") == code


def test_a_browser_and_a_server_without_the_flag_need_a_token() -> None:
    with serving() as served, pytest.raises(InvalidStatus):
        served.raw(path="/v1/realtime", subprotocols=[])
    with serving(**COMPAT) as served:
        origin = f"http://127.0.0.1:{served.port}"
        client = served.raw(path="/v1/realtime", subprotocols=[], origin=origin)
        client.send(type="start")
        assert client.until("error")["message"] == "unauthorized"
        client = served.raw(path="/v1/realtime", subprotocols=[], origin=origin)
        client.send(type="auth", token=ADMIN)
        client.send(type="start")
        client.until("ready")


def test_a_full_server_says_so() -> None:
    with serving(seats=1, **COMPAT) as served:
        connected(served)
        second = served.raw(path="/v1/realtime", subprotocols=[])
        second.send(type="start")
        assert second.until("error")["message"] == "capacity"
        assert second.close_code() == 1013
        assert json.loads(second.texts[0])["type"] == "error"
