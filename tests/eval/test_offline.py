"""Offline questions: the same answers as through a session, right only if accepted, paired over checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import tiny_model

import vigil
from vigil.data.records import Reply, Turn
from vigil.errors import ConfigError, TokenizerError
from vigil.eval.offline import OfflineConfig, answers, is_right, offline_accuracy, questions
from vigil.stream.watch import answer
from vigil.world.render import render

FEW = OfflineConfig(split="val", num_questions=12, duration_s=12.0)


def test_questions_are_single_different_and_as_many_as_asked() -> None:
    asked = list(questions(FEW))
    assert sum(len(records) for _, records in asked) >= 12 > sum(len(records) for _, records in asked[:-1])
    for _, records in asked:
        assert all(len(record.turns) == 1 and record.offline for record in records)
        assert len({record.turns[0].question for record in records}) == len(records)
    with pytest.raises(ConfigError, match="num_questions must be at least 1, got 0"):
        replace(FEW, num_questions=0)


def test_answers_are_those_of_a_session() -> None:
    model = vigil.load("nano")
    scene, records = next(questions(FEW))
    frames_FHWC = render(scene)
    together = answers(model, frames_FHWC, records)
    assert len({len(text) for text in together}) > 1
    for record, text in zip(records, together, strict=True):
        frames = ((image, index / record.fps) for index, image in enumerate(frames_FHWC))
        assert text.strip() == answer(model, frames, record.turns[0].question, fps=record.fps).strip()


def test_an_answer_is_right_only_if_an_accepted_text_was_said() -> None:
    turn = Turn(ask_s=9, question="?", kind="count", replies=(Reply(time_s=9, text="Two dogs.", accept=("Two.",)),))
    assert is_right("two dogs", turn)
    assert is_right("Two.", turn)
    assert not is_right("Two dogs and a cat.", turn)


def test_the_better_checkpoint_has_the_higher_accuracy_and_the_loss_is_their_difference() -> None:
    trained, untrained = vigil.load("nano"), vigil.load("nano")
    with torch.no_grad():
        untrained.decoder.norm.weight.zero_()
    done: list[int] = []
    found = offline_accuracy(trained, untrained, config=FEW, on_scene=done.append)
    before, after, loss = (found[f"offline_{name}"]["value"] for name in ("accuracy_before", "accuracy_after", "loss"))
    assert before is not None
    assert after == 0.0
    assert loss == before > 0.5
    assert sum(done) >= 12
    assert found["offline_accuracy_blind"]["value"] is not None


def test_a_model_without_tokenizer_is_refused() -> None:
    model = tiny_model()
    model.tokenizer = None
    scene, records = next(questions(FEW))
    with pytest.raises(TokenizerError, match="no tokenizer"):
        answers(model, render(scene), records)
