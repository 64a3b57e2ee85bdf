"""What both plug-ins need: one question about some images and videos, answered after all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.config import StreamConfig
from vigil.model.model import VideoModel

if TYPE_CHECKING:
    from vigil.stream.source import RawImage

Media = Any
"""A video or an image as a path, or an image as a Pillow object or uint8 array [H, W, 3]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """A model that answers after it has seen everything, as in `vigil ask`."""

    model: VideoModel
    fps: float = 1.0
    """Frames read per second of video (Hz). A video too long for the frame memory is read at a lower rate."""

    def ask(
        self, media: Sequence[Media], question: str, *, max_tokens: int | None = None, until: Sequence[str] = ()
    ) -> str:
        """The answer, cut before the first of the texts `until`.

        One video is read as it is; several media become one stream, one frame per image and one after the other.

        Raises:
            SourceError, MediaError: something cannot be opened or decoded.
        """
        from vigil.stream.watch import answer

        config = StreamConfig(fps=self.fps).settled(self.model.config)
        if max_tokens is not None:
            config = replace(config, max_answer_tokens=max(1, min(max_tokens, config.max_answer_tokens)))
        one = media[0] if len(media) == 1 and isinstance(media[0], str | Path) else None
        source = one if one is not None else list(self._frames(media, config.memory_frames))
        return cut(answer(self.model, source, question, config=config), until)

    def _frames(self, media: Sequence[Media], room: int) -> Iterator[tuple[RawImage, float]]:
        """All frames, 1 / fps apart; of more than the memory holds, evenly many from the whole."""
        from vigil.stream.source import open_source

        images: list[RawImage] = []
        for one in media:
            if isinstance(one, str | Path):
                with open_source(one, fps=self.fps) as source:
                    images += [frame.image for frame in source]
            else:
                images.append(one)
        kept = [images[n * len(images) // room] for n in range(room)] if len(images) > room else images
        for n, image in enumerate(kept):
            yield image, n / self.fps


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to the first of some others."""
    ends = [text.index(end) for end in until if end and end in text]
    return text[: min(ends)] if ends else text
