"""The OpenAI form, spoken by the official client against a real server; and what it must refuse (S6, P1, P2, P4)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, PATIENT, VIEW, Served, jpeg, serving
from tests.stream.videos import grey, write_video
from vigil.model.tokens import SILENCE, SPECIAL_TOKENS, ControlIds, Transcript
from vigil.serve.limits import Limits
from vigil.serve.offline import Conversation, Outcome, _prompt, complete, messages_of
from vigil.serve.refusal import Refusal


def client_of(served: Served, token: str = ADMIN) -> openai.OpenAI:
    base = f"http://127.0.0.1:{served.port}/v1"
    return openai.OpenAI(api_key=token, base_url=base, max_retries=0, http_client=httpx.Client(verify=False))


@pytest.fixture
def talking() -> Iterator[Served]:
    with serving(ScriptedModel("A red ball.", SILENCE)) as served:
        yield served


def data_url(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def asked(*parts: dict[str, Any], text: str = "What is it?") -> list[Any]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def video(url: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}}


def test_a_picture_is_answered_in_one_piece(talking: Served) -> None:
    with client_of(talking) as client:
        done = client.chat.completions.create(model="scripted", messages=asked(image(data_url(jpeg(1)))))
    assert done.choices[0].message.content == "A red ball."
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.completion_tokens == len("A red ball.")
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


def test_an_answer_is_streamed_piece_by_piece(talking: Served) -> None:
    with client_of(talking) as client:
        stream = client.chat.completions.create(
            model="scripted",
            messages=asked(image(data_url(jpeg(1)))),
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == list("A red ball.")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None


def test_the_model_is_listed(talking: Served) -> None:
    with client_of(talking) as client:
        assert [model.id for model in client.models.list()] == ["scripted"]
        assert client.models.retrieve("scripted").owned_by == "vigil"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4")
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-4", messages=asked())


def test_videos_come_as_data_or_as_uploads(talking: Served, tmp_path: Any) -> None:
    clip = write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(30)]).read_bytes()
    with talking.http as http:
        upload = http.put("/v1/uploads", content=clip).json()["upload_id"]
    model = talking.gate.hub.runner.model
    for url in (data_url(clip, "video/mp4"), f"upload:{upload}"):
        model.used = 0
        with client_of(talking) as client:
            done = client.chat.completions.create(model="scripted", messages=asked(video(url)), extra_body={"fps": 2})
        assert done.choices[0].message.content == "A red ball."
        assert done.usage is not None
        assert done.usage.prompt_tokens > 6 * 4  # six frames of four vision tokens


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x.jpg",
        "https://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "file:///etc/passwd",
        "/etc/passwd",
        "ftp://127.0.0.1/x",
        "rtsp://127.0.0.1/x",
        "gopher://127.0.0.1/",
        "concat:/etc/passwd",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "DATA:image/jpeg;base64,AAAA",
        "",
    ],
)
def test_no_address_of_a_client_is_opened(talking: Served, url: str) -> None:  # S6
    with client_of(talking) as client:
        for part in (image(url), video(url)):
            with pytest.raises(openai.APIStatusError) as refused:
                client.chat.completions.create(model="scripted", messages=asked(part))
            assert refused.value.status_code == 403


MEDIA_ERRORS = {
    "a picture that is none": (image(data_url(b"GIF89a")), 422),
    "a picture of a wrong kind": (image(data_url(b"<svg/>", "image/svg+xml")), 422),
    "no base64": (image("data:image/jpeg;base64,####"), 422),
    "a playlist": (video(data_url(b"#EXTM3U\nhttp://127.0.0.1:1/x.ts\n", "video/mp4")), 422),
    "an upload that is not there": (video("upload:" + "0" * 32), 404),
    "a way out": (video("upload:../../token"), 404),
    "a placeholder without a picture": ({"type": "image_url", "text": "x"}, 422),
    "a picture in the wrong place": ({"type": "video_url", "image_url": {"url": "x"}}, 422),
}


@pytest.mark.parametrize(("part", "status"), MEDIA_ERRORS.values(), ids=MEDIA_ERRORS.keys())
def test_wrong_media_are_a_typed_error_and_the_server_goes_on(talking: Served, part: Any, status: int) -> None:  # P2
    with client_of(talking) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(model="scripted", messages=asked(part))
        assert refused.value.status_code == status
        assert client.chat.completions.create(model="scripted", messages=asked()).choices


def test_a_field_without_effect_is_refused(talking: Served) -> None:
    with client_of(talking) as client:
        for more in ({"n": 2}, {"logprobs": True}, {"tools": []}, {"max_tokens": 0}, {"temperature": -1}):
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model="scripted", messages=asked(), extra_body=more)


def test_the_answer_may_be_cut_short(talking: Served) -> None:
    with client_of(talking) as client:
        done = client.chat.completions.create(model="scripted", messages=asked(), max_tokens=3)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("A r", "length")


def test_a_conversation_ends_with_the_user(talking: Served) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    with client_of(talking) as client:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="scripted", messages=messages)
        more = [{"role": "system", "content": "Be brief."}, *messages, {"role": "user", "content": "And?"}]
        assert client.chat.completions.create(model="scripted", messages=more).choices


def test_only_who_may_talk_may_chat(talking: Served) -> None:
    with client_of(talking, VIEW) as client, pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="scripted", messages=asked())
    with client_of(talking, "0" * 64) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_a_body_is_cut_at_its_limit() -> None:  # M8
    with serving(limits=Limits(chat_bytes=10_000)) as served, served.http as http:
        assert http.post("/v1/chat/completions", content=b"x" * 10_001).status_code == 413


def test_too_many_at_once_are_told_to_come_back() -> None:
    with serving(ScriptedModel(SILENCE), limits=PATIENT) as served, served.http as http:
        served.call(lambda: setattr(served.gate.hub, "is_draining", True))
        answer = http.post("/v1/chat/completions", json={"model": "scripted", "messages": asked()})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1


def test_what_the_model_says_cannot_end_the_stream() -> None:  # P4
    with serving(ScriptedModel("[DONE]\n\ndata: [ERROR]", SILENCE)) as served, client_of(served) as client:
        stream = client.chat.completions.create(model="scripted", messages=asked(), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "[DONE]\n\ndata: [ERROR]"


@pytest.mark.parametrize("name", SPECIAL_TOKENS)
def test_no_text_of_a_client_becomes_control(name: str) -> None:  # P1
    model = ScriptedModel()
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    disguises = [name, f" {name}", name * 2, f"<|{name}|>", name.replace("|", "||"), name.upper(), name[:3] + name]
    plain = _prompt(Transcript(model.tokenizer, control), Conversation(messages=(("system", ""), ("user", ""))))
    for text in disguises:
        talk = Conversation(messages=(("system", text), ("user", text)))
        ids = _prompt(Transcript(model.tokenizer, control), talk)
        special = {*model.tokenizer.control_ids, control.image}
        assert [i for i in ids if i in special] == [i for i in plain if i in special]
        assert text in model.tokenizer.decode(ids)


def test_a_long_conversation_is_refused_before_the_model_works() -> None:
    model = ScriptedModel()
    talk = Conversation(messages=messages_of([("user", "x" * 500)]))
    with pytest.raises(Refusal, match="too_large"):
        list(complete(model, talk, Outcome(), threading.Event(), text_tokens=100))
    assert model.used == 0
