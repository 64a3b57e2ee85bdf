"""Watch the bundled clip: an alert, an answer, its revisions, and silence between them."""

import vigil
from vigil.assets import demo_clip
from vigil.types import Done, Revise, Silence

model = vigil.load("nano")
with vigil.Session(model, fps=1.0) as live:
    live.ask("Tell me when a house appears.", standing=True)
    live.ask("What colour is the light?", at_s=9.5)
    for event in live.watch(demo_clip(), speed="max"):
        match event:
            case Silence():
                print(f"{event.time_s:5.1f} s  nothing said since {event.first_s:.0f} s")
            case Revise():
                print(f"{event.time_s:5.1f} s  revision {event.supersedes} of answer {event.answer} no longer holds")
            case Done():
                print(f"{event.time_s:5.1f} s  {event.text.strip()}")
