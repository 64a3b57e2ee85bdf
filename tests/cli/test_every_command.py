"""Every command and verb: its help tells all its flags and real defaults, and wrong words are one line and code 2."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from vigil import cli
from vigil.cli import (
    ask,
    bench,
    eval_bench,
    eval_l5,
    eval_report,
    eval_study,
    export,
    log,
    main,
    serve,
    synth,
    train,
    watch,
    world,
)
from vigil.cli import eval as eval_
from vigil.cli.parser import AddQuestion, Parser, Question, count, positive, probability, seconds, speed
from vigil.errors import ConfigError, DataError

MODULES: dict[str, ModuleType] = {
    "watch": watch, "ask": ask, "serve": serve, "synth": synth, "world": world, "train": train, "export": export,
    "log": log, "eval": eval_, "bench": bench, "eval bench": eval_bench, "eval l5": eval_l5,
    "eval report": eval_report, "eval study": eval_study,
}  # fmt: skip
"""Words on the line -> the file behind them."""


def test_these_are_all_commands_and_verbs() -> None:
    files = {name: name for name in cli.COMMANDS} | {" ".join(words): file for words, file in cli.VERBS.items()}
    assert {words: f"vigil.cli.{file}" for words, file in files.items()} == {
        words: module.__name__ for words, module in MODULES.items()
    }


def flags_of(words: str) -> Iterator[argparse.Action]:
    return (action for action in MODULES[words].parser()._actions if action.dest != "help")


# ---- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", MODULES)
def test_the_help_of_every_command_goes_to_stdout_with_examples_that_name_it(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main([*words.split(), "--help"])
    out, err = capsys.readouterr()
    assert (done.value.code, err) == (0, "")
    assert out == MODULES[words].HELP
    assert out.startswith(f"usage: vigil {words}")
    assert f"\n  vigil {words.split()[0]} " in out.partition("examples:")[2]
    assert out.endswith(cli.EXIT_CODES + "\n")


@pytest.mark.parametrize("words", MODULES)
def test_every_flag_of_every_command_is_in_its_help(words: str) -> None:
    text = MODULES[words].HELP
    for flag in flags_of(words):
        if flag.option_strings:
            assert any(re.search(rf"(?<![\w-]){name}(?![\w-])", text) for name in flag.option_strings), flag.dest


@pytest.mark.parametrize("words", MODULES)
def test_every_flag_in_the_help_of_a_command_is_one_of_its_own(words: str) -> None:
    known = {name for flag in flags_of(words) for name in flag.option_strings} | {"--help"}
    own = MODULES[words].HELP
    listed = {name for line in own.splitlines() for name in re.findall(r"^  (--[a-z0-9-]+)", line)}
    assert listed <= known
    assert listed or words == "log"


@pytest.mark.parametrize(
    ("words", "num"),
    {"watch": 3, "ask": 1, "serve": 4, "synth": 4, "world": 4, "train": 0, "log": 1, "eval": 4, "eval l5": 2,
     "eval report": 1, "eval study": 1}.items(),
)  # fmt: skip
def test_numbers_that_the_help_states_as_defaults_are_those_of_the_parser(words: str, num: int) -> None:
    default_of = {name: flag.default for flag in flags_of(words) for name in flag.option_strings}
    told = {
        block.split()[0]: number[1]
        for block in MODULES[words].HELP.split("\n  ")
        if block.startswith("--") and (number := re.search(r"\(default: ([0-9.]+)[,;)]", " ".join(block.split())))
    }
    for name, text in told.items():
        assert default_of[name] is None or str(default_of[name]).removesuffix(".0") == text.removesuffix(".0"), name
    assert len([name for name in told if default_of[name] is not None]) >= num


@pytest.mark.parametrize("words", MODULES)
def test_a_flag_that_nobody_knows_is_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "watch": [], "ask": ["a", "b"], "serve": [], "synth": ["x"], "world": ["render", "--out", "x"],
        "train": ["nano"], "export": ["nano", "--out", "x"], "log": ["list", "x"], "eval": ["log"], "bench": [],
        "eval bench": [], "eval l5": [], "eval report": ["x", "--html", "y"], "eval study": ["A"],
    }[words]  # fmt: skip
    assert main([*words.split(), *given, "--nonsense"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"vigil: unrecognized arguments: --nonsense. Run vigil {words} --help.\n")


@pytest.mark.parametrize("words", [words for words in MODULES if words not in ("eval", "bench", "serve", "watch")])
def test_flags_are_not_guessed_from_their_beginning(words: str) -> None:
    long = next(name for flag in flags_of(words) for name in flag.option_strings if len(name) > 5 and not flag.required)
    with pytest.raises(ConfigError):
        MODULES[words].parser().parse_args([long[:-1], "1"])


# ---- wrong words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("eval", "the following arguments are required: what"),
        ("eval nothing", "argument what: invalid choice: 'nothing'"),
        ("eval log run.jsonl", "vigil eval log wants FILE and --truth FILE"),
        ("eval log --truth t.jsonl", "vigil eval log wants FILE and --truth FILE"),
        ("eval behaviour run.jsonl", "vigil eval behaviour takes no file, got run.jsonl"),
        ("eval causality run.jsonl", "vigil eval causality takes no file, got run.jsonl"),
        ("eval behaviour --seed -1", "--seed must be 0 or more, got -1."),
        ("eval causality --seed -1", "--seed must be 0 or more, got -1."),
        ("eval behaviour --scenes 0", "argument --scenes: '0' is not a whole number of at least 1"),
        ("eval behaviour --seconds -3", "argument --seconds: '-3' is not a number above 0"),
        ("eval behaviour --pace nan", "argument --pace: 'nan' is not a number above 0"),
        ("eval behaviour --split all", "argument --split: invalid choice: 'all'"),
        ("eval bench", "vigil eval bench wants NAME and --data DIR, or --list"),
        ("eval bench ovo", "vigil eval bench wants NAME and --data DIR, or --list"),
        ("eval bench ovo --data x --judge URL", "argument --judge: expected 2 arguments"),
        ("eval bench ovo --data x --judge http://h m", "--judge rates replies of proactive, and ovo needs no judge"),
        ("eval bench ovo --data x --limit 0", "argument --limit: '0' is not a whole number of at least 1"),
        ("eval l5 --trials 0", "argument --trials: '0' is not a whole number of at least 1"),
        ("eval l5 --loop round", "argument --loop: invalid choice: 'round'"),
        ("eval study", "the following arguments are required: letter"),
        ("eval study E", "argument letter: invalid choice: 'E'"),
        ("eval study A --scale huge", "argument --scale: invalid choice: 'huge'"),
        ("eval study A --seeds 0", "argument --seeds: '0' is not a whole number of at least 1"),
        ("eval study A --processes 0", "argument --processes: '0' is not a whole number of at least 1"),
        ("export nano", "the following arguments are required: --out"),
        ("export nano --out x --layout qwen", "argument --layout: invalid choice: 'qwen'"),
        ("world", "the following arguments are required: what, --out"),
        ("world render", "the following arguments are required: --out"),
        ("world paint --out x", "argument what: invalid choice: 'paint'"),
        ("world render --out x --seed -1", "--seed must be 0 or more, got -1."),
        ("world render --out x --scale 0", "argument --scale: '0' is not a whole number of at least 1"),
        ("world render --out x --seconds 0.1", "duration_s must rise and give 2 frames at 1.0 fps, got (0.1, 0.1)"),
        ("world render --out x --family dogs", "argument --family: invalid choice: 'dogs'"),
        ("train", "the following arguments are required: STAGE"),
        ("train nano --steps 5 --bf16", "vigil train nano has a recipe of its own; leave out --bf16 --steps."),
        ("train alignment --processes 2", "--processes is for nano. Start a stage with torchrun"),
        ("train alignment --lr 0", "argument --lr: '0' is not a number above 0"),
        ("train alignment --lora x", "argument --lora: invalid count value: 'x'"),
        ("synth", "the following arguments are required: CAPTIONS"),
        ("synth world:train:0-1", "--out is missing. Name the JSONL file to write."),
        ("synth check", "one CAPTIONS or check FILE is wanted, got check."),
        ("synth a b c", "one CAPTIONS or check FILE is wanted, got a b c."),
        ("synth world:train:0 --out x --model m", "--llm and --model go together"),
        ("synth world:train:0 --out x --format csv", "argument --format: invalid choice: 'csv'"),
        ("log", "the following arguments are required: what, DIR"),
        ("log burn x", "argument what: invalid choice: 'burn'"),
        ("log list x abc", "vigil log list takes no session. Leave abc out."),
        ("log rebuild x abc", "vigil log rebuild takes no session. Leave abc out."),
        ("log list x --after 3", "--json and --after belong to vigil log show."),
        ("serve --port nine", "argument --port: invalid port value: 'nine'"),
        ("serve --keep 0", "argument --keep: '0' is not a whole number of at least 1"),
        ("serve --max-sessions -1", "argument --max-sessions: '-1' is not a whole number of at least 1"),
        ("serve --compat-markers", "--media and --compat-markers belong to --compat"),
        ("serve --camera =rtsp://h", "argument --camera: give NAME=VALUE"),
        ("bench --parts gaps,,live", "argument --parts: '' is no part; there are memory, question"),
        ("ask", "the following arguments are required: SOURCE, QUESTION"),
        ("ask a.mp4 Who? --fps 0", "argument --fps: '0' is not a number above 0"),
        ("watch --patience 0", "argument --patience: '0' is not a number above 0"),
        ("watch --retention all", "argument --retention: invalid choice: 'all'"),
        ("watch --frame-storage int4", "argument --frame-storage: invalid choice: 'int4'"),
        ("watch --ask-at -1 Who?", "argument --ask-at: "),
        ("watch --text-tokens 3", "text_tokens must be at least 64, or 0 for the model's own, got 3."),
        ("watch camera:0 --speed 2", "a live source has a time of its own, so --speed 2.0 cannot hold."),
        ("Watch", "there is no command 'Watch'. Try vigil watch"),
        ("zzz", "there is no command 'zzz'. Try vigil watch or ask or serve"),
    ],
)
def test_wrong_words_are_one_line_and_code_2_and_nothing_is_made(
    words: str, message: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"vigil: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# ---- the words of arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (positive, {"1": 1.0, "0.25": 0.25, "1e-3": 0.001}, ["0", "-1", "nan", "inf", "-inf", "x", ""]),
        (count, {"1": 1, "007": 7}, ["0", "-1", "1.5", "x", ""]),
        (probability, {"0": 0.0, "1": 1.0, "0.5": 0.5}, ["-0.1", "1.1", "nan", "x"]),
        (speed, {"max": "max", "2": 2.0}, ["0", "-1", "inf", "fast", "MAX"]),
    ],
    ids=["positive", "count", "probability", "speed"],
)
def test_numbers_are_read_and_impossible_ones_refused(read: Any, good: dict[str, Any], bad: list[str]) -> None:
    assert {text: read(text) for text in good} == good
    for text in bad:
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            read(text)


def asking(*words: str) -> list[Question]:
    flags = Parser("x", "")
    flags.add_argument("--ask", action=AddQuestion, dest="questions")
    flags.add_argument("--ask-at", action=AddQuestion, dest="questions", nargs=2)
    flags.add_argument("--watch-for", action=AddQuestion, dest="questions")
    return list(flags.parse_args(words).questions or [])


def test_questions_come_in_the_order_in_which_they_were_given() -> None:
    assert asking() == []
    assert asking("--ask-at", "2.5", "b", "--watch-for", "c", "--ask", "a") == [
        Question("b", at_s=2.5),
        Question("c", standing=True),
        Question("a"),
    ]


def test_bytes_that_are_no_text_do_not_break_a_question() -> None:
    (question,) = asking("--ask", "who \udcff is it")
    assert question.text == "who ? is it"
    question.text.encode("utf-8")


@pytest.mark.parametrize("words", [["--ask", ""], ["--ask", " \t"], ["--watch-for", "\n"], ["--ask-at", "1", " "]])
def test_an_empty_question_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"argument {words[0]}: the text is empty\. Run vigil x --help\."):
        asking(*words)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1.5", 1.5), ("1e3", 1000.0)])
def test_seconds_are_at_least_0(text: str, value: float) -> None:
    flag = argparse.Action(["--ask-at"], "x")
    assert seconds(flag, text) == value
    for wrong in ("-0.1", "nan", "inf", "soon", ""):
        with pytest.raises(argparse.ArgumentError, match="is not a number of seconds"):
            seconds(flag, wrong)


@pytest.mark.parametrize(
    ("source", "seeds"),
    [
        ("world:val:3", [3]),
        ("world:val:3-", [3]),
        ("world:val:3-3", [3]),
        ("world:val:0-2", [0, 1, 2]),
        ("world:test:08-9", [8, 9]),
    ],
)
def test_a_range_of_scenes(source: str, seeds: list[int]) -> None:
    split = source.split(":")[1]
    assert [video.id for video in synth._scenes(source)] == [f"world:{split}:{seed}" for seed in seeds]


@pytest.mark.parametrize("source", ["world:val:", "world:val:-3", "world:val:5-2", "world:val:a-b"])
def test_what_is_no_range_of_scenes_is_refused(source: str) -> None:
    with pytest.raises(DataError, match=r"is no range of scenes\. Write world:SPLIT:FIRST-LAST"):
        synth._scenes(source)
