"""The decisions that were fixed before the first run, and what the numbers say to them.

A decision holds only if it holds in every seed: an interval "excludes 0" when those of all seeds do, on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigil.eval.study.results import Results
from vigil.eval.study.scoring import COST_WEIGHT, GUARANTEE, LEAST_GUARANTEE

MOST_LOST = 0.01
"""Offline accuracy that an architecture may lose (1 point)."""


@dataclass(frozen=True)
class Verdict:
    """A claim, whether the numbers bear it out, and the numbers."""

    claim: str
    holds: bool
    because: str


def verdicts(results: Results) -> list[Verdict]:
    """All decisions of one study."""
    return {"A": _architecture, "B": _revisions, "C": _silence, "D": _offline}[results.study.letter](results)


def _architecture(results: Results) -> list[Verdict]:
    """Cross-attention is supported if nL5 and excess lag differ while the offline mean loses at most a point."""
    ours, *twins = results.labels
    found = []
    for twin in twins:
        nl5, lag, offline = (results.differences(ours, name, to=twin) for name in ("l5_nl5", "el_mean_s", "offline"))
        lost = -(offline.spread.mean or 0.0)
        found.append(
            Verdict(
                claim=f"cross-attention is better than the {twin} while it speaks",
                holds=nl5.is_above and lag.is_below and lost <= MOST_LOST,
                because=(
                    f"nL5 {signed(nl5.spread.mean)} ({nl5.num_above} of {len(nl5.estimates)} seeds above 0), "
                    f"excess lag {signed(lag.spread.mean)} s ({lag.num_below} below 0), "
                    f"offline {signed(offline.spread.mean)}"
                ),
            )
        )
    return found


def _revisions(results: Results) -> list[Verdict]:
    """Revision data is supported if RevF1-AUC rises and churn on constant truth does not."""
    ours, *others = results.labels
    found = []
    for other in others:
        f1 = results.differences(ours, "rev_f1_auc", to=other)
        churn = results.differences(ours, "churn_constant_per_min", to=other)
        found.append(
            Verdict(
                claim=f"data with revisions is better than {other}",
                holds=f1.is_above and churn.num_above == 0,
                because=(
                    f"RevF1-AUC {signed(f1.spread.mean)} ({f1.num_above} of {len(f1.estimates)} seeds above 0), "
                    f"churn on constant truth {signed(churn.spread.mean)} per min ({churn.num_above} above 0)"
                ),
            )
        )
    return found


def _silence(results: Results) -> list[Verdict]:
    """The variant with the least C(.3) among those that answer at least 95 % of direct questions within 1 s."""
    table = {}
    for label in results.labels:
        for prefix in ("", "tuned_"):
            kept, cost = (results.spread(label, prefix + name).mean for name in (GUARANTEE, COST_WEIGHT))
            if kept is not None and cost is not None and kept >= LEAST_GUARANTEE:
                table[label + (", threshold tuned" if prefix else "")] = cost
    claim = f"a variant answers {LEAST_GUARANTEE:.0%} of direct questions within 1 s"
    if not table:
        return [Verdict(claim, False, "none reaches it, so none is picked")]
    best = min(table, key=lambda label: table[label])
    costs = ", ".join(f"{label} {cost:.2f}" for label, cost in sorted(table.items(), key=lambda pair: pair[1]))
    return [Verdict(f"{claim}; picked by the least C(.3): {best}", True, f"C(.3): {costs}")]


def _offline(results: Results) -> list[Verdict]:
    """No threshold was fixed; every task is printed. A loss is shown where it excludes 0 in all seeds."""
    found = []
    for label in results.labels[1:]:
        tasks = offline_tasks(results)
        differ = {task: results.differences(label, task) for task in tasks}
        lost = [task for task, one in differ.items() if one.is_below]
        won = [task for task, one in differ.items() if one.is_above]
        whole = results.differences(label, "offline")
        found.append(
            Verdict(
                claim=f"{label}: a loss of offline ability is shown",
                holds=bool(lost) or whole.is_below,
                because=(
                    f"mean {signed(whole.spread.mean)}; of {len(tasks)} tasks {len(lost)} fall and {len(won)} rise "
                    "with an interval that excludes 0 in every seed"
                ),
            )
        )
    return found


def offline_tasks(results: Results) -> list[str]:
    """Names of the offline tasks that every run has."""
    return [name for name in results.measures[results.labels[0]][0] if name.startswith("offline_")]


def signed(value: float | None) -> str:
    """A difference."""
    return "undefined" if value is None else f"{value:+.3f}"
