"""What others report, in percent, each with its source. A number is here only if it is stated there in that form."""

from __future__ import annotations

from vigil.eval.benchmarks.base import Published

_MOSS_VL = "arXiv 2608.15045"
_SIMPLE = "arXiv 2604.02317"
_MMDUET2 = "arXiv 2608.15045, omega 0.5"


def _rows(source: str, names: tuple[str, ...], systems: dict[str, tuple[float, ...]]) -> tuple[Published, ...]:
    return tuple(
        Published(system=system, values=dict(zip(names, values, strict=False)), source=source)
        for system, values in systems.items()
    )


STREAMINGBENCH = (
    *_rows(
        _MOSS_VL,
        ("real-time", "contextual", "SQA", "PO"),
        {
            "MOSS-VL-Realtime": (82.9, 56.4, 50.4, 60.0),
            "AURA": (83.2, 59.0, 57.2, 53.2),
            "ViSpeak": (70.4, 43.9, 39.2, 50.8),
        },
    ),
    Published(system="SimpleStream (4 frames)", values={"real-time": 80.59}, source=_SIMPLE),
)

OVO = (
    *_rows(
        "https://github.com/JoeLeelyf/OVO-Bench",
        ("real-time", "backward", "forward", "total"),
        {"human": (93.2, 92.3, 91.3, 92.8)},
    ),
    *_rows(
        _MOSS_VL,
        ("real-time", "backward", "forward", "total"),
        {
            "MOSS-VL-Realtime": (75.9, 72.6, 62.1, 70.2),
            "AURA": (79.8, 60.4, 55.8, 65.3),
            "ViSpeak": (66.3, 57.5, 54.2, 59.3),
        },
    ),
    *_rows(
        "https://github.com/OpenMOSS/MOSS-VL",
        ("real-time", "backward", "forward", "total"),
        {"Streamo-7B": (67.4, 49.2, 57.0, 57.9)},
    ),
    *_rows(_SIMPLE, ("real-time", "backward"), {"SimpleStream, Qwen2.5-VL-7B (4 frames)": (78.36, 51.89)}),
    Published(
        system="SimpleStream, Qwen3-VL-8B (4 frames)", values={"mean of real-time and backward": 67.7}, source=_SIMPLE
    ),
)

OMNIMMI = (
    *_rows(
        _MOSS_VL,
        ("PA accuracy",),
        {"MOSS-VL-Realtime": (66.0,), "AURA": (37.5,), "ROMA": (37.5,), "M4": (25.5,), "MMDuet": (22.0,)},
    ),
    *_rows(
        "https://github.com/OmniMMI/OmniMMI",
        ("PT accuracy",),
        {"M4": (62.0,), "VITA": (67.0,), "M4-audio": (68.5,), "IXC2.5-OL": (14.5,)},
    ),
)

PROACTIVE = (
    *_rows(
        _MMDUET2,
        ("WEB", "EGO", "TV", "VAD", "mean of 4 subsets"),
        {
            "MOSS-VL-Realtime": (55.4, 47.8, 50.2, 35.3, 47.2),
            "MMDuet2": (53.3, 33.6, 43.4, 28.9, 39.8),
            "MMDuet+rm": (43.5, 52.2, 32.6, 42.5, 42.7),
        },
    ),
    Published(system="VideoChat3-4B", values={"mean of 4 subsets": 31.6}, source=_MMDUET2),
)
