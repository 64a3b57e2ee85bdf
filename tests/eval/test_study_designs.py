"""How models are driven on a clock on which tokens cost time: who waits for whom, by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from fakes import CONV, ScriptedModel, byte_tokenizer, pictures, randomise, tiny_config, tiny_model
from torch import Tensor

from vigil.data.records import Record, Turn
from vigil.errors import ConfigError
from vigil.eval.log import Log
from vigil.eval.perception import perceive
from vigil.eval.rows import DecideRow, PromptRow, ReadyRow, TokRow
from vigil.eval.study.arms import Design
from vigil.eval.study.designs import (
    FREE,
    Costs,
    Driven,
    frame_multiplications,
    pass_multiplications,
    watch,
    write_share,
)
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.model.views import TextCache

PER_FRAME = CONV.tokens_per_frame
COSTS = Costs(token_s=0.02, encode_s=0.0)
FRAMES = [image for image, _ in pictures(6)]
RECORD = Record(
    id="r",
    video="none",
    duration_s=6.0,
    turns=(Turn(ask_s=0.0, question="", kind="opening"), Turn(ask_s=0.5, question="Q?", kind="state")),
)
SCRIPT = ("<|silence|>", "<|silence|>", "abcdefghijklmnop")
"""Silent before the first frame and on it; then, asked, sixteen words."""


class ScriptedTwin(VideoModel):
    """A decoder-only twin that runs its real steps, but says what the script of a `ScriptedModel` says."""

    def __init__(self, *script: str) -> None:
        super().__init__(twin_of(tiny_config()))
        randomise(self, 0)
        self.tokenizer = byte_tokenizer()
        self.scripted = ScriptedModel(*script)
        self.eval().requires_grad_(False)

    def decode_interleaved(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        features_FPD: Tensor | None,
        *,
        cache: TextCache,
        cached_tokens: int,
    ) -> Tensor:
        super().decode_interleaved(input_ids_T, positions_T, features_FPD, cache=cache, cached_tokens=cached_tokens)
        script, used = self.scripted.script, self.scripted.used
        token, _ = script[used] if used < len(script) else (byte_tokenizer().special("<|silence|>"), 1.0)
        self.scripted.used += 1
        logits_V = torch.full((self.config.text.vocab_size,), -50.0)
        logits_V[token] = 0.0
        return logits_V


def run(design: Design, costs: Costs = COSTS, *, tokens_per_s: float = 4.0) -> Log:
    model = ScriptedModel(*SCRIPT) if design == "beside" else ScriptedTwin(*SCRIPT)
    system = Driven(model=model, design=design, costs=costs)
    return watch(system, RECORD, FRAMES, tokens_per_s=tokens_per_s, end_s=6.0)


def tokens(log: Log) -> list[TokRow]:
    return [row for row in log.rows if isinstance(row, TokRow)]


def test_beside_speech_frames_are_seen_while_it_speaks_and_no_word_waits() -> None:
    log = run("beside")
    seen = perceive(log)
    assert [token.vis for token in tokens(log)] == sorted(token.vis for token in tokens(log))
    assert tokens(log)[-1].vis > tokens(log)[0].vis
    gaps = [after.w - before.w for before, after in pairwise(tokens(log))]
    assert max(gaps) <= 0.25 + 0.02 + 1e-6, "a frame costs a word no more than its placeholder"
    assert seen.on_time_ingest == 1.0


def test_blocking_sees_nothing_new_until_the_answer_is_over() -> None:
    log = run("blocking")
    assert {token.vis for token in tokens(log)} == {0}
    assert perceive(log).lag_slope == pytest.approx(1.0)
    last = tokens(log)[-1].w
    assert all(row.w > last for row in log.rows if isinstance(row, ReadyRow) and row.i > 0)


def test_a_frame_between_two_steps_makes_the_next_word_wait_for_it() -> None:
    log = run("inserted", tokens_per_s=10.0)
    frame_s = 0.02 * (PER_FRAME + 1)
    words = [token.w for token in tokens(log)]
    assert words[0] < 2.0 < words[-1], "it speaks when the frame of 2 s comes"
    ready_s = next(row.w for row in log.rows if isinstance(row, ReadyRow) and row.i == 2)
    assert 2.0 + frame_s <= ready_s <= 2.0 + frame_s + 0.02 + 1e-6, "it is readable when it has been prefilled"
    next_s = min(w for w in words if w > ready_s)
    assert next_s == pytest.approx(ready_s + 0.02), "the frame is paid for; the word costs one token more"
    assert not [w for w in words if 2.02 + 1e-6 < w < ready_s], "no word while it is prefilled"


def test_where_computing_is_free_both_twins_differ_only_in_what_they_see() -> None:
    inserted, blocking = run("inserted", FREE), run("blocking", FREE)
    assert [t.w for t in tokens(inserted)] == [t.w for t in tokens(blocking)]
    assert inserted.head.clock == "free"
    assert run("inserted").head.cost == {"token": 0.02, "encode": 0.0}


def test_a_question_stands_in_the_log_when_it_was_asked_even_if_the_lane_is_busy() -> None:
    log = run("inserted", Costs(token_s=0.03, encode_s=0.0))
    prompt = next(row for row in log.rows if isinstance(row, PromptRow))
    assert (prompt.t, prompt.w) == (0.5, 0.5)
    opening_s = next(row.w for row in log.rows if isinstance(row, DecideRow))
    assert opening_s > 0.5, "reading the opening takes until then"
    assert tokens(log)[0].w > opening_s


def test_beside_speech_a_frame_is_only_written_and_in_the_twin_it_is_read_by_every_layer() -> None:
    config = tiny_config()
    # width 32, 4 heads of 8, 2 key/value heads, 4 layers of which 2 read frames, feed-forward 48
    one_pass = 4 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 48)
    assert pass_multiplications(config) == one_pass
    assert write_share(config) == pytest.approx(2 * 2 * 32 * 16 / one_pass)
    assert frame_multiplications(config) == one_pass + PER_FRAME * 2 * 2 * 32 * 16
    assert frame_multiplications(twin_of(config)) == one_pass * (1 + PER_FRAME)
    ready = [row.w for row in run("beside").rows if isinstance(row, ReadyRow)]
    assert ready[1] - 1.0 == pytest.approx(0.02 * PER_FRAME * write_share(config), abs=2e-6)


def test_the_same_stream_gives_the_same_log() -> None:
    for design in ("beside", "blocking", "inserted"):
        assert run(design).hash == run(design).hash  # type: ignore[arg-type]


def test_a_model_cannot_be_driven_as_the_other_is() -> None:
    with pytest.raises(ConfigError, match="cannot be driven 'blocking'"):
        Driven(model=tiny_model(), design="blocking")
    with pytest.raises(ConfigError, match="cannot be driven 'beside'"):
        Driven(model=tiny_model(twin_of(tiny_config())), design="beside")
    with pytest.raises(ConfigError, match="must not be negative"):
        Costs(token_s=-1.0)
