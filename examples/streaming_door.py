"""Score a system of your own: a rule that watches the light, through the door that every system is measured by."""

from vigil.eval.behaviour import summarize
from vigil.eval.door import Ask, Image, VirtualClock, play
from vigil.eval.truth import Happening, Question, Truth
from vigil.eval.watcher import WatcherSystem
from vigil.world.render import render
from vigil.world.scene import WorldConfig, sample_scene


class LightWatcher:
    """Put your own model here: it is shown each frame, hears each question, and is asked what it has to say."""

    interrupts_itself = False
    last = drop = 0.0

    def see(self, image: Image, t: float) -> None:
        self.drop, self.last = self.last - image.mean(), image.mean()

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        self.drop = 0.0

    def reply(self, t: float) -> str | None:
        return "It gets dark." if self.drop > 30 else None


scene = sample_scene("val", 6, config=WorldConfig(family="camera", duration_s=(60, 60)))
dark_s = [scene.time_s(change.frame) for change in scene.changes if change.kind == "dark"]
question = Question(q="q1", t_ask=0.5, kind="event", text="Tell me when it gets dark.")
truth = Truth(questions=(question,), events=tuple(Happening(q="q1", s=s, e=s + 1, v="dark") for s in dark_s))
asks = [Ask(t=question.t_ask, text=question.text, standing=True)]
clock = VirtualClock(fps=scene.fps, token_s=0.1)
log = play(WatcherSystem("light", LightWatcher), render(scene), asks, clock=clock, end_s=scene.duration_s)
score = summarize([(log, truth)])["speak_f1_2s"]["value"]
print(f"dark at {dark_s} s, said at {[speech.tau_first for speech in log.speech]} s: F1 within 2 s {score:.2f}")
