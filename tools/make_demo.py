"""Make the bundled demo clip and its truth file once: `python tools/make_demo.py [SEED]`.

The clip is a scene of the test split, which training never draws. Its first question waits in silence for a thing to
appear, its second asks for a state that changes, so that an answer has to be revised. Without SEED the first scene that
allows both is taken. Writes vigil/assets/demo.mp4 and vigil/assets/demo.json.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path

import numpy as np

from vigil.types import DenseCaptions
from vigil.world.captions import captions_to_json, describe
from vigil.world.render import render, write_video
from vigil.world.scene import Scene, WorldConfig, sample_scene
from vigil.world.words import with_article

ASSETS = Path(__file__).parents[1] / "vigil" / "assets"
CONFIG = WorldConfig(family="objects", duration_s=(20.0, 20.0))
SECOND_QUESTION_S = 9.5
REPEATS = 8
"""Each frame is written this often per second, so that players show the clip as an ordinary video."""


def first_to_appear(captions: DenseCaptions) -> str | None:
    """A thing that appears for the first time after some silence, and before the second question."""
    seen = {state.subject for state in captions.states if state.attribute == "presence" and state.start_s == 0}
    for caption in captions.captions:
        if caption.kind == "enter" and 3 <= caption.start_s <= 6 and caption.subject not in seen:
            return caption.subject
        seen.add(caption.subject)
    return None


def light_changes(captions: DenseCaptions) -> list[float]:
    """When the light changes after the second question, with time to speak in between."""
    times_s = [c.start_s for c in captions.captions if c.kind == "light" and c.start_s > SECOND_QUESTION_S + 2]
    return [s for s in times_s if s < captions.duration_s - 2]


def suits(scene: Scene) -> bool:
    """Whether both questions can be asked about the scene."""
    captions = describe(scene)
    shown_early = any(s.subject == "light" and s.start_s <= SECOND_QUESTION_S for s in captions.states)
    return first_to_appear(captions) is not None and len(light_changes(captions)) >= 2 and shown_early


def main() -> None:
    """Choose the scene, write the clip, then its truth."""
    seeds = [int(sys.argv[1])] if len(sys.argv) > 1 else count()
    scene = next(s for s in (sample_scene("test", seed, config=CONFIG) for seed in seeds) if suits(s))
    captions = describe(scene)
    thing = first_to_appear(captions)
    assert thing is not None
    write_video(np.repeat(render(scene), REPEATS, axis=0), REPEATS * scene.fps, ASSETS / "demo.mp4", scale=4)
    questions = [
        {"at_s": 0.0, "text": f"Tell me when {with_article(thing)} appears.", "standing": True},
        {"at_s": SECOND_QUESTION_S, "text": "What colour is the light?", "standing": False},
    ]
    truth = {"questions": questions, **captions_to_json(captions)}
    (ASSETS / "demo.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    print(f"{scene.id}: {captions.duration_s:.0f} s, {[q['text'] for q in questions]}, written to {ASSETS}")


if __name__ == "__main__":
    main()
