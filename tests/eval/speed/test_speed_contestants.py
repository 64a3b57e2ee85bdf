"""Who runs in the benchmarks, and the run itself: prompts, resizing, caches, what is made once, what is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from very_small import QWEN, SMALL, small_config

from vigil.errors import MediaError, SourceError
from vigil.eval.speed import qwen, video
from vigil.eval.speed import run as running
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import QUESTION, Ours, build, ours, twin
from vigil.eval.speed.figures import Figure, Part, Results
from vigil.eval.speed.machine import Rates
from vigil.eval.speed.offline import noise
from vigil.eval.speed.run import PARTS, measure, one_thread
from vigil.model.interleave import twin_of

CPU = torch.device("cpu")
RATES = Rates(1e10, 1e11)


@pytest.fixture(scope="module", params=["vigil", "twin"])
def who(request: pytest.FixtureRequest) -> Ours:
    config = small_config() if request.param == "vigil" else twin_of(small_config())
    return Ours(build(config, CPU, torch.float32), encode_batch=3)


# ---- our own two ----------------------------------------------------------------------------------------------------


def test_a_model_with_random_weights_is_the_same_each_time_and_cannot_be_trained() -> None:
    first, again = (build(small_config(), CPU, torch.bfloat16) for _ in range(2))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.bfloat16
        assert not a.requires_grad
    assert not first.training
    assert torch.get_default_dtype() == torch.float32, "the default type is put back"
    assert first.tokenizer is not None
    assert first.config.image_token_id == first.tokenizer.special("<|image|>")


def test_the_default_type_is_put_back_when_a_model_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("vigil.eval.speed.contestants.VideoModel", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        build(small_config(), CPU, torch.bfloat16)
    assert torch.get_default_dtype() == torch.float32


def test_a_contestant_is_named_after_what_it_is() -> None:
    made = [ours(SMALL, CPU), twin(SMALL, CPU)]
    assert [one.name for one in made] == ["vigil", "twin"]
    assert [one.model.config.fusion for one in made] == ["cross-attention", "decoder-only"]
    assert [one.tokens_per_frame for one in made] == [5.0, 5.0]
    assert [one.frame_px for one in made] == [(56, 56), (56, 56)]


def test_a_prompt_is_all_frames_and_one_question(who: Ours) -> None:
    image = who.model.config.image_token_id
    assert [who.ids(num).count(image) for num in (0, 1, 8)] == [0, 1, 8]
    assert len(who.ids(8)) == len(who.ids(0)) + 8
    assert who.model.tokenizer is not None
    assert QUESTION in who.model.tokenizer.decode([token for token in who.ids(0) if token != image])


def test_a_1080p_picture_is_brought_to_the_square_of_the_model_with_its_aspect(who: Ours) -> None:
    image_HWC = np.full((1080, 1920, 3), 200, dtype=np.uint8)
    small_HWC = who.resize(image_HWC)
    assert small_HWC.shape == (56, 56, 3)
    assert small_HWC.dtype == np.uint8
    assert (small_HWC[:31] == 200).all(), "56 x 9 / 16 lines hold the picture"
    assert (small_HWC[33:] == 0).all(), "the rest is padding"


def test_features_do_not_depend_on_the_batches_in_which_they_are_encoded(who: Ours) -> None:
    frames = noise(7, who.frame_px)
    features_FPD = who.encode(frames)
    assert features_FPD.shape == (7, 5, 32)
    torch.testing.assert_close(features_FPD, Ours(who.model, encode_batch=7).encode(frames), atol=1e-5, rtol=1e-4)


def test_a_prefill_begins_anew_each_time_and_words_go_on_from_it(who: Ours) -> None:
    features = who.encode(noise(4, who.frame_px))
    first = who.prefill(features, 3)
    before = len(who.text)
    said = [who.say(5), who.say(5)]
    assert len(who.text) == before + 2
    assert who.prefill(features, 3) == first
    assert len(who.text) == before
    assert [who.say(5), who.say(5)] == said
    vocabulary = who.model.config.text.vocab_size
    assert all(0 <= token < vocabulary for token in (first, *said))


def test_a_reply_has_the_room_that_was_asked_for_and_no_more(who: Ours) -> None:
    from vigil.errors import MemoryFull

    who.prefill(who.encode(noise(2, who.frame_px)), 2)
    for _ in range(3):
        who.say(5)
    with pytest.raises(MemoryFull):
        who.say(5)


def test_each_word_makes_the_next_one_read_a_little_more(who: Ours) -> None:
    who.prefill(who.encode(noise(2, who.frame_px)), 4)
    before = who.step_bytes()
    who.say(5)
    config = who.model.config.text
    layers = config.num_layers - len(config.cross_layers)
    assert who.step_bytes() - before == 2 * layers * config.num_kv_heads * config.head_dim * 4


# ---- Qwen2.5-VL -----------------------------------------------------------------------------------------------------


def wordless(num_text: int, frame_px: tuple[int, int] = (56, 112)) -> qwen.Qwen:
    """Without a model: what can be told from its sizes alone."""
    return qwen.Qwen(None, QWEN, frame_px, name="qwen", num_text=num_text)


def test_qwen_makes_one_token_of_28_px_squares_of_two_frames() -> None:
    assert wordless(1).tokens_per_frame == 2 * 4 / 2
    assert wordless(1, (560, 1008)).tokens_per_frame == 360


def test_its_positions_run_in_time_height_and_width_and_the_text_goes_on_behind_them() -> None:
    positions_3T = wordless(3)._positions(16)  # two pairs of frames, each 2 x 4 tokens
    assert positions_3T.shape == (3, 19)
    assert positions_3T[0, :16].tolist() == [0] * 8 + [4] * 8, "2 s between pairs, 2 positions a second"
    assert positions_3T[1, :8].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert positions_3T[2, :8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert positions_3T[:, 16:].tolist() == [[5, 6, 7]] * 3
    wide_3T = wordless(2, (28, 28 * 9))._positions(9)
    assert wide_3T[:, 9:].tolist() == [[9, 10]] * 3, "behind the largest of the three"


def test_a_picture_is_stretched_to_the_size_of_qwen() -> None:
    image_HWC = np.zeros((1080, 1920, 3), dtype=np.uint8)
    image_HWC[:, 960:] = 255
    small_HWC = wordless(1).resize(image_HWC)
    assert small_HWC.shape == (56, 112, 3)
    assert (small_HWC[:, :50] == 0).all()
    assert (small_HWC[:, 62:] == 255).all()


def test_why_qwen_cannot_run_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert qwen.why_not() == "transformers with Qwen2.5-VL is not installed: pip install 'vigil-video[hf]'"
    assert Bench(SMALL, CPU, RATES).qwen("qwen", (56, 112)) is None


@pytest.mark.skipif(bool(qwen.why_not()), reason="transformers is not installed")
def test_qwen_is_made_once_for_all_sizes_of_frames_and_reads_as_many_words_as_we_do() -> None:
    here = Bench(SMALL, CPU, RATES)
    first, second = here.qwen("qwen", (56, 112)), here.qwen("qwen matched", (28, 56))
    assert first is not None
    assert second is not None
    assert (first.name, second.name, second.frame_px) == ("qwen", "qwen matched", (28, 56))
    assert first._model is second._model  # type: ignore[attr-defined]
    features = second.encode(noise(4, second.frame_px))
    token = second.prefill(features, 4)
    assert second._cache.get_seq_length() == 4 * 1 + len(here.vigil().ids(0))  # type: ignore[attr-defined]
    before = second.step_bytes()
    second.say(token)
    assert second.step_bytes() - before == 2 * QWEN.num_layers * 1 * 16 * 4


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_models_are_made_when_they_are_first_needed_and_kept() -> None:
    told: list[str] = []
    here = Bench(SMALL, CPU, RATES, told.append)
    assert told == []
    assert here.twin() is here.twin()
    assert here.vigil() is here.vigil()
    assert told == ["making twin", "making vigil"]
    assert here.clock.device == CPU
    assert here.dtype == torch.float32


def test_a_run_gives_its_facts_first_and_then_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def part(name: str) -> Part:
        assert torch.get_num_threads() == 1
        assert torch.is_inference_mode_enabled()
        ran.append(name)
        return Part((Figure("bytes_per_frame", 1, name),))

    for name in ("memory", "live"):
        monkeypatch.setitem(PARTS, name, lambda here, name=name: part(name))
    monkeypatch.setattr(running, "rates_of", lambda device, dtype: Rates(2e9, 3e9))
    notes: list[str] = []
    seen: list[list[str]] = []
    same: set[int] = set()
    for results in measure(SMALL, CPU, ["live", "memory"], notes.append):
        seen.append(list(results.parts))
        same.add(id(results))
    assert seen == [[], ["live"], ["live", "memory"]]
    assert len(same) == 1, "the same object each time"
    assert notes == ["the machine"]
    assert ran == ["live", "memory"], "in the order that is given"
    about = results.about
    assert (about["scale"], about["device"], about["dtype"]) == ("small", "cpu", "float32")
    assert (about["read_gb_per_s"], about["matmul_gflop_per_s"], about["threads"]) == (2.0, 3.0, 1)


def test_a_part_that_fails_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise RuntimeError("a part failed")

    with pytest.raises(RuntimeError, match="a part failed"):
        fail()
    assert torch.get_num_threads() == before


def test_the_clip_that_is_decoded_is_as_short_as_its_median_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def refuse(path: Path, num_frames: int) -> None:
        written.append(num_frames)
        raise MediaError("no encoder. Install one.")

    monkeypatch.setattr(video, "write_clip", refuse)
    part = video.video(Bench(SMALL, CPU, RATES))
    assert written == [video.LOOKED_AT]
    assert [figure.name for figure in part.figures] == list(video.NAMES)
    assert {figure.reason for figure in part.figures} == {"no video could be decoded: no encoder. Install one."}
    assert part.rows == ()


def test_costs_are_medians_of_each_picture_and_of_each_contestant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from PIL import Image

    for n in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{n}.png")
    # each picture: its decoding is over at the first reading; then each contestant has two; then the next begins
    decode, resize = [1.0, 5.0, 2.0], {"a": [0.1, 0.3, 0.2], "b": [7.0, 1.0, 4.0]}
    now, readings = 0.0, [0.0]
    for n in range(3):
        now += decode[n]
        readings.append(now)
        for name in ("a", "b"):
            readings.append(now)
            now += resize[name][n]
            readings.append(now)
        readings.append(now)
    times: Iterator[float] = iter([*readings, now])
    monkeypatch.setattr(video.time, "process_time", lambda: next(times))

    class Named(Ours):
        def __init__(self, name: str) -> None:
            self.name = name

        def resize(self, image_HWC: object) -> object:  # type: ignore[override]
            return image_HWC

    decode_s, resize_s = video.costs_s([Named("a"), Named("b")], tmp_path)
    assert decode_s == pytest.approx(2.0)
    assert resize_s == {"a": pytest.approx(0.2), "b": pytest.approx(4.0)}


def test_what_decoding_costs_is_added_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    from vigil.eval.speed.offline import Offline

    def found(name: str, encode_s: float) -> Offline:
        return Offline(
            name=name, frames=8, vision_tokens=40, encode_s=encode_s, prefill_s=1.0, token_s=0.1,
            encode_bound=1.0, prefill_bound=1.0, token_bound=1.0,
        )  # fmt: skip

    here = Bench(SMALL, CPU, RATES)
    here.offline |= {("vigil", 8): found("vigil", 1.0), ("twin", 8): found("twin", 5.0)}
    monkeypatch.setattr(video, "write_clip", lambda path, num: None)
    monkeypatch.setattr(video, "costs_s", lambda who, path: (0.5, {one.name: 0.25 for one in who}))
    monkeypatch.setattr(qwen, "why_not", lambda: "it is not here")
    part = video.video(here)
    values = {figure.name: figure.value for figure in part.figures}
    assert values == {
        "ttft_video_s": pytest.approx(8 * 0.75 + 2.0),
        "ttft_video_ratio_twin": pytest.approx(12.0 / 8.0),
        "ttft_video_ratio_qwen": None,
    }
    assert [row["who"] for row in part.rows] == ["vigil", "twin"]
    assert part.rows[0]["decode_s"] == 4.0
    assert part.rows[0]["resize_s"] == 2.0


def test_a_source_that_is_gone_is_a_reason_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(who: object, path: Path) -> None:
        raise SourceError("clip.mp4 does not exist. Check the path.")

    monkeypatch.setattr(video, "write_clip", lambda path, num: None)
    monkeypatch.setattr(video, "costs_s", gone)
    results = Results({}, {"video": video.video(Bench(SMALL, CPU, RATES))})
    assert "clip.mp4 does not exist" in results.to_json()["reasons"]["ttft_video_s"]
