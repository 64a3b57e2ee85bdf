"""Who is on the stage while a scene of the objects family is made up, and where there is room."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vigil.world.chance import Draw
from vigil.world.stage import NUM_COLUMNS, NUM_LANES, Spot, Thing
from vigil.world.words import COLOURS, HELD_OUT_PAIRS, SHAPES, phrase

if TYPE_CHECKING:
    from vigil.world.config import WorldConfig

NUM_DISTRACTORS = 4
LONG_AGO = -9
CELLS = tuple((lane, column) for lane in range(NUM_LANES) for column in range(NUM_COLUMNS))

Cell = tuple[int, int]


@dataclass(slots=True, eq=False)
class Actor:
    """A thing while the play goes on."""

    noun: str
    lane: int
    start: int
    scale: float
    is_flipped: bool
    spots: list[Spot]
    changed: int
    """Last frame in which it did something."""

    @property
    def now(self) -> Spot:
        return self.spots[-1]

    @property
    def name(self) -> str:
        return phrase(self.noun, self.now.colour)

    def become(self, frame: int, spot: Spot) -> None:
        self.spots[-1] = spot
        self.changed = frame

    def thing(self) -> Thing:
        return Thing(self.noun, self.lane, self.start, tuple(self.spots), self.scale, self.is_flipped)


@dataclass(slots=True)
class Cast:
    """Who is on the stage, and where there is room."""

    draw: Draw
    config: WorldConfig
    held_out: str
    """ "pair" or "layout" in scenes that test generalisation, else empty."""
    box: Cell | None
    live: list[Actor] = field(default_factory=list)
    past: list[Actor] = field(default_factory=list)

    def free_cells(self) -> list[Cell]:
        taken = {(actor.lane, actor.now.column) for actor in self.live}
        return [cell for cell in CELLS if cell not in taken and cell != self.box]

    def is_beside_box(self, lane: int, column: int) -> bool:
        return self.box is not None and self.box[0] == lane and abs(self.box[1] - column) == 1

    def has_twin(self, actor: Actor) -> bool:
        """Whether something else of the same name is on the stage, in sight or hidden."""
        name = actor.name
        return any(other is not actor and other.name == name for other in self.live)

    def settled(self, frame: int, frames: int) -> list[Actor]:
        """Things in plain sight that have done nothing for this many frames."""
        return [actor for actor in self.live if actor.now.is_seen and actor.changed <= frame - frames]

    def colours(self, noun: str, but: str = "") -> list[str]:
        """Colours that this thing may have, other than `but`."""
        if noun not in SHAPES:
            return [""]
        barred = frozenset() if self.held_out else HELD_OUT_PAIRS
        return [colour for colour in COLOURS if colour != but and (colour, noun) not in barred]

    def add(self, frame: int, lane: int, column: int) -> Actor:
        """A new thing: at times of a kind that is there already, so that there is something to count."""
        draw = self.draw
        if self.live and draw.chance(0.2):
            twin = draw.pick(self.live)
            noun, colour = twin.noun, twin.now.colour
        else:
            noun = draw.pick(self.config.nouns)
            colour = draw.pick(self.colours(noun))
        spots = [Spot(column, 0, True, colour)]
        actor = Actor(noun, lane, frame, draw.real(0.88, 1.12), draw.chance(0.5), spots, frame)
        self.live.append(actor)
        return actor

    def populate(self, frame: int) -> None:
        """Put the first things on an empty stage."""
        most = min(self.config.max_objects, 3)
        for _ in range(self.draw.weighted(range(most + 1), (1.0, 3.0, 2.5, 1.0)[: most + 1])):
            cells = self.free_cells()
            if self.box and self.draw.chance(0.5):
                cells = [cell for cell in cells if cell[0] == self.box[0]] or cells
            self.add(frame, *self.draw.pick(cells)).changed = LONG_AGO

    def show_held_out_pair(self) -> None:
        """Turn the first thing into one that training never shows."""
        pairs = [pair for pair in sorted(HELD_OUT_PAIRS) if pair[1] in self.config.nouns]
        colour, noun = self.draw.pick(pairs)
        actor = self.live[0] if self.live else self.add(0, *self.draw.pick(self.free_cells()))
        actor.noun, actor.spots = noun, [actor.now._replace(colour=colour)]

    def dismiss(self, actor: Actor) -> None:
        """Take a thing off the stage; the spot of this frame goes too."""
        actor.spots.pop()
        self.live.remove(actor)
        self.past.append(actor)

    def distractors(self) -> tuple[str, ...]:
        """Names that never came up but could have; where a shape did, the first is its form in another colour."""
        everyone = self.past + self.live
        shown = {phrase(actor.noun, spot.colour) for actor in everyone for spot in actor.spots}
        names = []
        shapes = [actor.noun for actor in everyone if actor.now.colour]
        for noun in shapes[:1] + self.draw.some(self.config.nouns, 2 * NUM_DISTRACTORS):
            name = phrase(noun, self.draw.pick(self.colours(noun)))
            if name not in shown and name not in names:
                names.append(name)
        return tuple(names[:NUM_DISTRACTORS])
