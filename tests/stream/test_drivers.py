"""Tests of vigil/stream/watch.py: whole runs over a source, with threads and a clock, and answers after the video."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from fakes import Image, ScriptedModel, picture, pictures, spell, tiny_model, tokenizer_json, without_wall
from torch import Tensor
from videos import ten

import vigil
from vigil.config import SamplingConfig, StreamConfig
from vigil.errors import GrammarError, ModelError, ShapeError, SourceError, SourceLost
from vigil.model import VideoModel
from vigil.model.model import Written
from vigil.model.tokens import END_OF_TURN, SILENCE, ControlIds, Tokenizer, Transcript
from vigil.model.vision import preprocess
from vigil.stream.feed import allowed_tokens
from vigil.stream.policy import Sampler
from vigil.stream.session import Session
from vigil.stream.watch import answer
from vigil.types import Done, Ended, Event, Say


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("vigil-")}


def test_the_python_surface_of_the_readme_works() -> None:
    model = ScriptedModel(SILENCE, "red", SILENCE, SILENCE, "blue", SILENCE)
    with vigil.Session(model, fps=1.0) as live:
        live.ask("Which colour?")
        words = spell(live.watch(pictures(3), speed="max"))
    assert [word for word in words if not word.startswith("say")] == [
        "silence 0-0",
        "ask 1 Which colour?",
        "done 1.1 final",
        "silence 1-1",
        "revise 1.2 supersedes 1",
        "done 1.2 final",
        "ended eof",
    ]
    assert threads() == set()


@pytest.mark.parametrize("ask", ["What?", ["What?"], [(0.0, "What?")]], ids=["one", "several", "with-time"])
def test_watch_takes_questions_in_three_forms(ask: str | list[str] | list[tuple[float, str]]) -> None:
    model = ScriptedModel(SILENCE, "a", SILENCE)
    words = spell(vigil.watch(pictures(3), ask=ask, model=model, speed="max"))
    assert words == ["silence 0-0", "ask 1 What?", "say 1.1 a", "done 1.1 final", "silence 1-2", "ended eof"]


def test_every_event_has_its_three_times_and_a_number() -> None:
    events = list(vigil.watch(pictures(4), ask=[(1.5, "What?")], model=ScriptedModel(SILENCE, "abc"), speed="max"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert all(a.time_s <= b.time_s and a.wall_s <= b.wall_s for a, b in pairwise(events))
    assert {event.frame for event in events} <= {-1, 0, 1, 2, 3}


def test_a_question_after_the_last_frame_is_still_answered() -> None:
    model = ScriptedModel(*[SILENCE] * 4, "yes", SILENCE)
    events = list(vigil.watch(pictures(3), ask=[(60.0, "Well?")], model=model, speed="max"))
    assert [event.text for event in events if isinstance(event, Done)] == ["yes"]
    assert [event.time_s for event in events if isinstance(event, Say)] == [3.0, 3.125, 3.25]


def test_an_answer_begun_on_the_last_frame_is_finished() -> None:
    model = ScriptedModel(SILENCE, SILENCE, "late", SILENCE)
    assert spell(vigil.watch(pictures(2), model=model, speed="max"))[-2:] == ["done 1.1 final", "ended eof"]


def test_closing_in_mid_answer_ends_the_answer_and_the_stream() -> None:
    session = Session(ScriptedModel("a" * 99))
    events = []
    for event in session.watch(pictures(99), speed="max"):
        events.append(event)
        if len(events) == 3:
            session.close()
    assert spell(events) == ["say 1.1 a"] * 3 + ["done 1.1 interrupted", "ended closed"]
    assert threads() == set()


def test_leaving_the_loop_ends_the_threads() -> None:
    for event in Session(ScriptedModel("a" * 99)).watch(pictures(99), speed="max"):
        assert isinstance(event, Say)
        break
    assert threads() == set()


@pytest.mark.parametrize("live", [False, True], ids=["virtual", "wall"])
def test_an_interruption_from_outside_stops_the_answer(live: bool) -> None:
    session = Session(ScriptedModel("a" * 99), config=StreamConfig(fps=1000.0, tokens_per_s=500.0))
    events = []
    for event in session.watch(pictures(3, every_s=0.002), speed="max", live=live):
        events.append(event)
        if len(events) == 2:
            session.interrupt()
    assert "interrupted 0 by None" in spell(events)
    assert isinstance(events[-1], Ended)


def breaking(num: int) -> Iterator[tuple[Image, float]]:
    yield from pictures(num, every_s=0.002)
    raise SourceLost("the camera went away")


@pytest.mark.parametrize("live", [False, True], ids=["virtual", "wall"])
def test_an_error_of_the_source_comes_after_what_was_seen_before_it(live: bool) -> None:
    events: list[Event] = []
    session = Session(ScriptedModel(SILENCE, SILENCE, "ab", SILENCE), config=StreamConfig(fps=1e3, tokens_per_s=1e3))
    with pytest.raises(SourceLost, match="the camera went away"):  # noqa: PT012
        for event in session.watch(breaking(2), speed="max", live=live):
            events.append(event)  # noqa: PERF402 - what came before the error counts
    assert [event.text for event in events if isinstance(event, Done)] == ["ab"]
    assert threads() == set()


def test_a_picture_that_is_none_is_an_error_and_not_a_white_frame() -> None:
    source = [(picture(0), 0.0), (picture(1)[..., :2], 1.0)]
    with pytest.raises(ShapeError, match="picture 1 is uint8"):
        list(Session(ScriptedModel()).watch(source, speed="max"))


def test_what_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        vigil.watch(tmp_path / "none.mp4", model=ScriptedModel())
    with pytest.raises(ModelError, match="no model at 'none'"):
        vigil.watch(pictures(1), model="none")


# ---- asyncio --------------------------------------------------------------------------------------------------------


def test_the_asyncio_form_gives_the_same_events_and_leaves_the_loop_free() -> None:
    released = threading.Event()

    def source() -> Iterator[tuple[Image, float]]:
        yield from pictures(2)
        assert released.wait(10.0), "the event loop was blocked"
        yield picture(2), 2.0

    async def run() -> list[Event]:
        asyncio.get_running_loop().call_later(0.01, released.set)
        events = vigil.watch_async(source(), model=ScriptedModel(SILENCE, "ab", SILENCE), speed="max")
        return [event async for event in events]

    plain = vigil.watch(pictures(3), model=ScriptedModel(SILENCE, "ab", SILENCE), speed="max")
    assert without_wall(asyncio.run(run())) == without_wall(plain)

    async def of_session() -> list[Event]:
        session = Session(ScriptedModel(SILENCE, "ab", SILENCE))
        return [event async for event in session.watch_async(pictures(3), speed="max")]

    again = vigil.watch(pictures(3), model=ScriptedModel(SILENCE, "ab", SILENCE), speed="max")
    assert without_wall(asyncio.run(of_session())) == without_wall(again)


# ---- offline --------------------------------------------------------------------------------------------------------


class Numbers(Tokenizer):
    """Spells an answer as its ids, so that no token is lost where bytes make no character."""

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


NEVER_TWICE = Sampler(SamplingConfig(repetition_penalty=100.0))


def slow_answer(model: VideoModel, source: list[tuple[Image, float]], question: str, num_tokens: int) -> str:
    """The slower reference: one full forward pass for each token."""
    assert model.tokenizer is not None
    control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)
    ids = Transcript(model.tokenizer, control).offline(len(source), question)
    start = len(ids)
    frames = torch.stack([preprocess(image, model.config.vision) for image, _ in source])[None]
    places = torch.tensor([[i for i, token in enumerate(ids) if token == control.image]])
    allowed_V = allowed_tokens(model, control.silence, control.end_of_turn)
    for _ in range(num_tokens):
        logits_V = model(torch.tensor([ids]), frames, places).logits[0, -1] + allowed_V
        token = NEVER_TWICE.pick(logits_V, ids[start:])
        if token in (control.silence, control.end_of_turn):
            break
        ids.append(token)
    return model.tokenizer.decode(ids[start:]).strip()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_offline_answer_is_what_full_passes_would_say(seed: int) -> None:
    model, config = tiny_model(seed=seed), StreamConfig(max_answer_tokens=30)
    model.tokenizer = Numbers(tokenizer_json())
    one, other = pictures(5), pictures(5, first=50)
    got = answer(model, one, "What was it?", config=config, sampler=NEVER_TWICE)
    assert got == slow_answer(model, one, "What was it?", 30)
    assert seed != 0 or got != answer(model, other, "What was it?", config=config, sampler=NEVER_TWICE)


@pytest.mark.parametrize("end", [END_OF_TURN, SILENCE])
def test_an_offline_answer_ends_with_its_turn_or_with_silence(end: str) -> None:
    assert answer(ScriptedModel("yes", end, "no"), pictures(2), "Well?") == "yes"


def test_a_long_video_is_read_at_a_lower_rate_so_that_all_of_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clip = ScriptedModel("a", SILENCE), ten(tmp_path / "ten.mp4")
    place, placed = model.place_frames, []

    def counting(projected: Written, positions: Tensor) -> Written:
        placed.append(int(positions))
        return place(projected, positions)

    monkeypatch.setattr(model, "place_frames", counting)
    answer(model, clip, "Well?", config=StreamConfig(fps=10.0, memory_frames=3))
    assert len(placed) == 3
    placed.clear()
    answer(model, clip, "Well?", config=StreamConfig(fps=10.0, memory_frames=10))
    assert len(placed) == 10


def test_an_offline_answer_needs_a_tokenizer() -> None:
    model = tiny_model()
    model.tokenizer = None
    with pytest.raises(ModelError, match=r"no tokenizer\.json, and an answer needs text"):
        answer(model, pictures(1), "Well?")


def test_cancelling_the_asyncio_form_returns_at_once_though_the_source_hangs() -> None:
    hanging = threading.Event()

    def source() -> Iterator[tuple[Image, float]]:
        yield from pictures(2)
        hanging.wait(20.0)

    async def leave_early() -> Session:
        live = Session(ScriptedModel())

        async def read() -> None:
            async for _ in live.watch_async(source(), speed="max"):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), timeout=0.3)
        return live

    live = asyncio.run(leave_early())
    hanging.set()
    assert list(live.mailbox.letters) in ([], ["close"])


def test_a_session_watches_one_source() -> None:
    live = Session(ScriptedModel())
    list(live.watch(pictures(2), speed="max"))
    with pytest.raises(GrammarError, match="Make a new Session for each source"):
        list(live.watch(pictures(2), speed="max"))
