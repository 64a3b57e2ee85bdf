"""What a client may say: poison is refused before anything is built from it (W1, W2), and so is a wrong field."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.serve.events import DURABLE, TRANSIENT, event, transient
from vigil.serve.frames import HEADER, ClientFrame, image_format, pack_frame, parse_frame
from vigil.serve.limits import Limits
from vigil.serve.protocol import MESSAGES, ROLE_OF, InputText, parse_message
from vigil.serve.refusal import CODES, HTTP_STATUS, Refusal
from vigil.serve.strict import parse_object

LIMITS = Limits()
TEXT = {"type": "input.text", "cmd": 1, "text": "Hi", "mode": "interrupt"}


def code(text: str) -> str:
    """The refusal of a message."""
    with pytest.raises(Refusal) as refused:
        parse_message(text, LIMITS)
    return refused.value.code


def outcome(text: str) -> str | None:
    """The refusal of a message, if there is one."""
    try:
        parse_message(text, LIMITS)
    except Refusal as refusal:
        return refusal.code
    return None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
POISON = {
    "deep brackets": ("[" * 200_000, "too_large"),
    "brackets within the size": ("[" * 60_000, "bad_json"),
    "33 levels": ('{"a":' * 33 + "1" + "}" * 33, "bad_json"),
    "5000 digits": ('{"type":"ping","id":' + "9" * 5000 + "}", "bad_json"),
    "2**53 + 1": ('{"type":"ping","id":9007199254740993}', "bad_json"),
    "a number beyond a double": ('{"type":"ping","id":1e999}', "bad_json"),
    "NaN": ('{"type":"ping","id":NaN}', "bad_json"),
    "-Infinity": ('{"type":"ping","id":-Infinity}', "bad_json"),
    "a key twice": ('{"type":"ping","id":1,"id":2}', "bad_json"),
    "a key twice, deep": ('{"type":"ping","id":{"a":{"b":1,"b":1}}}', "bad_json"),
    "a lone surrogate": (r'{"type":"input.text","cmd":1,"text":"\ud800","mode":"queue"}', "bad_json"),
    "a lone surrogate as key": (r'{"\udc00":1}', "bad_json"),
    "a lone surrogate in a list": (r'{"a":["\udfff"]}', "bad_json"),
    "NUL": (r'{"type":"input.text","cmd":1,"text":"a\u0000b","mode":"queue"}', "bad_json"),
    "empty": ("", "bad_json"),
    "a list": ("[]", "bad_json"),
    "a string": ('"ping"', "bad_json"),
    "64 KiB + 1": ('{"type":"ping","x":"' + "a" * (64 * 1024) + '"}', "too_large"),
    "64 KiB by bytes": ('{"type":"ping","x":"' + "\u20ac" * 30_000 + '"}', "too_large"),
    "cut": ('{"type":"ping","id":', "bad_json"),
    "no type": ("{}", "unknown_type"),
    "a type that is no string": ('{"type":["ping"]}', "unknown_type"),
    "an unknown type": ('{"type":"exec"}', "unknown_type"),
    "an unknown field": ('{"type":"ping","id":1,"path":"/etc/passwd"}', "bad_message"),
    "true as number": ('{"type":"ping","id":true}', "bad_message"),
    "1.0 as whole number": ('{"type":"ping","id":1.0}', "bad_message"),
    "a number as string": ('{"type":"ping","id":"1"}', "bad_message"),
    "cmd 0": ('{"type":"input.end","cmd":0,"source":0}', "bad_message"),
    "a negative source": ('{"type":"input.end","cmd":1,"source":-1}', "bad_message"),
    "an empty question": ('{"type":"input.text","cmd":1,"text":"","mode":"queue"}', "bad_message"),
    "a question of 8 KiB + 1": (json.dumps({**TEXT, "text": "a" * 8193}), "too_large"),
    "a url": ('{"type":"source.add","cmd":1,"source":0,"kind":"camera","url":"http://10.0.0.1/"}', "bad_message"),
    "a path as name": ('{"type":"source.add","cmd":1,"source":0,"kind":"camera","name":"../x"}', "bad_message"),
    "a camera without a name": ('{"type":"source.add","cmd":1,"source":0,"kind":"camera"}', "bad_message"),
    "token and ticket": ('{"type":"auth","token":"a","ticket":"b"}', "bad_message"),
}


@pytest.mark.parametrize(("text", "wanted"), POISON.values(), ids=POISON.keys())
def test_poison_gets_a_typed_refusal(text: str, wanted: str) -> None:  # W2
    assert code(text) == wanted


def test_odd_but_sound_text_is_kept_as_it_is() -> None:  # W2
    text = "\u202e<|silence|> [DONE] \U0001f600 \u2028"
    message = parse_message(json.dumps({**TEXT, "text": text}), LIMITS)
    assert isinstance(message, InputText)
    assert message.text == text


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert parse_object('{"a": "[[[[' + "[" * 100 + '\\"]"}', LIMITS) == {"a": "[[[[" + "[" * 100 + '"]'}


def test_limits_are_checked_before_parsing_control() -> None:
    """Negative control: a handler that only catches JSONDecodeError dies of what the strict reader refuses."""
    for name in ("brackets within the size", "5000 digits"):
        with pytest.raises((RecursionError, ValueError)) as caught:
            json.loads(POISON[name][0])
        assert name != "brackets within the size" or not isinstance(caught.value, json.JSONDecodeError)
    assert json.loads(POISON["a key twice"][0])["id"] == 2
    with pytest.raises(UnicodeEncodeError):
        json.loads(POISON["a lone surrogate"][0])["text"].encode()


@settings(max_examples=100)
@given(JSON)
def test_any_json_gives_a_message_or_a_refusal(value: Any) -> None:  # W1
    for text in (json.dumps(value), json.dumps({"type": "input.text", "cmd": value})):
        assert outcome(text) in CODES | {None}


def test_mutated_messages_give_a_message_or_a_refusal() -> None:  # W1
    rng = random.Random(7)
    base = json.dumps(TEXT)
    for _ in range(3000):
        chars = list(base)
        for _ in range(rng.randint(1, 4)):
            chars[rng.randrange(len(chars))] = chr(
                rng.choice([0, 34, 92, 123, 125, 0xD800, 0x202E, rng.randrange(128)])
            )
        assert outcome("".join(chars)) in CODES | {None}


def test_every_message_has_a_role_and_every_code_a_status() -> None:  # S14
    assert set(ROLE_OF) == set(MESSAGES)
    assert set(HTTP_STATUS) == CODES
    assert [name for name, role in ROLE_OF.items() if role == "view"] == ["session.attach", "events.ack", "ping"]


# ---- frames --------------------------------------------------------------------------------------------------------


def test_the_frame_header_by_hand() -> None:
    data = bytes([1, 0, 0, 3]) + (258).to_bytes(8, "big") + (1_500_000).to_bytes(8, "big") + b"\xff\xd8\xff"
    frame = parse_frame(data, LIMITS)
    assert frame == ClientFrame(3, 258, 1_500_000, b"\xff\xd8\xff")
    assert frame.ts == 1.5
    assert pack_frame(frame) == data
    assert HEADER.size == 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(20),
        HEADER.pack(1, 0, 0, 1, 0),
        HEADER.pack(2, 0, 0, 1, 0) + b"x",
        HEADER.pack(1, 1, 0, 1, 0) + b"x",
        HEADER.pack(1, 0, 16, 1, 0) + b"x",
        HEADER.pack(1, 0, 0, 0, 0) + b"x",
        HEADER.pack(1, 0, 0, 1, -1) + b"x",
        HEADER.pack(1, 0, 0, 1, 2**62) + b"x",
    ],
    ids=["empty", "zeros", "no image", "kind", "flags", "source", "frame 0", "before 0", "after all"],
)
def test_a_wrong_header_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal, match="bad_message"):
        parse_frame(data, LIMITS)


def test_images_are_known_by_their_first_bytes() -> None:  # M5
    assert image_format(b"\xff\xd8\xff\xe0") == "JPEG"
    assert image_format(b"\x89PNG\r\n\x1a\n....") == "PNG"
    assert image_format(b"RIFF....WEBPVP8 ") == "WEBP"
    assert image_format(b"RIFF....WAVEfmt ") is None
    assert image_format(b"\x00\x00\x00\x0cjP  ") is None
    assert image_format(b"GIF89a") is None


# ---- events --------------------------------------------------------------------------------------------------------


def test_an_event_with_a_wrong_field_is_our_own_mistake() -> None:
    assert event("turn.started", turn=1, cause="text") == {"type": "turn.started", "turn": 1, "cause": "text"}
    with pytest.raises(AssertionError, match="lacks"):
        event("turn.started", turn=1)
    with pytest.raises(AssertionError, match="has no"):
        event("turn.started", turn=1, cause="text", text="x")


def test_durable_and_transient_messages_have_different_names() -> None:
    assert not set(DURABLE) & set(TRANSIENT)
    assert json.loads(transient("resume.gap", from_=1, to=2, reason="memory"))["from"] == 1
    assert transient("error", code="gone", ref="x", cmd=None).count("cmd") == 0
