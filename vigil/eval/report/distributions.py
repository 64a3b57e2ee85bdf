"""How long things took, and how far the model's P(silence) can be trusted: the charts over all streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vigil.eval.behaviour import Pair
from vigil.eval.perception import perceive, pool_perception
from vigil.eval.report.charts import Curve, curve_chart, reliability_chart
from vigil.eval.report.curves import (
    Delays,
    calibration_error_of,
    event_risks,
    first_token_delays,
    observed,
    reliability,
    risk_curve,
    share_done,
)
from vigil.eval.report.document import section
from vigil.eval.report.markup import Markup, tag
from vigil.eval.report.scales import spell
from vigil.eval.revision import pool_revision, revise
from vigil.eval.silence import risk_coverage
from vigil.eval.stats import kaplan_meier_median

LEAST_X_S = 1.0
"""Least length of the axis of a delay (s)."""


def latency(pairs: Sequence[Pair]) -> Markup:
    """Curves of perception lag, time to first token and revision delay."""
    seen = pool_perception([perceive(log) for log, _ in pairs])
    revision = pool_revision([revise(log, truth) for log, truth in pairs])
    first_tokens = [delay for log, _ in pairs for delay in first_token_delays(log)]
    clock = pairs[0][0].head.clock
    lags = {"first tokens": observed(seen.lags(first=True)), "other tokens": observed(seen.lags(first=False))}
    charts = [
        _delays("lag", "Perception lag", "seconds since the frame it saw had arrived", lags),
        _delays("ttft", "Time to first token", "seconds from a direct question", {"answers": first_tokens}),
        _delays("revisions", "Revision delay", "seconds from a change of the truth", {"revisions": revision.delays}),
    ]
    lead = (
        "Share that has happened by each time. What was never seen to happen within its window is censored "
        "(Kaplan-Meier), so a curve may end below 1."
    )
    if clock == "free":
        lead += " On this clock computing costs nothing: what is left is the design's own waiting."
    return section("latency", "Latency", lead, tag("div", charts, class_="charts"))


def _delays(anchor: str, title: str, x_label: str, curves: Mapping[str, Delays]) -> Markup:
    lines = [
        Curve(name=name, points=share_done(delays), style=f"c{n}")
        for n, (name, delays) in enumerate(curves.items(), start=1)
    ]
    longest = max([LEAST_X_S, *(at for line in lines for at, _ in line.points)])
    told = "; ".join(f"{name}: {_median(delays)}" for name, delays in curves.items())
    desc = f"Step curves of the share that has happened by each time. {told}."
    chart = curve_chart(lines, anchor=anchor, title=title, desc=desc, x_label=x_label, x_max=longest)
    return tag("figure", tag("h3", title), chart, tag("figcaption", told))


def _median(delays: Delays) -> str:
    middle = kaplan_meier_median([delay for delay, _ in delays], [seen for _, seen in delays])
    if middle is None:
        return "none"
    unseen = sum(not seen for _, seen in delays)
    reached = "median not reached" if middle == float("inf") else f"median {spell(middle)} s"
    return f"{reached}, n = {len(delays)}" + (f", {unseen} censored" if unseen else "")


def calibration(pairs: Sequence[Pair]) -> Markup:
    """The reliability diagram of P(silence), and risk against coverage."""
    bins = reliability(pairs)
    error = calibration_error_of(bins)
    confidences, is_wrong = event_risks(pairs)
    area = risk_coverage(confidences, is_wrong)
    ece = "no P(silence) in these logs" if error is None else f"expected calibration error {error:.3f}"
    aurc = "no event with a confidence" if area is None else f"area under the curve {area:.3f}, {len(is_wrong)} events"
    slots = sum(one.count for one in bins)
    risk = Curve(name="risk", points=risk_curve(confidences, is_wrong), style="c1", is_step=False)
    charts = [
        tag("figure", tag("h3", "Is P(silence) honest?"),
            reliability_chart(bins, anchor="reliability", title="Reliability of P(silence)",
                              desc=f"Mean P(silence) of ten bins against the share of slots with nothing due; {ece}."),
            tag("figcaption", f"{ece}, {slots} slots. Bars: share of the slots. Up: share with no event active")),
        tag("figure", tag("h3", "Does it know what it knows?"),
            curve_chart([risk], anchor="risk", title="Risk against coverage",
                        x_label="share of events, most confident first",
                        desc=f"Share of errors among the most confident events; {aurc}.", x_max=1.0),
            tag("figcaption", f"{aurc}. Up: share of errors so far")),
    ]  # fmt: skip
    notes = [
        "A decision slot counts as quiet if no event was active at its frame. An event stays active after it was "
        "answered, so silence kept then counts against the model.",
        "The confidence of an event is the largest 1 - P(silence) within 2 s of it. It is an error if no right reply "
        "was matched to it then. This is a free run, not one forced to stay silent.",
    ]
    told = tag("div", tag("h3", "How to read them"), [tag("p", note) for note in notes], class_="aside")
    lead = "The model says how probable silence is in every slot: can that number be believed?"
    return section("calibration", "Calibration", lead, tag("div", charts, told, class_="charts"))
