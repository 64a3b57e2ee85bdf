"""Two pictures: what frames cost before the first token, and what they cost each spoken token as a stream grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.errors import OutputError
from vigil.eval.plotting import STYLE
from vigil.eval.speed.figures import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1b6ca8", "#d1603d", "#4f9d69", "#8e6bbf", "#8a8d91")


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what was measured; the files that were written.

    Raises:
        OutputError: they cannot be written, or matplotlib is missing.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise OutputError("pictures take matplotlib: pip install 'vigil-video[eval]'.") from error

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    written = []
    with plt.rc_context(STYLE):
        for name, panels in (("speed-frames", _frames(results)), ("speed-stream", _stream(results))):
            panels = [panel for panel in panels if panel[1]]
            if not panels:
                continue
            figure, axes = plt.subplots(
                1, len(panels), figsize=(3.6 * len(panels), 2.9), layout="constrained", squeeze=False
            )
            for one, (title, lines, x) in zip(axes[0], panels, strict=True):
                _lines(one, title, lines, x)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(folder / f"{name}.png")
            except OSError as error:
                raise OutputError(f"{folder} cannot be written: {error.strerror}. Choose another --plots.") from error
            finally:
                plt.close(figure)
            written.append(folder / f"{name}.png")
    return written


Lines = dict[str, list[tuple[float, float]]]
Panel = tuple[str, Lines, str]


def _frames(results: Results) -> list[Panel]:
    """Against the number of frames before the question."""
    rows = [row for part in ("matched", "paper") if part in results.parts for row in results.parts[part].rows]
    asked = _rows(results, "question")
    x = "frames"
    return [
        ("TTFT, offline (s)", _series(rows, "frames", "ttft_s"), x),
        ("decoder's share of it (s)", _series(rows, "frames", "decoder_s"), x),
        ("question to first text, streaming (ms)", _series(asked, "frames_seen", "question_ms"), x),
    ]


def _stream(results: Results) -> list[Panel]:
    """Against the length of the stream."""
    return [
        (
            "time per spoken token (ms)",
            _series(_rows(results, "decode"), "frames_seen", "ms_per_token"),
            "s of stream at 1 frame/s",
        )
    ]


def _rows(results: Results, part: str) -> tuple[Row, ...]:
    return results.parts[part].rows if part in results.parts else ()


def _series(rows: Any, x: str, y: str) -> Lines:
    lines: Lines = {}
    for row in rows:
        if x in row and (row[x], row[y]) not in lines.setdefault(row["who"], []):
            lines[row["who"]].append((row[x], row[y]))
    return {who: sorted(points) for who, points in lines.items()}


def _lines(axes: Axes, title: str, lines: Lines, x: str) -> None:
    for colour, (who, points) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3.5, label=who)
    ticks = sorted({at for points in lines.values() for at, _ in points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
    axes.minorticks_off()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.legend(frameon=False, fontsize=6.5)
