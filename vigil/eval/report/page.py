"""The page of one run: readable without JavaScript, in light and dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigil.eval.behaviour import pace_of, report
from vigil.eval.report.distributions import calibration, latency
from vigil.eval.report.document import document, many, section
from vigil.eval.report.facts import count_list, extra_scores, run_facts
from vigil.eval.report.markup import Child, Markup, tag
from vigil.eval.report.scores import Controls, control_table, controls_of, headlines, not_run, score_table
from vigil.eval.report.stream_view import index, stream_section
from vigil.eval.report.streams import Stream
from vigil.eval.stats import REPLICATES


@dataclass(frozen=True, kw_only=True, slots=True)
class PageConfig:
    """What of a run is shown."""

    num_streams: int = 12
    """Streams shown in full, the first ones; every number is over all."""
    replicates: int = REPLICATES
    """Resamples behind each interval."""
    summary: Path | None = None
    """JSON of `vigil eval behaviour --json` about the same logs, for what logs cannot tell, such as recent-N."""


def make_page(streams: Sequence[Stream], config: PageConfig | None = None) -> str:
    """The page of one run, as HTML. The same logs give the same page.

    Raises:
        ConfigError: the summary is about other logs. SourceError, MediaError, DataError: a file cannot be read.
    """
    config = config or PageConfig()
    pairs = [(stream.log, stream.truth) for stream in streams]
    videos = [stream.scene_id or f"{n} {stream.name}" for n, stream in enumerate(streams)]
    seed = streams[0].log.head.seed
    result = report(pairs, videos=videos, tokens_per_s=pace_of(pairs), seed=seed, replicates=config.replicates)
    extra = extra_scores(config.summary, result["run"]["log_sha256"])
    controls = controls_of(result, extra)
    shown = streams[: config.num_streams]
    main: list[Child] = [
        headlines(result, controls),
        _scores(result, controls, extra),
        latency(pairs),
        calibration(pairs),
        _run(streams, result, config.replicates),
        index(streams, len(shown)),
        [stream_section(stream, n) for n, stream in enumerate(shown)],
    ]
    return document(
        _header(streams, result["run"]["log_sha256"]),
        main,
        title=f"{streams[0].log.head.model}: {many(len(streams), 'stream')}",
    )


def _header(streams: Sequence[Stream], log_sha256: str) -> Markup:
    head = streams[0].log.head
    minutes = many(round(sum(stream.end_s for stream in streams) / 60, 1), "minute")
    themes = [
        tag("label", tag("input", type="radio", name="theme", id=f"theme-{name}", checked=name == "auto"),
            tag("span", name))
        for name in ("auto", "light", "dark")
    ]  # fmt: skip
    links = [
        tag("a", text, href=f"#{anchor}")
        for anchor, text in (
            ("scores", "Scores"), ("latency", "Latency"), ("calibration", "Calibration"), ("run", "The run"),
            ("streams", "Streams"),
        )
    ]  # fmt: skip
    return tag(
        "header",
        tag("p", "vigil · what was seen, said, revised and left unsaid", class_="eyebrow"),
        tag("h1", head.model, tag("span", f"{many(len(streams), 'stream')}, {minutes} of video")),
        tag(
            "p",
            f"clock {head.clock} · policy {head.policy} · seed {head.seed} · {many(head.fps, 'frame')} per second · ",
            "log ",
            tag("code", log_sha256[:12]),
        ),
        tag("fieldset", tag("legend", "Theme"), themes, class_="theme"),
        tag("nav", links, aria_label="Sections"),
    )


def _scores(result: dict[str, Any], controls: Controls, extra: dict[str, Any]) -> Markup:
    key = tag(
        "p",
        tag("i", class_="key dot"), "score with its 95 % interval  ",
        tag("i", class_="key blindmark"), "best blind  ",
        tag("i", class_="key oraclemark"), "oracle",
        class_="keys",
    )  # fmt: skip
    offline = {when: (extra.get(f"offline_accuracy_{when}") or {}).get("value") for when in ("before", "after")}
    notes = [
        f"Offline accuracy {when} real-time training, from the summary: {share:.2f}."
        for when, share in offline.items()
        if share is not None
    ]
    note = tag("p", " ".join([*notes, not_run(controls)]), class_="note")
    lead = "Pooled over all streams. n is the number of streams in which a score is defined."
    return section("scores", "Scores", lead, key, score_table(result, controls), control_table(result, controls), note)


def _run(streams: Sequence[Stream], result: dict[str, Any], replicates: int) -> Markup:
    facts, counts = run_facts(streams, result, replicates=replicates), count_list(streams, result)
    return section("run", "The run", "", facts, tag("h3", "Counted, and left out"), counts)
