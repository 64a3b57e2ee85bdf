"""Feeding sessions alone and together, and what a failed pass leaves behind."""

from __future__ import annotations

import pytest
import torch
from fakes import tiny_config, tiny_model
from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.stream.feed import Asking, Feed, alone, feed, feed_together
from vigil.stream.lanes import lanes_for
from vigil.stream.policy import weigh


def prompted(model: VideoModel, num: int, *, text_tokens: int = 64) -> Feed:
    """A stream that has been fed `num` tokens, and wants two more."""
    frames, text = lanes_for(model, StreamConfig(memory_frames=2), text_tokens=text_tokens)
    feed(model, list(range(num)), start=0, text=text, frames=frames)
    return Feed([num, 7], num, text, frames)


def run(model: VideoModel, want: Feed) -> Tensor:
    return feed(model, want.ids, start=want.start, text=want.text, frames=want.frames)


@pytest.mark.parametrize("twin", [False, True], ids=["cross-attention", "decoder-only"])
def test_feeding_together_counts_tokens_and_gives_the_logits_of_each(twin: bool) -> None:
    model = tiny_model(twin_of(tiny_config()) if twin else tiny_config())
    expected = [run(model, prompted(model, num)) for num in (3, 9, 5)]
    wants = [prompted(model, num) for num in (3, 9, 5)]
    for got, logits_V in zip(feed_together(model, wants), expected, strict=True):
        torch.testing.assert_close(got, logits_V, rtol=0, atol=1e-5)
    assert [len(want.text) for want in wants] == [5, 11, 7]


def test_a_pass_that_fails_can_be_made_again_without_the_stream_that_failed_it() -> None:
    model = tiny_model()
    expected = run(model, prompted(model, 3))
    good, full = prompted(model, 3), prompted(model, 5, text_tokens=6)
    with pytest.raises(MemoryFull, match="5 of 6 tokens, and 2 more came"):
        feed_together(model, [good, full])
    assert (len(good.text), len(full.text)) == (3, 5), "nothing was counted"
    torch.testing.assert_close(feed_together(model, [good])[0], expected)


def test_work_is_given_the_logits_that_it_asks_for() -> None:
    model = tiny_model()
    expected = run(model, prompted(model, 3))

    def asking() -> Asking[str]:
        logits_V = yield prompted(model, 3)
        assert torch.equal(logits_V, expected)
        return "done"

    assert alone(model, asking()) == "done"


def test_one_look_tells_how_likely_silence_is_and_what_to_say_instead() -> None:
    logits_V = torch.log(torch.tensor([0.2, 0.5, 0.3]))
    assert weigh(logits_V.clone(), 1) == (pytest.approx(0.5), True, 2)
    assert weigh(logits_V.clone(), 0) == (pytest.approx(0.2), False, 1)
    weigh(logits_V, 1)
    assert logits_V[1] == -torch.inf
