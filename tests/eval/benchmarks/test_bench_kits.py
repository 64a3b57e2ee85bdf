"""The two plug-ins against stand-ins for their kits, which have no more than the interface that is documented."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedModel, picture

import vigil
from vigil.errors import ConfigError
from vigil.eval import lmms_plugin, vlmevalkit
from vigil.eval.asking import Asker, cut
from vigil.model.tokens import END_OF_TURN
from vigil.stream.perceiver import Perceiver
from vigil.types import Frame
from vigil.world.render import write_video

Asked = list[tuple[list[Any], str, int | None, list[str]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Every question that reaches the model: (media, text, most tokens, stop texts); it answers with its number."""
    found: Asked = []

    def ask(
        self: Asker, media: Sequence[Any], question: str, *, max_tokens: int | None = None, until: Sequence[str] = ()
    ) -> str:
        found.append((list(media), question, max_tokens, list(until)))
        return str(len(found))

    monkeypatch.setattr(Asker, "ask", ask)
    monkeypatch.setattr(vigil, "load", lambda name: ScriptedModel())
    return found


@dataclass
class Manifest:
    model_id: str
    simple_class_path: str
    chat_class_path: str


class Messages:
    """`ChatMessages`: parts of the kinds text, image and video."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = [SimpleNamespace(content=[SimpleNamespace(**part) for part in m["content"]]) for m in messages]

    def extract_media(self) -> tuple[list[Any], list[Any], list[Any]]:
        parts = [part for message in self.messages for part in message.content]
        return (
            [part.url for part in parts if part.type == "image"],
            [part.url for part in parts if part.type == "video"],
            [],
        )


@pytest.fixture
def lmms(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """A stand-in for lmms-eval."""
    base = type("lmms", (), {"task_dict": {"t": {"test": [f"document {n}" for n in range(3)]}}})
    modules: dict[str, dict[str, Any]] = {
        "lmms_eval": {},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": Manifest},
        "lmms_eval.api": {},
        "lmms_eval.api.model": {"lmms": base},
        "lmms_eval.protocol": {"ChatMessages": Messages},
    }
    for name, more in modules.items():
        module = ModuleType(name)
        vars(module).update(more)
        monkeypatch.setitem(sys.modules, name, module)
    yield base
    for name in ("VigilSimple", "VigilChat"):
        vars(lmms_plugin).pop(name, None)


def request(*args: Any) -> Any:
    return SimpleNamespace(args=args)


def test_lmms_eval_is_told_where_both_classes_are(lmms: type) -> None:
    found = lmms_plugin.manifest()
    assert found.model_id == "vigil"
    for path, is_simple in ((found.simple_class_path, True), (found.chat_class_path, False)):
        module, _, name = path.rpartition(".")
        made = getattr(sys.modules[module], name)
        assert (made.__name__, made.is_simple, issubclass(made, lmms)) == (name, is_simple, True)
        assert getattr(lmms_plugin, name) is made  # made once


def test_a_video_is_read_once_a_second_unless_another_rate_is_given(lmms: type, asked: Asked) -> None:
    made = lmms_plugin.VigilChat
    assert [made(**given)._asker.fps for given in ({}, {"fps": "0.5"}, {"fps": 4})] == [1.0, 0.5, 4.0]


def test_a_simple_request_asks_about_the_pictures_of_its_document(lmms: type, asked: Asked) -> None:
    made = lmms_plugin.VigilSimple(pretrained="nano", fps="2", batch_size="1", device=None, other="ignored")
    shown: list[Any] = []

    def visual(document: str) -> list[list[str]]:
        shown.append(document)
        return [[f"picture of {document}"]]

    said = made.generate_until(
        [
            request("<image>\nWhat? ", {"max_new_tokens": 5, "until": ["\n", "."]}, visual, 1, "t", "test"),
            request("Why?", {"until": "stop"}, visual, 0, "t", "test"),
            request("So?", {}, lambda document: None, 2, "t", "test"),
        ]
    )
    assert said == ["1", "2", "3"]
    assert shown == ["document 1", "document 0"]
    assert asked == [
        (["picture of document 1"], "What?", 5, ["\n", "."]),
        (["picture of document 0"], "Why?", None, ["stop"]),
        ([], "So?", None, []),
    ]


def test_a_task_of_several_rounds_decides_after_each_what_comes_next(lmms: type, asked: Asked) -> None:
    made = lmms_plugin.VigilSimple()
    rounds: list[tuple[list[str], int, Any]] = []

    def following(document: str, *, previous_output: list[str], round_idx: int, previous_round_info: Any) -> Any:
        rounds.append((list(previous_output), round_idx, previous_round_info))
        if round_idx == 3:
            return None, "", True, [*previous_output, "done"], None
        pictures = ["new"] if round_idx == 1 else None
        return pictures, f"question {round_idx + 1}", False, previous_output, {"round": round_idx}

    found = made.generate_until_multi_round(
        [request("question 1", {}, lambda document: ["old"], following, 0, "t", "test")]
    )
    assert found == [["1", "2", "3", "done"]]
    assert rounds == [(["1"], 1, None), (["1", "2"], 2, {"round": 1}), (["1", "2", "3"], 3, {"round": 2})]
    assert [(media, text) for media, text, _, _ in asked] == [
        (["old"], "question 1"),
        (["new"], "question 2"),
        (["new"], "question 3"),  # None: the pictures stay
    ]


def test_messages_of_a_chat_are_one_question_about_their_videos_and_images(lmms: type, asked: Asked) -> None:
    made = lmms_plugin.VigilChat()

    def to_messages(document: str) -> list[dict[str, Any]]:
        parts = [
            {"type": "text", "text": f"About {document}:"},
            {"type": "image", "url": "i"},
            {"type": "video", "url": "v"},
            {"type": "text", "text": "What?"},
        ]
        return [{"role": "user", "content": parts}]

    wanted = {"max_new_tokens": 7, "until": ["x"]}
    assert made.generate_until([request("unused", to_messages, wanted, 2, "t", "test")]) == ["1"]
    assert asked == [(["v", "i"], "About document 2:\nWhat?", 7, ["x"])]


def test_what_the_plugin_cannot_do_it_says(lmms: type, asked: Asked) -> None:
    simple, chat = lmms_plugin.VigilSimple, lmms_plugin.VigilChat
    with pytest.raises(ConfigError, match=r"one question at a time, got batch_size=4. Use --batch_size 1"):
        simple(batch_size="4")
    with pytest.raises(NotImplementedError, match="generate_until"):
        simple().loglikelihood([])
    with pytest.raises(NotImplementedError, match="--force_simple"):
        chat().generate_until_multi_round([])


# VLMEvalKit


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """A stand-in for VLMEvalKit."""
    base = type("BaseModel", (), {})
    modules: dict[str, dict[str, Any]] = {"vlmeval": {}, "vlmeval.vlm": {}, "vlmeval.vlm.base": {"BaseModel": base}}
    for name, more in modules.items():
        module = ModuleType(name)
        vars(module).update(more)
        monkeypatch.setitem(sys.modules, name, module)
    yield base
    vars(vlmevalkit).pop("VigilVLM", None)


def test_the_class_for_vlmevalkit_says_what_the_kit_asks_of_it(kit: type, asked: Asked) -> None:
    made: Any = vlmevalkit.VigilVLM(model_path="nano")
    assert issubclass(type(made), kit)
    assert (made.INSTALL_REQ, made.INTERLEAVE, made.VIDEO_LLM, made.fps, made.nframe) == (False, True, True, 1.0, 0)
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = vlmevalkit.Other


def test_a_message_is_one_question_about_its_pictures_in_order(kit: type, asked: Asked) -> None:
    made = vlmevalkit.VigilVLM()
    message = [
        {"type": "text", "value": "Look:", "role": "system"},
        {"type": "image", "value": "a.png"},
        {"type": "image", "value": "b.png"},
        {"type": "text", "value": "What?"},
    ]
    assert made.generate_inner(message, dataset="MVBench") == "1"
    assert asked == [(["a.png", "b.png"], "Look:\nWhat?", None, [])]


@pytest.mark.parametrize(
    ("fps", "nframe", "rate"),
    [(1.0, 0, 1.0), (2.0, 0, 2.0), (-1, 0, 1.0), (None, -1, 1.0), (2.0, 3, 0.5), (0, 12, 2.0)],
)
def test_the_rate_is_that_of_the_data_set_and_a_number_of_frames_wins(
    kit: type, asked: Asked, fps: Any, nframe: int, rate: float, tmp_path: Path
) -> None:
    write_video(np.full((6, 32, 32, 3), 90, np.uint8), 1.0, tmp_path / "six.mp4", scale=1)
    made = vlmevalkit.VigilVLM()
    made.fps, made.nframe = fps, nframe  # as the kit does
    assert made._rate([str(tmp_path / "six.mp4")]) == pytest.approx(rate)
    assert made._rate([]) == (fps if fps and fps > 0 else 1.0)


# What both ask


@pytest.mark.parametrize(
    ("text", "until", "found"),
    [
        ("one. two", ["."], "one"),
        ("one. two", ["two", "ne"], "o"),
        ("one", ["."], "one"),
        ("one", [""], "one"),
        ("one", [], "one"),
        ("", ["x"], ""),
    ],
)
def test_an_answer_is_cut_before_the_first_stop_text(text: str, until: list[str], found: str) -> None:
    assert cut(text, until) == found


def test_images_and_videos_become_one_stream_in_their_order(tmp_path: Path) -> None:
    write_video(np.full((3, 32, 32, 3), 200, np.uint8), 1.0, tmp_path / "v.mp4", scale=1)
    asker = Asker(model=ScriptedModel("Red", END_OF_TURN), fps=2.0)
    media = [np.zeros((32, 32, 3), np.uint8), str(tmp_path / "v.mp4"), np.full((32, 32, 3), 90, np.uint8)]
    frames = list(asker._frames(media, 9))
    assert [round(float(np.asarray(image).mean()), -1) for image, _ in frames] == [0, 200, 200, 200, 90]
    assert [t for _, t in frames] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert asker.ask(media, "What?", until=["e"]) == "R"


@pytest.mark.parametrize("num_images", [0, 1, 2])
def test_every_frame_of_every_medium_is_seen(num_images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(np.full((3, 32, 32, 3), 200, np.uint8), 1.0, tmp_path / "v.mp4", scale=1)
    seen: list[int] = []
    perceive = Perceiver.perceive

    def noting(self: Perceiver, index: int, frame: Frame) -> Any:
        seen.append(index)
        return perceive(self, index, frame)

    monkeypatch.setattr(Perceiver, "perceive", noting)
    media = [str(tmp_path / "v.mp4"), *map(picture, range(num_images))]
    assert Asker(model=ScriptedModel("Red", END_OF_TURN)).ask(media, "What?") == "Red"
    assert seen == list(range(3 + num_images))


def test_an_answer_has_at_least_one_token_and_no_more_than_it_may() -> None:
    for most, said in ((0, "a"), (1, "a"), (3, "aaa")):
        asker = Asker(model=ScriptedModel("a" * 500), fps=1.0)
        assert asker.ask([picture(0)], "What?", max_tokens=most) == said
    long = Asker(model=ScriptedModel("a" * 9, END_OF_TURN)).ask([picture(0)], "What?", max_tokens=10_000)
    assert long == "a" * 9
