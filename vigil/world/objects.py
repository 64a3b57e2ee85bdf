"""The objects family: things with names come, go, move and hide; instruments change; the place changes.

What is about to happen may show one frame early as a lean (towards the edge, towards the box). The change is dated to
the frame that leaves no doubt. Where two changes would look alike (vanishing beside the box, or hiding behind it), only
one of them can happen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vigil.world.cast import Actor, Cast
from vigil.world.chance import Change, Draw
from vigil.world.stage import NUM_COLUMNS, NUM_LANES, Backdrop, Stage
from vigil.world.words import CLOCK_TIMES, COLUMN_PLACES, HELD_OUT_LAYOUT, LAYOUTS, LIGHTS, MAX_COUNTER, PLACES

if TYPE_CHECKING:
    from vigil.world.config import WorldConfig

_READINGS = {
    "light": LIGHTS,
    "counter": tuple(str(number) for number in range(MAX_COUNTER + 1)),
    "clock": CLOCK_TIMES,
}
"""What each instrument can show, in order."""

Act = Callable[[], Change]


class _Play:
    """The simulation. A method named after a kind lists what could happen in this frame, without doing it."""

    def __init__(self, draw: Draw, config: WorldConfig, held_out: str) -> None:
        self.draw = draw
        self.frame = 0
        box = (draw.below(NUM_LANES), draw.below(NUM_COLUMNS)) if draw.chance(0.5) else None
        self.cast = Cast(draw, config, held_out, box)
        usual = [layout for layout in LAYOUTS if layout != HELD_OUT_LAYOUT]
        self.layout = HELD_OUT_LAYOUT if held_out == "layout" else draw.pick(usual)
        num_instruments = draw.weighted((0, 1, 2), (0 if held_out == "layout" else 1, 3, 3))
        self.instruments = tuple(draw.some(list(_READINGS), num_instruments))
        self.backdrops = [Backdrop(0, draw.pick(PLACES), draw.below(1 << 16))]
        self.readings = {name: draw.below(len(values)) for name, values in _READINGS.items()}
        self.shown: dict[str, list[str]] = {name: [] for name in self.instruments}
        self.runner: Actor | None = None
        self.steps = self.steps_left = 0
        self.kinds = (self.enter, self.leave, self.move, self.hide, self.reappear, self.recolour, self.turn, self.cut)
        self.weights = (3.0, 1.8, 1.7, 3.0, 3.0, 1.5, 1.7 * num_instruments, 0.7)
        self.cast.populate(0)
        if held_out == "pair":
            self.cast.show_held_out_pair()

    def advance(self) -> None:
        """Go to the next frame, in which at first nothing is new."""
        self.frame += 1
        for actor in self.cast.live:
            actor.spots.append(actor.now._replace(lean=0))

    def happen(self) -> Change:
        """Do one thing of those that are possible now; a cut always is."""
        acts_of_kinds = [kind() for kind in self.kinds]
        weights = [weight if acts else 0.0 for acts, weight in zip(acts_of_kinds, self.weights, strict=True)]
        act = self.draw.pick(self.draw.weighted(acts_of_kinds, weights))
        return act()

    def record(self) -> None:
        """Note what the instruments show in this frame."""
        for name, values in self.shown.items():
            values.append(_READINGS[name][self.readings[name]])

    def of(self, actor: Actor, kind: str, value: str, manner: str = "") -> Change:
        """A change of this thing in this frame."""
        has_twin = self.cast.has_twin(actor)
        return Change(
            frame=self.frame, kind=kind, subject=actor.name, value=value, manner=manner, is_one_of_many=has_twin
        )

    def enter(self) -> list[Act]:
        """A new thing may come into a free cell, unless it would look like coming out from behind the box."""
        if len(self.cast.live) >= self.cast.config.max_objects:
            return []
        cells = self.cast.free_cells()
        return [partial(self.do_enter, *cell) for cell in cells if cell[1] != 1 or not self.cast.is_beside_box(*cell)]

    def do_enter(self, lane: int, column: int) -> Change:
        """Let a new thing appear in a cell, or slide in from the edge beside it."""
        edge = column - 1
        slides = edge != 0 and (self.cast.is_beside_box(lane, column) or self.draw.chance(0.6))
        actor = self.cast.add(self.frame, lane, column)
        if slides:
            actor.spots = [actor.now._replace(lean=edge)]
        return self.of(actor, "enter", COLUMN_PLACES[column], "slide" if slides else "")

    def leave(self) -> list[Act]:
        """What has stood for a while may go, unless it would look like hiding."""
        return [
            partial(self.do_leave, actor)
            for actor in self.cast.settled(self.frame, 3)
            if actor.now.column != 1 or not self.cast.is_beside_box(actor.lane, 1)
        ]

    def do_leave(self, actor: Actor) -> Change:
        """Take a thing away, or let it slide out over the edge beside it."""
        edge = actor.now.column - 1
        slides = edge != 0 and (self.cast.is_beside_box(actor.lane, actor.now.column) or self.draw.chance(0.6))
        if slides:
            actor.spots[-2] = actor.now._replace(lean=edge)
        change = self.of(actor, "leave", "gone", "slide" if slides else "")
        self.cast.dismiss(actor)
        return change

    def move(self) -> list[Act]:
        """What stands may take a step into a free cell beside it."""
        free = self.cast.free_cells()
        return [
            partial(self.do_move, actor, step)
            for actor in self.cast.settled(self.frame, 2)
            for step in (-1, 1)
            if (actor.lane, actor.now.column + step) in free
        ]

    def do_move(self, actor: Actor, step: int) -> Change:
        """Take one step; the first of a run draws how many there will be."""
        if actor is not self.runner:
            self.runner, self.steps, self.steps_left = actor, 0, self.draw.between(1, 4)
        self.steps += 1
        self.steps_left -= 1
        column = actor.now.column + step
        actor.become(self.frame, actor.now._replace(column=column))
        return self.of(actor, "move", COLUMN_PLACES[column])

    def run_on(self) -> Change | None:
        """The next step of a thing that is moving, or its stop. A single step is over without a stop."""
        actor = self.runner
        if actor is None:
            return None
        if self.steps_left > 0:
            onward = actor.now.column - actor.spots[-3].column
            for step in (onward, -onward):
                if (actor.lane, actor.now.column + step) in self.cast.free_cells():
                    return self.do_move(actor, step)
        self.runner = None
        if self.steps == 1:
            return None
        actor.changed = self.frame
        return self.of(actor, "stop", COLUMN_PLACES[actor.now.column])

    def hide(self) -> list[Act]:
        """What stands beside the box may go behind it, one thing at a time."""
        if any(not actor.now.is_seen for actor in self.cast.live):
            return []
        return [
            partial(self.do_hide, actor)
            for actor in self.cast.settled(self.frame, 3)
            if self.cast.is_beside_box(actor.lane, actor.now.column)
        ]

    def do_hide(self, actor: Actor) -> Change:
        """Put a thing behind the box; it leant towards it in the frame before."""
        assert self.cast.box is not None
        column = self.cast.box[1]
        actor.spots[-2] = actor.now._replace(lean=column - actor.now.column)
        change = self.of(actor, "hide", "hidden")
        actor.become(self.frame, actor.now._replace(column=column, is_seen=False))
        return change

    def reappear(self) -> list[Act]:
        """What is behind the box may come out on a free side."""
        free = self.cast.free_cells()
        return [
            partial(self.do_reappear, actor, step)
            for actor in self.cast.live
            if not actor.now.is_seen
            for step in (-1, 1)
            if (actor.lane, actor.now.column + step) in free
        ]

    def do_reappear(self, actor: Actor, step: int) -> Change:
        """Let the hidden thing come out on one side."""
        column = actor.now.column + step
        actor.become(self.frame, actor.now._replace(column=column, lean=-step, is_seen=True))
        return self.of(actor, "reappear", COLUMN_PLACES[column])

    def recolour(self) -> list[Act]:
        """A shape may turn another colour."""
        return [partial(self.do_recolour, actor) for actor in self.cast.settled(self.frame, 2) if actor.now.colour]

    def do_recolour(self, actor: Actor) -> Change:
        """Give a shape another colour; the change still has its old name."""
        colour = self.draw.pick(self.cast.colours(actor.noun, but=actor.now.colour))
        change = self.of(actor, "recolour", colour)
        actor.become(self.frame, actor.now._replace(colour=colour))
        return change

    def turn(self) -> list[Act]:
        """Every instrument may show something else."""
        return [partial(self.do_turn, name) for name in self.instruments]

    def do_turn(self, name: str) -> Change:
        """Counters mostly count on; clocks go half an hour or an hour forward; the light takes any other colour."""
        count, old = len(_READINGS[name]), self.readings[name]
        if name == "clock":
            step = self.draw.between(1, 2)
        elif name == "counter" and old < MAX_COUNTER and self.draw.chance(0.7):
            step = 1
        else:
            step = self.draw.between(1, count - 1)
        self.readings[name] = (old + step) % count
        return Change(frame=self.frame, kind=name, subject=name, value=_READINGS[name][self.readings[name]])

    def cut(self) -> list[Act]:
        """The scene may always change."""
        return [self.do_cut]

    def do_cut(self) -> Change:
        """Change the place, and with it everything on the stage."""
        place = self.draw.pick([place for place in PLACES if place != self.backdrops[-1].place])
        self.backdrops.append(Backdrop(self.frame, place, self.draw.below(1 << 16)))
        for actor in tuple(self.cast.live):
            self.cast.dismiss(actor)
        self.cast.populate(self.frame)
        return Change(frame=self.frame, kind="cut", subject="scene", value=place)


def play(
    draw: Draw, num_frames: int, *, config: WorldConfig, held_out: bool
) -> tuple[Stage, tuple[Change, ...], tuple[str, ...]]:
    """Simulate a scene; return what is seen, what changes, and the distractors."""
    drama = _Play(draw, config, draw.pick(("pair", "layout")) if held_out else "")
    drama.record()
    changes: list[Change] = []
    due = draw.between(*config.event_gap)
    for frame in range(1, num_frames):
        drama.advance()
        change = drama.run_on()
        if change is None and frame >= due:
            change = drama.happen()
        if change is not None:
            changes.append(change)
            due = frame + draw.between(*config.event_gap)
        drama.record()
    stage = Stage(
        things=tuple(actor.thing() for actor in drama.cast.past + drama.cast.live),
        backdrops=tuple(drama.backdrops),
        box=drama.cast.box,
        layout=drama.layout,
        instruments=drama.instruments,
        light_F=tuple(drama.shown.get("light", ())),
        counter_F=tuple(drama.shown.get("counter", ())),
        clock_F=tuple(drama.shown.get("clock", ())),
    )
    return stage, tuple(changes), drama.cast.distractors()
