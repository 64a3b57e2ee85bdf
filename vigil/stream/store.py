"""Where the frame memory's numbers lie: for each cross layer a shelf of keys and a shelf of values.

Axes: F frames, E entries, P vision tokens of a frame (and of an entry), K key/value heads, S tokens of a shelf,
N tokens of one group, H head channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vigil.config import Storage
from vigil.model.rope import Turner, average_keys

SCALE_DTYPE = torch.bfloat16
"""Range of float32 in two bytes. Codes are made for the rounded scale, so its rounding costs nothing."""
CODES: dict[Storage, tuple[torch.dtype, float]] = {"int8": (torch.int8, 127.0), "fp8": (torch.float8_e4m3fn, 448.0)}
"""Type and largest value of an 8-bit code."""


class PlainShelf:
    """Numbers as the model computes them. Reading is a view and copies nothing."""

    def __init__(self, size: int, like_KSH: Tensor) -> None:
        heads, _, dim = like_KSH.shape
        self.data_KSH = like_KSH.new_empty(heads, size, dim)
        self.device = like_KSH.device

    @property
    def num_bytes(self) -> int:
        """Memory held."""
        return self.data_KSH.nbytes

    def put(self, at: int, x_KSH: Tensor) -> None:
        """Write from place `at` on. Shapes: [K, S, H]."""
        self.data_KSH[:, at : at + x_KSH.shape[1]] = x_KSH

    def get(self, start: int, stop: int) -> Tensor:
        """A view of the places [start, stop). Shapes: -> [K, S, H]."""
        return self.data_KSH[:, start:stop]

    def pack(self, places_S: Tensor) -> None:
        """Bring the contents of these places, [S], to the front, in this order."""
        self.data_KSH[:, : len(places_S)] = self.data_KSH[:, places_S]


class CodedShelf:
    """Numbers as 8-bit codes with one scale per token and head. Reading unpacks what is asked for."""

    def __init__(self, size: int, like_KSH: Tensor, storage: Storage) -> None:
        heads, _, dim = like_KSH.shape
        dtype, self._largest = CODES[storage]
        self.codes_KSH = torch.empty(heads, size, dim, dtype=dtype, device=like_KSH.device)
        self.scale_KS1 = torch.empty(heads, size, 1, dtype=SCALE_DTYPE, device=like_KSH.device)
        self.device = like_KSH.device

    @property
    def num_bytes(self) -> int:
        """Memory held, scales included."""
        return self.codes_KSH.nbytes + self.scale_KS1.nbytes

    def put(self, at: int, x_KSH: Tensor) -> None:
        """Encode and write from place `at` on. Shapes: [K, S, H]."""
        part = slice(at, at + x_KSH.shape[1])
        x_KSH = x_KSH.float()
        scale_KS1 = (x_KSH.abs().amax(-1, keepdim=True) / self._largest).clamp(min=1e-30).to(SCALE_DTYPE)
        codes_KSH = (x_KSH / scale_KS1.float()).clamp(-self._largest, self._largest)
        if self.codes_KSH.dtype is torch.int8:
            codes_KSH = codes_KSH.round()
        self.codes_KSH[:, part] = codes_KSH.to(self.codes_KSH.dtype)
        self.scale_KS1[:, part] = scale_KS1

    def get(self, start: int, stop: int) -> Tensor:
        """Decode the places [start, stop). Shapes: -> [K, S, H], float32."""
        return self.codes_KSH[:, start:stop].float() * self.scale_KS1[:, start:stop].float()

    def pack(self, places_S: Tensor) -> None:
        """Bring the contents of these places, [S], to the front, in this order; codes stay as they are."""
        bits_KSH = self.codes_KSH.view(torch.uint8)  # not every device can index 8-bit floats
        bits_KSH[:, : len(places_S)] = bits_KSH[:, places_S]
        self.scale_KS1[:, : len(places_S)] = self.scale_KS1[:, places_S]


Shelf = PlainShelf | CodedShelf
Weights = Callable[[Tensor, Tensor, int], Tensor]
"""Keys [K, N, H] and values [K, N, H] of a group, and how many tokens come out -> [P, N]; see `Retention.weights`."""


def _new_shelf(storage: Storage, size: int, like_KSH: Tensor) -> Shelf:
    return PlainShelf(size, like_KSH) if storage == "model" else CodedShelf(size, like_KSH, storage)


class LayerStore:
    """Entries of one cross layer, by their place 0, 1, 2, ...; each holds P tokens.

    Plain keys lie as attention reads them. Coded keys lie without the norm's weight, so that the rounding error is the
    same in all directions, and are not coded anew when they move: they stay turned to where they were written, and are
    turned on when they are read.
    """

    def __init__(self, layer: int, storage: Storage, turner: Turner | None) -> None:
        self._layer = layer
        self._storage: Storage = storage
        self._turner_or_none = turner
        self._shelves: tuple[Shelf, Shelf] | None = None
        self._dtype = torch.float32
        self.per_entry = 0
        """Vision tokens of an entry; 0 before the first frame."""

    @property
    def num_bytes(self) -> int:
        """Memory held."""
        return sum(shelf.num_bytes for shelf in self._shelves) if self._shelves is not None else 0

    @property
    def is_coded(self) -> bool:
        """Keys are coded, and turned when they are read."""
        return self._storage != "model"

    @property
    def _turner(self) -> Turner:
        assert self._turner_or_none is not None, "joining, coding and moving keys takes a Turner"
        return self._turner_or_none

    def reserve(self, num_entries: int, like_FKPH: Tensor, kept: range) -> None:
        """Make shelves for so many entries like [F, K, P, H], with what is kept of the old ones at the front."""
        self.per_entry = like_FKPH.shape[2]
        self._dtype = like_FKPH.dtype
        size, like_KSH, old = num_entries * self.per_entry, like_FKPH[0, :, :0], self._shelves
        self._shelves = (_new_shelf(self._storage, size, like_KSH), _new_shelf(self._storage, size, like_KSH))
        if old is not None and kept:
            for shelf, before in zip(self._shelves, old, strict=True):
                shelf.put(0, before.get(*self._tokens(kept.start, kept.stop)))

    def write(self, at: int, keys_FKPH: Tensor, values_FKPH: Tensor) -> None:
        """Put frames into the places from `at` on. Shapes: two of [F, K, P, H]."""
        keys_KSH, values_KSH = (x.transpose(0, 1).flatten(1, 2) for x in (keys_FKPH, values_FKPH))
        self._put(at, self._turner.strip(self._layer, keys_KSH) if self.is_coded else keys_KSH, values_KSH)

    def read(self, start: int, stop: int, deltas: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Keys and values of the places [start, stop), each [K, S, H]: views, or unpacked and turned by `deltas`."""
        if self._shelves is None:
            return torch.empty(0), torch.empty(0)
        keys_KSH, values_KSH = (shelf.get(*self._tokens(start, stop)) for shelf in self._shelves)
        if not self.is_coded:
            return keys_KSH, values_KSH
        if any(deltas):
            keys_KSH = self._turner.turned(keys_KSH, self._each_token(deltas))
        return self._turner.dress(self._layer, keys_KSH).to(self._dtype), values_KSH.to(self._dtype)

    def buffers(self) -> tuple[Tensor, Tensor]:
        """All places of plain shelves, keys and values, each [K, S, H]."""
        assert self._shelves is not None, "there are shelves once a frame has come"
        keys, values = self._shelves
        assert isinstance(keys, PlainShelf)
        assert isinstance(values, PlainShelf)
        return keys.data_KSH, values.data_KSH

    def look(self, start: int, stop: int) -> Tensor:
        """What each entry shows: its values. Shapes: -> [E, K * P * H] in float32."""
        assert self._shelves is not None
        values_KSH = self._shelves[1].get(*self._tokens(start, stop)).float()
        return values_KSH.view(len(values_KSH), stop - start, -1).transpose(0, 1).flatten(1)

    def turn(self, start: int, deltas: Sequence[int]) -> None:
        """Move the plain keys of the places from `start` on to other positions."""
        assert self._shelves is not None
        assert not self.is_coded
        first, last = self._tokens(start, start + len(deltas))
        keys_KSH = self._shelves[0].get(first, last)
        self._shelves[0].put(first, self._turner.frames(self._layer, keys_KSH, self._each_token(deltas)))

    def regroup(self, groups: Sequence[Sequence[int]], deltas: Sequence[int], weights: Weights) -> None:
        """Bring groups of places to the front, those of several places joined; `deltas` has one number per place."""
        assert self._shelves is not None
        joined = {n: self._join(group, deltas, weights) for n, group in enumerate(groups) if len(group) > 1}
        places_E = torch.tensor([group[0] for group in groups], dtype=torch.long, device=self._device)
        tokens_S = (places_E[:, None] * self.per_entry + torch.arange(self.per_entry, device=self._device)).flatten()
        for shelf in self._shelves:
            shelf.pack(tokens_S)
        for n, (keys_KPH, values_KPH) in joined.items():
            self._put(n, keys_KPH if self.is_coded else self._turner.dress(self._layer, keys_KPH), values_KPH)

    def _join(self, group: Sequence[int], deltas: Sequence[int], weights: Weights) -> tuple[Tensor, Tensor]:
        """Stripped keys and values of one entry. Shapes: -> two of [K, P, H], float32."""
        assert self._shelves is not None
        keys, values = [], []
        for place in group:
            keys_KPH, values_KPH = (shelf.get(*self._tokens(place, place + 1)) for shelf in self._shelves)
            bare_KPH = keys_KPH if self.is_coded else self._turner.strip(self._layer, keys_KPH)
            keys.append(self._turner.turned(bare_KPH, self._each_token([deltas[place]])))
            values.append(values_KPH.float())
        keys_KNH, values_KNH = torch.cat(keys, dim=1), torch.cat(values, dim=1)
        weights_PN = weights(keys_KNH, values_KNH, self.per_entry)
        return average_keys(keys_KNH, weights_PN), weights_PN @ values_KNH

    def _put(self, at: int, keys_KSH: Tensor, values_KSH: Tensor) -> None:
        assert self._shelves is not None
        for shelf, x_KSH in zip(self._shelves, (keys_KSH, values_KSH), strict=True):
            shelf.put(at * self.per_entry, x_KSH)

    @property
    def _device(self) -> torch.device:
        assert self._shelves is not None
        return self._shelves[0].device

    def _tokens(self, start: int, stop: int) -> tuple[int, int]:
        return start * self.per_entry, stop * self.per_entry

    def _each_token(self, deltas: Sequence[int]) -> Tensor:
        return torch.tensor(deltas, device=self._device).repeat_interleave(self.per_entry)
