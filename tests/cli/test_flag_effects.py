"""What the flags of the commands that make and measure do, and what goes to stdout, to stderr and into files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import TILE_VIT, ScriptedModel, tiny_config, tiny_model

import vigil
from vigil.cli import eval as eval_command
from vigil.cli import eval_l5, main
from vigil.eval.behaviour import report
from vigil.eval.log import read_log, write_log
from vigil.eval.run import BehaviourConfig
from vigil.eval.truth import read_truth
from vigil.model.tokens import SILENCE
from vigil.model.weights import load, save


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A silent tiny model stands where every model does; names of what was loaded."""
    names: list[str] = []
    monkeypatch.setitem(vars(vigil), "load", lambda name: names.append(name) or ScriptedModel(SILENCE))
    return names


# ---- vigil eval behaviour -------------------------------------------------------------------------------------------


def estimate(value: float | None, lo: float | None = None, hi: float | None = None, n: int = 3) -> dict[str, Any]:
    return {"value": value, "lo": lo, "hi": hi, "n": n}


@pytest.fixture
def settings(loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> list[tuple[BehaviourConfig, dict[str, Any]]]:
    """The setting of each run and what its report was told; nothing is watched."""
    seen: list[tuple[BehaviourConfig, dict[str, Any]]] = []

    def watched(model: Any, config: BehaviourConfig, args: Any) -> Any:
        seen.append((config, {}))
        return [], [], {}

    def reported(pairs: Any, **how: Any) -> dict[str, Any]:
        seen[-1][1].update(how)
        return {"controls": {}, "fitted": {"echo_after_k": ["k=2"]}, "twa_now_oracle": estimate(0.9)}

    monkeypatch.setattr(eval_command, "_run_scenes", watched)
    monkeypatch.setattr("vigil.eval.behaviour.report", reported)
    return seen


def test_flags_of_behaviour_become_its_setting(settings: Any, loaded: list[str]) -> None:
    words = ["--split", "val", "--scenes", "7", "--seed", "3", "--seconds", "12.5", "--pace", "4", "--model", "tiny"]
    assert main(["eval", "behaviour", *words, "--roles", "alert,watch,", "--held-out"]) == 0
    ((config, told),) = settings
    assert (config.split, config.num_scenes, config.seed) == ("val", 7, 3)
    assert (config.duration_s, config.tokens_per_s, config.fps) == (12.5, 4.0, 1.0)
    assert config.roles == ("alert", "watch")
    assert (config.world.held_out, config.world.family) == (True, "objects")
    assert (told["tokens_per_s"], told["seed"]) == (4.0, 3)
    assert loaded == ["tiny"], "another model has no earlier one, and roles leave the questions afterwards out"


def test_the_defaults_of_behaviour_are_those_of_its_setting(settings: Any) -> None:
    assert main(["eval", "behaviour", "--model", "other"]) == 0
    assert settings[0][0] == BehaviourConfig()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--model", "nano"], ["nano", "nano-offline"]),
        (["--model", "x"], ["x"]),
        (["--model", "x", "--before", "y"], ["x", "y"]),
        (["--model", "nano", "--roles", "alert"], ["nano"]),
    ],
)
def test_offline_accuracy_is_compared_where_there_is_an_earlier_model(
    words: list[str], names: list[str], settings: Any, loaded: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked: list[Any] = []

    def accuracy(before: Any, after: Any, *, config: Any, on_scene: Any) -> dict[str, Any]:
        asked.append(config)
        on_scene(25)
        shares = {"before": 0.5, "after": 0.25, "blind": 0.1}
        return {f"offline_accuracy_{name}": estimate(share) for name, share in shares.items()} | {
            "offline_loss": estimate(0.25, 0.1, 0.4)
        }

    monkeypatch.setattr("vigil.eval.offline.offline_accuracy", accuracy)
    monkeypatch.setattr("vigil.eval.model_controls.offline_controls", lambda model, *, config: {})
    assert main(["eval", "behaviour", *words, "--scenes", "4", "--seconds", "9", "--seed", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert loaded == names
    assert ("offline_loss" in result) == (len(names) == 2)
    assert [(one.num_questions, one.duration_s, one.seed) for one in asked] == [(100, 9.0, 2)] * (len(names) - 1)


def test_logs_are_kept_where_they_can_be_scored_and_shown_again(
    loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vigil.eval.model_controls.watch_controls", lambda *given, **how: {})
    monkeypatch.setattr("vigil.eval.model_controls.model_systems", lambda model, *, fps: {})
    monkeypatch.setattr("vigil.eval.behaviour.OF_THE_MODEL", ())
    monkeypatch.setattr("vigil.eval.behaviour.check_controls", lambda logs, *, with_model: None)
    folder = tmp_path / "new" / "logs"
    words = ["--model", "x", "--split", "val", "--scenes", "2", "--seconds", "5", "--logs", str(folder)]
    assert main(["eval", "behaviour", *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    names = sorted(path.name for path in folder.iterdir())
    assert [name.partition(".")[2] for name in names] == ["frames.sha256", "log.jsonl", "truth.jsonl"] * 2
    logs = sorted(folder.glob("*.log.jsonl"))
    pairs = [(read_log(path), read_truth(path.with_name(path.name.replace(".log.", ".truth.")))) for path in logs]
    again = report(pairs, tokens_per_s=8.0, replicates=10)
    assert again["run"]["log_sha256"] == result["run"]["log_sha256"]
    assert again["speak_f1_2s"]["value"] == result["speak_f1_2s"]["value"]
    assert main(["eval", "log", str(logs[0]), "--truth", str(logs[0]).replace(".log.", ".truth."), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["streams"] == 1
    assert main(["eval", "report", str(folder), "--html", str(tmp_path / "x.html")]) == 0
    assert "equal to those watched by their hash" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_a_folder_of_logs_that_cannot_be_made_is_found_before_the_model_is_loaded(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["eval", "behaviour", "--logs", str(tmp_path / "file")]) == 5
    assert capsys.readouterr().err == (
        f"vigil: {tmp_path / 'file'} cannot be made: File exists. Choose another --logs.\n"
    )
    assert loaded == []


# ---- tables for people ----------------------------------------------------------------------------------------------


def cells(line: str) -> list[str]:
    return [part for part in line.split("  ") if part.strip()]


def test_the_table_has_each_number_with_its_interval_and_every_control() -> None:
    result = {
        "speak_f1_2s": estimate(0.9712, 0.95, 0.98, n=12),
        "rev_latency_median_s": estimate(None, n=2),
        "twa_now": estimate(0.5),
        "twa_now_oracle": estimate(0.9),
        "never_shown": estimate(0.1),
        "controls": {"always_silent": {"speak_f1_2s": estimate(0.0), "rev_latency_median_s": estimate(None),
                                       "twa_now": estimate(0.25), "twa_now_oracle": estimate(0.9)}},
        "controls_not_run": ["text_only", "recent_4"],
        "fitted": {"echo_after_k": ["echo after 1 s", "echo after 2 s"]},
    }  # fmt: skip
    head, *rows = eval_command._table(result).splitlines()
    assert [part.strip() for part in cells(head)] == ["value", "95 %", "n", "always silent"]
    told = {row.split()[0]: row.split()[1:] for row in rows}
    assert told["speak_f1_2s"] == ["0.971", "0.950", "to", "0.980", "12", "0.000"]
    assert told["rev_latency_median_s"] == ["-", "no", "CI", "2", "-"]
    assert told["twa_now_oracle"] == ["0.900", "no", "CI", "3", "0.900"]
    assert "never_shown" not in told
    assert rows[-2] == "controls that need the model itself, and were not run on a log: text_only, recent_4"
    assert rows[-1] == "echo after k, fitted on other videos: echo after 1 s, echo after 2 s"


def test_causality_is_a_line_with_its_bound() -> None:
    none = ("streaming", {"violations": 0, "trials": 100, "upper_bound": 0.03})
    some = ("with leak", {"violations": 7, "trials": 100, "upper_bound": None})
    assert eval_command._line(none) == "streaming: 0 violations in 100 trials, rate below 0.0300 (95 %)"
    assert eval_command._line(some) == "with leak: 7 violations in 100 trials"


def test_the_table_of_l5_tells_what_ran_and_what_did_not() -> None:
    row = {name: estimate(0.5) for name in eval_l5.TABLE} | {"delay_s": estimate(None)}
    result = {
        "systems": {"system": row | {"l5": estimate(0.98, 0.96, 0.99)}, "blind": row},
        "run": {"model": "nano", "trials": 20, "seed": 3, "loop": "closed", "clock": "cost", "fps": 2.0,
                "token_s": 0.1, "log_sha256": "0123456789abcdefXYZ"},
        "faults": {"system": {"no reply": 2, "no item": 0, "not reached": 1}},
        "controls_not_run": ["recent_4"],
    }  # fmt: skip
    text = eval_l5._table(result)
    assert (
        "nano: 20 trials of each kind from 3, closed loop, clock cost, 2 fps, 10 tokens/s, logs 0123456789abcdef\n"
        in text
    )
    assert "l5 0.98 (95 % 0.96 to 0.99)" in text
    assert "frr 0.50 (95 % no CI)" in text
    assert "nothing to test: no reply 2, not reached 1" in text
    assert text.endswith("controls not run: recent_4")
    result["faults"]["system"], result["controls_not_run"] = {"no reply": 0}, []
    quiet = eval_l5._table(result)
    assert "nothing to test" not in quiet
    assert "controls not run" not in quiet


# ---- vigil eval log, l5, study --------------------------------------------------------------------------------------


def test_flags_of_l5_become_its_setting(loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from vigil.eval.l5 import run as l5

    seen: list[Any] = []

    def arms(system: Any, wanted: list[str], *, offline: Any) -> Any:
        seen.append((system.name, wanted))
        return []

    def play(todo: Any, config: Any, *, model: str, out: Path | None) -> Iterator[Any]:
        seen.append((config.num_trials, config.seed, config.loop, model, out))
        return iter(())

    def told(how: str) -> Any:
        return lambda runs, config, *, model: seen.append(how) or {"made by": how}

    for name, value in (("arms", arms), ("play", play), ("report", told("report")), ("summary", told("summary"))):
        monkeypatch.setattr(l5, name, value)
    words = ["--model", "m", "--trials", "3", "--seed", "9", "--loop", "open", "--out", "o", "--json"]
    assert main(["eval", "l5", *words, "--controls", "blind,all"]) == 0
    assert seen == [("m", ["blind", *l5.CONTROLS]), (3, 9, "open", "m", Path("o")), "report"]
    seen.clear()
    assert main(["eval", "l5", "--controls", "none", "--json"]) == 0
    assert seen == [("nano", []), (200, 0, "closed", "nano", None), "summary"], "a part of the controls is no report"


@pytest.mark.parametrize(
    ("words", "letters", "scale", "seeds", "processes"),
    [
        (["all"], ("A", "B", "C", "D"), "nano", 3, 2),
        (["C", "--scale", "tiny", "--seeds", "5", "--processes", "1"], ("C",), "tiny", 5, 1),
    ],
)
def test_flags_of_a_study_become_its_job(
    words: list[str], letters: Any, scale: str, seeds: int, processes: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    jobs: list[Any] = []
    monkeypatch.setattr("vigil.eval.study.runner.run_studies", lambda job: jobs.append(job) or job.docs / "study.md")
    folders = ["--out", str(tmp_path / "a" / "runs"), "--docs", str(tmp_path / "docs")]
    assert main(["eval", "study", *words, *folders]) == 0
    (job,) = jobs
    assert (job.letters, job.scale.name, job.scale.seeds, job.processes) == (letters, scale, seeds, processes)
    assert (job.out, job.docs) == (tmp_path / "a" / "runs", tmp_path / "docs")
    assert job.out.is_dir()
    assert capsys.readouterr() == ("", f"the page is {tmp_path / 'docs' / 'study.md'}\n")


def test_a_study_without_a_place_is_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for flag in ("--out", "--docs"):
        folders = {"--out": str(tmp_path / "runs"), "--docs": str(tmp_path / "docs")} | {flag: str(tmp_path / "file")}
        assert main(["eval", "study", "A", *(word for pair in folders.items() for word in pair)]) == 5
        assert "file cannot be made: File exists. Choose another --out or --docs." in capsys.readouterr().err


def test_a_log_is_scored_for_people_and_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vigil.eval.log import parse_log

    head = {"k": "head", "v": 1, "clock": "free", "w0": 0, "speed": 1, "fps": 1, "model": "m", "seed": 0,
            "policy": "p", "cost": None}  # fmt: skip
    rows = [head, {"k": "frame", "i": 0, "t": 0, "w": 0}, {"k": "ready", "i": 0, "w": 0},
            {"k": "end", "w": 5, "t": 5, "why": "eof"}]  # fmt: skip
    write_log(tmp_path / "run.jsonl", parse_log(json.dumps(row) for row in rows))
    (tmp_path / "truth.jsonl").write_text('{"k":"q","q":"q1","t_ask":0,"kind":"event"}\n')
    words = ["eval", "log", str(tmp_path / "run.jsonl"), "--truth", str(tmp_path / "truth.jsonl")]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["run"]["model"] == ["m"]
    assert result["controls_not_run"] == ["text_only", "recent_4", "recent_16"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "controls that need the model itself, and were not run on a log: text_only, recent_4, recent_16" in out


# ---- vigil export, world, bench -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "layout"), [([], "vigil"), (["--layout", "vigil"], "vigil"), (["--layout", "mllama"], None)]
)
def test_a_model_is_exported_in_a_layout_that_it_fits(
    words: list[str], layout: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tiny_model(), tmp_path / "model")
    out = tmp_path / "new" / "out"
    code = main(["export", str(tmp_path / "model"), "--out", str(out), *words])
    told = capsys.readouterr().err
    if layout is None:
        assert code == 6
        assert "the mllama layout cannot say vision.kind = 'conv'" in told
        assert not out.exists()
        return
    assert code == 0
    assert told == f"{out} holds {tmp_path / 'model'} in the {layout} layout\n"
    first, again = load(str(tmp_path / "model"), device="cpu"), load(str(out), device="cpu")
    assert first.config == again.config
    assert all((a == b).all() for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_place_that_cannot_be_written_is_code_5_and_a_model_that_is_not_there_6(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tiny_model(tiny_config(TILE_VIT)), tmp_path / "model")
    (tmp_path / "file").touch()
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "file")]) == 5
    assert "file cannot be written: File exists. Choose another --out." in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 6
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("form", ["a file", "a folder in a file"])
def test_scenes_without_a_place_are_one_clear_line(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" if form == "a file" else tmp_path / "file" / "deeper"
    assert main(["world", "render", "--out", str(out), "--scenes", "1", "--seconds", "2", "--scale", "1"]) == 5
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "None" not in err
    assert str(out) in err


def test_flags_of_the_world_choose_its_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--split", "train", "--seed", "5", "--scenes", "2", "--family", "camera", "--seconds", "3", "--scale", "2"]
    assert main(["world", "render", "--out", str(tmp_path), *words]) == 0
    rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["world:train:5", "world:train:6"]
    assert {row["duration_s"] for row in rows} == {3.0}
    assert [row["video"] for row in rows] == ["world-train-5.mp4", "world-train-6.mp4"]
    assert capsys.readouterr() == ("", f"2 videos and captions.jsonl lie in {tmp_path}\n")
    from vigil.stream.source import open_source

    with open_source(tmp_path / "world-train-5.mp4", fps=1.0) as source:
        assert next(iter(source)).image.shape == (128, 128, 3)
