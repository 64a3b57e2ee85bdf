from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedModel
from PIL import Image as Pictures

from vigil.errors import ConfigError, ModelError
from vigil.eval.door import Ask, Image, VirtualClock, play
from vigil.eval.log import Log
from vigil.eval.perception import perceive
from vigil.eval.recent import ChatModel, Offline, recent_n
from vigil.model.tokens import END_OF_TURN
from vigil.types import Frame

CLOCK = VirtualClock(mode="cost", fps=1.0, token_s=0.1, prefill_s=0.4)


class Noting:
    """Answers with the numbers of the frames that it is shown."""

    def __init__(self, *, period: int = 1) -> None:
        self.polls: list[tuple[list[int], str]] = []
        self.period = period

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        shown = [int(frame.time_s) for frame in frames]
        self.polls.append((shown, question))
        return f"It is {shown[-1] // self.period}."


def blank(num: int) -> list[Image]:
    return [np.zeros((2, 2, 3), dtype=np.uint8)] * num


def watched(model: Noting, *, n: int = 4, poll_hz: float = 1.0, num: int = 9) -> Log:
    return play(recent_n(model, n, poll_hz=poll_hz), blank(num), [Ask(t=2.5, text="What?")], clock=CLOCK, end_s=num)


def test_only_the_newest_frames_are_shown_at_each_poll() -> None:
    model = Noting()
    watched(model)
    assert model.polls[0] == ([0, 1, 2], "What?")
    assert [shown for shown, _ in model.polls[1:4]] == [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]


def test_polls_keep_their_rate() -> None:
    model = Noting(period=1000)
    watched(model, poll_hz=0.5)
    assert [shown[-1] for shown, _ in model.polls] == [2, 5, 7]  # asked at 2.5 s; then the frames at or after 2 s more


def test_an_answer_is_said_when_it_is_another_one_and_replaces_the_one_before() -> None:
    log = watched(Noting(period=4), num=8)
    assert [(speech.text, speech.supersedes) for speech in log.speech] == [("It is 0.", None), ("It is 1.", "1")]
    assert [speech.tau_first for speech in log.speech] == [3.0, 4.5]  # 0.4 s to read, 0.1 s for the first word


def test_a_polled_model_sees_nothing_while_it_speaks() -> None:
    slow = VirtualClock(mode="cost", fps=2.0, token_s=0.5)
    log = play(recent_n(Noting(period=99), 4), blank(12), [Ask(t=1.0, text="What?")], clock=slow, end_s=6.0)
    assert [speech.text for speech in log.speech] == ["It is 0."]
    assert perceive(log).lag_slope == pytest.approx(1.0)


def test_a_vigil_model_is_asked_offline() -> None:
    model = ScriptedModel("Red.", END_OF_TURN)
    assert Offline(model).answer([Frame(image, float(i)) for i, image in enumerate(blank(2))], "What?") == "Red."


@pytest.mark.parametrize(("n", "poll_hz"), [(0, 1.0), (4, 0.0)])
def test_no_frames_or_no_polls_are_refused(n: int, poll_hz: float) -> None:
    with pytest.raises(ConfigError, match=f"got {n} and {poll_hz}"):
        recent_n(Noting(), n, poll_hz=poll_hz).open(CLOCK)


@contextmanager
def endpoint(reply: dict[str, Any], status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat endpoint on this machine: its address, and the requests that it gets."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append({"path": self.path, "authorization": self.headers["Authorization"], **body})
            text = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", got
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str | None) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


def test_a_chat_endpoint_gets_the_frames_as_png_and_then_the_question() -> None:
    pytest.importorskip("openai")
    red = np.full((4, 6, 3), (255, 0, 0), dtype=np.uint8)
    with endpoint(completion(" It is red. ")) as (url, got):
        chat = ChatModel(base_url=url, model="m", api_key="key")
        assert chat.answer([Frame(red, 0.0), Frame(red // 2, 1.0)], "What colour?") == "It is red."
    (request,) = got
    assert (request["path"], request["model"], request["authorization"]) == ("/v1/chat/completions", "m", "Bearer key")
    *pictures, text = request["messages"][0]["content"]
    assert text["text"].endswith("\nWhat colour?")
    head, _, data = pictures[1]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Pictures.open(io.BytesIO(base64.b64decode(data)))), red // 2)


def test_a_chat_model_is_scored_through_the_door() -> None:
    pytest.importorskip("openai")
    with endpoint(completion("It is red.")) as (url, got):
        system = recent_n(ChatModel(base_url=url, model="m"), 2)
        log = play(system, blank(4), [Ask(t=1.0, text="What colour?")], clock=CLOCK, end_s=4.0)
    assert [speech.text for speech in log.speech] == ["It is red."]
    assert {len(request["messages"][0]["content"]) for request in got} == {3}


def test_no_content_is_silence_and_an_error_names_the_endpoint() -> None:
    pytest.importorskip("openai")
    with endpoint(completion(None)) as (url, _):
        assert ChatModel(base_url=url, model="m").answer([], "What?") == ""
    lost = endpoint({"error": {"message": "no such model"}}, status=404)
    with lost as (url, _), pytest.raises(ModelError, match=r"did not answer for 'm'.*no such model"):
        ChatModel(base_url=url, model="m").answer([], "What?")
