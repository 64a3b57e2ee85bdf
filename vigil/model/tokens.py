"""Token ids and the slot grammar: the only file that knows what a token id means.

All frames live inside assistant turns::

    [system] user("") assistant := (slot frame)* slot     slot := silence | text [silence]
    then user(question), and the assistant goes on with the same frame clock

`Transcript` spells that grammar; the training layout and the streaming session both write through it, which is what
makes them agree token for token. Control is decided by ids alone: text from users, files or captions is encoded by a
tokenizer that cannot produce a control token.

Source: arXiv 2606.07639; chat template of Llama 3.
"""

from __future__ import annotations

import json
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

import tokenizers

from vigil.errors import GrammarError, TokenizerError

if TYPE_CHECKING:
    from pathlib import Path

SILENCE = "<|silence|>"
ELLIPSIS = "<|...|>"
IMAGE = "<|image|>"
BEGIN, END_OF_TURN = "<|begin_of_text|>", "<|eot_id|>"
START_HEADER, END_HEADER = "<|start_header_id|>", "<|end_header_id|>"
SPECIAL_TOKENS = (BEGIN, START_HEADER, END_HEADER, END_OF_TURN, SILENCE, ELLIPSIS, IMAGE)


class Tokenizer:
    """Text to ids and back, with trusted and untrusted text kept apart."""

    def __init__(self, tokenizer_json: str) -> None:
        """Build from the text of a `tokenizer.json`.

        Raises:
            TokenizerError: the text is not one.
        """
        try:
            content = json.loads(tokenizer_json)
            added = content.get("added_tokens") or []
            for token in added:  # a token of the grammar is control even where the file forgot to say so
                token["special"] = token.get("special", False) or token["content"] in SPECIAL_TOKENS
            self._plain = tokenizers.Tokenizer.from_str(json.dumps(content))
            self._untrusted = tokenizers.Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the library raises nothing more special
            raise TokenizerError(f"tokenizer.json cannot be read: {error}.") from error
        self._untrusted.encode_special_tokens = True
        self._untrusted.no_truncation()
        self._untrusted.no_padding()
        self.control_ids = frozenset(token["id"] for token in added if token["special"])
        """Ids that are control, never text."""
        self.vocab_size = self._plain.get_vocab_size(with_added_tokens=True)

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Read a `tokenizer.json`."""
        try:
            return cls(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TokenizerError(f"{path.name} cannot be read: {error}.") from error

    def to_json(self) -> str:
        """The text of the `tokenizer.json`."""
        return str(self._plain.to_str())

    def special(self, name: str) -> int:
        """Id of a control token.

        Raises:
            TokenizerError: the tokenizer has none of that name.
        """
        found: int | None = self._plain.token_to_id(name)
        if found is None:
            raise TokenizerError(
                f"the tokenizer has no {name}, which a session needs. `vigil ask` answers without it; "
                "for streaming use a checkpoint trained for real time."
            )
        return found

    def has(self, name: str) -> bool:
        """Whether there is a control token of that name."""
        return self._plain.token_to_id(name) is not None

    def encode(self, text: str) -> list[int]:
        """Encode text from anywhere. No string can become a control token, and the text comes back from `decode`."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        return list(self._untrusted.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Text of ids; control tokens are left out."""
        return str(self._plain.decode(ids, skip_special_tokens=True))


class TextStream:
    """Text of one answer, token by token, whole characters only."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self.text = ""

    def push(self, token: int) -> str:
        """Add a token; return the text that became whole with it, which may be empty."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        piece, self.text = text[len(self.text) :], text
        return piece


class Slot(Enum):
    """Where the assistant stands in the grammar."""

    NONE = "no assistant turn is open"
    OPEN = "a decision slot is open"
    SPEAKING = "an answer is being spoken"
    CLOSED = "this slot is over"


class ControlIds:
    """The control tokens that the grammar uses, looked up by name when they are first needed."""

    def __init__(self, tokenizer: Tokenizer, *, image_token_id: int) -> None:
        self._tokenizer = tokenizer
        self.image = image_token_id
        """The frame placeholder; its id comes from the model's config."""

    @cached_property
    def begin(self) -> int:
        """Starts a conversation."""
        return self._tokenizer.special(BEGIN)

    @cached_property
    def start_header(self) -> int:
        """Comes before a role."""
        return self._tokenizer.special(START_HEADER)

    @cached_property
    def end_header(self) -> int:
        """Comes after a role."""
        return self._tokenizer.special(END_HEADER)

    @cached_property
    def end_of_turn(self) -> int:
        """Closes a message."""
        return self._tokenizer.special(END_OF_TURN)

    @cached_property
    def silence(self) -> int:
        """Nothing to say, or the end of a reply."""
        return self._tokenizer.special(SILENCE)

    @cached_property
    def ellipsis(self) -> int:
        """The running answer is abandoned."""
        return self._tokenizer.special(ELLIPSIS)

    def require_streaming(self) -> None:
        """Look up everything that a session needs.

        Raises:
            TokenizerError: one is missing.
        """
        _ = (self.begin, self.start_header, self.end_header, self.end_of_turn, self.silence, self.ellipsis)


class Transcript:
    """Writes one conversation in the slot grammar. Each method returns the ids it adds; `slot` says what may follow."""

    def __init__(self, tokenizer: Tokenizer, control: ControlIds) -> None:
        self._tokenizer = tokenizer
        self._control = control
        self.slot = Slot.NONE
        self._begun = False

    def message(self, role: str, text: str) -> list[int]:
        """A whole message of the chat template. Role is trusted, text is not."""
        c = self._control
        start = [] if self._begun else [c.begin]
        self._begun = True
        return [*start, *self._header(role), *self._tokenizer.encode(text), c.end_of_turn]

    def system(self, text: str) -> list[int]:
        """The system message; nothing if the text is empty."""
        self._want(Slot.NONE)
        return self.message("system", text) if text else []

    def user(self, text: str) -> list[int]:
        """A question: closes the assistant's turn wherever it stands, and opens the next one with a decision slot."""
        close = [] if self.slot is Slot.NONE else [self._control.end_of_turn]
        ids = [*close, *self.message("user", text), *self._header("assistant")]
        self.slot = Slot.OPEN
        return ids

    def frame(self) -> list[int]:
        """The next frame's placeholder. Opens a slot, or falls into the answer being spoken."""
        self._want(Slot.CLOSED, Slot.SPEAKING)
        if self.slot is Slot.CLOSED:
            self.slot = Slot.OPEN
        return [self._control.image]

    def text(self, token: int) -> list[int]:
        """One token of an answer.

        Raises:
            GrammarError: it is a control token, or nothing may be said here.
        """
        self._want(Slot.OPEN, Slot.SPEAKING)
        if token in self._tokenizer.control_ids or token == self._control.image:
            raise GrammarError(f"token {token} is control, and cannot be said.")
        self.slot = Slot.SPEAKING
        return [token]

    def silence(self) -> list[int]:
        """Nothing to say in this slot, or the end of an answer."""
        self._want(Slot.OPEN, Slot.SPEAKING)
        self.slot = Slot.CLOSED
        return [self._control.silence]

    def abandon(self) -> list[int]:
        """`<|...|>`: the answer being spoken is given up, and the slot is decided anew at once."""
        self._want(Slot.SPEAKING)
        self.slot = Slot.OPEN
        return [self._control.ellipsis]

    def offline(self, num_frames: int, question: str) -> list[int]:
        """A question after a whole video: all frames stand before it, in the user's message."""
        self._want(Slot.NONE)
        c = self._control
        start = [] if self._begun else [c.begin]
        self._begun = True
        head, asked = self._header("user"), self._tokenizer.encode(question)
        self.slot = Slot.OPEN
        return [*start, *head, *[c.image] * num_frames, *asked, c.end_of_turn, *self._header("assistant")]

    def end(self) -> list[int]:
        """The end of an offline answer."""
        self._want(Slot.OPEN, Slot.SPEAKING)
        self.slot = Slot.NONE
        return [self._control.end_of_turn]

    def _header(self, role: str) -> list[int]:
        c = self._control
        return [c.start_header, *self._tokenizer.encode(role), c.end_header, *self._tokenizer.encode("\n\n")]

    def _want(self, *slots: Slot) -> None:
        if self.slot not in slots:
            wanted = " or ".join(slot.name for slot in slots)
            raise GrammarError(f"{self.slot.value}; this token wants {wanted}.")
