"""One-to-one matching of what was said with what happened: the best assignment, exact, with fixed ties."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

_MATCH_US = 1000 * 1_000_000
"""What a match is worth (us of distance): far more than any tolerance, so that most matches come first."""


def match(
    said_us: Sequence[int],
    due_us: Sequence[int],
    *,
    early_us: int,
    late_us: int,
    fits: Callable[[int, int], bool] = lambda said, due: True,
) -> list[tuple[int, int]]:
    """Pairs (index of speech, index of event) with -early <= said - due <= late that `fits` allows, by event.

    Maximises the sum of (1000 s - distance) over the pairs; among equal sums, the earlier speech, then the earlier
    event. Times are whole microseconds in order, so that sums are exact.
    """
    pairs: list[tuple[int, int]] = []
    for due in _blocks(due_us, early_us + late_us):
        said = range(bisect_left(said_us, due_us[due[0]] - early_us), bisect_right(said_us, due_us[due[-1]] + late_us))
        worth = [[_worth(said_us[i] - due_us[j], early_us, late_us) if fits(i, j) else 0 for i in said] for j in due]
        pairs += [(said[column], due[row]) for row, column in _best_pairs(worth)]
    return pairs


def _blocks(due_us: Sequence[int], window_us: int) -> list[list[int]]:
    """Indices of events in runs that no speech event can link: each run is matched on its own."""
    blocks: list[list[int]] = [[0]] if due_us else []
    for j, (before_us, after_us) in enumerate(pairwise(due_us), start=1):
        if after_us - before_us <= window_us:
            blocks[-1].append(j)
        else:
            blocks.append([j])
    return blocks


def _worth(distance_us: int, early_us: int, late_us: int) -> int:
    return _MATCH_US - abs(distance_us) if -early_us <= distance_us <= late_us else 0


def _best_pairs(worth: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Pairs (row, column) of the matching that is worth most; pairs that are worth 0 are left out.

    Ties are broken by whole numbers too small to outweigh one microsecond: a bit per column, the first highest, and
    below them a bit per row.
    """
    num_rows, num_columns = len(worth), len(worth[0])
    scaled = [
        [
            (value << num_columns | 1 << (num_columns - 1 - column)) << num_rows | 1 << (num_rows - 1 - row)
            if value
            else 0
            for column, value in enumerate(values)
        ]
        + [0] * num_rows  # columns that stand for "not matched"
        for row, values in enumerate(worth)
    ]
    return [(row, column) for row, column in enumerate(assign(scaled)) if scaled[row][column] > 0]


def assign(worth: Sequence[Sequence[int]]) -> list[int]:
    """The column of each row that makes the sum largest, every column used at most once (Hungarian method).

    Needs at least as many columns as rows. Rows enter one by one; each time, the cheapest chain of reassignments is
    found under prices that keep every reduced cost at 0 or above.
    """
    num_columns = len(worth[0])
    row_price, column_price = [0] * len(worth), [0] * num_columns
    owner: dict[int, int] = {}
    """Column -> its row."""
    for entering in range(len(worth)):
        row, reached = entering, 0
        cost: dict[int, int] = {}
        """Column not yet settled -> cheapest known chain to it."""
        came_from: dict[int, int] = {}
        """Column -> the row before it in that chain."""
        settled: dict[int, int] = {}
        rows = {entering: 0}
        while True:
            for column in range(num_columns):
                if column not in settled:
                    there = reached - worth[row][column] - row_price[row] - column_price[column]
                    if column not in cost or there < cost[column]:
                        cost[column], came_from[column] = there, row
            best = min(cost, key=lambda column: (cost[column], column))
            reached = settled[best] = cost.pop(best)
            if best not in owner:
                break
            row = owner[best]
            rows[row] = reached
        for seen, at in rows.items():
            row_price[seen] += reached - at
        for column, at in settled.items():
            column_price[column] -= reached - at
        _shift(owner, came_from, best, entering)
    return [column for _, column in sorted((row, column) for column, row in owner.items())]


def _shift(owner: dict[int, int], came_from: dict[int, int], column: int, entering: int) -> None:
    """Give each column of the chain that ends at `column` to the row before it."""
    held = {row: own for own, row in owner.items()}
    while True:
        row = came_from[column]
        owner[column] = row
        if row == entering:
            return
        column = held[row]
