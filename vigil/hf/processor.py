"""Chats and pictures to what the model takes, in the classes that `transformers` asks for.

A chat is laid out by `vigil.model.tokens`, not by a template: no string in a message can become a control token.

Axes: B rows, S text tokens, F frames, I image side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchFeature, PreTrainedTokenizerFast, ProcessorMixin
from transformers.image_utils import load_image

from vigil.errors import ConfigError, MediaError, ShapeError, TokenizerError
from vigil.hf.arguments import download_of
from vigil.hf.config import VigilConfig
from vigil.model.tokens import BEGIN, END_HEADER, END_OF_TURN, ControlIds, Tokenizer, Transcript
from vigil.model.vision import preprocess
from vigil.model.weights import local_folder

ROLES = ("system", "user", "assistant")
Image = NDArray[np.uint8]


class VigilTokenizer(PreTrainedTokenizerFast):
    """The folder's `tokenizer.json`, padded on the left, with the grammar's tokens for begin, end and padding.

    It takes control tokens in a text for what they say, as every tokenizer here does; `VigilProcessor` does not.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        """Load it from any folder or hub name that has a `tokenizer.json`."""
        known = {"bos_token": BEGIN, "eos_token": END_OF_TURN, "pad_token": END_OF_TURN, "padding_side": "left"}
        name = local_folder(pretrained_model_name_or_path) or pretrained_model_name_or_path
        return super().from_pretrained(name, *args, **{**known, **kwargs})


class VigilProcessor(ProcessorMixin):
    """Makes `input_ids`, `attention_mask` and `pixel_values` from chats, or from a prompt and its pictures."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, config: VigilConfig) -> None:
        super().__init__(tokenizer)
        self.config = config
        self._words = Tokenizer(tokenizer.backend_tokenizer.to_str())
        self._control = ControlIds(self._words, image_token_id=config.network.image_token_id)
        added: dict[str, int] = tokenizer.get_added_vocab()
        self._names = {name: token for name, token in added.items() if token in self._words.control_ids}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> VigilProcessor:
        """Load it from any folder or hub name that has `config.json` and `tokenizer.json`.

        Raises:
            ModelError: the config is not understood. ConfigError: an argument that has no meaning here.
        """
        download = download_of(kwargs)
        name = local_folder(pretrained_model_name_or_path) or pretrained_model_name_or_path
        tokenizer = VigilTokenizer.from_pretrained(name, **download)
        return cls(tokenizer, VigilConfig.from_pretrained(name, **download))

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write `config.json` and the tokenizer's files. `kwargs` are those of saving weights, and there are none."""
        self.config.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] = (),
        *,
        return_tensors: str = "pt",
        padding: Any = True,
    ) -> BatchFeature:
        """Encode prompts that are spelt already, with a placeholder for each picture.

        Args:
            images: one picture, or lists of them, as deep as you like: they belong to the placeholders in order.
            text: one prompt or several, from `apply_chat_template`. A control token in it counts.
            return_tensors, padding: as they are; rows are always padded on the left.

        Raises:
            ShapeError: there are not as many pictures as placeholders. MediaError: one cannot be read.
        """
        _only_torch(return_tensors)
        prompts = [text] if isinstance(text, str) else list(text)
        rows = [self._read(prompt) for prompt in prompts]
        pictures = list(_pictures(images))
        counts = [row.count(self.config.network.image_token_id) for row in rows]
        if sum(counts) != len(pictures):
            raise ShapeError(
                f"{len(pictures)} pictures for {sum(counts)} placeholders in the text. Put the pictures into a chat "
                "message, and let apply_chat_template write the prompt."
            )
        rest = iter(pictures)
        return self._batch(rows, [list(islice(rest, count)) for count in counts])

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str = "pt",
        processor_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Lay a chat out as the model was trained: one chat, or a list of them.

        A message is `{"role": ..., "content": ...}`; content is a text, or parts: `{"type": "text", "text": ...}`,
        `{"type": "image", "image": ...}` and `{"type": "video", "video": [frame, ...]}`. A picture is uint8 RGB
        [H, W, 3], a Pillow image, a path or an address. A video with more frames than the model's `memory_frames` is
        thinned out evenly, as by `vigil ask`.

        Returns:
            With `tokenize` and `return_dict` a `BatchFeature`; with `tokenize` alone its ids [B, S]; else the prompt.

        Raises:
            ConfigError: a message breaks this form. MediaError: a picture cannot be read. TokenizerError: the prompt
                would be read back as other tokens, as where a message holds the spelling of a control token.
        """
        _only_torch(return_tensors)
        if processor_kwargs:
            raise ConfigError(f"vigil.hf has no use for processor_kwargs {sorted(processor_kwargs)}.")
        is_one = not conversation or isinstance(conversation[0], dict)
        laid_out = [
            self._lay_out(chat, begin_answer=add_generation_prompt, leave_open=continue_final_message)
            for chat in ([conversation] if is_one else conversation)
        ]
        if not tokenize:
            prompts = [self._spell(ids) for ids, _ in laid_out]
            return prompts[0] if is_one else prompts
        batch = self._batch([ids for ids, _ in laid_out], [pictures for _, pictures in laid_out])
        return batch if return_dict else batch["input_ids"]

    def _lay_out(self, chat: Sequence[Any], *, begin_answer: bool, leave_open: bool) -> tuple[list[int], list[Image]]:
        """Ids of a chat, and the pictures that its placeholders stand for."""
        if not chat:
            raise ConfigError("a chat has at least one message, and this one has none.")
        transcript = Transcript(self._words, self._control)
        ids: list[int] = []
        pictures: list[Image] = []
        try:
            for message in chat:
                if message["role"] not in ROLES:
                    raise ConfigError(f"a message's role must be one of {', '.join(ROLES)}, got {message['role']!r}.")
                *start, end = transcript.message(message["role"], "")
                ids += start
                for part in self._parts(message["content"]):
                    ids += self._words.encode(part) if isinstance(part, str) else [self._control.image] * len(part)
                    pictures += [] if isinstance(part, str) else part
                ids.append(end)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"a message breaks its form ({type(error).__name__}: {error}).") from error
        if leave_open:
            ids.pop()
        return ids + (transcript.message("assistant", "")[:-1] if begin_answer else []), pictures

    def _parts(self, content: Any) -> Iterator[str | list[Image]]:
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            kind = part["type"]
            if kind == "text":
                yield part["text"]
            elif kind in ("image", "video"):
                given = next((part[key] for key in (kind, "url", "path", "base64") if key in part), None)
                if given is None:
                    raise ConfigError(f'a part of type "{kind}" wants its "{kind}", got {sorted(part)}.')
                pictures = list(_pictures(given))
                yield pictures if kind == "image" else self._thinned(pictures)
            else:
                raise ConfigError(f'a part\'s type must be "text", "image" or "video", got {kind!r}.')

    def _thinned(self, frames: list[Image]) -> list[Image]:
        """As many frames as the model remembers, spread evenly: the first at or after each tick of a slower clock."""
        num, most = len(frames), self.config.network.memory_frames
        return frames if num <= most else [frames[-(-tick * num // most)] for tick in range(most)]

    def _spell(self, ids: list[int]) -> str:
        prompt: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if self._read(prompt) != ids:
            raise TokenizerError(
                "the prompt would be read back as other tokens: a message spells a control token, or its parts run "
                "together. Use tokenize=True, which needs no prompt."
            )
        return prompt

    def _read(self, prompt: str) -> list[int]:
        """Ids of a prompt, piece by piece, as a chat is encoded: a header's end stands alone, like a control token."""
        after_header = rf"(?<={re.escape(END_HEADER)})\n\n"
        pieces = re.split("|".join([*map(re.escape, self._names), after_header]).join("()"), prompt)
        return [
            token
            for piece in pieces
            for token in ([self._names[piece]] if piece in self._names else self._words.encode(piece))
        ]

    def _batch(self, rows: list[list[int]], pictures: list[list[Image]]) -> BatchFeature:
        """Pad rows on the left, and frames at their end."""
        length, num_frames = max(map(len, rows)), max(map(len, pictures))
        input_ids_BS = torch.full((len(rows), length), self.tokenizer.pad_token_id)
        attention_mask_BS = torch.zeros(len(rows), length, dtype=torch.long)
        vision = self.config.network.vision
        pixels_BF3II = torch.zeros(len(rows), num_frames, 3, vision.image_px, vision.image_px)
        for row, (ids, frames) in enumerate(zip(rows, pictures, strict=True)):
            input_ids_BS[row, length - len(ids) :] = torch.tensor(ids)
            attention_mask_BS[row, length - len(ids) :] = 1
            for index, frame in enumerate(frames):
                pixels_BF3II[row, index] = preprocess(frame, vision)
        data = {"input_ids": input_ids_BS, "attention_mask": attention_mask_BS}
        return BatchFeature({**data, "pixel_values": pixels_BF3II} if num_frames else data)


def _pictures(given: Any) -> Iterator[Image]:
    """The pictures in whatever they come in, in order: lists of lists, arrays [F, H, W, 3], or one alone."""
    if given is None:
        return
    if isinstance(given, (list, tuple)) or (isinstance(given, (np.ndarray, torch.Tensor)) and given.ndim == 4):
        for one in given:
            yield from _pictures(one)
    elif isinstance(given, (np.ndarray, torch.Tensor)):
        yield np.asarray(given)
    else:
        try:
            yield np.asarray(load_image(str(given) if isinstance(given, Path) else given))
        except (OSError, ValueError, TypeError) as error:
            name = Path(given).name if isinstance(given, (str, Path)) else type(given).__name__
            raise MediaError(
                f"{name[:80]} is not a picture that can be read. Of a video file give the frames: "
                "[frame.image for frame in vigil.stream.source.open_source(path, fps=1.0)]."
            ) from error


def _only_torch(return_tensors: str) -> None:
    if return_tensors != "pt":
        raise ConfigError(f'return_tensors must be "pt", got {return_tensors!r}.')
