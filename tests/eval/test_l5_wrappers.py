"""The controls of L5 one by one: what each withholds, delays, repeats or rewrites, and that it does nothing else."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from event_logs import frame, log_of
from fakes import Image
from hypothesis import given
from hypothesis import strategies as st

from vigil.eval.baselines import Unseeing
from vigil.eval.door import Ask, System, VirtualClock, play
from vigil.eval.l5.controls import (
    REWRITES,
    WRAPPERS,
    blind,
    blocking,
    never_revise,
    no_pixels,
    random_revise,
    repeat_all,
    restart,
)
from vigil.eval.l5.trials import COLOURS, PROMPT, Told, claims_of_items
from vigil.eval.log import Log
from vigil.eval.rows import AnswerRow, PromptRow, ReadyRow, TokRow
from vigil.eval.watcher import Reply, WatcherSystem
from vigil.world.words import ITEMS

CLOCK = VirtualClock(mode="cost", fps=2.0, token_s=0.1)
ASK = [Ask(t=1.0, text=PROMPT)]
FRAMES: list[Image] = [np.full((1, 1, 3), i, dtype=np.uint8) for i in range(13)]


class Teller(Unseeing):
    """Answers a question with as many words as it has; each names the newest frame it has seen."""

    num_words = 12

    def __init__(self) -> None:
        super().__init__()
        self.newest = -1

    def see(self, image: Image, t: float) -> None:
        self.newest = int(image[0, 0, 0])

    def reply(self, t: float) -> Reply:
        return (f"{self.newest} " for _ in range(self.num_words)) if self.once("x") else None


TELLER = WatcherSystem("teller", Teller)


def seen_by(system: System, *, end_s: float = 6.0) -> Log:
    return play(system, FRAMES, ASK, clock=CLOCK, end_s=end_s)


def words(log: Log) -> list[int]:
    return [int(row.text) for row in log.rows if isinstance(row, TokRow)]


def test_the_system_itself_sees_while_it_speaks() -> None:
    log = seen_by(TELLER)
    assert words(log) == [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4]  # asked at 1 s; frames at 1.5 and 2 s
    assert log.drops == ()


def test_blind_sees_up_to_the_question_and_nothing_after() -> None:
    log = seen_by(blind(TELLER))
    assert words(log) == [2] * 12
    assert [frame.t for frame in log.frames] == [i / 2 for i in range(13)]  # they came all the same
    assert set(log.ready_w) == {0, 1, 2}
    assert [(row.i, row.why) for row in log.drops] == [(i, "policy") for i in range(3, 13)]


def test_no_pixels_sees_nothing_at_all() -> None:
    log = seen_by(no_pixels(TELLER))
    assert words(log) == [-1] * 12
    assert (log.ready_w, len(log.frames), len(log.drops)) == ({}, 13, 13)
    assert {row.vis for row in log.decisions} == {-1}


def test_blocking_sees_what_came_during_its_reply_when_that_has_ended() -> None:
    log = seen_by(blocking(TELLER))
    assert words(log) == [2] * 12
    end_w = next(row.w for row in log.rows if isinstance(row, AnswerRow) and row.state == "final")
    ready = {row.i: row.w for row in log.rows if isinstance(row, ReadyRow)}
    assert [ready[i] for i in (0, 1, 2)] == [0.0, 0.5, 1.0]
    assert all(end_w <= ready[i] <= end_w + 0.2 for i in (3, 4))
    assert [ready[i] for i in range(5, 12)] == [i / 2 for i in range(5, 12)]  # free again
    assert [frame.w for frame in log.frames] == [i / 2 for i in range(13)]
    assert log.drops == ()


def test_repeat_all_answers_again_after_each_reply_and_the_log_has_one_question() -> None:
    log = seen_by(repeat_all(TELLER))
    assert [row.text for row in log.rows if isinstance(row, PromptRow)] == [PROMPT]
    assert len(log.speech) >= 4
    assert {speech.q for speech in log.speech} == {"q1"}
    assert [speech.supersedes for speech in log.speech] == [None, *(speech.a for speech in log.speech[:-1])]
    assert all(speech.state == "final" for speech in log.speech[:-1])


def test_restart_is_told_of_the_change_cuts_there_and_answers_anew() -> None:
    live = restart(TELLER).open(CLOCK)
    assert isinstance(live, Told)
    rows: list[Any] = []
    for i, image in enumerate(FRAMES):
        rows += live.advance(i / 2)
        live.push_frame(image, i / 2)
        if i == 3:
            live.changed(1.5)
        if i == 2:
            live.push_prompt(PROMPT, 1.0)
    rows += live.advance(9.0)
    opened = [row for row in rows if isinstance(row, AnswerRow) and row.state == "open"]
    closed = [row.state for row in rows if isinstance(row, AnswerRow) and row.state != "open"]
    assert [(row.q, row.supersedes) for row in opened] == [("q1", None), ("q1", opened[0].a)]
    assert closed == ["cut", "final"]
    assert [row.q for row in rows if isinstance(row, PromptRow)] == ["q1"]
    cut = next(row.w for row in rows if isinstance(row, AnswerRow) and row.state == "cut")
    assert 1.5 <= cut <= 1.5 + CLOCK.token_s
    said = [int(row.text) for row in rows if isinstance(row, TokRow) and row.a == opened[1].a]
    assert said == [3] * 5 + [4] * 5 + [5] * 2


def test_restart_knows_nothing_of_a_change_before_it_was_asked() -> None:
    live = restart(TELLER).open(CLOCK)
    live.push_frame(FRAMES[0], 0.0)
    assert isinstance(live, Told)
    live.changed(0.0)
    assert not [row for row in live.advance(3.0) if isinstance(row, PromptRow | AnswerRow)]


def test_where_nothing_flips_restart_does_what_the_system_does() -> None:
    assert seen_by(restart(TELLER)).rows[1:] == seen_by(TELLER).rows[1:]


@pytest.mark.parametrize("name", ["blind", "no_pixels", "blocking", "restart", "repeat_all"])
def test_every_wrapper_names_itself_and_begins_each_stream_anew(name: str) -> None:
    control = WRAPPERS[name](TELLER)
    assert control.name == name
    assert isinstance(control.open(CLOCK), Told) == (name == "restart")
    assert seen_by(control).hash == seen_by(control).hash


# Controls that rewrite a log


def recited(*answers: tuple[float, list[str]], cut: bool = False) -> Log:
    """Answers to the prompt, from a time on one token every tenth of a second."""
    rows: list[dict[str, Any]] = [*frame(0, 0.0), *frame(1, 2.5)]
    for n, (t, tokens) in enumerate(answers):
        rows.append({"k": "answer", "a": str(n), "q": "q1", "w": t, "state": "open"})
        rows += [
            {"k": "tok", "n": k, "w": t + 0.1 * k, "vis": int(t > 2.5), "text": text, "a": str(n)}
            for k, text in enumerate(tokens)
        ]
        end = {"k": "answer", "a": str(n), "q": "q1", "w": t + 0.1 * len(tokens), "state": "cut" if cut else "final"}
        rows.append(end | {"text": "".join(tokens)})
    return log_of(*rows, end_s=20.0, fps=2)


TEXT = "A is purple. B is red. A is orange! b IS White."


@given(st.sets(st.integers(1, len(TEXT) - 1), max_size=12))
def test_however_a_reply_is_cut_into_tokens_its_first_claims_are_frozen(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    tokens = [TEXT[a:b] for a, b in pairwise(places)]
    log = recited((1.0, tokens))
    frozen = never_revise(log)
    assert frozen.speech[0].text == "A is purple. B is red. A is purple! b IS red."
    assert frozen.speech[0].tau == log.speech[0].tau  # not a word sooner or later
    assert [type(row) for row in frozen.rows] == [type(row) for row in log.rows]
    finals = [row.text for row in frozen.rows if isinstance(row, AnswerRow) and row.state == "final"]
    assert finals == [frozen.speech[0].text]


def test_what_never_contradicts_itself_is_left_as_it_is_and_other_questions_too() -> None:
    log = recited((1.0, ["A is red. ", "B is blue."]), (3.0, ["A is red."]))
    assert never_revise(log).rows == log.rows
    other = [{"k": "answer", "a": "9", "q": "q2", "w": 5.0, "state": "open"}]
    other += [
        {"k": "tok", "n": 0, "w": 5.0 + t, "vis": -1, "text": text, "a": "9"}
        for t, text in enumerate(["A is red", ". A is blue"])
    ]
    assert never_revise(log_of(*other)).speech[0].text == "A is red. A is blue"


def test_random_revise_corrects_one_item_after_each_reply_to_a_value_that_does_not_stand() -> None:
    log = recited((1.0, ["A is red. ", "B is blue."]), (5.0, ["A is green."]))
    revised = random_revise(log, seed=3)
    assert [speech.supersedes for speech in revised.speech] == [None, "0", None, "1"]
    assert [speech.state for speech in revised.speech] == ["final"] * 4
    assert revised.speech[1].tau == pytest.approx([1.2 + 0.1 * n for n in (1, 2, 3, 4)])
    frozen = "A is red."  # it never revises by itself, so that the second reply repeats the first
    assert revised.speech[2].text == frozen
    assert random_revise(log, seed=3).hash == revised.hash
    assert len({random_revise(log, seed=seed).hash for seed in range(20)}) > 15


def test_on_a_clock_without_costs_a_random_correction_has_ten_words_a_second() -> None:
    rows = [row | {} for row in recited((1.0, ["A is red. "])).objects[1:-1]]
    free = log_of(*rows, end_s=20.0, fps=2, clock="free", cost=None)
    assert random_revise(free, seed=3).speech[1].tau == pytest.approx([1.1 + 0.1 * n for n in (1, 2, 3, 4)])


def test_the_corrections_of_random_revise_are_about_any_item_and_any_other_colour() -> None:
    log = recited((1.0, ["".join(f"{item} is red. " for item in ITEMS)]))
    items: Counter[str] = Counter()
    colours: Counter[str] = Counter()
    for seed in range(240):
        claims = claims_of_items(random_revise(log, seed=seed))
        ((item, (old, new)),) = [(item, found) for item, found in claims.items() if len(found) == 2]
        assert (old.v, new.supersedes) == ("red", "0")
        items[item] += 1
        colours[new.v] += 1
    assert set(items) == set(ITEMS)
    assert set(colours) == set(COLOURS) - {"red"}
    assert max(items.values()) < 2.5 * min(items.values())


def test_a_reply_that_was_cut_is_not_followed_by_a_random_correction() -> None:
    log = recited((1.0, ["A is red. "]), cut=True)
    assert len(random_revise(log, seed=0).speech) == 1


def test_a_random_correction_has_seen_what_was_said_around_it() -> None:
    log = random_revise(recited((1.0, ["A is red."]), (3.0, ["B is red."])), seed=0)
    assert [[token.vis for token in speech.tokens] for speech in log.speech] == [[0], [0] * 4, [1], [1] * 4]
    assert set(REWRITES) == {"never_revise", "random_revise"}
