"""Scales, arms and folders of runs: what makes one model another."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from studied import SMALL, run_of

from vigil.errors import ConfigError
from vigil.eval.study import page, tables, training
from vigil.eval.study.arms import FOCAL, FULL, STUDIES, TWIN, WEIGHTED, Letter, arms_of
from vigil.eval.study.scale import ROLES, SCALES, StudyScale
from vigil.eval.study.training import make_tokenizer, model_settings, new_model, train
from vigil.model.tokens import IMAGE, SILENCE, Tokenizer

DOCS = Path(__file__).parents[2] / "docs"

# ---- scales and arms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["vision_steps", "offline_steps", "realtime_steps", "seeds", "scenes", "offline_videos"]
)
def test_a_scale_without_something_to_do_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be at least 1, got 0\.$"):
        replace(StudyScale.nano(), **{name: 0})
    assert getattr(replace(StudyScale.nano(), **{name: 1}), name) == 1


def test_scales_are_known_by_their_names_and_grow() -> None:
    made = {name: make() for name, make in SCALES.items()}
    assert {name: scale.name for name, scale in made.items()} == {name: name for name in ("nano", "tiny", "gpu")}
    for attribute in ("realtime_steps", "scenes", "seeds", "l5_trials"):
        tiny, nano, gpu = (getattr(made[name], attribute) for name in ("tiny", "nano", "gpu"))
        assert tiny < nano < gpu, attribute


def test_both_networks_of_a_scale_differ_in_their_fusion_alone(tokenizer: Tokenizer) -> None:
    cross, twin = (SMALL.model(tokenizer, fusion) for fusion in ("cross-attention", "decoder-only"))
    assert (cross.fusion, twin.fusion) == ("cross-attention", "decoder-only")
    assert cross.text.cross_layers == SMALL.cross_layers
    assert twin.text.cross_layers == ()
    assert cross.vision == twin.vision
    assert replace(twin.text, cross_layers=SMALL.cross_layers) == cross.text
    assert (cross.image_token_id, cross.silence_token_id) == (tokenizer.special(IMAGE), tokenizer.special(SILENCE))
    assert cross.text.vocab_size == tokenizer.vocab_size
    assert cross.text.mlp_width == SMALL.mlp_ratio * SMALL.width


def test_the_same_seed_gives_the_same_network_and_its_branches_begin_at_zero(tokenizer: Tokenizer) -> None:
    first, again, other = (new_model(SMALL, "cross-attention", tokenizer, seed=seed) for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    table = "decoder.embed_tokens.weight"
    assert not torch.equal(first.state_dict()[table], other.state_dict()[table])
    assert first.state_dict()[table].std() == pytest.approx(0.02, rel=0.1)
    ends = [name for name in first.state_dict() if name.endswith(("o_proj.weight", "down_proj.weight"))]
    assert len(ends) >= 2 * SMALL.num_layers
    assert not any(value.any() for name, value in first.state_dict().items() if name in ends and "decoder" in name)


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not part of the package")
def test_the_page_that_is_kept_was_made_at_the_scale_that_it_states() -> None:
    text, scale = (DOCS / "study.md").read_text(encoding="utf-8"), StudyScale.nano()
    undated = partial(re.sub, r"on \d{4}-\d\d-\d\d", "on a day")
    assert undated(text).startswith(undated(page._head(scale)))
    assert f"{scale.timed_frames} frames, {scale.forced_tokens} forced tokens" in text
    for letter, study in STUDIES.items():
        assert f"## {letter}. {study.title}\n\nHeld fixed: {study.held_fixed}." in text
    for minutes in (f"{length_s / 60:g}" for length_s in scale.lengths_s):
        assert f"| cross-attention | {minutes} |" in text


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not part of the package")
@pytest.mark.parametrize("columns", [tables.A1, tables.B, tables.C, tables.C_TUNED], ids=["A", "B", "C", "tuned"])
def test_the_tables_of_the_page_that_is_kept_have_the_columns_and_digits_of_today(columns: Any) -> None:
    lines = (DOCS / "study.md").read_text(encoding="utf-8").splitlines()
    head = "|  | " + " | ".join(heading for heading, _, _ in columns) + " |"
    below = lines[lines.index(head) + 2 :]
    rows = [row.strip("|").split("|")[1:] for row in below[: below.index("")]]
    for (heading, _, digits), cells in zip(columns, zip(*rows, strict=True), strict=True):
        told = {len(number) for cell in cells for number in re.findall(r"-?\d+\.(\d+)", cell)}
        assert told == {digits}, heading


def test_a_seed_gives_every_stage_data_of_its_own() -> None:
    see, answer = SMALL.base(0)
    speak = SMALL.realtime(0)
    assert [stage.name for stage in (see, answer, speak)] == ["vision", "offline", "realtime"]
    assert [stage.steps for stage in (see, answer, speak)] == [1, 1, 1]
    seeds = [stage.seed for seed in range(3) for stage in (*SMALL.base(seed), SMALL.realtime(seed))]
    assert len(set(seeds)) == 9
    assert (answer.synth.offline_share, speak.synth.offline_share) == (1.0, 0.0)
    assert speak.synth.roles == ROLES
    assert answer.frames == (2, 2), "half as many frames offline"
    assert see.videos_per_step == 2 * speak.videos_per_step
    assert {stage.world for stage in (see, answer, speak)} == {SMALL.world}


@pytest.mark.parametrize(
    ("letter", "changes"),
    [
        ("A", {"full": {}, "twin": {}}),
        ("B", {"full": {}, "cut": {"revisions": "cut"}, "unrelated": {"revisions": "unrelated"}}),
        ("C", {"uniform": {"loss"}, "full": {}, "by_tokens": {"loss"}, "focal": {"loss"}}),
        ("D", {"base": {}, "full": {}, "replay10": {"synth"}, "replay30": {"synth"}, "replay50": {"synth"}}),
    ],
)
def test_the_arms_of_a_study(letter: Letter, changes: dict[str, Any]) -> None:
    default = FULL.stage(SMALL.realtime(0))
    assert {arm.key for arm in STUDIES[letter].arms} == set(changes)
    for arm in STUDIES[letter].arms:
        stage = arm.stage(SMALL.realtime(0))
        changed = {name for name in default.__dataclass_fields__ if getattr(stage, name) != getattr(default, name)}
        assert changed == set(changes[arm.key]), arm.key


def test_what_an_arm_changes_is_what_its_label_says() -> None:
    arms = {arm.key: arm for arm in arms_of(["A", "B", "C", "D"])}
    stages = {key: arm.stage(SMALL.realtime(0)) for key, arm in arms.items()}
    assert stages["full"].loss == WEIGHTED
    assert stages["by_tokens"].loss == replace(WEIGHTED, normalise="tokens")
    assert stages["uniform"].loss.kind == "uniform"
    assert stages["focal"].loss == FOCAL
    assert [stages[f"replay{share}"].synth.offline_share for share in (10, 30, 50)] == [0.1, 0.3, 0.5]
    assert arms["twin"].fusion == "decoder-only"
    assert [arm.design for arm in STUDIES["A"].arms] == ["beside", "blocking", "inserted"]


def test_arms_of_some_studies_come_each_once_in_a_fixed_order() -> None:
    assert [arm.key for arm in arms_of(["B"])] == ["full", "cut", "unrelated"]
    assert [arm.key for arm in arms_of(["D", "B"])] == [
        *("base", "full", "replay10", "replay30", "replay50"), *("cut", "unrelated")
    ]  # fmt: skip
    assert [arm.key for arm in arms_of(["A"])] == ["full", "twin"], "two rows of the twin are one run"


# ---- folders --------------------------------------------------------------------------------------------------------


def test_a_run_that_is_a_base_is_its_own_base(study_folder: Path) -> None:
    base = next(arm for arm in STUDIES["D"].arms if arm.is_base)
    run = run_of(study_folder, base)
    assert run.base.folder == run.folder == run_of(study_folder).base.folder
    assert len(run.stages) == 2
    assert len(run_of(study_folder).stages) == 3
    assert run.model_folder == run.folder / "offline"
    assert run_of(study_folder).model_folder == run_of(study_folder).folder / "realtime"
    assert run_of(study_folder, TWIN).base.folder != run.folder, "the twin is another network"
    assert run.folder.name.startswith("base-0-")


def test_a_run_is_trained_when_its_model_and_its_mark_are_there(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert not run.is_trained
    run.model_folder.mkdir(parents=True)
    (run.model_folder / "model.safetensors").touch()
    assert not run.is_trained, "it was stopped before it was marked"
    (run.folder / "done").touch()
    assert run.is_trained
    train(run)  # and so there is nothing to do, though its base is not there
    (run.model_folder / "model.safetensors").unlink()
    assert not run.is_trained


def test_settings_of_the_network_are_json_and_tell_networks_apart() -> None:
    told = model_settings(SMALL, "cross-attention")
    assert json.loads(json.dumps(told))["width"] == 16
    assert told["fusion"] == "cross-attention"
    assert model_settings(replace(SMALL, mlp_ratio=4), "cross-attention") != told
    assert model_settings(replace(SMALL, realtime_steps=99), "cross-attention") == told, "steps belong to the stages"


def test_a_tokenizer_is_made_once_and_another_one_for_another_world(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def spy(texts: Any, *, vocab_size: int) -> Tokenizer:
        made.append(vocab_size)
        return tokenizer

    monkeypatch.setattr(training, "_TOKENIZER_SCENES", 2)
    monkeypatch.setattr(training, "train_tokenizer", spy)
    for _ in range(2):
        assert make_tokenizer(SMALL, tmp_path).to_json() == tokenizer.to_json()
    make_tokenizer(replace(SMALL, realtime_steps=7, width=32), tmp_path)
    assert made == [300]
    for other in (replace(SMALL, vocab_size=301), replace(SMALL, world=replace(SMALL.world, num_nouns=5))):
        make_tokenizer(other, tmp_path)
    assert made == [300, 301, 300]
    assert len(list(tmp_path.iterdir())) == 3
