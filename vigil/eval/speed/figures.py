"""What a run reports: figures with their settings and bounds, and the rows that they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

BoundKind = Literal["bandwidth", "arithmetic"]


class Definition(NamedTuple):
    """What a figure is."""

    unit: str
    text: str
    target: float | None = None
    """What is aimed at on two CPU cores at `tiny`; at `11b`, see docs/speed.md."""
    at_most: bool = False
    """The target is a ceiling, not a floor."""


DEFINITIONS = {
    "ttft_ratio_qwen": Definition("x", "TTFT, offline, of Qwen2.5-VL in the paper's protocol by ours"),
    "decode_ratio_qwen": Definition("x", "time per spoken token of Qwen2.5-VL, after that prefill, by ours"),
    "ttft_ratio_qwen_matched": Definition("x", "the same TTFT with as many vision tokens"),
    "ttft_ratio_twin": Definition("x", "TTFT, offline, of the decoder-only twin by ours, vision tokens matched"),
    "decoder_prefill_ratio_twin": Definition("x", "decoder's share of that prefill, twin by ours", 20.0),
    "decode_ratio_twin": Definition("x", "time per spoken token, twin by ours, after all frames"),
    "ttft_video_s": Definition("s", "TTFT, offline, with decoding and resizing of the 1080p video counted"),
    "ttft_video_ratio_qwen": Definition("x", "that of Qwen2.5-VL by ours"),
    "ttft_video_ratio_twin": Definition("x", "that of the twin by ours"),
    "ttft_question_s": Definition("s", "TTFT, streaming: question to first visible text, all frames already seen"),
    "ttft_question_ratio": Definition("x", "the same after all frames, by that after 16", 1.1, at_most=True),
    "ttft_question_steps": Definition(
        "steps", "passes of the decoder until then, the prompt's own prefill aside", 2.0, at_most=True
    ),
    "ttft_question_twin_s": Definition("s", "the same of the twin, which prefilled each frame as it arrived"),
    "decode_tokens_per_s": Definition("/s", "spoken tokens per second after all frames, one stream"),
    "decode_bound_fraction": Definition("", "of the tokens per second that reading weights and memory would allow"),
    "encoder_passes_per_token": Definition("", "passes of the vision encoder per spoken token", 0.0, at_most=True),
    "decode_ratio_1024_over_16": Definition(
        "x", "time per spoken token after the longest stream by that after 16 frames, under a window", 1.1, at_most=True
    ),
    "decode_ratio_unbounded": Definition("x", "the same without a window"),
    "decode_growth_beyond_reads": Definition(
        "", "what grew without a window, attention over frames aside, of the time"
    ),
    "gap_p95_ratio": Definition(
        "x", "inter-token gap, 95th percentile, while frames arrive by that without; worst rate", 1.3, at_most=True
    ),
    "gap_p95_ratio_blocking": Definition("x", "the same where one thread encodes and speaks in turn (control)"),
    "frames_per_s": Definition("/s", "frames perceived while one stream speaks at 20 tokens/s, none dropped", 8.0),
    "streams_at_1fps": Definition("", "live streams at 1 frame/s held in real time, each speaking", 8.0),
    "bytes_per_frame": Definition("B", "frame memory of one frame"),
    "bytes_per_frame_small": Definition("B", "the same with 8-bit storage and pooling of older frames"),
    "bytes_per_frame_11b": Definition("B", "the same as bytes_per_frame at the released models' size in bf16"),
    "bytes_per_frame_small_11b": Definition("B", "and with 8-bit storage and pooling"),
}
"""Every figure of the card, defined in place."""
REQUIRED = (
    "ttft_question_s", "ttft_ratio_qwen", "decode_ratio_qwen", "ttft_ratio_twin", "decoder_prefill_ratio_twin",
    "decode_tokens_per_s", "decode_bound_fraction", "encoder_passes_per_token", "gap_p95_ratio",
    "gap_p95_ratio_blocking", "decode_ratio_1024_over_16", "frames_per_s", "streams_at_1fps", "bytes_per_frame",
)  # fmt: skip
"""What the JSON object has in every run, null where it was not measured."""


class Bound(NamedTuple):
    """How near a figure is to what the machine allows; 1.0 is the limit."""

    kind: BoundKind
    fraction: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the card."""

    name: str
    """A key of `DEFINITIONS`."""
    value: float | None
    setting: str
    """On what, with what."""
    bound: Bound | None = None
    """None where a machine sets no limit: ratios of two figures, counts, sizes."""
    reason: str = ""
    """Why there is no value."""

    @property
    def meets(self) -> bool | None:
        """Whether the target is met; None where there is none, or no value."""
        wanted = DEFINITIONS[self.name]
        if wanted.target is None or self.value is None:
            return None
        return self.value <= wanted.target if wanted.at_most else self.value >= wanted.target


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a run gives."""

    figures: tuple[Figure, ...]
    rows: tuple[Row, ...] = ()
    """A table of what was measured."""


@dataclass
class Results:
    """All that was measured so far."""

    about: dict[str, Any]
    """Scale, device, machine, load, and its rates."""
    parts: dict[str, Part] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def figures(self) -> list[Figure]:
        """Of all parts, in order."""
        return [figure for part in self.parts.values() for figure in part.figures]

    def missing(self, name: str) -> str:
        """Why a figure has no value at all."""
        return "interrupted before it was measured" if self.interrupted else "its part was not asked for (--parts)"

    def to_json(self) -> dict[str, Any]:
        """Figures as plain numbers by name; beside them, by the same names, settings, bounds and reasons."""
        found = {figure.name: figure for figure in self.figures}
        names = list(dict.fromkeys((*REQUIRED, *found)))
        values = {name: found[name].value if name in found else None for name in names}
        reasons = {name: found[name].reason if name in found else self.missing(name) for name in names}
        return {
            **{name: value if value is None else _short(value) for name, value in values.items()},
            "settings": {name: figure.setting for name, figure in found.items()},
            "bounds": {
                f.name: {"kind": f.bound.kind, "fraction": _short(f.bound.fraction)} for f in self.figures if f.bound
            },
            "reasons": {name: reasons[name] for name, value in values.items() if value is None},
            "about": self.about,
            "interrupted": self.interrupted,
            "rows": {name: [_rounded(row) for row in part.rows] for name, part in self.parts.items()},
        }


def _short(value: float) -> float:
    """Six digits; whole numbers stay whole."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _rounded(row: Row) -> Row:
    """JSON has no NaN: what was not measured is null."""
    short = {name: _short(value) if isinstance(value, float) else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in short.items()}
