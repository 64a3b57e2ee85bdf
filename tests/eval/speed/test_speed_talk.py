"""The talker, the mouth and the camera of the benchmarks."""

from __future__ import annotations

import torch
from very_small import small_config

from vigil.eval.speed.contestants import build
from vigil.eval.speed.talk import Chatter, Mouth, camera
from vigil.stream.policy import SlotChoice


def test_a_chatter_says_only_what_can_be_seen() -> None:
    model = build(small_config(), torch.device("cpu"), torch.float32)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    chatter, logits_V = Chatter(model), torch.arange(1009.0)
    said = set()
    for _ in range(1009):
        token = chatter.pick(logits_V, [])
        if logits_V[token] == -torch.inf:
            break
        said.add(token)
        logits_V[token] = -torch.inf
    assert len(said) > 500
    assert not said & set(tokenizer.control_ids)
    assert all(tokenizer.decode([token]).strip() and "\ufffd" not in tokenizer.decode([token]) for token in said)


def test_a_mouth_speaks_when_it_is_open() -> None:
    slot = SlotChoice(0.5, False, None, True)
    assert not Mouth().speaks(slot)
    assert Mouth(is_open=True).speaks(slot)


def test_a_camera_gives_its_rate_and_moves() -> None:
    frames = list(camera(2.0, 3.0))
    assert [time_s for _, time_s in frames] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert (frames[0][0] != frames[1][0]).any()
