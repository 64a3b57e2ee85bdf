"""Flags of watch, serve and bench become options one by one; the words of a kept session."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import pictures
from PIL import Image
from scripted import fakes, traffic_light

import vigil
from vigil.cli import main, serve, watch
from vigil.cli.log import Told, tell
from vigil.cli.options import Options, patience_of
from vigil.cli.parser import Question
from vigil.config import StreamConfig
from vigil.serve.build import Options as ServeOptions
from vigil.serve.lines import Gap
from vigil.stream.source import open_source


def fail_with(error: BaseException) -> Any:
    def run(args: object) -> None:
        raise error

    return run


# ---- flags of watch -------------------------------------------------------------------------------------------------


def parsed(*words: str) -> Options:
    return watch.options(watch.parser().parse_args(list(words)))


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["a.mp4"], "source", "a.mp4"),
        (["a.mp4", "b", "c"], "others", ("b", "c")),
        ([], "source", None),
        (["--model", "x"], "model", "x"),
        (["--speed", "2.5"], "speed", 2.5),
        (["--live"], "live", True),
        (["--live", "--speed", "1"], "live", True),
        (["camera:0", "--live"], "live", True),
        (["--patience", "7"], "patience_s", 7.0),
        (["--still-ok"], "still_ok", True),
        (["--threshold", "0"], "threshold", 0.0),
        (["--json"], "json", True),
        (["--srt", "x.srt"], "srt", Path("x.srt")),
        (["--vtt", "x.vtt"], "vtt", Path("x.vtt")),
        (["--out", "x.jsonl"], "out", Path("x.jsonl")),
        (["--log", "d", "--resume", "abc"], "resume", "abc"),
        (["--ask", "Who?", "--ask-at", "3", "Why?"], "questions", (Question("Who?"), Question("Why?", at_s=3.0))),
    ],
)
def test_a_flag_of_watch_changes_its_own_option_alone(words: list[str], field: str, value: object) -> None:
    given, default = parsed(*words), parsed()
    assert getattr(given, field) == value
    changed = {
        name for name in Options.__dataclass_fields__ if getattr(given, name) != getattr(default, name)
    }  # fmt: skip
    companions = {"source"} if field in ("others", "live") else {"log"} if field == "resume" else set()
    assert changed <= {field} | companions


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--fps", "2"], "fps", 2.0),
        (["--memory", "9"], "memory_frames", 9),
        (["--text-tokens", "100"], "text_tokens", 100),
        (["--retention", "merge"], "retention", "merge"),
        (["--frame-storage", "int8"], "frame_storage", "int8"),
        (["--pace", "3"], "tokens_per_s", 3.0),
    ],
)
def test_a_flag_about_memory_or_pace_is_one_of_the_stream(words: list[str], field: str, value: object) -> None:
    from dataclasses import replace

    assert parsed(*words).stream == replace(StreamConfig(), **{field: value})


def test_a_live_source_is_waited_for_as_long_as_is_said_and_may_stand_still() -> None:
    from vigil.stream.live import LiveConfig

    assert patience_of(parsed()) == LiveConfig()
    assert watch.PATIENCE_S == LiveConfig().patience_s
    patient = patience_of(parsed("--patience", "9", "--still-ok"))
    assert (patient.patience_s, patient.still_s) == (9.0, None)


def test_the_pace_is_that_of_the_clock_where_a_source_is_live() -> None:
    with open_source(pictures(1), fps=1.0) as source:
        assert watch.pace_of(parsed("--speed", "3"), source) == 3.0
        assert watch.pace_of(parsed("--speed", "max"), source) == "max"
        assert watch.pace_of(parsed("--live"), source) == "live"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--speed", "2", "--live"], 2, "--live keeps real time, so --speed 2.0 cannot hold"),
        (
            ["{0}/clip.png", "--srt", "{0}/no/x"],
            5,
            "cannot be written: No such file or directory. Choose another place.",
        ),
        (["{0}/clip.png", "--out", "{0}"], 5, "is a folder. Give the name of a file."),
        (["{0}/clip.png", "--resume", "abc"], 2, "--resume needs --log DIR, the folder that holds the session."),
    ],
)
def test_nothing_is_loaded_where_the_flags_of_watch_are_wrong(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "clip.png")
    monkeypatch.setitem(vars(vigil), "load", lambda name: pytest.fail("the model was loaded"))
    assert main(["watch", *(word.format(tmp_path) for word in words)]) == code
    assert message in capsys.readouterr().err


def test_json_on_stdout_and_files_beside_it_tell_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "clip.png")
    names, _ = fakes(traffic_light())
    for name, value in names.items():
        monkeypatch.setitem(vars(vigil), name, value)
    files = {flag: tmp_path / f"x{flag.replace('--', '.')}" for flag in ("--srt", "--vtt", "--out")}
    words = [word for flag, path in files.items() for word in (flag, str(path))]
    assert main(["watch", str(tmp_path / "clip.png"), "--json", *words]) == 0
    assert files["--out"].read_text() == capsys.readouterr().out
    for flag in ("--srt", "--vtt"):
        text = files[flag].read_text()
        assert text.count(" --> ") == 2
        assert text.index("The light is red.") < text.index("The light is green.")


# ---- the words of a kept session ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "session.created", "model": "nano", "sources": ["a", "b"]}, ("begin", "nano: a, b")),
        ({"type": "session.created", "model": None}, ("begin", "None: ")),
        ({"type": "session.recovered", "epoch": 2, "cause": "resume"}, ("again", "life 2 (resume)")),
        ({"type": "session.closed", "reason": "expired"}, ("end", "expired")),
        ({"type": "input.text.accepted", "text": "Who?"}, ("ask", "Who?")),
        ({"type": "input.text.accepted", "text": "a cat", "standing": True}, ("watch for", "a cat")),
        ({"type": "input.text.unanswered", "cause": "closed"}, ("no answer", "closed")),
        ({"type": "answer.done", "rev": 1, "status": "error", "text": "A"}, ("say", "A [failed]")),
        ({"type": "answer.done", "rev": 3, "status": "interrupted", "text": "A",
          "evidence": {"frame_no": 61, "ts": 60.0}}, ("revise", "A [cut]  [frame 61 at 1:00.0]")),
        ({"type": "silence", "frames": 3, "first_ts": 0.5, "last_ts": 2.0}, ("silence", "3 frames, from 0.5 to 2 s")),
        ({"type": "input.frames.dropped", "count": 2, "reason": "stale"}, ("dropped", "2 frames (stale)")),
        ({"type": "source.opened", "source": 1, "name": "door"}, ("opened", "source 1: door")),
        ({"type": "source.lost", "source": 0, "cause": "frozen"}, ("lost", "source 0: frozen")),
        ({"type": "source.error", "source": 0, "code": "gone"}, ("error", "source 0: gone")),
        ({"type": "answer.delta", "text": "A"}, None),
        ({"type": "input.frames.total"}, None),
    ],
)  # fmt: skip
def test_an_event_of_a_kept_session_in_words(event: dict[str, Any], told: tuple[str, str] | None) -> None:
    assert tell(event) == told


def test_what_is_gone_from_a_session_is_a_line_of_its_own() -> None:
    told = Told()
    assert told.line(Gap(3, 7, "expired")) == "           gap        events 3 to 7 are gone (expired)"
    event = {"type": "input.text.accepted", "text": "a\x1b[2Jb", "t_mono": 61.0}
    assert told.line(SimpleNamespace(event=event)) == "   1:01.0  ask        a[2Jb"  # type: ignore[arg-type]
    assert told.line(SimpleNamespace(event={"type": "answer.delta", "t_mono": 1.0})) is None  # type: ignore[arg-type]


# ---- vigil serve ----------------------------------------------------------------------------------------------------


def served(*words: str) -> ServeOptions:
    return serve.options(serve.parser().parse_args(list(words)))


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--host", "::1"], "host", "::1"),
        (["--host", "0.0.0.0", "--public"], "host", "0.0.0.0"),
        (["--port", "0"], "port", 0),
        (["--model", "x"], "model", "x"),
        (["--data", "d"], "data", Path("d")),
        (["--token-file", "t"], "token_file", Path("t")),
        (["--durability", "off"], "durability", "off"),
        (["--keep", "2"], "keep_hours", 2),
        (["--max-sessions", "3"], "max_sessions", 3),
        (["--compat"], "compat", True),
        (["--allow-origin", "http://a", "--allow-origin", "http://b"], "origins", ("http://a", "http://b")),
        (["--allow-host", "h:1"], "hosts", ("h:1",)),
        (["--camera", "desk=camera:0"], "cameras", (("desk", "camera:0"),)),
    ],
)
def test_a_flag_of_serve_changes_its_own_option_alone(words: list[str], field: str, value: object) -> None:
    given, default = served(*words), served()
    changed = [name for name in ServeOptions.__dataclass_fields__ if getattr(given, name) != getattr(default, name)]
    assert changed == [field]
    assert getattr(given, field) == value


def test_media_and_markers_come_with_compat() -> None:
    given = served("--compat", "--media", "clip=a=b.mp4", "--compat-markers")
    assert (given.media, given.compat_markers) == ((("clip", "a=b.mp4"),), True)


@pytest.mark.parametrize(
    ("is_terminal", "host", "expected"),
    [
        (True, "127.0.0.1", "http://127.0.0.1:80/#token=abc"),
        (True, "::1", "http://[::1]:80/#token=abc"),
        (False, "127.0.0.1", "http://127.0.0.1:80/  (the token is in {})"),
    ],
)
def test_the_token_is_shown_on_the_screen_of_the_operator_alone(
    is_terminal: bool, host: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("operator abc\n")
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: is_terminal))
    assert serve.address(ServeOptions(data=tmp_path), host, 80) == expected.format(tmp_path / "token")


def test_the_server_tells_of_itself_in_lines_of_json_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = io.StringIO()
    monkeypatch.setattr(sys, "stderr", paper)
    names = ("vigil.serve", "uvicorn.error")
    before = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in names}
    try:
        serve.show_logs()
        logging.getLogger("vigil.serve").warning("a client sent token=%s", "0" * 32)
        logging.getLogger("vigil.serve").info("not said")
    finally:
        for name, (handlers, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers[:], logger.propagate = handlers, True
            logger.setLevel(level)
    (line,) = paper.getvalue().splitlines()
    row = json.loads(line)
    assert (row["level"], "0000" in row["message"]) == ("warning", False)


# ---- vigil bench ----------------------------------------------------------------------------------------------------


def test_pictures_and_the_object_are_written_where_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from vigil.cli import bench
    from vigil.eval.speed.figures import Part, Results

    about = {"scale": "tiny", "device": "cpu", "dtype": "float32", "machine": "m", "torch": "t", "load_1min": 0.1,
             "read_gb_per_s": 1.0, "matmul_gflop_per_s": 1.0}  # fmt: skip
    rows = ({"who": "vigil", "frames": 8, "ttft_s": 1.0, "decoder_s": 0.5},)
    results = Results(about, {"matched": Part((), rows)})
    monkeypatch.setattr(bench, "measured", lambda scale, device, parts: results)
    plots, saved = tmp_path / "pictures", tmp_path / "speed.json"
    assert main(["bench", "--plots", str(plots), "--save", str(saved), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(saved.read_text()) == json.loads(out) == results.to_json()
    assert f"drawn: {plots / 'speed-frames.png'}" in err
    assert (plots / "speed-frames.png").is_file()
    assert "vigil bench --scale tiny  on m" in err, "the card goes to stderr with --json"


def test_an_interrupt_before_anything_was_measured_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vigil.eval.speed.run.measure", lambda *given: fail_with(KeyboardInterrupt())(None))
    assert main(["bench", "--parts", "memory", "--json", "--save", str(tmp_path / "x.json")]) == 130
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
