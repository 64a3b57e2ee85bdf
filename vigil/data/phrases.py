"""The closed language of the rules writer: every question and every reply it can make, as tables of templates.

Slots: {noun} "dog", {nouns} "dogs", {a} "a dog", {the} "the dog", {v} a bare value, {to} "to the left", {n} a number
word ("no" for 0), {count} the same ("zero"), {times} "two times". `vigil.data.wording` fills them.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
PLACES = ("on the left", "in the middle", "on the right")

# What happened, told as it happens and told afterwards, by Caption.kind.
HAPPENS = {
    "enter": "{a} appears.",
    "leave": "{the} leaves.",
    "move": "{the} moves {to}.",
    "stop": "{the} stops.",
    "hide": "{the} hides.",
    "reappear": "{the} is back.",
    "recolour": "{the} turns {v}.",
    "light": "the light turns {v}.",
    "counter": "the counter shows {v}.",
    "clock": "the clock shows {v}.",
    "cut": "the scene changes.",
    "dark": "it gets dark.",
    "bright": "it gets bright.",
    "motion_start": "something moves.",
    "motion_stop": "the movement stops.",
    "freeze": "the picture freezes.",
    "unfreeze": "the picture goes on.",
    "display": "the display shows {v}.",
}
HAPPENED = {
    "enter": "{a} appeared.",
    "leave": "{the} left.",
    "move": "{the} moved {to}.",
    "stop": "{the} stopped.",
    "hide": "{the} hid.",
    "reappear": "{the} came back.",
    "recolour": "{the} turned {v}.",
    "light": "the light turned {v}.",
    "counter": "the counter changed to {v}.",
    "clock": "the clock changed to {v}.",
    "cut": "the scene changed.",
    "dark": "it got dark.",
    "bright": "it got bright.",
    "motion_start": "something moved.",
    "motion_stop": "the movement stopped.",
    "freeze": "the picture froze.",
    "unfreeze": "the picture went on.",
    "display": "the display changed to {v}.",
}

# Requests to be told: a frame around a clause. The bare clause is what `vigil watch --watch-for` passes.
REQUESTS = ("Tell me when {clause}.", "Let me know when {clause}.", "Say so when {clause}.", "{clause}")
CUES = ("Say now when {clause}.", "Say now each time {clause}.")
WATCH_CLAUSES = {
    "cut": "the scene changes",
    "light": "the light changes",
    "counter": "the counter changes",
    "clock": "the clock changes",
    "display": "the number changes",
    "dark": "it gets dark",
    "bright": "it gets bright",
    "motion_start": "something moves",
    "motion_stop": "the movement stops",
    "freeze": "the picture freezes",
    "unfreeze": "the picture goes on",
}
ALERT_CLAUSES = {"enter": "{a} appears", "leave": "{the} leaves", "hide": "{the} hides", "move": "{the} moves"}
# Clauses about a value of a state; a cue speaks of what is, an alert of what becomes.
VALUE_CLAUSES = {
    ("light", "colour"): "the light is {v}",
    ("counter", "number"): "the counter shows {v}",
    ("clock", "time"): "the clock shows {v}",
    ("display", "number"): "the display shows {v}",
    ("scene", "place"): "we see the {v}",
    ("picture", "brightness"): "the picture is {v}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateWords:
    """How one state is asked about and told."""

    ask: tuple[str, ...]
    """Questions while the video plays."""
    ask_end: tuple[str, ...]
    """Questions after the whole video."""
    tell: str
    also: tuple[str, ...] = ()
    """Other replies that are just as right."""


STATES = {
    ("light", "colour"): StateWords(
        ask=("What colour is the light now?", "What colour is the light?", "Which colour does the light have?"),
        ask_end=("What colour is the light at the end?", "Which colour does the light have at the end?"),
        tell="the light is {v}.",
        also=("{v}.", "it is {v}."),
    ),
    ("counter", "number"): StateWords(
        ask=("What does the counter show?", "What number is on the counter?"),
        ask_end=("What does the counter show at the end?", "What number is on the counter at the end?"),
        tell="the counter shows {v}.",
        also=("{v}.", "it shows {v}."),
    ),
    ("clock", "time"): StateWords(
        ask=("What time is it?", "What does the clock show?"),
        ask_end=("What time is it at the end?", "What does the clock show at the end?"),
        tell="the clock shows {v}.",
        also=("{v}.", "it is {v}."),
    ),
    ("scene", "place"): StateWords(
        ask=("What place is this?", "Where are we?", "Which place do we see?"),
        ask_end=("What place is this at the end?", "Where are we at the end?"),
        tell="this is the {v}.",
        also=("the {v}.", "we see the {v}."),
    ),
    ("picture", "brightness"): StateWords(
        ask=("Is the picture dark or bright?", "How bright is the picture?"),
        ask_end=("Is the picture dark or bright at the end?",),
        tell="the picture is {v}.",
        also=("{v}.", "it is {v}."),
    ),
    ("picture", "motion"): StateWords(
        ask=("Is anything moving?", "Does anything move?"),
        ask_end=("Is anything moving at the end?",),
        tell="{v}.",
    ),
    ("motion", "side"): StateWords(
        ask=("Where is the movement?", "Which side is the movement on?"),
        ask_end=("Where is the movement at the end?",),
        tell="{v}.",
    ),
    ("picture", "frozen"): StateWords(
        ask=("Is the picture frozen?", "Does the picture stand still?"),
        ask_end=("Is the picture frozen at the end?",),
        tell="{v}.",
    ),
    ("display", "number"): StateWords(
        ask=("What does the display show?", "What number is on the display?"),
        ask_end=("What does the display show at the end?", "What number is on the display at the end?"),
        tell="the display shows {v}.",
        also=("{v}.", "it shows {v}."),
    ),
}
# Values that are spoken otherwise than they are written in the facts: (attribute, value) -> words for {v}.
SPOKEN = {
    ("brightness", "normal"): "bright",
    ("motion", "moving"): "something is moving",
    ("motion", "still"): "nothing is moving",
    ("side", "left"): "something is moving on the left",
    ("side", "right"): "something is moving on the right",
    ("side", "none"): "nothing is moving",
    ("frozen", "yes"): "yes, it is frozen",
    ("frozen", "no"): "no, it is not frozen",
}
# What a question may wrongly suppose to be there.
NAMEABLE = (("light", "colour"), ("counter", "number"), ("clock", "time"), ("display", "number"))
LIGHT_COLOURS = ("red", "yellow", "green")

# Questions about a named thing and about the whole: role -> (while it plays, after the whole video).
QUESTIONS = {
    "where": (("Where is the {noun}?", "Where is the {noun} now?"), ("Where is the {noun} at the end?",)),
    "colour": (
        ("What colour is the {noun}?", "Which colour does the {noun} have?"),
        ("What colour is the {noun} at the end?",),
    ),
    "last_seen": (("Where was the {noun} last seen?", "Where did you last see the {noun}?"),) * 2,
    "present": (("Is there {a}?", "Do you see {a}?", "Can you see {a} now?"), ("Is there {a} at the end?",)),
    "seen": (("Have you seen {a} yet?", "Did {a} appear yet?"), ("Did {a} appear?", "Was there {a}?")),
    "count": (
        ("How many objects are there?", "How many things are there now?", "Count the objects."),
        ("How many objects are there at the end?", "How many things are there at the end?"),
    ),
    "count_named": (
        ("How many {nouns} are there?", "How many {nouns} do you see?"),
        ("How many {nouns} are there at the end?",),
    ),
    "last": (("What happened last?", "What was the last event?", "What just happened?"), ("What happened last?",)),
    "next": (("What happens next?", "What comes next?"), ()),
    "next_thing": (("What appears next?", "Which thing appears next?"), ()),
    "narrate": (("Tell me everything that happens.", "Say what happens.", "Comment on the video."), ()),
    "describe": (("Describe what you see.", "What do you see now?", "Describe the picture."), ()),
}
TIMES = {
    "light": ("How many times has the light changed?", "How often did the light change?"),
    "cut": ("How many times has the scene changed?", "How often did the scene change?"),
    "counter": ("How many times has the counter changed?", "How often did the counter change?"),
    "display": ("How many times has the number changed?", "How often did the number change?"),
    "enter": ("How many times has something appeared?", "How often did something appear?"),
    "freeze": ("How many times has the picture frozen?", "How often did the picture freeze?"),
    "motion_start": ("How many times has something moved?", "How often did something move?"),
}
TALLY = ("Count each time {clause}.", "Count whenever {clause}.")
TALLY_CLAUSES = {**WATCH_CLAUSES, "enter": "something appears"}
CHANGED = {
    "cut": ("Did the scene change?", "the scene changed", "the scene did not change"),
    "light": ("Did the light change?", "the light changed", "the light did not change"),
    "freeze": ("Did the picture freeze?", "the picture froze", "the picture did not freeze"),
    "dark": ("Did it get dark?", "it got dark", "it did not get dark"),
}
# Replies about a named thing, by what holds: role -> value -> (reply, other right replies).
REPLIES = {
    "visible": ("{the} is {v}.", ("{v}.", "it is {v}.")),
    "hidden": ("{the} is hidden.", ("it is hidden.", "hidden.")),
    "gone": ("{the} is gone.", ("it is gone.", "gone.")),
    "never": ("there is no {noun}.", ("no {noun}.", "no {noun} yet.")),
    "there": ("there is {a}.", ("yes.", "yes, there is {a}.")),
    "not there": ("there is no {noun}.", ("no.", "no, there is no {noun}.")),
    "was": ("{the} was {v}.", ("{v}.", "it was {v}.")),
    "seen": ("yes, {a} appeared.", ("yes.", "yes, {a}.")),
    "not seen": ("no {noun} yet.", ("no.", "there is no {noun}.", "no, not yet.")),
    "not seen at all": ("no {noun} appeared.", ("no.", "there was no {noun}.")),
    "one": ("there is one {noun}.", ("one.", "one {noun}.", "1.")),
    "many": ("there are {n} {nouns}.", ("{count}.", "{n} {nouns}.", "{v}.")),
    "next thing": ("{a}.", ("{a} appears.", "{noun}.")),
    "times": ("{times}.", ("{count}.", "{v}.")),
    "tally": ("{count}.", ("{v}.", "{times}.")),
}
EMPTY = "there is nothing here."

# Questions about the items of a panel; the first recital is asked for in the words of the benchmark.
ASK_RECITAL = (
    "State the colour of each item, one sentence per item, in the order A to F.",
    "State the colour of each item, from A to F.",
    "Name the colour of each item, one sentence per item, in the order A to F.",
    "What colour is each item? Go from A to F.",
)
ASK_ITEM = (
    ("What colour is item {noun}?", "Which colour does item {noun} have?", "What colour is item {noun} now?"),
    ("What colour is item {noun}?", "What colour is item {noun} at the end?"),
)
"""While it plays, after the whole video."""
RECITED = "{noun} is {v}."

# Questions about captions written by people: role -> (while it plays, after the whole video).
STORY = {
    "now": (("What is happening now?", "What is going on?", "What do you see now?"), ()),
    "happened": (
        ("Has this happened yet: {clause}?", "Did this happen so far: {clause}?"),
        ("Did this happen: {clause}?",),
    ),
    "about": ((), ("What is the video about?", "What does the whole video show?")),
}
STOPWORDS = frozenset(
    (
        *("a", "an", "the", "and", "or", "of", "to", "in", "on", "at", "by", "for", "from", "with", "into", "onto"),
        *("is", "are", "was", "were", "be", "been", "being", "he", "she", "it", "they", "them", "his", "her", "its"),
        *("their", "him", "this", "that", "these", "those", "there", "then", "while", "as", "who", "which", "some"),
        *("one", "two", "up", "down", "out", "off", "over"),
    )
)
