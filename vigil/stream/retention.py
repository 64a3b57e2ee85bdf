"""What becomes of frames that are no longer recent. All policies spend the same bytes: `memory_frames` entries.

A policy is asked when the memory is over-full. It names the entries that stay, alone or joined, oldest first; frames of
entries that it does not name are evicted. All but the window make room for an eighth of the memory at once, so that the
one copy this takes is paid for by many frames.

Axes: E entries, K key/value heads, N tokens that enter a join, M tokens that come out, H head channels, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vigil.config import StreamConfig

Group = tuple[int, ...]
"""Entries, by their place in the memory, that become one entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one place of the memory stands for."""

    frames: tuple[int, ...]
    """Numbers of the frames, in order."""
    position: int
    """Rotary position; that of its newest frame."""
    turned_to: int
    """Position to which the stored key has been turned. Coded keys stay where they were and are turned when read."""


class Retention(Protocol):
    """A policy. To add one: write a class, name it in `retention_of` and in `vigil.config.Retention`, and say in
    `vigil.stream.budget.budget_of` how far back it reaches."""

    def groups(self, entries: Sequence[Entry], look: Callable[[], Tensor]) -> list[Group]:
        """Which entries stay, alone or joined, oldest first. `look` gives what each entry shows, [E, C] in float32."""
        ...

    def weights(self, keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
        """How the tokens of a group are joined: row m says of what token m is the average. Shapes: -> [M, N]."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """The newest frames, and nothing else."""

    size: int

    def groups(self, entries: Sequence[Entry], look: Callable[[], Tensor]) -> list[Group]:
        """The newest `size` entries; what they show, [E, C], does not count."""
        return [(i,) for i in range(max(0, len(entries) - self.size), len(entries))]

    def weights(self, keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
        """Never asked: nothing is joined. Shapes: -> [M, N]."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Keyframes:
    """The recent frames, and of the older ones those that differ most from the one kept before them.

    There is no threshold: as long as there are too many, the frame goes that is most like its predecessor. Frames of
    calm hours go soon; the memory of what was unlike anything else has no limit in time.
    """

    size: int
    recent: int

    def groups(self, entries: Sequence[Entry], look: Callable[[], Tensor]) -> list[Group]:
        """All but those older entries that show most nearly, in [E, C], what the one before them does."""
        room = _room(len(entries), self.size)
        look_EC = look()
        far = torch.cdist(look_EC[None], look_EC[None], compute_mode="donot_use_mm_for_euclid_dist")[0].tolist()
        kept = list(range(len(entries)))
        for _ in range(room):
            older = range(1, len(kept) - self.recent)
            if not older:
                break
            del kept[min(older, key=lambda i: far[kept[i]][kept[i - 1]])]
        return [(i,) for i in kept[max(0, len(kept) - self.size) :]]

    def weights(self, keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
        """Never asked: nothing is joined. Shapes: -> [M, N]."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Pool:
    """The recent frames, and the older ones averaged in groups, token by token; the oldest groups go in the end."""

    size: int
    recent: int
    together: int

    def groups(self, entries: Sequence[Entry], look: Callable[[], Tensor]) -> list[Group]:
        """Join the oldest single frames; where that does not make enough room, the oldest groups go.

        What entries show, [E, C], does not count.
        """
        room = _room(len(entries), self.size)
        first = sum(1 for entry in entries if len(entry.frames) > 1)  # groups stand before single frames
        spare = max(0, len(entries) - first - self.recent)
        joins = min(spare // self.together, -(-room // (self.together - 1)))
        excess = len(entries) - self.size - joins * (self.together - 1)
        lost = max(0, excess, min(room - joins * (self.together - 1), first + joins))
        starts = [first + n * self.together for n in range(joins)]
        joined = [tuple(range(start, start + self.together)) for start in starts]
        rest = range(first + joins * self.together, len(entries))
        return ([(i,) for i in range(first)] + joined + [(i,) for i in rest])[lost:]

    def weights(self, keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
        """Token m is the average of the tokens m of all frames. Shapes: [K, N, H], [K, N, H] -> [M, N]."""
        num = keys_KNH.shape[1] // num_out
        return torch.eye(num_out, device=keys_KNH.device).repeat(1, num) / num


@dataclass(frozen=True, slots=True)
class Merge(Pool):
    """As `Pool`, but similar tokens of a group are merged, wherever they stand, until a frame's worth is left.

    What looks the same for long, such as a background, ends in a few tokens; what was there for a moment keeps its own.

    Source: likeness of keys as in ToMe (arXiv 2210.09461), but over the tokens of several frames and without sides.
    """

    def weights(self, keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
        """In each round all pairs of tokens that are each other's likest become one, the likest pairs first.

        Shapes: [K, N, H], [K, N, H] -> [M, N].
        """
        num = keys_KNH.shape[1]
        look_NC = keys_KNH.float().transpose(0, 1).flatten(1)
        weights_MN = torch.eye(num, device=keys_KNH.device)
        while len(weights_MN) > num_out:
            mean_MC = torch.nn.functional.normalize(weights_MN @ look_NC, dim=1)
            like_MM = (mean_MC @ mean_MC.T).fill_diagonal_(-torch.inf)
            best_M, likest_M = like_MM.max(1)
            here_M = torch.arange(len(weights_MN), device=best_M.device)
            first = here_M[(likest_M[likest_M] == here_M) & (here_M < likest_M)]
            first = first[best_M[first].argsort(descending=True)[: len(weights_MN) - num_out]]
            weights_MN[first] += weights_MN[likest_M[first]]
            stays_M = torch.ones_like(here_M, dtype=torch.bool).index_fill(0, likest_M[first], value=False)
            weights_MN = weights_MN[stays_M]
        return weights_MN / weights_MN.sum(1, keepdim=True)


def retention_of(config: StreamConfig) -> Retention:
    """The policy that a config names."""
    size, recent = config.memory_frames, config.num_recent
    match config.retention:
        case "window":
            return Window(size)
        case "keyframes":
            return Keyframes(size, recent)
        case "pool":
            return Pool(size, recent, config.pool_frames)
        case "merge":
            return Merge(size, recent, config.pool_frames)


def _room(num_entries: int, size: int) -> int:
    """Entries that have to go, and an eighth of the memory more."""
    return num_entries - size + size // 8
