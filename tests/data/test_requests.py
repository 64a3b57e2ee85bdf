"""Standing requests about one small film, each met by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.data.dog_film import FILM, all_turns, asked_after, by_subject, record_of, told
from vigil.data import phrases, requests
from vigil.data.check import check
from vigil.data.records import Turn
from vigil.data.turns import Role

AFTER_0, AFTER_3 = asked_after(0), asked_after(3)


def by_clause(role: Role, newest: int) -> dict[str, list[tuple[float, str]]]:
    """What is said by what is asked for, in whatever words it is asked."""
    found: dict[str, list[tuple[float, str]]] = {}
    for turn in all_turns(role, asked_after(newest)):
        for form in (*phrases.CUES, *phrases.TALLY, *phrases.REQUESTS):
            before, after = form.split("{clause}")
            if turn.question.startswith(before) and turn.question.endswith(after):
                clause = turn.question[len(before) : len(turn.question) - len(after)]
                assert found.setdefault(clause, told(turn)) == told(turn)
                break
    return found


def test_an_alert_fires_when_the_thing_comes_or_never() -> None:
    assert by_subject(requests.alert, AFTER_0) == {"dog": [(2.0, "A dog appears.")], "house": []}
    assert by_clause(requests.alert, 0).keys() == {"a dog appears", "a house appears"}
    assert all_turns(requests.alert, AFTER_3) == [], "nothing comes any more, so nothing would ever fire"


def test_an_alert_may_be_put_more_briefly() -> None:
    (turn, *_) = [turn for turn in all_turns(requests.alert, AFTER_0) if turn.replies]
    assert (turn.replies[0].accept, turn.replies[0].value) == (("A dog.",), "dog")


def test_half_of_the_alerts_never_fire() -> None:
    fired = Counter(bool(turn.replies) for turn in all_turns(requests.alert, AFTER_0))
    assert 0.35 < fired[True] / fired.total() < 0.65


def test_a_change_that_is_asked_for_fires_once() -> None:
    assert by_clause(requests.alert_change, 3) == {
        "the cat leaves": [(4.0, "The cat leaves.")],
        "the dog leaves": [],
        "the dog moves": [(5.0, "The dog moves to the right.")],
        "the cat moves": [],
        "the light is green": [(6.0, "The light is green.")],
        "the light is yellow": [],
    }, "nobody but the dog could be asked to hide, so that request would always fire"


def test_a_cue_is_one_word_whenever_the_value_comes() -> None:
    assert by_clause(requests.cue, 3) == {"the light is green": [(6.0, "Now.")], "the light is yellow": []}
    assert all_turns(requests.cue, asked_after(7)) == [], "the light does not change any more"


def test_a_watch_fires_at_every_change_of_its_kind() -> None:
    assert by_clause(requests.watch, 3) == {
        "the light changes": [(6.0, "The light turns green.")],
        "the scene changes": [],
    }
    assert by_clause(requests.watch, 7).keys() == {"the scene changes", "the light changes"}
    assert by_clause(requests.watch, 7)["the light changes"] == []


def test_a_commentary_tells_every_event_from_the_question_on() -> None:
    (said,) = {tuple(told(turn)) for turn in all_turns(requests.narrate, AFTER_3)}
    assert said == (
        (4.0, "The cat leaves."),
        (5.0, "The dog moves to the right."),
        (6.0, "The light turns green."),
        (8.0, "The dog hides."),
        (10.0, "The dog is back."),
    )
    assert all_turns(requests.narrate, asked_after(10)) == []


def test_a_tally_counts_from_the_question_on() -> None:
    assert by_clause(requests.tally, 0) == {
        "something appears": [(2.0, "One.")],
        "the light changes": [(6.0, "One.")],
        "the scene changes": [],
    }
    assert by_clause(requests.tally, 3) == {
        "something appears": [],
        "the light changes": [(6.0, "One.")],
        "the scene changes": [],
    }
    assert all_turns(requests.tally, asked_after(7)) == []


@pytest.mark.parametrize(
    "role", [requests.alert, requests.alert_change, requests.cue, requests.watch, requests.narrate, requests.tally]
)
@pytest.mark.parametrize("newest", [0, 3])
def test_every_request_passes_the_check_and_stands(role: Role, newest: int) -> None:
    for turn in all_turns(role, asked_after(newest))[:40]:
        assert turn.standing
        assert check(record_of(turn), FILM) == []


def test_the_check_finds_a_request_that_fires_a_second_late() -> None:
    (turn, *_) = [turn for turn in all_turns(requests.watch, AFTER_3) if turn.replies]
    (reply,) = turn.replies
    late = Turn(**{**_fields(turn), "replies": (type(reply)(**{**_fields(reply), "time_s": 7.0}),)})
    assert [problem.rule for problem in check(record_of(late), FILM)] == ["late"]


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}  # type: ignore[attr-defined]
