"""`--dry-run`: the flags are checked as ever, the plan is said, and nothing is loaded, opened or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vigil.cli import main
from vigil.config import moss_11b
from vigil.train.export import released_config

PLANS = {
    "clip": (
        ["watch"],
        ["demo.mp4, 20.0 s", "Tell me when a house appears.", "1.6 M", "60 frames and 256 text tokens"],
    ),
    "live": (["watch", "camera:0", "rtsp://me:secret@h/x?token=secret"], ["camera:0, live, rtsp://h, live"]),
    "hub": (["watch", "camera:0", "--model", "org/model"], ["org/model, after a download"]),
    "memory": (["watch", "--memory", "8", "--retention", "keyframes"], ["8 frames and 256 text tokens"]),
    "ask": (["ask", "DEMO", "Who is there?"], ["demo.mp4, 20.0 s", "Who is there?"]),
    "serve": (["serve", "--camera", "door=rtsp://me:secret@h/x"], ["http://127.0.0.1:8765/", "door", "8, each"]),
    "bench": (["bench", "--scale", "11b", "--parts", "gaps"], ["cuda", "gaps"]),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_says_what_would_be_used_and_never_a_password(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vigil.assets import demo_clip

    monkeypatch.setattr("vigil.model.weights.read_tensors", lambda folder: pytest.fail("weights were read"))
    argv, facts = PLANS[name]
    assert main([*(str(demo_clip()) if word == "DEMO" else word for word in argv), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"vigil {argv[0]} would use\n")
    assert [fact for fact in facts if fact not in out] == []
    assert "secret" not in out


def test_the_11b_model_is_reckoned_from_its_config_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    (tmp_path / "config.json").write_text(json.dumps(released_config(moss_11b())))
    assert main(["watch", "camera:0", "--model", str(tmp_path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "10,670" in out  # million parameters
    assert "256 frames and 4096 text tokens; frame memory 1,06" in out  # 321 entries of 3,309,568 bytes


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["watch", "no-such-file.mp4"], 3, "does not exist"),
        (["watch", "concat:a.mp4"], 3, "not opened"),
        (["watch", "--model", "nowhere"], 6, "no model at 'nowhere'"),
        (["watch", "--live", "--speed", "2"], 2, "--live keeps real time"),
        (["serve", "--host", "0.0.0.0"], 2, "Add --public"),
        (["bench", "--parts", "x"], 2, "'x' is no part"),
    ],
)
def test_what_would_fail_fails_in_a_dry_run_too(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--dry-run"]) == code
    assert message in capsys.readouterr().err
