"""The rules writer: deterministic, causal, balanced and fast, with every role by example."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.data.scenes import Film, camera_film, object_film
from vigil.data.check import balance, check
from vigil.data.records import Record, Turn
from vigil.data.roles import OFFLINE, ONLINE
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask
from vigil.errors import ConfigError
from vigil.types import DenseCaptions
from vigil.world.captions import describe
from vigil.world.scene import sample_scene

FILMS = [(object_film if seed % 2 else camera_film)(seed) for seed in range(120)]
RECORDS = [record for seed, film in enumerate(FILMS) for record in synthesize(film, rng=random.Random(seed))]


def told(turn: Turn) -> list[tuple[float, str]]:
    return [(reply.time_s, reply.text) for reply in turn.replies]


def ask(film: DenseCaptions, role: str, newest: int = -1, *, seed: int = 0, question: str = "") -> Turn:
    """The turn of a role at a frame; with `question`, drawn until it is asked."""
    line, at = Timeline(film, 1.0), Ask(newest, 0.0 if newest < 0 else newest + 0.5)
    for number in range(seed, seed + 200):
        turn = ONLINE[role](line, at, random.Random(number))
        if turn is not None and question in turn.question:
            return turn
    raise AssertionError(f"{role} never asks {question!r}")


def film_by_hand() -> DenseCaptions:
    """10 s: a dog on the left from 2 s, hidden from 5, back in the middle at 7; light red, green from 4, red from 8."""
    film = Film("hand", 10.0)
    film.hold(0, "objects", "count", "0")
    film.hold(0, "dogs", "count", "0")
    film.hold(0, "cats", "count", "0")
    film.hold(0, "light", "colour", "red")
    for time_s, kind, value in ((2, "enter", "on the left"), (5, "hide", "hidden"), (7, "reappear", "in the middle")):
        film.event(time_s, kind, "dog", value)
        film.hold(time_s, "dog", "presence", "hidden" if kind == "hide" else "visible")
        film.hold(time_s, "dog", "place", "behind the box" if kind == "hide" else value)
        film.hold(time_s, "dogs", "count", "0" if kind == "hide" else "1")
        film.hold(time_s, "objects", "count", "0" if kind == "hide" else "1")
    for time_s, colour in ((4, "green"), (8, "red")):
        film.event(time_s, "light", "light", colour)
        film.hold(time_s, "light", "colour", colour)
    return film.done()


def test_alert_waits_for_the_named_thing_and_for_nothing_else() -> None:
    film = film_by_hand()
    assert told(ask(film, "alert", question="a dog appears")) == [(2.0, "A dog appears.")]
    assert told(ask(film, "alert", question="a cat appears")) == []


def test_state_is_answered_at_once_and_revised() -> None:
    turn = ask(film_by_hand(), "state", 2, question="light")
    assert told(turn) == [(2.5, "The light is red."), (4.0, "The light is green."), (8.0, "The light is red.")]
    assert [reply.overtakes for reply in turn.replies] == [False, True, True]
    assert not turn.standing


def test_where_follows_a_thing_through_hiding() -> None:
    places = ["There is no dog.", "The dog is on the left.", "The dog is hidden.", "The dog is in the middle."]
    turn = ask(film_by_hand(), "where", question="dog")
    assert told(turn) == list(zip((0.0, 2.0, 5.0, 7.0), places, strict=True))


def test_last_seen_is_asked_of_what_cannot_be_seen() -> None:
    assert told(ask(film_by_hand(), "last_seen", 5))[0] == (5.5, "The dog was on the left.")


def test_last_event_and_next_event_are_silent_until_there_is_one() -> None:
    film = film_by_hand()
    assert told(ask(film, "last"))[0] == (2.0, "A dog appeared.")
    assert told(ask(film, "next", 2, question="happens")) == [(4.0, "The light turns green.")]


def test_counting_goes_on_from_the_start_or_from_the_question() -> None:
    film = film_by_hand()
    assert told(ask(film, "times", 5, question="light")) == [(5.5, "One time."), (8.0, "Two times.")]
    assert told(ask(film, "tally", 5, question="the light changes")) == [(8.0, "One.")]
    assert told(ask(film, "count_named", 2, question="dog")) == [
        (2.5, "There is one dog."),
        (5.0, "There are no dogs."),
        (7.0, "There is one dog."),
    ]


def test_a_wrong_premise_is_denied() -> None:
    film = film_by_hand()
    assert told(ask(film, "seen", 1, question="cat")) == [(1.5, "No cat yet.")]
    assert told(ask(film, "state", 1, question="counter")) == [(1.5, "There is no counter.")]


def test_narration_and_description() -> None:
    film = film_by_hand()
    assert told(ask(film, "narrate", 4)) == [
        (5.0, "The dog hides."),
        (7.0, "The dog is back."),
        (8.0, "The light turns red."),
    ]
    assert told(ask(film, "describe", 4)) == [
        (4.5, "A dog on the left."),
        (5.0, "There is nothing here."),
        (7.0, "A dog in the middle."),
    ]


def test_cue_speaks_each_time() -> None:
    turn = ask(film_by_hand(), "cue", 5, question="the light is red")
    assert told(turn) == [(8.0, "Now.")]


def test_every_role_is_used_and_every_record_passes_the_check() -> None:
    kinds = {(record.offline, turn.kind) for record in RECORDS for turn in record.turns[1:]}
    assert kinds == {(False, role) for role in ONLINE if role != "colour"} | {
        (True, role) for role in OFFLINE if role != "colour"
    }
    films = {film.id: film for film in FILMS}
    assert [problem for r in RECORDS for problem in check(r, films[r.id.rsplit(":", 1)[0]])] == []


def test_world_scenes_give_records_without_fault() -> None:
    scenes = [describe(sample_scene("train", seed)) for seed in range(60)]
    pairs = [(scene, r) for scene in scenes for r in synthesize(scene, rng=random.Random(scene.id))]
    assert [problem for scene, record in pairs for problem in check(record, scene)] == []
    assert "colour" in {turn.kind for _, record in pairs for turn in record.turns}


def test_no_answer_about_the_world_can_be_guessed_from_its_question() -> None:
    scenes = [describe(sample_scene("train", seed)) for seed in range(300)]
    assert balance([r for scene in scenes for r in synthesize(scene, rng=random.Random(scene.id))]) == []


def test_same_generator_same_records() -> None:
    film = object_film(7)
    assert synthesize(film, rng=random.Random(5)) == synthesize(film, rng=random.Random(5))
    assert synthesize(film, rng=random.Random(5)) != synthesize(film, rng=random.Random(6))


def test_the_future_changes_nothing_that_was_said_before_it() -> None:
    """Cut every state and caption at 9 s: what roles that fire on evidence say before 9 s stays."""
    film = object_film(11)
    cut = replace(
        film,
        captions=tuple(c for c in film.captions if c.start_s < 9),
        states=tuple(replace(s, end_s=min(s.end_s, 20.0)) for s in film.states if s.start_s < 9),
    )
    for role in ("state", "count", "narrate", "last", "describe"):
        for seed in range(10):
            whole, part = (ONLINE[role](Timeline(f, 1.0), Ask(2, 2.5), random.Random(seed)) for f in (film, cut))
            if whole and part and whole.question == part.question:
                before = [reply for reply in told(whole) if reply[0] < 9]
                assert before == [reply for reply in told(part) if reply[0] < 9]


def test_half_of_the_requests_are_never_met() -> None:
    config = SynthConfig(
        offline_share=0.0,
        second_question=0.0,
        roles=(("alert", 1.0), ("watch", 1.0), ("cue", 1.0), ("alert_change", 1.0)),
    )
    met: dict[str, Counter[bool]] = {}
    for seed in range(300):
        film = (object_film if seed % 2 else camera_film)(seed)
        for record in synthesize(film, rng=random.Random(seed), config=config):
            met.setdefault(record.turns[1].kind, Counter())[bool(record.turns[1].replies)] += 1
    assert set(met) == {"alert", "watch", "cue", "alert_change"}
    for kind, counts in met.items():
        assert 0.4 < counts[False] / counts.total() < 0.6, kind


def test_users_ask_before_the_first_frame_between_frames_and_while_an_answer_is_spoken() -> None:
    asked = [record.turns[1].ask_s for record in RECORDS if not record.offline]
    assert 0.25 < sum(t == 0 for t in asked) / len(asked) < 0.45
    assert all(t == 0 or t % 1 == 0.5 for t in asked)
    assert any(_taken_over(record) for record in RECORDS)


def test_an_offline_record_asks_at_the_end_and_answers_once() -> None:
    offline = [record for record in RECORDS if record.offline]
    assert offline
    for record in offline:
        for turn in record.turns[1:]:
            assert (turn.ask_s, len(turn.replies)) == (record.duration_s, 1)


@pytest.mark.parametrize("fps", [0.5, 2.0])
def test_other_frame_rates_put_replies_on_their_frames(fps: float) -> None:
    config = SynthConfig(fps=fps)
    for seed in range(20):
        film = object_film(seed)
        for record in synthesize(film, rng=random.Random(seed), config=config):
            assert check(record, film) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fps": 0.0}, "fps and words_per_s must be above 0, got 0.0"),
        ({"offline_share": 1.5}, "offline_share must lie between 0 and 1, got 1.5"),
        ({"roles": (("sing", 1.0),)}, "roles has ['sing']. Choose from"),
        ({"records_per_video": 0}, "records_per_video must be 1 or more, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SynthConfig(**settings)  # type: ignore[arg-type]
    assert words in str(caught.value)


def _taken_over(record: Record) -> bool:
    """A question within the frame in which a reply before it became due."""
    turns = record.turns[1:]
    return any(one.replies and two.ask_s - one.replies[-1].time_s < 1 for one, two in pairwise(turns))
