"""What a stream remembers: two bounded lanes, frames on one side and text on the other.

Both are preallocated, keep key/value heads unexpanded, and hand out views, never copies. Neither knows a thread or a
clock: whoever appends also reads, so a snapshot stays valid until the next `publish`.

Axes: L layers, F frames, K key/value heads, P vision tokens of a frame, T tokens, S entries of a lane, H head channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model.attention import FrameView
from vigil.model.model import Written, visible_frames


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The published frames, oldest first. Valid until the next `FrameMemory.publish`."""

    keys: tuple[Tensor, ...]
    """Per layer [K, S, H] with S = F * P; a view into the memory."""
    values: tuple[Tensor, ...]
    positions: tuple[int, ...]
    """Rotary position of each frame."""

    def __len__(self) -> int:
        return len(self.positions)

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one cross layer, each [K, S, H]."""
        return self.keys[layer], self.values[layer]

    def views(self, positions_T: Tensor) -> list[FrameView | None]:
        """What each cross layer reads for text rows at these positions; None in each place before the first frame."""
        if not self.positions:
            return [None] * len(self.keys)
        visible = None
        if int(positions_T[0]) < self.positions[-1]:
            frames = torch.tensor([self.positions], device=positions_T.device)
            visible = visible_frames(positions_T[None], frames)
        return [FrameView(k[None], v[None], visible) for k, v in zip(self.keys, self.values, strict=True)]


class FrameMemory:
    """Keys and values of the newest frames, for every cross layer.

    Frames are staged by `append`, layer by layer, and become readable all at once by `publish`. The window slides
    through a buffer a quarter larger than itself; at the buffer's end it moves back to the start, so that a lane is
    always contiguous and one move is paid for by many frames.
    """

    def __init__(self, config: StreamConfig, *, num_layers: int) -> None:
        self.config = config
        self._keys: list[Tensor] = [torch.empty(0)] * num_layers
        self._values: list[Tensor] = [torch.empty(0)] * num_layers
        self._staged = [0] * num_layers
        self._per_frame = 0
        self._start = 0
        self._positions: list[int] = []

    def __len__(self) -> int:
        """Frames published and kept."""
        return len(self._positions)

    @property
    def num_bytes(self) -> int:
        """Memory that the lane holds, readable or not."""
        return sum(t.nbytes for t in (*self._keys, *self._values))

    def append(self, layer: int, keys_FKPH: Tensor, values_FKPH: Tensor) -> None:
        """Stage frames for one cross layer. Nothing is readable before `publish`.

        Shapes: keys and values [F, K, P, H].

        Raises:
            MemoryFull: the memory may not evict, and the frames do not fit.
        """
        capacity, new = self.config.memory_frames, len(keys_FKPH)
        if self.config.eviction == "error" and len(self) + self._staged[layer] + new > capacity:
            raise MemoryFull(
                f"frame memory is full: {len(self)} of {capacity} frames, and {new} more came. "
                'Raise StreamConfig.memory_frames, or set eviction="oldest".'
            )
        self._make_room(layer, keys_FKPH)
        at = (self._start + len(self) + self._staged[layer]) * self._per_frame
        for lane, part in ((self._keys, keys_FKPH), (self._values, values_FKPH)):
            flat_KSH = part.transpose(0, 1).flatten(1, 2)
            lane[layer][:, at : at + flat_KSH.shape[1]] = flat_KSH
        self._staged[layer] += new

    def publish(self, positions: Sequence[int] | None = None) -> int:
        """Make the staged frames readable at once; return how many old frames went.

        `positions` are the frames' rotary positions; without them every text row may see them.
        """
        new = self._staged[0]
        assert all(staged == new for staged in self._staged), "every cross layer stages the same frames"
        self._positions += positions if positions is not None else [0] * new
        self._staged = [0] * len(self._staged)
        gone = max(0, len(self._positions) - self.config.memory_frames)
        self._start += gone
        del self._positions[:gone]
        return gone

    def take(self, written: Written, positions: Sequence[int]) -> int:
        """Store placed frames for every cross layer and publish them; return how many old frames went."""
        for layer, (keys, values) in enumerate(zip(written.keys, written.values, strict=True)):
            self.append(layer, keys, values)
        return self.publish(positions)

    def snapshot(self) -> Snapshot:
        """The frames that are readable now."""
        part = slice(self._start * self._per_frame, (self._start + len(self)) * self._per_frame)
        if not self._positions:
            nothing = tuple(k[:0] for k in self._keys)
            return Snapshot(nothing, nothing, ())
        return Snapshot(
            tuple(k[:, part] for k in self._keys), tuple(v[:, part] for v in self._values), tuple(self._positions)
        )

    def _make_room(self, layer: int, part_FKPH: Tensor) -> None:
        new, heads, self._per_frame, dim = part_FKPH.shape
        used = len(self) + max(self._staged[layer] + new, *self._staged)
        size = self._keys[layer].shape[1] // self._per_frame if self._keys[layer].ndim == 3 else 0
        if self._start + used <= size:
            return
        keep = slice(self._start * self._per_frame, (self._start + len(self) + max(self._staged)) * self._per_frame)
        capacity = self.config.memory_frames
        size = max(capacity + capacity // 4 + 1, used)
        for lane in (self._keys, self._values):
            for i, old in enumerate(lane):
                fits = old.ndim == 3 and old.shape[1] == size * self._per_frame
                fresh = old if fits else part_FKPH.new_empty(heads, size * self._per_frame, dim)
                if old.ndim == 3:
                    kept = old[:, keep].clone() if fits else old[:, keep]
                    fresh[:, : kept.shape[1]] = kept
                lane[i] = fresh
        self._start = 0


class TextMemory:
    """Keys and values of text tokens, for every self-attention layer. A `TextCache` for one stream."""

    def __init__(self, capacity: int, *, num_layers: int) -> None:
        self.capacity = capacity
        self._keys: list[Tensor] = [torch.empty(0)] * num_layers
        self._values: list[Tensor] = [torch.empty(0)] * num_layers
        self._length = 0

    def __len__(self) -> int:
        """Tokens kept."""
        return self._length

    def extend(self, layer: int, keys_BKTH: Tensor, values_BKTH: Tensor) -> tuple[Tensor, Tensor]:
        """Store new tokens of one layer behind the old ones; return all, as views. Count them later by `advance`.

        Shapes: [1, K, T, H] -> [1, K, S, H].

        Raises:
            MemoryFull: more tokens than the lane can hold; drop some first.
        """
        _, heads, new, dim = keys_BKTH.shape
        end = self._length + new
        if end > self.capacity:
            raise MemoryFull(
                f"text memory is full: {self._length} of {self.capacity} tokens, and {new} more came. "
                "Raise StreamConfig.text_tokens."
            )
        for lane, part in ((self._keys, keys_BKTH), (self._values, values_BKTH)):
            if lane[layer].ndim != 3:
                lane[layer] = part.new_empty(heads, self.capacity, dim)
            lane[layer][:, self._length : end] = part[0]
        return self._keys[layer][None, :, :end], self._values[layer][None, :, :end]

    def advance(self, num_tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self._length += num_tokens

    def drop(self, start: int, stop: int) -> None:
        """Forget the tokens [start, stop); later ones move down and keep their rotary positions."""
        for lane in (self._keys, self._values):
            for entries in lane:
                entries[:, start : self._length - (stop - start)] = entries[:, stop : self._length].clone()
        self._length -= stop - start
