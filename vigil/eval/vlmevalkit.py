"""vigil as a model of VLMEvalKit, which has no entry points: its table of models is changed before its program starts.

    import functools, runpy, vlmeval.config
    from vigil.eval.vlmevalkit import VigilVLM

    vlmeval.config.supported_VLM["vigil"] = functools.partial(VigilVLM, model_path="nano")
    runpy.run_path("run.py", run_name="__main__")

The class is made when it is asked for, so that this file can be imported without the kit. Written for its version of
August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from vigil.eval.asking import Asker


def __getattr__(name: str) -> Any:
    """Make the model class on top of the kit's."""
    if name != "VigilVLM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = import_module("vlmeval.vlm.base").BaseModel
    made = type("VigilVLM", (_Vigil, base), {"__module__": __name__})
    globals()[name] = made
    return made


class _Vigil:
    """The part that does not depend on the kit."""

    INSTALL_REQ = False
    INTERLEAVE = True
    VIDEO_LLM = True
    """Videos come as paths, not as frames."""

    def __init__(self, model_path: str = "nano", fps: float = 1.0, nframe: int = 0, **_: Any) -> None:
        """Load a model. The kit overwrites `fps` and `nframe` with those of the data set; above 0, `nframe` wins."""
        import vigil

        super().__init__()
        self.fps = fps
        self.nframe = nframe
        self._model = vigil.load(model_path)

    def generate_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """The answer to one message: texts, images and videos in order."""
        media = [part["value"] for part in message if part["type"] in ("image", "video")]
        texts = [str(part["value"]) for part in message if part["type"] == "text"]
        videos = [str(part["value"]) for part in message if part["type"] == "video"]
        return Asker(model=self._model, fps=self._rate(videos)).ask(media, "\n".join(texts))

    def _rate(self, videos: Sequence[str]) -> float:
        """Frames per second (Hz) that give `nframe` frames of the longest video."""
        from vigil.stream.source import open_source

        if self.nframe and self.nframe > 0:
            lengths = []
            for video in videos:
                with open_source(video, fps=1.0) as source:
                    lengths.append(source.duration_s or 0.0)
            if lengths and max(lengths) > 0:
                return self.nframe / max(lengths)
        return float(self.fps) if self.fps and self.fps > 0 else 1.0
