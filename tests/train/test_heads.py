"""The auxiliary heads: what a right answer costs, what counts, and which patches are looked at.

Axes: V videos, F frames, P vision tokens, C cells, D channels.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fakes import byte_tokenizer, tiny_config, tiny_model
from torch import Tensor

from vigil.train.heads import CELL_HEADS, FRAME_HEADS, WordHeads
from vigil.world.labels import IGNORE, LABEL_WORDS, CellLabels

CELLS = 9
MODEL = tiny_model(tiny_config())
TABLE = MODEL.decoder.embed_tokens.weight


def heads() -> WordHeads:
    torch.manual_seed(0)
    made = WordHeads(MODEL, byte_tokenizer())
    with torch.no_grad():
        for look in made.looks.values():
            look.weight.copy_(torch.eye(32))  # type: ignore[operator, union-attr]
            look.bias.zero_()  # type: ignore[operator, union-attr]
    return made


def labels(num_frames: int = 1, **given: object) -> CellLabels:
    """Labels that define nothing but what is given; centres in the middle of the first patch."""
    made: dict[str, object] = {
        **{f"{head}_FC": np.full((num_frames, CELLS), IGNORE) for head in CELL_HEADS},
        **{f"{head}_F": np.full(num_frames, IGNORE) for head in FRAME_HEADS},
        "centres_C2": np.full((CELLS, 2), 0.25, dtype=np.float32),
        **given,
    }
    return CellLabels(**made)  # type: ignore[arg-type]


def word(made: WordHeads, head: str, index: int) -> Tensor:
    """What stands for a word: the mean of its embeddings, one unit long."""
    return torch.nn.functional.normalize(TABLE[made.words[head][index]].mean(0), dim=-1)


def looking_at(vector_D: Tensor) -> Tensor:
    """Features [1, 1, P, D] that show the same everywhere."""
    return vector_D.expand(1, 1, 4, 32)


def test_every_label_is_compared_with_its_own_words() -> None:
    made = heads()
    assert set(CELL_HEADS) | set(FRAME_HEADS) == set(LABEL_WORDS)
    for head, words in LABEL_WORDS.items():
        assert [byte_tokenizer().decode(ids) for ids in made.words[head]] == [" " + text for text in words]


def test_the_loss_of_one_label_by_hand() -> None:
    """Cosine of what is seen with each word, times exp(scale), into a cross entropy."""
    made = heads()
    seen = torch.randn(32)
    loss, _ = made(looking_at(seen), [labels(light_F=np.array([2]))], TABLE)
    cosines = torch.stack([word(made, "light", i) for i in range(4)]) @ torch.nn.functional.normalize(seen, dim=0)
    expected = -(math.exp(3.0) * cosines).log_softmax(0)[2]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_labels_count_by_their_weights_and_those_that_nothing_defines_not_at_all() -> None:
    made, seen = heads(), torch.randn(32)
    things = np.full((1, CELLS), IGNORE)
    things[0, 0] = 2
    only_things, _ = made(looking_at(seen), [labels(things_FC=things)], TABLE)
    only_light, _ = made(looking_at(seen), [labels(light_F=np.array([1]))], TABLE)
    both, _ = made(looking_at(seen), [labels(things_FC=things, light_F=np.array([1]))], TABLE)
    assert both.item() == pytest.approx((6 * only_things.item() + only_light.item()) / 7, rel=1e-5)


@pytest.mark.parametrize(
    ("named", "right"),
    [([3, IGNORE], 1.0), ([4, IGNORE], 0.0), ([3, 4], 0.5), ([0, 0], math.nan), ([3, 0], 1.0), ([0, 4], 0.0)],
    ids=["right", "wrong", "half", "none-to-name", "nothing-is-not-a-thing", "wrong-beside-nothing"],
)
def test_the_share_of_things_that_are_named_right(named: list[int], right: float) -> None:
    made = heads()
    things = np.full((1, CELLS), IGNORE)
    things[0, : len(named)] = named
    _, share = made(looking_at(word(made, "things", 3)), [labels(things_FC=things)], TABLE)
    assert share == pytest.approx(right, nan_ok=True)


def test_a_cell_is_looked_up_where_its_centre_lies() -> None:
    """Four patches in two rows; a cell at the lower left sees the third of them."""
    made = heads()
    features = torch.stack([word(made, "things", i) for i in (2, 3, 4, 5)]).view(1, 1, 4, 32)
    for corner, shown in (((0.25, 0.25), 2), ((0.75, 0.25), 3), ((0.25, 0.75), 4), ((0.75, 0.75), 5)):
        things = np.full((1, CELLS), IGNORE)
        things[0, 0] = shown
        centres = np.full((CELLS, 2), corner, dtype=np.float32)
        _, share = made(features, [labels(things_FC=things, centres_C2=centres)], TABLE)
        assert share == 1.0


def test_a_label_of_a_frame_may_look_at_any_patch_but_not_at_another_frame() -> None:
    made = heads()
    lit, dark = word(made, "light", 1), torch.zeros(32)
    features = torch.stack((lit, dark, dark, dark)).view(1, 1, 4, 32).repeat(1, 2, 1, 1)
    features[:, 1] = 0
    features.requires_grad_()
    loss, _ = made(features, [labels(2, light_F=np.array([1, IGNORE]))], TABLE)
    loss.backward()
    assert features.grad is not None
    moved = features.grad.abs().amax(-1)[0]
    assert (moved[0] > 0).all()
    assert moved[1].max() == 0


def test_videos_of_a_batch_keep_their_own_labels() -> None:
    made = heads()
    features = torch.stack([word(made, "things", i).expand(1, 4, 32) for i in (3, 4)])
    cells = []
    for shown in (3, 4):
        things = np.full((1, CELLS), IGNORE)
        things[0, 0] = shown
        cells.append(labels(things_FC=things))
    assert made(features, cells, TABLE)[1] == 1.0
    assert made(features, cells[::-1], TABLE)[1] == 0.0
