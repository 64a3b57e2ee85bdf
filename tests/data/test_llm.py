"""A language model as the writer, against a small server of the same interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vigil.data.llm import LlmConfig, LlmWriter, prompt_for, record_from_answer
from vigil.data.pipeline import PipelineConfig, make_records
from vigil.data.records import read_records
from vigil.data.synthesize import SynthConfig
from vigil.errors import ConfigError, ModelError
from vigil.types import Caption, DenseCaptions

PIPELINE = PipelineConfig(synth=SynthConfig(records_per_video=1), chunk_videos=2)
GOOD = {
    "turns": [
        {
            "ask_s": 0.5,
            "question": "Tell me when he takes something out.",
            "standing": True,
            "replies": [{"time_s": 6, "text": "He takes out a kite."}],
        }
    ]
}
EARLY = {"turns": [{**GOOD["turns"][0], "replies": [{"time_s": 3, "text": "He takes out a kite."}]}]}


def video(name: str) -> DenseCaptions:
    return DenseCaptions(
        id=name,
        duration_s=12.0,
        captions=(
            Caption(start_s=0.0, end_s=12.0, text="A man flies a kite.", level="video"),
            Caption(start_s=1.0, end_s=4.0, text=f"A man opens a box ({name})."),
            Caption(start_s=6.0, end_s=9.0, text="He takes out a kite."),
        ),
    )


class Server:
    """Answers chat requests with what `reply` gives for their messages; a number is an HTTP error."""

    def __init__(self, reply: Callable[[list[dict[str, str]]], str | int]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(request)
                    outer.busy += 1
                    outer.most_busy = max(outer.most_busy, outer.busy)
                    answer = reply(request["messages"])
                body = json.dumps(_completion(answer) if isinstance(answer, str) else {"error": {}}).encode()
                self.send_response(200 if isinstance(answer, str) else answer)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                with outer._lock:
                    outer.busy -= 1
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running: list[Server] = []

    def start(reply: Callable[[list[dict[str, str]]], str | int]) -> Server:
        running.append(Server(reply))
        return running[-1]

    yield start
    for server in running:
        server.close()


def write(server: Server, out: Path, names: str, **settings: Any) -> dict[str, int]:
    config = LlmConfig(url=server.url, model="tiny", cache=out.parent / "cache", **settings)
    writer = LlmWriter(config, PIPELINE)
    return dict(make_records([video(n) for n in names], out, PIPELINE, source="x", run=writer.run))


def test_good_conversations_are_kept_as_records(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda messages: f"Here it is:\n```json\n{json.dumps(GOOD)}\n```")
    assert write(server, tmp_path / "out.jsonl", "abc") == {"videos": 3, "records": 3, "asked": 3}
    records = list(read_records(tmp_path / "out.jsonl"))
    assert [record.id for record in records] == ["a:0", "b:0", "c:0"]
    assert records[0].turns[1].replies[0].text == "He takes out a kite."
    assert server.requests[0]["model"] == "tiny"


def test_what_was_answered_once_is_not_asked_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda messages: json.dumps(GOOD))
    write(server, tmp_path / "one.jsonl", "ab")
    assert write(server, tmp_path / "two.jsonl", "ab") == {"videos": 2, "records": 2, "cached": 2}
    assert len(server.requests) == 2
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_a_faulty_conversation_is_shown_its_faults_once(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda messages: json.dumps(GOOD if len(messages) > 1 else EARLY))
    assert write(server, tmp_path / "out.jsonl", "a") == {"videos": 1, "records": 1, "asked": 2}
    faults = server.requests[1]["messages"][2]["content"]
    assert (
        "question 1: 'He takes out a kite.' at 3.0 s says ['kit', 'tak'], which captions begin to show later" in faults
    )


def test_what_stays_faulty_is_rejected_with_its_reasons(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda messages: json.dumps(EARLY) if "(a)" in messages[0]["content"] else "I would rather not.")
    counts = write(server, tmp_path / "out.jsonl", "ab")
    assert counts == {"videos": 2, "asked": 4, "rejected future": 1, "rejected unreadable": 1}
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_a_server_error_is_tried_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    answers = iter([503, 429, json.dumps(GOOD)])
    server = serve(lambda messages: next(answers))
    assert write(server, tmp_path / "out.jsonl", "a", retries=2)["records"] == 1
    assert len(server.requests) == 3


def test_a_server_that_stays_down_ends_the_run_and_finished_work_is_kept(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(lambda messages: 500 if "(c)" in messages[0]["content"] else json.dumps(GOOD))
    with pytest.raises(ModelError, match=r"gave no answer after 1 tries: .*run the same command again to go on"):
        write(server, tmp_path / "out.jsonl", "abc", retries=0)
    assert (tmp_path / "out.jsonl.parts" / "00000000.jsonl").exists()


def test_no_more_requests_are_under_way_than_allowed(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda messages: json.dumps(GOOD))
    write(server, tmp_path / "out.jsonl", "ab", concurrency=1)
    assert server.most_busy == 1


def test_the_prompt_tells_what_is_shown_and_when_but_not_the_summary() -> None:
    prompt = prompt_for(video("a"), PIPELINE, 0)
    assert "1 s: A man opens a box (a).\n6 s: He takes out a kite." in prompt
    assert "flies" not in prompt


@pytest.mark.parametrize("answer", ["", "{}", "[1]", '{"turns": 3}', '{"turns": [{"ask_s": "x", "question": "?"}]}'])
def test_an_answer_of_another_form_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=":"):
        record_from_answer(answer, video("a"), 0, fps=1.0)


def test_a_wrong_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must begin with http:// or https://, got 'localhost'"):
        LlmConfig(url="localhost", model="m")


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}
