"""From a model to logs and numbers, with a tiny model on short scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import ScriptedModel, tiny_model

from vigil.errors import ConfigError
from vigil.eval.behaviour import pooled_share, score_log_file
from vigil.eval.causality import check_causality, first_split
from vigil.eval.prove import forks, forward_causality, streaming_trials
from vigil.eval.rows import PromptRow
from vigil.eval.run import BehaviourConfig, keep, run_scene, scenes
from vigil.model.tokens import SILENCE

SHORT = BehaviourConfig(split="val", num_scenes=3, duration_s=5.0, tokens_per_s=4.0)


def test_a_setting_gives_the_same_scenes_again_and_others_from_another_seed() -> None:
    first, again = ([record for _, record in scenes(SHORT)] for _ in range(2))
    assert first == again
    assert len(first) == 3
    assert [record.id for _, record in scenes(replace(SHORT, seed=50))] != [record.id for record in first]
    with pytest.raises(ConfigError, match="num_scenes must be at least 1, got 0"):
        BehaviourConfig(num_scenes=0)


def test_only_the_roles_that_are_named_are_asked() -> None:
    asked = scenes(replace(SHORT, duration_s=20.0, roles=("alert",)))
    assert {turn.kind for _, record in asked for turn in record.turns} == {"opening", "alert"}


def test_a_scene_is_watched_with_its_questions_at_their_times() -> None:
    scene, record = next(scenes(SHORT))
    log, truth = run_scene(ScriptedModel(), scene, record, config=SHORT, name="mute")
    asked = [(row.t, row.text) for row in log.rows if isinstance(row, PromptRow)]
    assert asked == [(turn.ask_s, turn.question) for turn in record.turns if turn.question]
    assert [question.t_ask for question in truth.questions] == [t for t, _ in asked]
    assert log.head.clock == "free"
    assert not log.speech


def test_kept_logs_score_as_the_run_did(tmp_path: Path) -> None:
    scene, record = next(scenes(SHORT))
    log, _ = run_scene(ScriptedModel(SILENCE, SILENCE, "No."), scene, record, config=SHORT, name="x")
    keep(tmp_path, scene, record, log)
    (log_file,), (truth_file,) = tmp_path.glob("*.log.jsonl"), tmp_path.glob("*.truth.jsonl")
    result = score_log_file(log_file, truth_file)
    assert result["run"]["log_sha256"] == log.hash
    assert result["twa_now"]["lo"] is None, "one video gives no interval"


def test_a_pooled_share_adds_up_before_it_divides() -> None:
    assert pooled_share([(1, 1), (0, 3)])["value"] == 0.25
    assert pooled_share([(0, 0)])["value"] is None


def test_forks_differ_from_the_cut_on_and_nowhere_before() -> None:
    for _, one, another, cut in forks(SHORT):
        assert np.array_equal(one[:cut], another[:cut])
        assert not np.array_equal(one[cut], another[cut])


def test_a_session_is_causal_and_the_check_sees_a_change_when_there_is_one() -> None:
    trials = list(streaming_trials(tiny_model(seed=3), SHORT))
    assert check_causality(trials).violations == 0
    assert any(first_split(first, second, cut_s + 10.0) for first, second, cut_s in trials), "after the cut they differ"


def test_the_full_pass_is_causal_and_the_released_leak_is_caught() -> None:
    model = tiny_model()
    clean, leaking = forward_causality(model, SHORT), forward_causality(model, SHORT, leak=True)
    assert (clean.violations, clean.trials) == (0, 2)
    assert leaking.violations == leaking.trials == 2
