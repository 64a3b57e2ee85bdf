"""Choices, counts and pairs, item by item: what replies come to under both scorers, against counts by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from bench_folders import FIXTURES, cases_of, mark_of, replying, saying, sums_of

from vigil.eval.baselines import AlwaysSilent
from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.base import Stream
from vigil.eval.benchmarks.data import load_json
from vigil.eval.benchmarks.rtv_items import letter_of, probe_of, revision_groups
from vigil.eval.benchmarks.rtv_revision import rounds, standing
from vigil.eval.benchmarks.rules import Replies
from vigil.eval.watcher import Watcher

# StreamingBench: real-0000 asks for D, "a yellow ball"


@pytest.mark.parametrize(
    ("reply", "official", "strict"),
    [
        ("D", (1, 1), (1, "read")),
        ("D. a yellow ball", (1, 1), (1, "read")),
        ("Dogs", (1, 1), (0, "unparsable")),  # the first character is all that they read
        ("D. hat", (1, 1), (0, "unparsable")),
        ("(D)", (0, 1), (1, "read")),
        ("The best answer is: D.", (0, 1), (1, "read")),
        ("Answer: D", (0, 1), (1, "read")),
        ("d", (0, 1), (1, "read")),
        ("A", (0, 1), (0, "read")),
        ("E", (0, 1), (0, "unparsable")),
        ("", (0, 0), (0, "unanswered")),  # theirs leaves it out, ours keeps it in and wrong
    ],
)
def test_a_choice_of_streamingbench(reply: str, official: tuple[int, int], strict: tuple[int, str]) -> None:
    keys = ("real-time:right", "real-time:items", "real-time/Object Perception:right")
    assert sums_of("streamingbench", "real-0000", "official", replying(reply), *keys) == [*official, official[0]]
    marked = mark_of(cases_of("streamingbench")["real-0000", "strict"], replying(reply))
    assert (marked.sums["real-time:right"], marked.sums["real-time:items"]) == (strict[0], 1)
    assert (marked.states, marked.replies) == ((strict[1],), (reply,))


@pytest.mark.parametrize(
    ("replies", "polls", "reply", "sums"),
    [
        (["Yes", "GREEN"], 1, "GREEN", [0, 0]),  # at 3 s, when 9 s is right
        ([*["No"] * 4, "Yes", "GREEN"], 5, "GREEN", [1, 1]),  # at 7 s: 2 s early is in time for them
        ([*["No"] * 3, "Yes", "GREEN"], 4, "GREEN", [0, 0]),
        ([*["No"] * 8, "yes it is", "It is GREEN now"], 9, "It is GREEN now", [1, 1]),
        ([*["No"] * 6, "yesterday", "GREENER"], 7, "GREENER", [1, 1]),  # both are substrings
        ([*["No"] * 6, "Yes", "green"], 7, "green", [1, 0]),  # the text must be theirs to the letter
        ([*["No"] * 9, "Yes", "GREEN"], 10, "GREEN", [0, 0]),  # at 12 s
        (["No"] * 20, 11, "", [0, 0]),  # polled up to 4 s after it was due
        ([], 11, "", [0, 0]),
    ],
)
def test_the_polls_of_streamingbench(replies: Sequence[str], polls: int, reply: str, sums: list[int]) -> None:
    case = cases_of("streamingbench")["proactive-0000", "official"]
    asked: list[Stream] = []
    answer = replying(*replies)

    def make(stream: Stream) -> Watcher:
        if stream not in asked:
            asked.append(stream)
        made: Watcher = answer(stream)
        return made

    marked = mark_of(case, make)
    assert [marked.sums["PO:in_time"], marked.sums["PO:right"]] == sums
    assert marked.replies == (reply,)
    of_polls = [stream for stream in asked if stream.id.startswith("poll-")]
    assert len(of_polls) == polls
    assert [(stream.start_s, stream.asks[0].t, stream.holds) for stream in of_polls] == [
        (2.0, k + 1.0, True) for k in range(polls)
    ]
    leak = 'When the light turns green, output "GREEN". Is it the right time to output "GREEN"?'
    assert {stream.asks[0].text for stream in of_polls} == {leak}


@pytest.mark.parametrize(
    ("said", "in_time", "right"),
    [
        ([(9, "GREEN")], 1, 1),
        ([(8, "It is GREEN!")], 1, 1),
        ([(11, "green")], 1, 1),
        ([(7, "GREEN")], 0, 0),
        ([(12, "GREEN")], 0, 0),
        ([(9, "evergreen")], 1, 0),  # a whole word
        ([(9, "It is red."), (10, "GREEN")], 1, 0),  # the first thing said decides
        ([(5, "Wait."), (9, "GREEN")], 0, 0),
        ([], 0, 0),
    ],
)
def test_when_to_speak_in_streamingbench_strictly(said: list[tuple[float, str]], in_time: int, right: int) -> None:
    keys = ("PO:in_time", "PO:right", "PO:items", "PO:events")
    found = sums_of("streamingbench", "proactive-0000", "strict", saying(*said), *keys)
    assert found == [in_time, right, 1, 1]


# OVO-Bench


@pytest.mark.parametrize(
    ("reply", "official", "strict"),
    [("B", 1, 1), ("B.", 1, 1), ("ABCD", 1, 0), ("I see a Bus", 1, 0), ("b", 0, 1), ("(B) a long blue car", 1, 1)],
)
def test_a_choice_of_ovo(reply: str, official: int, strict: int) -> None:
    for scorer, right in (("official", official), ("strict", strict)):
        assert sums_of("ovo", "EPM-1", scorer, replying(reply), "EPM:right", "EPM:items") == [right, 1]


def test_the_probes_of_ovo_are_calls_of_their_own() -> None:
    """REC-10 counts 0, 1, 2 jumps at 3, 5, 10 s; CRR-12 can be answered from the third of five probes on."""
    keys = ("REC:right", "REC:items")
    assert sums_of("ovo", "REC-10", "official", replying("0", "1", "2"), *keys) == [3, 3]
    assert sums_of("ovo", "REC-10", "official", replying("0 times", "It is 1 or so", "1 or 2"), *keys) == [2, 3]
    assert sums_of("ovo", "REC-10", "official", replying("zero", "one", "two"), *keys) == [0, 3]
    assert sums_of("ovo", "CRR-12", "official", replying(*["Yes No"] * 5), "CRR:right", "CRR:items") == [5, 5]
    assert sums_of("ovo", "CRR-12", "official", replying("N", "No", "Y", "Yes.", "yes"), "CRR:right") == [4]
    assert sums_of("ovo", "CRR-12", "official", replying(), "CRR:right", "CRR:items") == [0, 5]


def test_a_count_that_is_kept_up_to_date_is_scored_by_the_time_it_is_right() -> None:
    """Jumps end at 4 and 8 s; the last probe is at 10 s: 0 on [0, 4), 1 on [4, 8), 2 on [8, 10]."""
    keys = ("REC:correct_s", "REC:window_s", "REC:changes", "REC:moves", "REC:credited@1", "REC:credited@2")
    by_hand = [
        ([(0, "0"), (4, "1"), (8, "2")], [10, 10, 2, 2, 2, 2]),
        ([(0, "zero"), (5, "one"), (10, "two")], [4 + 3, 10, 2, 2, 1, 2]),
        ([(0, "0")], [4, 10, 2, 0, 0, 0]),
        ([(0, "0"), (4, "1 or 2")], [4, 10, 2, 1, 0, 0]),  # claims its own text, which is no count
        ([], [0, 10, 2, 0, 0, 0]),
    ]
    for said, expected in by_hand:
        assert sums_of("ovo", "REC-10", "strict", saying(*said), *keys) == pytest.approx(expected)


def test_a_clue_of_ovo_is_an_event_at_its_time() -> None:
    """CRR-12: asked at 2 s, the clue comes at 7 s, and the answer is green."""
    keys = ("CRR:matches@2", "CRR:content@2", "CRR:matches@5", "CRR:said", "CRR:events", "CRR:false", "CRR:quiet_s")
    by_hand = [
        ([(7, "green")], [1, 1, 1, 1, 1, 0, 5]),
        ([(9, "It is green.")], [1, 0, 1, 1, 1, 0, 5]),  # a whole text that the file does not list
        ([(10, "green")], [0, 0, 1, 1, 1, 0, 5]),
        ([(3, "green"), (7, "green")], [1, 1, 1, 2, 1, 1, 5]),
        ([(6, "red")], [0, 0, 0, 1, 1, 1, 5]),
        ([], [0, 0, 0, 0, 1, 0, 5]),
    ]
    for said, expected in by_hand:
        assert sums_of("ovo", "CRR-12", "strict", saying(*said), *keys) == expected


# RTV-Bench


@pytest.mark.parametrize(
    ("replies", "right", "credited"),
    [
        (("A", "B", "C"), 3, 1),
        (("A", "B", "A"), 2, 0),
        (("B", "B", "C"), 2, 0),  # a basic question is wrong, and the last one does not count
        (("A", "A", "C"), 2, 0),
        (("option A", "The answer: B.", "c"), 3, 1),
        (("", "B", "C"), 2, 0),
    ],
)
def test_a_group_of_rtv_counts_its_last_question_only_if_the_basic_ones_are_right(
    replies: tuple[str, ...], right: int, credited: int
) -> None:
    keys = ("right", "items", "q2", "q2_credited")
    assert sums_of("rtv", "9g1", "official", replying(*replies), *keys) == [right, 3, 1, credited]


@pytest.mark.parametrize(("reply", "state"), [("A", "read"), ("A.", "read"), ("AB", "unparsable"), ("", "unanswered")])
def test_the_states_of_strict_answers_are_those_of_each_probe(reply: str, state: str) -> None:
    (case,) = [case for case in cases_of("rtv").values() if case.scorer == "strict" and case.video == "a.mp4"]
    marked = mark_of(case, lambda stream: Replies([reply] * 3) if reply else AlwaysSilent())
    assert marked.states == (state,) * 9  # three moments, asked anew, with other letters, and later
    assert marked.sums["probes"] == 3


def test_pairs_of_rtv_by_hand() -> None:
    """The light is red, blue, green. Who says red, blue, red is right at the first pair and stuck at none."""
    (case,) = [case for case in cases_of("rtv").values() if case.scorer == "strict" and case.video == "a.mp4"]
    rows = load_json(FIXTURES / "rtv", "QA.json")
    groups = revision_groups([probe_of(row, where) for where, row in rows])
    group = next(group for group in groups if group[0].video == "a.mp4")
    todo = {**rounds(group), "standing": standing(group)}

    def make(stream: Stream) -> Watcher:
        texts = {"reask": ["red", "blue", "red"], "twin": ["red", "red", "green"], "later": ["blue", "blue", "green"]}
        one = todo[stream.id]
        if stream.id == "standing":  # answers once, and never again
            return Replies([letter_of(one.options[0], "blue")])
        return Replies([letter_of(o, text) for o, text in zip(one.options, texts[stream.id], strict=True)])

    sums = mark_of(case, make).sums
    assert {key: sums[key] for key in sums if key.startswith("reask:")} == {
        **{"reask:right": 2, "reask:changed": 2, "reask:changed:both": 1},
        **{"reask:first": 2, "reask:second": 1, "reask:stuck": 0},
    }
    assert (sums["standing:right"], sums["standing:changed:both"], sums["standing:stuck"]) == (1, 0, 2)
    assert (sums["twin:both"], sums["later:both"]) == (1, 1)  # red twice; blue twice
    scores = {score.name: score.of(sums) for score in benchmark("rtv").scores([case]) if score.scorer == "strict"}
    assert scores["PCA"] == 50.0
    assert scores["STAB"] == pytest.approx(100 / 3)
    assert scores["revision"] == pytest.approx(2 * 50 * (100 / 3) / (50 + 100 / 3))
    assert scores["gain"] == pytest.approx(100 * (0.5 - 1.0 * 0.5) / (1 - 0.5))
    assert scores["STAB natural"] is None
