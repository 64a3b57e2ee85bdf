"""`generate` says what `vigil ask` says, in batches and from a cache too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vigil
from vigil.config import StreamConfig
from vigil.errors import ConfigError, ShapeError
from vigil.stream.watch import answer

transformers = pytest.importorskip("transformers", reason="vigil.hf needs transformers: pip install 'vigil-video[hf]'")
from transformers import GenerationConfig, pipeline  # noqa: E402

from vigil.hf import VigilForImageTextToText, VigilProcessor  # noqa: E402
from vigil.hf.model import FRAMES_AT_ONCE  # noqa: E402

LAYOUTS = ("vigil", "nano", "training", "release")
QUESTION = "What colour is the light?"
FEW = 24
"""Tokens of an answer of the tiny random models, which rarely end one."""


def loaded(folder: Path) -> tuple[VigilForImageTextToText, VigilProcessor]:
    return VigilForImageTextToText.from_pretrained(folder), VigilProcessor.from_pretrained(folder)


def chat(frames: list[Any], question: str, kind: str = "video") -> list[dict[str, Any]]:
    """A question after frames, as one video or as so many images."""
    pictures = [{"type": "video", "video": frames}] if kind == "video" else [{"type": kind, kind: f} for f in frames]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": question}]}]


def prepared(processor: VigilProcessor, *chats: list[dict[str, Any]]) -> Any:
    return processor.apply_chat_template(
        [*chats], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def said(processor: VigilProcessor, ids: torch.Tensor, inputs: Any) -> list[str]:
    """The answers alone."""
    new = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["video", "image"])
def test_the_greedy_answer_is_that_of_vigil_ask(
    layout: str, kind: str, folders: dict[str, Path], noise: Path, clip: Path
) -> None:
    source = clip if layout == "nano" else noise
    model, processor = loaded(folders[layout])
    frames = sorted(source.glob("*.png"))
    inputs = prepared(processor, chat(frames, QUESTION, kind))
    got = said(processor, model.generate(**inputs, max_new_tokens=FEW), inputs)
    config = StreamConfig(fps=1.0, max_answer_tokens=FEW)
    want = answer(vigil.load(folders[layout], device="cpu"), str(source), QUESTION, config=config)
    assert got == [want]
    assert want


def test_nano_answers_by_what_it_sees(folders: dict[str, Path], clip: Path) -> None:
    model, processor = loaded(folders["nano"])
    frames = sorted(clip.glob("*.png"))
    inputs = prepared(processor, chat(frames, QUESTION))
    assert said(processor, model.generate(**inputs), inputs) == ["The light is green."]
    earlier = prepared(processor, chat(frames[:10], QUESTION))
    assert said(processor, model.generate(**earlier), earlier) == ["The light is red."]


def test_a_padded_batch_answers_as_each_alone(folders: dict[str, Path], clip: Path) -> None:
    model, processor = loaded(folders["nano"])
    frames = sorted(clip.glob("*.png"))
    chats = [
        chat(frames, QUESTION),
        chat(frames[:3], "What is there?"),
        [{"role": "user", "content": "What colour is the light?"}],
    ]
    together = prepared(processor, *chats)
    assert not together["attention_mask"].all()
    answers = said(processor, model.generate(**together), together)
    alone = []
    for one in chats:
        inputs = prepared(processor, one)
        alone += said(processor, model.generate(**inputs), inputs)
    assert answers == alone
    assert len(set(answers)) == 3


@pytest.mark.parametrize("layout", ["vigil", "training"])
def test_a_cache_and_padding_change_no_logits(layout: str, folders: dict[str, Path], noise: Path) -> None:
    model, processor = loaded(folders[layout])
    frames = sorted(noise.glob("*.png"))
    inputs = prepared(processor, chat(frames, "Why?"), chat(frames[:2], "What is it that you see there?"))
    with torch.inference_mode():
        whole = model(**inputs).logits
        ids, mask, cut = inputs["input_ids"], inputs["attention_mask"], inputs["input_ids"].shape[1] - 5
        step = model.prepare_inputs_for_generation(
            ids[:, :cut], attention_mask=mask[:, :cut], pixel_values=inputs["pixel_values"], use_cache=True
        )
        first = model(**step)
        rest = model.prepare_inputs_for_generation(ids, past_key_values=first.past_key_values, attention_mask=mask)
        last = model(**rest).logits
        for row, num in enumerate(mask.sum(1).tolist()):
            alone = model(ids[row : row + 1, -num:], pixel_values=inputs["pixel_values"][row : row + 1, : 4 - 2 * row])
            torch.testing.assert_close(whole[row, -num:], alone.logits[0], rtol=0, atol=1e-4)
            torch.testing.assert_close(last[row], alone.logits[0, -5:], rtol=0, atol=1e-4)


@torch.inference_mode()
def test_an_encoder_that_looks_back_looks_back_across_the_frames_encoded_at_once(folders: dict[str, Path]) -> None:
    model, _ = loaded(folders["nano"])
    num, side = FRAMES_AT_ONCE + 4, model.config.network.vision.image_px
    frames = torch.randn(1, num, 3, side, side, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[model.config.network.image_token_id] * num + [40, 41]])
    want = model.network(ids, frames, torch.arange(num)[None]).logits
    torch.testing.assert_close(model(ids, pixel_values=frames).logits, want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("arguments", [{"use_cache": False}, {"num_beams": 1, "logits_to_keep": 3}])
def test_greedy_without_a_cache_says_the_same(arguments: dict[str, Any], folders: dict[str, Path], noise: Path) -> None:
    model, processor = loaded(folders["training"])
    inputs = prepared(processor, chat(sorted(noise.glob("*.png")), QUESTION))
    ids = model.generate(**inputs, max_new_tokens=8)
    assert torch.equal(ids, model.generate(**inputs, max_new_tokens=8, **arguments))


def test_beams_carry_their_caches_with_them(folders: dict[str, Path], noise: Path) -> None:
    model, processor = loaded(folders["training"])
    inputs = prepared(processor, *[chat(sorted(noise.glob("*.png")), f"{n}?") for n in range(4)])
    cached, afresh = (model.generate(**inputs, max_new_tokens=8, num_beams=4, use_cache=use) for use in (True, False))
    assert torch.equal(cached, afresh)
    assert not torch.equal(cached, model.generate(**inputs, max_new_tokens=8))


def test_sampling_follows_its_seed_and_never_says_a_control_token(folders: dict[str, Path], noise: Path) -> None:
    model, processor = loaded(folders["vigil"])
    inputs = prepared(processor, chat(sorted(noise.glob("*.png")), QUESTION))
    start = inputs["input_ids"].shape[1]

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        ids: torch.Tensor = model.generate(
            **inputs, do_sample=True, temperature=5.0, top_k=0, max_new_tokens=20, num_return_sequences=6
        )
        return ids[:, start:]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert model.network.tokenizer is not None
    ends = set(model.generation_config.eos_token_id)
    control = model.network.tokenizer.control_ids
    assert set(draw(1).flatten().tolist()) & control <= ends
    model.generation_config.suppress_tokens = None
    assert set(draw(1).flatten().tolist()) & control - ends


def test_an_answer_ends_at_silence_and_at_the_end_of_the_turn(folders: dict[str, Path]) -> None:
    model, _ = loaded(folders["nano"])
    tokenizer = model.network.tokenizer
    assert tokenizer is not None
    assert set(model.generation_config.eos_token_id) == {
        tokenizer.special("<|eot_id|>"),
        tokenizer.special("<|silence|>"),
    }


def test_a_saved_generation_config_stays_but_for_the_grammar(folders: dict[str, Path], tmp_path: Path) -> None:
    model, _ = loaded(folders["nano"])
    assert model.generation_config.max_new_tokens == StreamConfig().max_answer_tokens
    model.generation_config.max_new_tokens = 7
    model.save_pretrained(tmp_path)
    again = VigilForImageTextToText.from_pretrained(tmp_path).generation_config
    assert again.max_new_tokens == 7
    GenerationConfig(max_new_tokens=9, eos_token_id=0).save_pretrained(tmp_path)
    other = VigilForImageTextToText.from_pretrained(tmp_path).generation_config
    assert other.max_new_tokens == 9
    assert other.eos_token_id == again.eos_token_id == model.generation_config.eos_token_id


@pytest.mark.parametrize("layout", ["nano", "training"])
def test_the_pipeline_says_what_generate_says(layout: str, folders: dict[str, Path], clip: Path, noise: Path) -> None:
    model, processor = loaded(folders[layout])
    if layout == "nano":
        pipe = pipeline("image-text-to-text", model=str(folders[layout]))
    else:
        pipe = pipeline("image-text-to-text", model=model, processor=processor)
    question = chat(sorted((clip if layout == "nano" else noise).glob("*.png")), QUESTION)
    inputs = prepared(processor, question)
    want = said(processor, model.generate(**inputs, max_new_tokens=FEW), inputs)
    got = pipe(text=question, max_new_tokens=FEW, return_full_text=False)
    assert [row["generated_text"].strip() for row in got] == want
    assert want != [""]


def test_frames_and_placeholders_must_be_as_many(folders: dict[str, Path], noise: Path) -> None:
    model, processor = loaded(folders["vigil"])
    inputs = prepared(processor, chat(sorted(noise.glob("*.png")), QUESTION))
    pixels = inputs.pop("pixel_values")
    with pytest.raises(ShapeError, match="0 frames for 4 placeholders"):
        model(**inputs)
    with pytest.raises(ShapeError, match="3 frames for 4 placeholders"):
        model(**inputs, pixel_values=pixels[:, :3])
    with pytest.raises(ShapeError, match=r"pixel_values must be \[B, F, 3, I, I\]"):
        model(**inputs, pixel_values=pixels[0])
    first = model(**inputs, pixel_values=pixels, use_cache=True)
    with pytest.raises(ShapeError, match="4 frames for 0 placeholders"):
        model(torch.tensor([[65]]), past_key_values=first.past_key_values)
    with pytest.raises(ShapeError, match=r"attention_mask must be \[1, 3\]"):
        model(torch.tensor([[65, 66, 67]]), attention_mask=torch.ones(1, 2))


HAS_DRIVER = torch.version.cuda is None or torch.cuda.is_available()
"""transformers asks the driver for a stream as soon as torch was built for CUDA."""


@pytest.mark.parametrize(
    "kind", ["static", pytest.param("offloaded", marks=pytest.mark.skipif(not HAS_DRIVER, reason="no driver"))]
)
def test_a_cache_of_another_kind_is_refused(kind: str, folders: dict[str, Path]) -> None:
    model, _ = loaded(folders["vigil"])
    with pytest.raises(ConfigError, match="frames in a plain DynamicCache, got "):
        model.generate(torch.tensor([[65, 66]]), max_new_tokens=3, cache_implementation=kind)


def test_the_loss_is_that_of_the_network(folders: dict[str, Path]) -> None:
    model, _ = loaded(folders["training"])
    ids = torch.arange(30, 42)[None]
    labels = ids.clone()
    labels[0, :4] = -100
    want = model.network(ids, labels=labels).loss
    assert torch.equal(model(ids, labels=labels).loss, want)
    loss, logits = model(ids, labels=labels, return_dict=False)
    assert torch.equal(loss, want)
    assert logits.shape == (1, 12, model.config.vocab_size)


def test_a_session_watches_with_the_network_inside(folders: dict[str, Path], clip: Path) -> None:
    model, _ = loaded(folders["nano"])
    live = vigil.Session(model.network, fps=1.0)
    live.ask(QUESTION)
    text = [event.text for event in live.watch(str(clip), speed="max") if type(event).__name__ == "Done"]
    assert text[-1] == "The light is green."
