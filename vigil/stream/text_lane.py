"""What a stream remembers of its text, in bounded memory and at bounded rotary positions.

The lane is preallocated. When it is full it is *compacted*: what can be spared goes, and what stays moves up to close
the gaps, its cached keys turned to the new positions, and the frames with their placeholders. Token i of the lane
therefore always stands at position i, and no position ever exceeds the lane's size, however long the stream.

Axes: K key/value heads, T tokens, S entries of the lane, H head channels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from vigil.errors import MemoryFull
from vigil.model.rope import Turner

if TYPE_CHECKING:
    from vigil.stream.static import StaticStep


class TextMemory:
    """Keys and values of text tokens, for every self-attention layer. A `TextCache` for one stream."""

    def __init__(self, capacity: int, *, num_layers: int) -> None:
        self.capacity = capacity
        self._keys: list[Tensor] = [torch.empty(0)] * num_layers
        self._values: list[Tensor] = [torch.empty(0)] * num_layers
        self._length = 0
        self.step: StaticStep | None = None
        """The step that was captured for this stream, if it has one."""

    def __len__(self) -> int:
        """Tokens kept."""
        return self._length

    @property
    def num_bytes(self) -> int:
        """Memory that the lane holds."""
        return sum(t.nbytes for t in (*self._keys, *self._values))

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

    def buffers(self) -> list[tuple[Tensor, Tensor]]:
        """The whole lanes of keys and values, each [K, S, H], of which the first `len(self)` entries count."""
        return list(zip(self._keys, self._values, strict=True))

    def advance(self, num_tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self._length += num_tokens

    def clear(self) -> None:
        """Forget all entries; the lane keeps its memory."""
        self._length = 0

    def keep(self, kept: Sequence[int], deltas: Sequence[int], turner: Turner) -> None:
        """Forget all but these entries, and move the key of each by so many rotary positions."""
        device = self._keys[0].device
        kept_S, deltas_S = (torch.tensor(numbers, dtype=torch.long, device=device) for numbers in (kept, deltas))
        for keys, values in zip(self._keys, self._values, strict=True):
            keys[:, : len(kept)] = turner.text(keys[:, kept_S], deltas_S)
            values[:, : len(kept)] = values[:, kept_S]
        self._length = len(kept)


class Kind(Enum):
    """What a token of the text lane is, as far as compacting is concerned."""

    FIXED = "system text and the opening of the conversation"
    ASKED = "a user's message, with the headers around it"
    FRAME = "the placeholder of a frame"
    SILENT = "silence in a slot where nothing was said"
    SPOKEN = "a token of an answer"
    CLOSING = "the silence that ends an answer"


class Ledger:
    """Remembers what each token of the text lane is, and says what may go.

    What compacting leaves keeps to the slot grammar, as if the spared frames and turns had never been.
    """

    def __init__(self, *, image_id: int, silence_id: int, entries_per_frame: int = 1) -> None:
        """`entries_per_frame`: places of the lane that a placeholder takes, with the vision tokens where they stand."""
        self._image_id = image_id
        self._silence_id = silence_id
        self._entries_per_frame = entries_per_frame
        self.ids: list[int] = []
        self.kinds: list[Kind] = []
        self._has_opened = False
        self._question = 0
        """Where the open question begins."""

    def __len__(self) -> int:
        """Tokens noted; the next one stands at this position."""
        return len(self.kinds)

    def add(self, ids: Sequence[int]) -> None:
        """Note tokens of the assistant's turn, or of the system text at the start."""
        self.ids += ids
        for token in ids:
            if not self._has_opened:
                self.kinds.append(Kind.FIXED)
            elif token == self._image_id:
                self.kinds.append(Kind.FRAME)
            elif token == self._silence_id:
                self.kinds.append(Kind.CLOSING if self._is_speaking() else Kind.SILENT)
            else:
                self.kinds.append(Kind.SPOKEN)

    def ask(self, ids: Sequence[int]) -> None:
        """Note a user's message. The first one opens the conversation and is always kept."""
        self._question = len(self.kinds)
        self.ids += ids
        self.kinds += [Kind.ASKED if self._has_opened else Kind.FIXED] * len(ids)
        self._has_opened = True

    def reopen(self, ids: Sequence[int]) -> int:
        """Have the conversation begin with other tokens; by how much all that follows moves."""
        old = self.kinds.count(Kind.FIXED)
        self.ids[:old], self.kinds[:old] = ids, [Kind.FIXED] * len(ids)
        shift = len(ids) - old
        if self._question >= old:
            self._question += shift
        return shift

    def _is_speaking(self) -> bool:
        """The newest token but for placeholders is one of an answer."""
        return next((kind is Kind.SPOKEN for kind in reversed(self.kinds) if kind is not Kind.FRAME), False)

    def entries(self, tokens: Sequence[int]) -> list[int]:
        """Places in the lane that these tokens take, in order; `tokens` are places in the ledger, rising."""
        places, at, wanted = list[int](), 0, set(tokens)
        for i, kind in enumerate(self.kinds[: max(tokens, default=-1) + 1]):
            size = self._entries_per_frame if kind is Kind.FRAME else 1
            if i in wanted:
                places += range(at, at + size)
            at += size
        return places

    def num_entries(self, tokens: Iterable[int]) -> int:
        """How many places of the lane these tokens take."""
        return sum(self._entries_per_frame if self.kinds[i] is Kind.FRAME else 1 for i in tokens)

    def choose(self, num_fed: int, target: int, readable: Collection[int]) -> list[int]:
        """Which of the first `num_fed` tokens stay.

        First go the silent slots and placeholders of frames that are not `readable` (positions). While the rest takes
        more than `target` entries, the oldest answers and closed turns go too, and then whatever is left, oldest first;
        the opening and the open question never do.
        """
        kept = self._without_evicted(num_fed, readable)
        for units in (self._spoken, self._others):
            excess = self.num_entries(kept) - target
            gone: set[int] = set()
            for unit in units(kept):
                if excess <= 0:
                    break
                gone.update(unit)
                excess -= self.num_entries(unit)
            kept = [i for i in kept if i not in gone]
        return kept

    def forget(self, kept: Sequence[int], num_fed: int) -> None:
        """Note that of the first `num_fed` tokens only these stayed."""
        kinds = [*(self.kinds[i] for i in kept), *self.kinds[num_fed:]]
        self.ids = [*(self.ids[i] for i in kept), *self.ids[num_fed:]]
        self._question = new_position(kept, num_fed, self._question)
        for n, kind in enumerate(kinds):
            if kind is Kind.CLOSING and kinds[n - 1] is not Kind.SPOKEN:
                kinds[n] = Kind.SILENT  # the answer before it is gone
        self.kinds = kinds

    def _without_evicted(self, num_fed: int, readable: Collection[int]) -> list[int]:
        """Take out each frame that is gone together with the silent slot behind or before it, or alone from speech."""
        kinds, kept, i = self.kinds, list[int](), 0
        while i < num_fed:
            before = kinds[kept[-1]] if kept else Kind.FIXED
            behind = kinds[i + 1] if i + 1 < num_fed else None
            if kinds[i] is not Kind.FRAME or i in readable or behind is None:
                kept.append(i)
            elif behind is Kind.SILENT:
                i += 1
            elif before is Kind.SILENT:
                kept.pop()
            elif before is not Kind.SPOKEN:
                kept.append(i)  # it keeps two answers apart
            i += 1
        return kept

    def _spoken(self, kept: Sequence[int]) -> list[list[int]]:
        """Closed questions with the slot behind them, and answers but for the silence that ends them, oldest first.

        What a readable frame falls into stays whole.
        """
        units: list[list[int]] = []
        runs = [(kind, list(run)) for kind, run in groupby(kept, key=lambda i: self.kinds[i])]
        behind = [kind for kind, _ in runs[1:]] + [None]
        for n, (kind, run) in enumerate(runs):
            if kind is Kind.ASKED and run[0] < self._question:
                unit, m = list(run), n + 1
                while m < len(runs) and runs[m][0] in (Kind.SILENT, Kind.SPOKEN, Kind.CLOSING):
                    unit += runs[m][1]
                    m += 1
                if runs[m - 1][0] is not Kind.SPOKEN or (m < len(runs) and runs[m][0] is Kind.ASKED):
                    units.append(unit)
            elif kind is Kind.SPOKEN and behind[n] is Kind.CLOSING and runs[n - 1][0] in (Kind.FRAME, Kind.ASKED):
                units.append(run)
        return units

    def _others(self, kept: Sequence[int]) -> list[list[int]]:
        """Everything that is neither the opening nor the open question, one by one, oldest first."""
        stop = self._question
        while stop < len(self.kinds) and self.kinds[stop] is Kind.ASKED:
            stop += 1
        return [[i] for i in kept if self.kinds[i] is not Kind.FIXED and not self._question <= i < stop]


class Frames(Protocol):
    """The frames that go with a text lane."""

    @property
    def positions(self) -> Collection[int]: ...

    def move(self, new_position: Callable[[int], int]) -> None: ...


def new_position(kept: Sequence[int], num_fed: int, position: int) -> int:
    """Where what stood at `position` stands when of the first `num_fed` tokens only `kept` stayed."""
    return bisect_left(kept, position) if position < num_fed else position - num_fed + len(kept)


def make_room(
    text: TextMemory, frames: Frames, ledger: Ledger, *, num_pending: int, num_spare: int, turner: Turner
) -> None:
    """Compact the lane if the newest `num_pending` tokens of the ledger, which are still to be fed, do not fit.

    `num_spare`: entries that should be free afterwards; the more, the rarer it is.
    """
    num_fed = len(ledger) - num_pending
    wanted = ledger.num_entries(range(num_fed, len(ledger)))
    if len(text) + wanted <= text.capacity:
        return
    kept = ledger.choose(num_fed, text.capacity - max(wanted, num_spare), frames.positions)
    old, places = ledger.entries(range(num_fed)), ledger.entries(kept)
    assert len(old) == len(text), "the ledger and the lane hold the same tokens"
    deltas = [n - i for n, i in enumerate(kept) for _ in range(ledger.num_entries([i]))]
    text.keep(places, deltas, turner)
    frames.move(lambda position: new_position(kept, num_fed, position))
    ledger.forget(kept, num_fed)


@torch.inference_mode()
def begin_anew(
    text: TextMemory, frames: Frames, ledger: Ledger, opening: Sequence[int], *, num_pending: int, num_spare: int
) -> list[int]:
    """Have the conversation begin with other tokens, and empty the lane: what it held depends on how it began.

    Returns:
        the tokens to be fed again from position 0 on; the newest `num_pending` of the ledger are still to come then.
    """
    shift = ledger.reopen(opening)
    frames.move(lambda position: position + shift)
    num_fed, target = len(ledger) - num_pending, text.capacity - num_spare
    if num_fed > target:
        kept = ledger.choose(num_fed, target, frames.positions)
        frames.move(lambda position: new_position(kept, num_fed, position))
        ledger.forget(kept, num_fed)
        num_fed = len(kept)
    text.clear()
    return ledger.ids[:num_fed]
