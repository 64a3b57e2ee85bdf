"""A step of speech with static shapes: the same tensors in the same places each time, so that a GPU can replay it.

A step launches hundreds of small kernels, and on a fast GPU launching them costs more than running them. A CUDA graph
launches all at once, but may hold no decision of the host: how long the text is and which frames are readable are
therefore numbers on the device, and attention covers the whole lanes under a mask that is made from them.

Axes: B = 1, T = 1, S entries of a lane, K key/value heads, N query heads, H head channels, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vigil.errors import MemoryFull
from vigil.model.model import VideoModel
from vigil.model.views import TextReader, attend
from vigil.stream.memory import FrameMemory
from vigil.stream.text_lane import TextMemory

WARM_UP_STEPS = 3
"""Runs before the capture, in which libraries choose their kernels."""


@dataclass(frozen=True, slots=True)
class StaticFrames:
    """The whole lane of one cross layer, of which the entries [start, stop) are readable."""

    keys_BKSH: Tensor
    values_BKSH: Tensor
    mask_BTTS: Tensor
    """[1, 1, 1, S], made anew in each step."""
    seeing: None = None
    """Every row sees a frame."""

    def attend(self, q_BNTH: Tensor) -> Tensor:
        """Shapes: [1, N, 1, H] -> [1, N, 1, H]."""
        return attend(q_BNTH, self.keys_BKSH, self.values_BKSH, mask=self.mask_BTTS)


class StaticStep(TextReader):
    """One stream's step of one token. On CUDA it is captured when it is made, and replayed by each call.

    Make a new one when a lane has got new buffers; `fits` tells.
    """

    @torch.inference_mode()
    def __init__(self, model: VideoModel, text: TextMemory, frames: FrameMemory | None) -> None:
        """Both lanes must hold something, and frames be stored plainly. The decoder-only twin has no lane of frames.

        What does not count in the lanes is set to zero: a mask weighs it with 0, and 0 times NaN would be NaN.
        """
        assert len(text), "a step follows a prompt"
        assert frames is None or len(frames), "a step follows a frame"
        self._model, self._text, self._frames = model, text, frames
        self._text_lanes, self._frame_lanes = text.buffers(), [] if frames is None else frames.buffers()
        device = model.device
        self._numbers = torch.zeros(5, dtype=torch.long, device=device)
        self._text_S = torch.arange(self._text_lanes[0][0].shape[1], device=device)
        self._frames_S = torch.arange(self._frame_lanes[0][0].shape[1] if frames else 0, device=device)
        start, stop = self._span
        for keys, values in self._text_lanes:
            keys[:, len(text) :], values[:, len(text) :] = 0, 0
        for keys, values in self._frame_lanes:
            for lane in (keys, values):
                lane[:, :start], lane[:, stop:] = 0, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._set(0, 0)
        self._logits_V = self._run()
        if device.type == "cuda":
            self._capture()

    @property
    def _span(self) -> tuple[int, int]:
        return (0, 0) if self._frames is None else self._frames.span

    def fits(self) -> bool:
        """The lanes still lie where they lay."""
        lanes = [*self._text.buffers(), *([] if self._frames is None else self._frames.buffers())]
        mine = [*self._text_lanes, *self._frame_lanes]
        return all(k.data_ptr() == mk.data_ptr() for (k, _), (mk, _) in zip(lanes, mine, strict=True))

    @torch.inference_mode()
    def __call__(self, token: int, position: int) -> Tensor:
        """Feed one token; logits of what follows, good until the next call. Shapes: -> [V].

        Raises:
            MemoryFull: the text lane has no place for it.
        """
        if len(self._text) == self._text.capacity:
            raise MemoryFull(
                f"text memory is full: {len(self._text)} of {self._text.capacity} tokens, and 1 more came. "
                "Raise StreamConfig.text_tokens."
            )
        self._set(token, position)
        if self._graph is None:
            self._logits_V = self._run()
        else:
            self._graph.replay()
        self._text.advance(1)
        return self._logits_V

    def attend(self, layer: int, q_BNTH: Tensor, keys_BKTH: Tensor, values_BKTH: Tensor) -> Tensor:
        """Put one token's keys and values behind the text, and attend to all of it.

        Shapes: [1, N, 1, H], two of [1, K, 1, H] -> [1, N, 1, H].
        """
        keys_KSH, values_KSH = self._text_lanes[layer]
        length_1 = self._numbers[2:3]
        keys_KSH.index_copy_(1, length_1, keys_BKTH[0])
        values_KSH.index_copy_(1, length_1, values_BKTH[0])
        return attend(q_BNTH, keys_KSH[None], values_KSH[None], mask=(self._text_S <= length_1)[None, None, None])

    def _set(self, token: int, position: int) -> None:
        """Tell the device where it stands; one copy, and nothing is waited for."""
        numbers = torch.tensor([token, position, len(self._text), *self._span])
        self._numbers.copy_(numbers, non_blocking=True)

    def _run(self) -> Tensor:
        """The step itself: only device tensors, always of the same shape. Shapes: -> [V]."""
        token, position, _, start, stop = self._numbers.split(1)
        seen_S = (self._frames_S >= start) & (self._frames_S < stop)
        mask = seen_S[None, None, None]
        views = [StaticFrames(keys[None], values[None], mask) for keys, values in self._frame_lanes]
        h_BTD = self._model.decoder(token[None], position[None], views, cache=self)
        return self._model.decoder.head(h_BTD[0, -1])

    def _capture(self) -> None:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP_STEPS):
                self._run()
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # the perception thread may allocate meanwhile
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._logits_V = self._run()
