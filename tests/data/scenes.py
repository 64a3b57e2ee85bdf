"""Small random videos as dense captions with facts, for tests of the data room."""

from __future__ import annotations

import random

from vigil.types import Caption, DenseCaptions, State

NOUNS = ("dog", "cat", "apple", "red square", "bus", "house", "umbrella")
PLACES = ("on the left", "in the middle", "on the right")


class Film:
    """Collects captions and closes states as the story goes on."""

    def __init__(self, name: str, duration_s: float) -> None:
        self.name, self.duration_s = name, duration_s
        self.captions: list[Caption] = []
        self.states: list[State] = []
        self.open: dict[tuple[str, str], tuple[str, float]] = {}

    def event(self, time_s: float, kind: str, subject: str = "", value: str = "") -> None:
        text = f"{subject or kind} {value}".strip()
        self.captions.append(
            Caption(start_s=time_s, end_s=time_s + 1, text=text, kind=kind, subject=subject, value=value)
        )

    def hold(self, time_s: float, subject: str, attribute: str, value: str) -> None:
        """From now on the state has this value ("" ends it)."""
        key = (subject, attribute)
        if key in self.open and self.open[key][0] != value:
            old, start_s = self.open.pop(key)
            if start_s < time_s:
                self.states.append(
                    State(subject=subject, attribute=attribute, value=old, start_s=start_s, end_s=time_s)
                )
        if value and key not in self.open:
            self.open[key] = (value, time_s)

    def done(self) -> DenseCaptions:
        for subject, attribute in list(self.open):
            self.hold(self.duration_s, subject, attribute, "")
        return DenseCaptions(
            id=self.name,
            duration_s=self.duration_s,
            captions=tuple(sorted(self.captions, key=lambda c: c.start_s)),
            states=tuple(sorted(self.states, key=lambda s: s.start_s)),
        )


def object_film(seed: int, duration_s: int = 20) -> DenseCaptions:
    """Things come, move, hide and go; a light, a counter and a place change."""
    rng = random.Random(seed)
    film = Film(f"test:{seed}", float(duration_s))
    cast = rng.sample(NOUNS, 4)
    where: dict[str, str] = {}

    def stock(time_s: float) -> None:
        film.hold(time_s, "objects", "count", str(len(where)))
        for noun in NOUNS:
            film.hold(time_s, _plural(noun), "count", str(int(noun in where)))
            film.hold(time_s, noun, "place", "" if where.get(noun) == "hidden" else where.get(noun, ""))
            if noun in where:
                film.hold(time_s, noun, "presence", "hidden" if where[noun] == "hidden" else "visible")
            elif (noun, "presence") in film.open:
                film.hold(time_s, noun, "presence", "gone")

    for noun in cast[:2]:
        where[noun] = rng.choice(PLACES)
    light, number, place = "red", 3, "beach"
    film.hold(0.0, "light", "colour", light)
    film.hold(0.0, "counter", "number", str(number))
    film.hold(0.0, "scene", "place", place)
    stock(0.0)
    time_s = 0
    while (time_s := time_s + rng.randint(1, 3)) < duration_s:
        kind = rng.choice(("enter", "leave", "move", "hide", "light", "light", "counter", "cut"))
        noun = rng.choice(cast)
        if kind == "enter" and noun not in where:
            where[noun] = rng.choice(PLACES)
            film.event(time_s, "enter", noun, where[noun])
        elif kind == "leave" and noun in where:
            del where[noun]
            film.event(time_s, "leave", noun)
        elif kind == "move" and where.get(noun) in PLACES:
            where[noun] = rng.choice([p for p in PLACES if p != where[noun]])
            film.event(time_s, "move", noun, where[noun])
        elif kind == "hide" and where.get(noun) in PLACES:
            where[noun] = "hidden"
            film.event(time_s, "hide", noun)
        elif kind == "light":
            light = rng.choice([c for c in ("red", "yellow", "green") if c != light])
            film.hold(time_s, "light", "colour", light)
            film.event(time_s, "light", "light", light)
        elif kind == "counter":
            number += 1
            film.hold(time_s, "counter", "number", str(number))
            film.event(time_s, "counter", "counter", str(number))
        elif kind == "cut":
            place = rng.choice([p for p in ("beach", "forest", "moon") if p != place])
            film.hold(time_s, "scene", "place", place)
            film.event(time_s, "cut", "picture", place)
        stock(time_s)
    return film.done()


def camera_film(seed: int, duration_s: int = 20) -> DenseCaptions:
    """The picture gets dark, moves, freezes, cuts; a display counts."""
    rng = random.Random(seed)
    film = Film(f"camera:{seed}", float(duration_s))
    held = {"brightness": "normal", "motion": "still", "side": "none", "frozen": "no", "number": "42"}
    owner = {"side": "motion", "number": "display"}
    time_s = 0
    while time_s < duration_s:
        for attribute, value in held.items():
            film.hold(time_s, owner.get(attribute, "picture"), attribute, value)
        time_s += rng.randint(1, 3)
        if time_s >= duration_s:
            break
        kind = rng.choice(("bright", "motion", "freeze", "cut", "display"))
        if kind == "bright":
            held["brightness"] = "dark" if held["brightness"] == "normal" else "normal"
            film.event(time_s, "dark" if held["brightness"] == "dark" else "bright", "picture", held["brightness"])
        elif kind == "motion" and held["frozen"] == "no":
            moving = held["motion"] == "still"
            held["motion"], held["side"] = ("moving", rng.choice(("left", "right"))) if moving else ("still", "none")
            film.event(time_s, "motion_start" if moving else "motion_stop", "picture", held["side"])
        elif kind == "freeze":
            held["frozen"] = "yes" if held["frozen"] == "no" else "no"
            film.event(time_s, "freeze" if held["frozen"] == "yes" else "unfreeze", "picture")
        elif kind == "cut":
            film.event(time_s, "cut", "picture")
        elif kind == "display":
            held["number"] = str(rng.randint(0, 99))
            film.event(time_s, "display", "display", held["number"])
    return film.done()


def _plural(noun: str) -> str:
    return "buses" if noun == "bus" else noun + "s"
