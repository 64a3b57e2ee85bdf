"""What a stream remembers of its frames, in bounded memory. Its text is in `vigil.stream.text_lane`.

The lane is preallocated, keeps key/value heads unexpanded, and hands out views, never copies (8-bit storage unpacks one
layer at a time). It knows no thread and no clock: whoever appends also reads, so a snapshot stays valid until the next
`publish`.

Axes: F frames, K key/value heads, P vision tokens of a frame, T text tokens, S entries * P, H head channels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model.model import VideoModel, Written
from vigil.model.rope import Turner, frequencies
from vigil.model.views import FrameView, Prefix
from vigil.stream.retention import Entry, Group, retention_of
from vigil.stream.store import LayerStore
from vigil.stream.text_lane import TextMemory

__all__ = ["FrameMemory", "Snapshot", "TextMemory", "turner_of"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The published frames, oldest first. Valid until the next `FrameMemory.publish`."""

    layers: tuple[Callable[[], tuple[Tensor, Tensor]], ...]
    """Reads keys and values of one cross layer, each [K, S, H]."""
    positions: tuple[int, ...]
    """Rotary position of each entry."""
    per_entry: int
    """Vision tokens of an entry."""

    def __len__(self) -> int:
        return len(self.positions)

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one cross layer, each [K, S, H]."""
        return self.layers[layer]()

    def views(self, positions_T: Tensor) -> Views:
        """What each cross layer reads for text rows at these positions, [T]; None each before the first frame."""
        visible = None
        if self.positions and int(positions_T[0]) < self.positions[-1]:
            visible = Prefix(tuple(self.per_entry * bisect_right(self.positions, p) for p in positions_T.tolist()))
        return Views(self, visible)


@dataclass(frozen=True, slots=True)
class Views(Sequence["FrameView | None"]):
    """One `FrameView` per cross layer, made when it is asked for, so that one layer at a time is unpacked."""

    snapshot: Snapshot
    visible: Prefix | None

    def __len__(self) -> int:
        return len(self.snapshot.layers)

    def __iter__(self) -> Iterator[FrameView | None]:
        return (self[layer] for layer in range(len(self)))

    def __getitem__(self, layer: int) -> FrameView | None:  # type: ignore[override]  # no slices
        if not len(self.snapshot):
            return None
        keys_KSH, values_KSH = self.snapshot.layer(layer)
        return FrameView(keys_KSH[None], values_KSH[None], self.visible)


class FrameMemory:
    """Keys and values of frames for every cross layer, in `StreamConfig.memory_frames` entries.

    Frames are staged by `append`, layer by layer, and become readable all at once by `publish`. A window slides through
    a buffer a quarter larger than itself; at the buffer's end it moves back to the start, so that a lane is always
    contiguous and one move is paid for by many frames. `vigil.stream.retention` says what becomes of old ones.
    """

    def __init__(self, config: StreamConfig, *, num_layers: int, turner: Turner | None = None) -> None:
        """`turner` moves keys to other positions: what is joined, coded, or kept while text is compacted needs one."""
        self.config = config
        self._retention = retention_of(config)
        self._layers = [LayerStore(layer, config.frame_storage, turner) for layer in range(num_layers)]
        self._staged = [0] * num_layers
        self._size = 0
        self._start = 0
        self._num_frames = 0
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        """Entries published and kept; each is one frame, or several joined."""
        return len(self._entries)

    @property
    def num_bytes(self) -> int:
        """Memory that the lane holds, readable or not."""
        return sum(layer.num_bytes for layer in self._layers)

    @property
    def positions(self) -> tuple[int, ...]:
        """Rotary position of each entry, oldest first."""
        return tuple(entry.position for entry in self._entries)

    @property
    def frames(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the frames that each entry stands for, oldest first."""
        return tuple(entry.frames for entry in self._entries)

    # ---- writing ---------------------------------------------------------------------------------------------

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
        self._layers[layer].write(self._start + len(self) + self._staged[layer], keys_FKPH, values_FKPH)
        self._staged[layer] += new

    def publish(self, positions: Sequence[int] | None = None, numbers: Sequence[int] | None = None) -> list[int]:
        """Make the staged frames readable at once; return the numbers of the frames that are gone, oldest first.

        `positions` are the frames' rotary positions; without them every text row may see them. `numbers` name them in
        what this returns; without them they are counted 0, 1, 2, ...
        """
        new = self._staged[0]
        assert all(staged == new for staged in self._staged), "every cross layer stages the same frames"
        positions = [0] * new if positions is None else positions
        numbers = range(self._num_frames, self._num_frames + new) if numbers is None else numbers
        self._num_frames += new
        self._staged = [0] * len(self._staged)
        self._entries += [Entry((n,), p, p) for n, p in zip(numbers, positions, strict=True)]
        if len(self) <= self.config.memory_frames:
            return []
        groups = self._retention.groups(self._entries, self._look)
        assert len(groups) <= self.config.memory_frames, "a policy makes room"
        return self._regroup(groups)

    def take(self, written: Written, positions: Sequence[int], numbers: Sequence[int] | None = None) -> list[int]:
        """Store placed frames for every cross layer and publish them; return the numbers of those that are gone."""
        for layer, (keys, values) in enumerate(zip(written.keys, written.values, strict=True)):
            self.append(layer, keys, values)
        return self.publish(positions, numbers)

    def move(self, new_position: Callable[[int], int]) -> None:
        """Give every entry another rotary position, as if it had been written there."""
        self._entries = [replace(entry, position=new_position(entry.position)) for entry in self._entries]
        deltas = self._deltas()
        if any(deltas) and self.config.frame_storage == "model":  # coded keys are turned when they are read
            for layer in self._layers:
                layer.turn(self._start, deltas)
            self._entries = [replace(entry, turned_to=entry.position) for entry in self._entries]

    def _deltas(self) -> list[int]:
        """How far each stored key has to be turned to stand at its position."""
        return [entry.position - entry.turned_to for entry in self._entries]

    # ---- reading ---------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The frames that are readable now."""
        start, stop, deltas = self._start, self._start + len(self), self._deltas()
        reads = tuple(partial(layer.read, start, stop, deltas) for layer in self._layers)
        return Snapshot(reads, self.positions, self._layers[0].per_entry if self._layers else 0)

    def buffers(self) -> list[tuple[Tensor, Tensor]]:
        """The whole lanes of keys and values, each [K, S, H], readable or not; plain storage, after the first frame.

        They stay where they are while frames come and go; `span` says what is readable.
        """
        return [layer.buffers() for layer in self._layers]

    @property
    def span(self) -> tuple[int, int]:
        """Where in `buffers` the readable tokens lie: [start, stop)."""
        per_entry = self._layers[0].per_entry if self._layers else 0
        return self._start * per_entry, (self._start + len(self)) * per_entry

    # ---- keeping ---------------------------------------------------------------------------------------------

    def _regroup(self, groups: Sequence[Group]) -> list[int]:
        """Keep these entries, join those of one group, and return the numbers of the frames that are in none."""
        stay = {frame for group in groups for i in group for frame in self._entries[i].frames}
        gone = [frame for entry in self._entries for frame in entry.frames if frame not in stay]
        first = len(self) - len(groups)
        if all(group == (first + n,) for n, group in enumerate(groups)):  # only the oldest go
            self._start += first
            del self._entries[:first]
            return gone
        target = {i: self._entries[group[-1]].position for group in groups for i in group if len(group) > 1}
        deltas = [target.get(i, entry.turned_to) - entry.turned_to for i, entry in enumerate(self._entries)]
        places = [[self._start + i for i in group] for group in groups]
        for layer in self._layers:
            layer.regroup(places, self._start * [0] + deltas, self._retention.weights)
        self._entries = [self._one_entry(group) for group in groups]
        self._start = 0
        return gone

    def _one_entry(self, group: Group) -> Entry:
        newest = self._entries[group[-1]]
        if len(group) == 1:
            return newest
        frames = tuple(frame for i in group for frame in self._entries[i].frames)
        return Entry(frames, newest.position, newest.position)

    def _look(self) -> Tensor:
        return self._layers[0].look(self._start, self._start + len(self))

    def _make_room(self, layer: int, part_FKPH: Tensor) -> None:
        """Have places behind the entries for new ones: move to the start, or make a larger buffer."""
        used = len(self) + max(self._staged[layer] + len(part_FKPH), *self._staged)
        if self._start + used <= self._size:
            return
        kept = range(self._start, self._start + len(self) + max(self._staged))
        capacity = self.config.memory_frames
        size = max(capacity + (capacity // 4 if self.config.retention == "window" else 0) + 1, used)
        for store in self._layers:
            if size > self._size:
                store.reserve(size, part_FKPH, kept)
            else:
                store.regroup([(place,) for place in kept], (), self._retention.weights)
        self._size, self._start = max(size, self._size), 0


def turner_of(model: VideoModel) -> Turner:
    """What moves the cached keys of a model."""
    config = model.config
    norms = [layer.cross_attn.k_norm.weight.detach() for layer in model.decoder.cross_layers]
    freq = frequencies(config.text).to(model.device)
    return Turner(freq, tuple(norms), norm_last=config.k_norm == "after_rotation", rotates_frames=config.frame_rope)
