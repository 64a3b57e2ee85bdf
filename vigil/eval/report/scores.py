"""The scores: four headlines, a table of the metrics with their intervals, and every control beside every score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vigil.eval.controls import OF_THE_MODEL, SEEING_NOTHING
from vigil.eval.report.charts import ruler
from vigil.eval.report.document import scrollable
from vigil.eval.report.markup import Markup, tag
from vigil.eval.stats import chance_corrected

Controls: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Name of a control -> metric -> its estimate."""
RECENT = ("recent_4", "recent_16")
"""The model itself, asked with only the newest frames: shown beside every score where they were run."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A metric as people read it."""

    key: str
    label: str
    meaning: str
    is_share: bool = True
    """It lies between 0 and 1, and more is better."""


GROUPS: dict[str, tuple[Shown, ...]] = {
    "Timely silence": (
        Shown("speak_f1_2s", "F1 of speech", "things said matched one to one with things due, within 2 s"),
        Shown("speak_precision_2s", "precision", "matches / things said"),
        Shown("speak_recall_2s", "recall", "matches / things due"),
        Shown("silence_recall", "silence kept", "silent slots / slots in which nothing was due"),
        Shown("false_speech_per_min", "false speech per minute", "speech while nothing was due / minutes of it", False),
        Shown("alert_hit", "alerts hit", "alerts within 2 s of their event / alerts whose event comes"),
        Shown("alert_false_alarm", "alerts without cause", "answered / alerts whose event never comes", False),
        Shown("answer_guarantee_1s", "answered within 1 s", "direct answerable questions; 1 s of run clock"),
    ),
    "Answer revision": (
        Shown("rev_f1_2s", "F1 of revisions", "changes of the answer matched with changes of the truth, within 2 s"),
        Shown("rev_f1_auc", "the same over 1 to 10 s", "area over the logarithm of the delay, divided by its length"),
        Shown("rev_latency_median_s", "median delay (s)", "Kaplan-Meier; a change never followed is censored", False),
        Shown("churn_per_min", "uncredited changes per minute", "changes of the answer that no change explains", False),
        Shown("explicitness", "marked as revision", "credited changes that name what they replace"),
    ),
    "Continuous perception": (
        Shown("twa_now", "right answer, share of time", "seconds with the right current answer / seconds with a truth"),
        Shown("pl_slope", "slope of perception lag", "within utterances; 0 = sees while it speaks, 1 = blocked", False),
        Shown("el_mean_s", "excess lag (s)", "age of the frame seen, less that of the newest one", False),
        Shown("on_time_ingest", "frames ready in time", "frames during speech ready within a frame period"),
        Shown("frame_loss", "frames lost", "dropped / arrived", False),
    ),
    "Content": (
        Shown("content_exact", "whole text right", "matched replies whose whole text is an accepted one"),
        Shown("content_exact_named", "the same, named things", "over questions that name a thing"),
    ),
}  # fmt: skip
HEADLINES = (
    ("Does it speak when there is something to say?", "speak_f1_2s"),
    ("Is what it says right?", "content_exact"),
    ("Does the right answer stand?", "twa_now"),
    ("Does it take back what no longer holds?", "rev_f1_2s"),
)
"""Question and metric of each headline; all are shares."""


def controls_of(result: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The controls that logs alone allow, then those that only the summary has."""
    added: dict[str, Mapping[str, Any]] = extra.get("controls", {})
    own: dict[str, Mapping[str, Any]] = result["controls"]
    return own | {name: row for name, row in added.items() if name not in own}


def not_run(controls: Controls) -> str:
    """Which controls of the model are lacking: a page says so; "" if none is."""
    lacking = [_named(name) for name in OF_THE_MODEL if name not in controls]
    return f"Controls not run for these logs: {', '.join(lacking)}." if lacking else ""


def headlines(result: Mapping[str, Any], controls: Controls) -> Markup:
    """The four numbers that answer the questions a reader comes with."""
    tiles = [_tile(question, key, result[key], controls) for question, key in HEADLINES if result[key]["n"]]
    return tag("ul", tiles, class_="tiles")


def _tile(question: str, key: str, own: Mapping[str, Any], controls: Controls) -> Markup:
    shown = next(one for group in GROUPS.values() for one in group if one.key == key)
    best, oracle = _best_blind(shown, controls), _value(controls, "oracle", key)
    spread = f"95 % {_interval(own)}" if own["lo"] is not None else "no interval below 10 videos"
    against = [] if best is None else [f"best blind {best:.2f}"]
    against += [] if oracle is None else [f"oracle {oracle:.2f}"]
    line = ruler(own["value"], own["lo"], own["hi"], [(best, "blindmark"), (oracle, "oraclemark")])
    parts = [tag("p", question), tag("strong", _spelled(own["value"])), tag("span", shown.label), line]
    return tag("li", parts, tag("small", spread), tag("small", " · ".join(against)))


def _value(controls: Controls, control: str, key: str) -> float | None:
    value: float | None = controls.get(control, {}).get(key, {}).get("value")
    return value


def _best_blind(shown: Shown, controls: Controls) -> float | None:
    values = [_value(controls, name, shown.key) for name in (*SEEING_NOTHING, "text_only")]
    return max((value for value in values if value is not None), default=None) if shown.is_share else None


def _interval(own: Mapping[str, Any]) -> str:
    return "no CI" if own["lo"] is None or own["hi"] is None else f"{own['lo']:.2f} to {own['hi']:.2f}"


def score_table(result: Mapping[str, Any], controls: Controls) -> Markup:
    """Every shown metric with its interval, the best blind score, the score with chance taken out, and the oracle."""
    recent = [name for name in RECENT if name in controls]
    columns = ["", "definition", "", "score", "95 %", "best blind", "chance-corrected"]
    columns += [*map(_named, recent), "oracle", "n"]

    def row(shown: Shown) -> Markup:
        """One metric."""
        own, best = result[shown.key], _best_blind(shown, controls)
        others = [_value(controls, name, shown.key) for name in (*recent, "oracle")]
        corrected = chance_corrected(own["value"], best)
        line = ruler(own["value"], own["lo"], own["hi"], [(best, "blindmark"), (others[-1], "oraclemark")])
        numbers = [_interval(own), *map(_spelled, (best, corrected, *others)), str(own["n"])]
        return tag(
            "tr",
            tag("th", shown.label, scope="row"),
            tag("td", shown.meaning, class_="meaning"),
            tag("td", line if shown.is_share else None),
            tag("td", tag("strong", _spelled(own["value"]))),
            [tag("td", text) for text in numbers],
        )

    return _table("Scores", columns, {name: [row(one) for one in shown] for name, shown in _defined(result).items()})


def control_table(result: Mapping[str, Any], controls: Controls) -> Markup:
    """Every control beside every shown score."""
    columns = ["", "score", *map(_named, controls)]

    def row(shown: Shown) -> Markup:
        values = [result[shown.key]["value"], *(_value(controls, name, shown.key) for name in controls)]
        return tag("tr", tag("th", shown.label, scope="row"), [tag("td", _spelled(value)) for value in values])

    bodies = {name: [row(one) for one in shown] for name, shown in _defined(result).items()}
    return tag("details", tag("summary", "Every control beside every score"), _table("Controls", columns, bodies))


def _defined(result: Mapping[str, Any]) -> dict[str, list[Shown]]:
    """The groups of metrics that are defined in at least one stream."""
    groups = {name: [one for one in shown if result[one.key]["n"]] for name, shown in GROUPS.items()}
    return {name: shown for name, shown in groups.items() if shown}


def _table(name: str, columns: Sequence[str], bodies: Mapping[str, Sequence[Markup]]) -> Markup:
    head = tag("thead", tag("tr", [tag("th", column, scope="col") for column in columns]))
    groups = [
        tag("tbody", tag("tr", tag("th", title, colspan=len(columns), scope="colgroup"), class_="group"), rows)
        for title, rows in bodies.items()
    ]
    return scrollable(name, tag("table", head, groups, class_=name.lower()))


def _named(control: str) -> str:
    return control.replace("_", "-")


def _spelled(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
