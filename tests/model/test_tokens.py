"""Text never becomes control, comes back whole, and every conversation is spelt in the slot grammar."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fakes import Trusting, byte_tokenizer, tokenizer_json
from hypothesis import example, given
from hypothesis import strategies as st

from vigil.errors import GrammarError, TokenizerError
from vigil.model.tokens import (
    BEGIN,
    ELLIPSIS,
    END_HEADER,
    END_OF_TURN,
    IMAGE,
    SILENCE,
    SPECIAL_TOKENS,
    START_HEADER,
    ControlIds,
    Slot,
    TextStream,
    Tokenizer,
    Transcript,
)

TOKENIZER = byte_tokenizer()
DISGUISES = (
    *SPECIAL_TOKENS,
    *(token.upper() for token in SPECIAL_TOKENS),
    *(token[: len(token) // 2] for token in SPECIAL_TOKENS),
    *(token[len(token) // 2 :] for token in SPECIAL_TOKENS),
    *(" " + token + "\n" for token in SPECIAL_TOKENS),
    "<\u200b|silence|>",
    "\uff1c|silence|\uff1e",
    "<|silence|\u0301>",
    "\u2581<|eot_id|>",
)
HOSTILE = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(DISGUISES)), max_size=8).map("".join)


def check_text_is_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert not tokenizer.control_ids.intersection(ids), "text became control"
    assert tokenizer.decode(ids) == text


@given(text=HOSTILE)
@example(text="".join(SPECIAL_TOKENS))
def test_no_string_becomes_a_control_token_and_every_string_comes_back(text: str) -> None:
    check_text_is_text(TOKENIZER, text)


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_the_check_catches_a_tokenizer_that_trusts_its_input(token: str) -> None:
    with pytest.raises(AssertionError, match="became control"):
        check_text_is_text(Trusting(tokenizer_json()), f"a {token} b")


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_a_grammar_token_is_control_even_if_the_file_does_not_mark_it_special(token: str) -> None:
    tokenizer = Tokenizer(tokenizer_json(special=False))
    assert tokenizer.special(token) in tokenizer.control_ids
    check_text_is_text(tokenizer, f"a {token} b")
    assert tokenizer.decode([tokenizer.special(token)]) == ""


def test_settings_of_the_file_that_cut_or_pad_text_are_ignored() -> None:
    raw = json.loads(tokenizer_json())
    raw["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    raw["padding"] = {
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a",
    }  # fmt: skip
    check_text_is_text(Tokenizer(json.dumps(raw)), "longer than four")


def test_a_lone_surrogate_is_replaced_and_not_fatal() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("a\ud800b")) == "a?b"


def test_a_tokenizer_survives_its_own_json() -> None:
    again = Tokenizer(TOKENIZER.to_json())
    assert (again.control_ids, again.vocab_size) == (TOKENIZER.control_ids, TOKENIZER.vocab_size)
    check_text_is_text(again, "é<|silence|>")


def test_what_is_no_tokenizer_is_refused() -> None:
    for text in ("", "{", "[]", '{"added_tokens": [{}]}'):
        with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
            Tokenizer(text)


def test_a_missing_token_is_named_with_what_still_works() -> None:
    plain = Tokenizer(tokenizer_json([BEGIN, END_OF_TURN]))
    assert (plain.has(BEGIN), plain.has(SILENCE)) == (True, False)
    with pytest.raises(TokenizerError, match=r"no <\|silence\|>.*`vigil ask` answers without it"):
        plain.special(SILENCE)


# ---- whole characters -----------------------------------------------------------------------------------------------


@given(text=st.text(max_size=20))
def test_a_text_stream_gives_whole_characters_that_join_to_the_text(text: str) -> None:
    stream = TextStream(TOKENIZER)
    pieces = [stream.push(token) for token in TOKENIZER.encode(text)]
    if "\ufffd" not in text:
        assert "".join(pieces) == text
        assert all(len(piece) <= 1 for piece in pieces), "one byte completes at most one character"
    assert "".join(pieces) == stream.text
    assert text.startswith(stream.text)


def test_a_character_that_is_not_whole_yet_is_held_back() -> None:
    stream = TextStream(TOKENIZER)
    assert [stream.push(token) for token in TOKENIZER.encode("aé€")] == ["a", "", "é", "", "", "€"]
    for token in TOKENIZER.encode("🙂")[:3]:
        assert stream.push(token) == ""
    assert stream.text == "aé€"


# ---- the grammar ----------------------------------------------------------------------------------------------------

CONTROL = ControlIds(TOKENIZER, image_token_id=TOKENIZER.special(IMAGE))


def spell(ids: list[int]) -> str:
    """Ids with control tokens in their names, as facts about the grammar are written."""
    names = {TOKENIZER.special(name): name for name in SPECIAL_TOKENS}
    return "".join(names.get(token) or chr(TOKENIZER.decode([token]).encode()[0]) for token in ids)


def say(transcript: Transcript, text: str) -> list[int]:
    return [i for token in TOKENIZER.encode(text) for i in transcript.text(token)]


def test_a_worked_example_is_spelt_token_for_token() -> None:
    t = Transcript(TOKENIZER, CONTROL)
    ids = t.system("Be brief.") + t.user("")
    ids += t.silence() + t.frame() + t.silence() + t.frame()
    ids += say(t, "A person fits wheels to a red") + t.frame() + say(t, " tractor.") + t.silence()
    ids += t.frame() + t.silence()
    ids += (
        t.user("Colour?") + say(t, "R") + t.frame() + say(t, "ed") + t.abandon() + say(t, "Blue") + t.user("<|image|>")
    )
    assert spell(ids).replace(IMAGE, "[F]").replace(SILENCE, "[S]") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        "[S][F][S][F]A person fits wheels to a red[F] tractor.[S][F][S]<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nColour?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nR[F]ed<|...|>Blue<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n[F]<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert ids.count(CONTROL.image) == 5, "the question's <|image|> is text, and the five frames are not"


def test_n_frames_make_n_plus_one_slots() -> None:
    t = Transcript(TOKENIZER, CONTROL)
    ids = t.user("")
    for _ in range(3):
        ids += t.silence() + t.frame()
    ids += t.silence()
    assert (ids.count(CONTROL.silence), ids.count(CONTROL.image)) == (4, 3)


def test_offline_all_frames_stand_in_the_question() -> None:
    t = Transcript(TOKENIZER, CONTROL)
    assert spell(t.offline(2, "What?")) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|image|><|image|>What?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert spell(say(t, "x") + t.end()) == "x<|eot_id|>"
    assert t.slot is Slot.NONE


A = TOKENIZER.encode("a")[0]
WRONG: dict[str, tuple[Slot, Callable[[Transcript], object]]] = {
    "a frame before the first turn": (Slot.NONE, lambda t: t.frame()),
    "text before the first turn": (Slot.NONE, lambda t: t.text(A)),
    "a frame while a slot is open": (Slot.OPEN, lambda t: t.frame()),
    "text after silence": (Slot.CLOSED, lambda t: t.text(A)),
    "silence twice": (Slot.CLOSED, lambda t: t.silence()),
    "giving up before a word": (Slot.OPEN, lambda t: t.abandon()),
    "a system message in the middle": (Slot.SPEAKING, lambda t: t.system("x")),
    "an offline question in the middle": (Slot.CLOSED, lambda t: t.offline(1, "x")),
    "an end after silence": (Slot.CLOSED, lambda t: t.end()),
    "saying silence": (Slot.OPEN, lambda t: t.text(CONTROL.silence)),
    "saying a frame": (Slot.SPEAKING, lambda t: t.text(CONTROL.image)),
    "saying the end of a turn": (Slot.SPEAKING, lambda t: t.text(TOKENIZER.special(END_OF_TURN))),
    "saying a header": (Slot.OPEN, lambda t: t.text(TOKENIZER.special(START_HEADER))),
    "saying the end of a header": (Slot.OPEN, lambda t: t.text(TOKENIZER.special(END_HEADER))),
    "saying <|...|>": (Slot.SPEAKING, lambda t: t.text(TOKENIZER.special(ELLIPSIS))),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_order_that_the_grammar_forbids_is_refused(name: str) -> None:
    slot, wrong = WRONG[name]
    t = Transcript(TOKENIZER, CONTROL)
    if slot is not Slot.NONE:
        t.user("")
    if slot is Slot.CLOSED:
        t.silence()
    if slot is Slot.SPEAKING:
        t.text(A)
    assert t.slot is slot
    with pytest.raises(GrammarError):
        wrong(t)
    assert t.slot is slot, "what was refused changed nothing"


def test_the_error_says_where_the_grammar_stands() -> None:
    with pytest.raises(GrammarError, match=r"no assistant turn is open; this token wants CLOSED or SPEAKING\."):
        Transcript(TOKENIZER, CONTROL).frame()
