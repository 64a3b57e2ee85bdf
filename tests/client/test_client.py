"""The client as a program uses it, against a real server: frames, questions, uploads, looking on, going on later."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

import vigil.client
from tests.client.cutting import connected
from tests.fakes import ScriptedModel, picture
from tests.serve.serving import ADMIN, PATIENT, Served, jpeg, serving
from vigil.assets import demo_clip
from vigil.client import Camera, Client, Notice, Push, Upload
from vigil.errors import ConfigError, SourceLost
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.types import Asked, Done, Ended, Event, Interrupted, Revise, Say


def until(session: vigil.client.Session, kind: type[Event], /, **fields: object) -> Any:
    """The next event of a class with these fields."""
    while (event := session.next(timeout_s=30)) is not None:
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
            return event
    raise AssertionError(f"the session ended without {kind.__name__}")


# ---- a conversation --------------------------------------------------------------------------------------------------


def test_a_frame_a_question_an_answer_and_its_correction() -> None:
    with (
        serving(ScriptedModel(SILENCE, SILENCE, "Red", ELLIPSIS, "Blue", SILENCE)) as served,
        connected(served) as client,
    ):
        session = client.session()
        number = session.frame(picture(1), 0.5, wait=True)
        assert number == 1
        assert session.ask("What colour?", after_frame=number) == 1
        asked = until(session, Asked, text="What colour?", standing=False)
        assert until(session, Say, answer=1, rev=1, frame=0).seq > asked.seq
        until(session, Done, text="Red", status="superseded")
        until(session, Revise, rev=2, supersedes=1)
        assert until(session, Done, rev=2).text == "Blue"
        session.close(drain=True)
        *_, ended = session
        assert isinstance(ended, Ended)
        assert (ended.received, ended.perceived, ended.dropped, ended.pending) == (1, 1, 0, 0)


def test_events_are_numbered_without_gaps_whatever_class_they_have(client: Client) -> None:
    with client.session() as session:
        session.ask("Anything?", standing=True)
        session.close()
        told = list(session)
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert {Notice, Asked, Ended} <= {type(event) for event in told}
    assert next(event.standing for event in told if isinstance(event, Asked))


def test_an_answer_is_interrupted_and_a_second_time_there_is_nothing_to_interrupt() -> None:
    model = ScriptedModel(SILENCE, "A very long answer that goes on.")
    with serving(model, tokens_per_s=8) as served, connected(served) as client:
        session = client.session()
        session.ask("Well?")
        until(session, Say)
        assert session.interrupt()
        assert not session.interrupt()
        until(session, Interrupted, next_turn=None)


def test_settings_change_and_a_wrong_one_is_named(client: Client) -> None:
    session = client.session(policy={"sensitivity": 0.2}, sampling={"max_tokens": 7})
    session.update(sampling={"temperature": 0.5}, system="Be brief.")
    updated = until(session, Notice, kind="session.updated")
    assert updated.fields["sampling"]["temperature"] == 0.5
    with pytest.raises(ConfigError, match=r"server refused session\.update: a field is unknown or out of range"):
        session.update(policy={"sensitivity": 7})
    assert session.ask("Still there?") == 1


def test_sources_come_and_go(client: Client) -> None:
    session = client.session()
    session.add(1, Push())
    assert session.frame(jpeg(1), source=1, wait=True) == 1
    session.end(1)
    session.remove(0)
    causes = []
    while len(causes) < 2:
        event = until(session, Notice, kind="source.ended")
        causes.append((event.fields["source"], event.fields["cause"]))
    assert causes == [(1, "client"), (0, "removed")]
    with pytest.raises(SourceLost, match="source 0 has ended"):
        session.frame(jpeg(2))


def test_an_upload_is_watched_to_its_end(client: Client) -> None:
    upload = Upload(client.upload(demo_clip()), fps=0.2, pace=0)
    session = client.session(upload)
    until(session, Notice, kind="source.ended")
    session.close(drain=True)
    *_, ended = session
    assert isinstance(ended, Ended)
    assert ended.received == ended.perceived > 1


def test_cameras_are_the_operators(client: Client) -> None:
    assert client.capabilities()["cameras"] == []
    with pytest.raises(ConfigError, match="there is no such thing"):
        client.session(Camera("door"))


def test_frames_without_room_are_left_out_counted_and_reported() -> None:
    with serving(limits=PATIENT) as served, connected(served) as client:
        session = client.session()
        for number in range(40):  # far more than 10 in a second
            session.frame(jpeg(number))
        session.end()
        skipped = until(session, Notice, kind="input.frames.skipped")
        session.close(drain=True)
        counts = [skipped.fields["count"]]
        for event in session:
            if isinstance(event, Notice) and event.kind == "input.frames.skipped":
                counts.append(event.fields["count"])
    assert isinstance(event, Ended)
    assert sum(counts) == session.skipped > 0
    assert event.received + session.skipped == 40
    assert event.dropped == 0


# ---- others, and later -----------------------------------------------------------------------------------------------


def test_another_process_goes_on_where_this_one_has_left(client: Client) -> None:
    session = client.session()
    session.ask("One?")
    first = until(session, Asked)
    saved = session.saved
    session.leave()
    assert saved.after == first.seq
    assert saved.resume_token not in repr(saved)
    session = client.resume(saved)
    assert session.ask("Two?") == 2
    assert session.next(30).seq == first.seq + 1  # type: ignore[union-attr]
    until(session, Asked, text="Two?")


def test_others_look_on_and_see_the_same(client: Client) -> None:
    session = client.session()
    looking = client.attach(session.id, session.view_token)
    session.ask("Seen?")
    session.close()
    assert list(looking) == list(session)
    with pytest.raises(ConfigError, match="cannot be resumed"):
        _ = looking.saved


def test_a_session_is_deleted_with_all_that_was_kept(client: Client) -> None:
    session = client.session()
    session.close()
    client.delete(session.id)
    with pytest.raises(ConfigError, match="no such thing"):
        client.delete(session.id)


def test_a_second_controller_ends_the_first_with_one_clear_line(client: Client) -> None:
    session = client.session()
    client.resume(session.saved)
    with pytest.raises(SourceLost, match="another program has taken this session over"):
        list(session)


def test_several_threads_ask_and_each_question_is_asked_once(client: Client) -> None:
    session = client.session()
    threads = [threading.Thread(target=session.ask, args=(f"Question {n}?",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    session.close()
    asked = [event.text for event in session if isinstance(event, Asked)]
    assert sorted(asked) == [f"Question {n}?" for n in range(5)]


def test_the_same_with_an_event_loop(quiet: Served) -> None:
    async def talk() -> list[Event]:
        url = f"http://127.0.0.1:{quiet.port}/#token={ADMIN}"
        async with vigil.client.connect_async(url) as client, await client.session() as session:
            turn, number = await asyncio.gather(session.ask("Hi?"), session.frame(picture(0), wait=True))
            assert (turn, number) == (1, 1)
            with suppress(TimeoutError):
                while await session.next(timeout_s=0.05) is not None:
                    continue
            await session.close()
            return [event async for event in session]

    assert isinstance(asyncio.run(talk())[-1], Ended)
