"""The offline benchmarks of the paper: by which task of which plug-in they are run, and what the paper reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PAPER = "arXiv 2606.07639"
NOT_RECORDED = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineRow:
    """One benchmark that is run after the whole video, or on images."""

    name: str
    kind: Literal["image", "video"]
    task: str
    """Task id in lmms-eval 0.7.2."""
    blind: str = ""
    """Its task without pictures, where there is one."""
    before: float | None = None
    """Of the released offline model, percent; None: not recorded here."""
    after: float | None = None
    """Of the released real-time model, percent."""


def _row(kind: Literal["image", "video"], name: str, task: str, *figures: float, blind: str = "") -> OfflineRow:
    before, after = figures or (None, None)
    return OfflineRow(name=name, kind=kind, task=task, blind=blind, before=before, after=after)


OFFLINE = (
    _row("image", "OCRBench", "ocrbench"),
    _row("image", "MMStar", "mmstar"),
    _row("image", "MMBench-CN", "mmbench_cn_dev"),
    _row("image", "MMBench-EN", "mmbench_en_dev"),
    _row("image", "MMMU", "mmmu_val"),
    _row("image", "RealWorldQA", "realworldqa"),
    _row("image", "MuirBench", "muirbench"),
    _row("image", "SEED-Bench", "seedbench"),
    _row("image", "MME-RealWorld", "mmerealworld", 51.89, 44.30),
    _row("image", "POPE", "pope"),
    _row("image", "CV-Bench", "cv_bench"),
    _row("image", "V*", "vstar_bench", 62.83, 49.74),
    _row("image", "AI2D", "ai2d"),
    _row("image", "VisuLogic", "visulogic"),
    _row("image", "VLMs-are-blind", "vlmsareblind"),
    _row("image", "ZeroBench", "zerobench"),
    _row("video", "VideoMME", "videomme", 59.81, 62.48, blind="videomme_no_visual"),
    _row("video", "EgoSchema", "egoschema_subset"),
    _row("video", "LongVideoBench", "longvideobench_val_v", 54.08, 51.61, blind="longvideobench_no_visual"),
    _row("video", "MLVU", "mlvu_dev", 60.3, 61.8),
    _row("video", "LVBench", "lvbench", blind="lvbench_no_visual"),
    _row("video", "TempCompass", "tempcompass", 61.7, 59.7),
    _row("video", "VSI-Bench", "vsibench", 33.5, 36.2),
    _row("video", "Video-Holmes", "video_holmes", 39.5, 39.3),
)
"""In the order of the paper. TempCompass: the figures are of its multiple-choice part."""

HEADER = ("benchmark", "kind", "run by", "task", "task without pictures", "offline model", "real-time model")


def offline_cells() -> list[tuple[str, ...]]:
    """The table as text, row by row, for the command and the page."""
    return [
        (row.name, row.kind, "lmms-eval", row.task, row.blind or NOT_RECORDED, _figure(row.before), _figure(row.after))
        for row in OFFLINE
    ]


def _figure(value: float | None) -> str:
    return NOT_RECORDED if value is None else f"{value:g}"
