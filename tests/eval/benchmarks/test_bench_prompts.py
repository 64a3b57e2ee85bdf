"""What each benchmark asks, word by word, and when: the streams of every kind of item under both scorers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import FIXTURES, folder_of

from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.base import Case, Stream, polled
from vigil.eval.benchmarks.ovo_forward import READERS
from vigil.eval.benchmarks.proactive import _spans

LETTER_ONLY = "Answer with the letter of the right option and nothing else."


def case_of(name: str, item: str, scorer: str, folder: Path | None = None) -> Case:
    cases = benchmark(name).read(folder or FIXTURES / name)
    (case,) = [case for case in cases if (case.id, case.scorer) == (item, scorer)]
    return case


def first_stream(name: str, item: str, scorer: str, folder: Path | None = None) -> Stream:
    return next(case_of(name, item, scorer, folder).play())


@pytest.mark.parametrize(
    ("name", "item", "scorer", "times"),
    [
        # (start, ask, end, whether it holds, whether it ends with the answer), in seconds of the stream
        ("ovo", "EPM-1", "official", (0, 5, 65, True, True)),
        ("ovo", "EPM-1", "strict", (0, 5, 15, False, True)),
        ("ovo", "REC-10", "official", (0, 3, 63, True, True)),
        ("ovo", "REC-10", "strict", (0, 0, 10, False, False)),
        ("ovo", "SSR-11", "official", (0, 1, 61, True, True)),
        ("ovo", "SSR-11", "strict", (0, 0, 12, False, False)),
        ("ovo", "CRR-12", "official", (0, 3, 63, True, True)),
        ("ovo", "CRR-12", "strict", (0, 2, 17, False, False)),
        ("streamingbench", "proactive-0000", "official", (2, 1, 61, True, True)),
        ("streamingbench", "proactive-0000", "strict", (0, 2, 19, False, False)),
        ("rtv", "9g1", "official", (0, 4, 64, True, True)),
        ("omnimmi", "PA-0000", "strict", (0, 0, 25, False, False)),
        ("omnimmi", "PT-0000", "strict", (0, 5, 15, False, True)),
        ("proactive", "WEB-web_1", "strict", (0, 0, 20, False, False)),
    ],
)
def test_when_it_is_asked(name: str, item: str, scorer: str, times: tuple[float, float, float, bool, bool]) -> None:
    stream = first_stream(name, item, scorer)
    assert (stream.start_s, stream.asks[0].t, stream.end_s, stream.holds, stream.is_over_when_answered) == times
    assert stream.asks[0].standing == (not stream.is_over_when_answered)  # a question that is kept open is standing


JUMPS = "How many times did they jump?"


@pytest.mark.parametrize(
    ("name", "item", "scorer", "prompt"),
    [
        ("ovo", "EPM-1", "strict", f"Question: What passed?\nOptions: A. red; B. a long blue car;\n{LETTER_ONLY}"),
        ("ovo", "REC-10", "official", f"{JUMPS} Answer with one number and nothing else."),
        ("ovo", "REC-10", "strict", f"{JUMPS} Keep counting: say the number now, and again whenever it changes."),
        ("ovo", "SSR-11", "official", 'Is the person performing the step "Whisk" now? Answer Yes or No.'),
        (
            *("ovo", "SSR-11", "strict"),
            "Which of these steps is the person performing now: Whisk; Pour? "
            'Say its name, and "none" while it is none of them; say so again whenever it changes.',
        ),
        (
            *("ovo", "CRR-12", "official"),
            "Does the video so far show enough to answer this: Which colour is the last cup? Answer Yes or No.",
        ),
        ("ovo", "CRR-12", "strict", "Which colour is the last cup? Answer as soon as the video shows it."),
        ("streamingbench", "proactive-0000", "strict", 'When the light turns green, output "GREEN".'),
        ("rtv", "9g1", "official", f"What colour is the light?\nA. red\nB. blue\nC. green\n{LETTER_ONLY}"),
        ("omnimmi", "PA-0000", "strict", "Tell me when the bus comes."),
        ("omnimmi", "PT-0000", "strict", "Ann: Did you see that?\nBen: No, I did not."),
        ("proactive", "WEB-web_1", "strict", "Keep me posted on events."),
    ],
)
def test_what_is_asked_word_by_word(name: str, item: str, scorer: str, prompt: str) -> None:
    assert first_stream(name, item, scorer).asks[0].text == prompt


def test_a_choice_of_streamingbench_is_asked_without_the_letters_of_its_file() -> None:
    for item in ("real-0000", "real-0001"):  # options with and without "A. "
        lines = first_stream("streamingbench", item, "official").asks[0].text.splitlines()
        assert lines[0].endswith("reply with nothing but its letter (A, B, C, or D).")
        assert [line[:3] for line in lines[5:9]] == ["A. ", "B. ", "C. ", "D. "]
        assert [line[3:] for line in lines[5:9]] in (
            ["red box", "blue box", "hat", "a yellow ball"],
            ["1", "2", "3", "4"],
        )
        assert lines[-1] == "The best option is:"


def test_sequential_questions_tell_the_earlier_ones_with_their_true_answers() -> None:
    first, second = (first_stream("streamingbench", f"sqa-000{n}", "strict").asks[0].text for n in (0, 1))
    assert "Answered so far" not in first
    assert "Answered so far:\nQuestion: What is she holding?\nAnswer: A. umbrella\n\nQuestion: And what" in second
    other = first_stream("streamingbench", "real-0001", "strict").asks[0].text
    assert "Answered so far" not in other  # only where the part is sequential


def changed(name: str, file: str, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """A data folder in which one file has other records."""
    folder = folder_of(name, tmp_path)
    rows = json.loads((folder / file).read_text(encoding="utf-8"))
    change(rows)
    (folder / file).write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_the_clip_of_a_late_question_begins_a_minute_before_it(tmp_path: Path) -> None:
    def late(rows: Any) -> None:
        rows[0]["questions"][0]["time_stamp"] = "00:02:05"

    folder = changed("streamingbench", "src/data/questions_real.json", tmp_path, late)
    for scorer, end_s in (("official", 120.0), ("strict", 70.0)):
        stream = first_stream("streamingbench", "real-0000", scorer, folder)
        assert (stream.start_s, stream.asks[0].t, stream.end_s) == (65.0, 60.0, end_s)


def test_an_alert_of_river_with_options_asks_for_the_text_and_not_for_a_letter() -> None:
    cases = [case for case in benchmark("river").read(FIXTURES / "river") if case.task == "Pro-Response-Instant@short"]
    plain, choice = (next(case.play()) for case in cases)
    assert plain.asks[0].text == "Tell me when I open the door."
    assert choice.asks[0].text == "When I sit down, what comes next? Answer as soon as the video shows it."
    assert (choice.asks[0].t, choice.end_s) == (2.0, 6.0 + 15.0)


def test_each_moment_of_rtv_offers_the_same_texts_under_letters_of_its_own() -> None:
    (case,) = [
        case for case in benchmark("rtv").read(FIXTURES / "rtv") if case.scorer == "strict" and case.video == "a.mp4"
    ]
    plan, streams = case.play(), []
    streams.append(next(plan))
    assert [ask.t for ask in streams[0].asks] == [4.0, 10.0, 16.0]
    offered = [tuple(ask.text.splitlines()[1:4]) for ask in streams[0].asks]
    assert len(set(offered)) > 1
    assert {frozenset(line[3:] for line in lines) for lines in offered} == {frozenset({"red", "blue", "green"})}
    assert streams[0].end_s == 26.0


def test_steps_without_a_name_are_numbered_and_repeated_names_are_listed_once() -> None:
    row = {
        "task": "SSR", "id": 7, "video": "v.mp4", "all_steps": ["Stir", "Pour", "Stir"], "start_time": [0, 2, 4, 6],
        "end_time": [1, 3, 5, 7], "test_info": [{"realtime": 8, "step": "Stir", "type": 1}],
    }  # fmt: skip
    item = READERS["SSR"](row, where="here")
    assert "now: Stir; Pour; step 4?" in item.ask.text
    assert [v for _, v in item.said] == ["Stir", "none", "Pour", "none", "Stir", "none", "step 4", "none"]
    del row["all_steps"]
    assert "now: step 1; step 2; step 3; step 4?" in READERS["SSR"](row, where="here").ask.text


def test_probes_are_put_in_order_of_time_whatever_the_order_of_the_file() -> None:
    tests = [{"realtime": 9, "count": 2}, {"realtime": 3, "count": 0}, {"realtime": 6.5, "count": 1}]
    row = {"task": "REC", "video": "v.mp4", "activity": "jump", "end_times": [8, 4, 9], "test_info": tests}
    item = READERS["REC"](row, where="x.json record 5")
    assert [(probe.at_s, probe.truth) for probe in item.probes] == [(3.0, 0), (6.5, 1), (9.0, 2)]
    assert item.id == "REC-5"  # without an id, its number
    assert item.said == ((0.0, "0"), (4.0, "1"), (8.0, "2"))  # the last end is that of the stream
    assert [(v.start_s, v.end_s, v.v) for v in item.truth.values] == [(0, 4, "0"), (4, 8, "1"), (8, 9, "2")]


def test_two_ends_at_once_count_twice_at_once() -> None:
    row = {
        "task": "REC", "video": "v.mp4", "activity": "jump", "end_times": [4, 4],
        "test_info": [{"realtime": 9, "count": 2}],
    }  # fmt: skip
    assert READERS["REC"](row, where="here").said == ((0.0, "0"), (4.0, "2"))


def test_a_span_of_proactive_answers_the_question_that_was_open(tmp_path: Path) -> None:
    row = {
        "conversation": [
            {"role": "user", "content": "second", "time": 10},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "ok", "time": 1},
        ],
        "answer": [
            {"content": "c", "reply_timespan": [12, 14]},
            {"content": "a", "reply_timespan": [2, 4]},
            {"content": "b", "reply_timespan": [5, 6], "question": "its own"},
        ],
    }
    spans = _spans(row, "here")
    assert [(span.start_s, span.question, span.content) for span in spans] == [
        (2.0, "first", "a"),
        (5.0, "its own", "b"),
        (12.0, "second", "c"),
    ]

    def more(rows: Any) -> None:
        rows[0] |= row

    folder = changed("proactive", "WEB/anno.json", tmp_path, more)
    stream = first_stream("proactive", "WEB-web_1", "strict", folder)
    assert [(ask.t, ask.text, ask.standing) for ask in stream.asks] == [(0.0, "first", True), (10.0, "second", True)]
    assert stream.end_s == 16.0


def test_a_poll_stands_still_for_a_minute_at_most_and_a_strict_answer_has_ten_seconds() -> None:
    official = polled("x", "?", at_s=70.0, start_s=10.0, scorer="official")
    strict = polled("x", "?", at_s=70.0, start_s=10.0, scorer="strict")
    assert (official.asks[0].t, official.end_s, official.holds) == (60.0, 120.0, True)
    assert (strict.asks[0].t, strict.end_s, strict.holds) == (60.0, 70.0, False)
    assert official.is_over_when_answered
    assert strict.is_over_when_answered
