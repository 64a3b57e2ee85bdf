"""How long replies wait for each other at a given speaking pace."""

from __future__ import annotations

from vigil.data.records import Turn


def max_wait_s(turn: Turn, words_per_s: float) -> float:
    """Longest time that a reply waits for the ones before it to be spoken, at a pace in words per second."""
    free_s, longest_s = 0.0, 0.0
    for reply in turn.replies:
        start_s = reply.time_s if reply.overtakes else max(reply.time_s, free_s)
        longest_s = max(longest_s, start_s - reply.time_s)
        free_s = start_s + len(reply.text.split()) / words_per_s
    return longest_s
