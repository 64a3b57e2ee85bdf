"""The roles by name: what can be asked about a video, and what is then said on which frame.

Two kinds of question exist. A *state* question (`vigil.data.answers`) is answered with what holds now, and each later
reply revises the one before. A *standing* request (`vigil.data.requests`) is silent until what it names happens, and
each later reply is an update. A new kind of question is a function `(line, ask, rng) -> Turn | None` here and a rule in
`vigil.data.check`.
"""

from __future__ import annotations

from vigil.data import answers, requests
from vigil.data.turns import Role

ONLINE: dict[str, Role] = {
    "alert": requests.alert,
    "alert_change": requests.alert_change,
    "cue": requests.cue,
    "watch": requests.watch,
    "narrate": requests.narrate,
    "tally": requests.tally,
    "times": answers.times,
    "state": answers.state,
    "where": answers.where,
    "colour": answers.colour,
    "last_seen": answers.last_seen,
    "present": answers.present,
    "seen": answers.seen,
    "count": answers.count,
    "count_named": answers.count_named,
    "last": answers.last,
    "next": answers.upcoming,
    "describe": answers.describe,
}
"""Asked while the video plays."""
OFFLINE: dict[str, Role] = {
    name: ONLINE[name]
    for name in ("state", "where", "colour", "last_seen", "present", "seen", "count", "count_named", "last", "times")
} | {"changed": answers.changed}
"""Asked after the whole video."""
ROLE_WEIGHTS = {
    "alert": 6.0,
    "alert_change": 3.0,
    "cue": 1.5,
    "watch": 1.5,
    "state": 1.5,
    "where": 2.0,
    "colour": 2.0,
    "last_seen": 1.5,
    "present": 2.0,
    "seen": 1.5,
    "count": 1.5,
    "count_named": 2.5,
    "times": 0.5,
    "last": 0.5,
    "next": 0.5,
    "describe": 0.8,
    "recital": 2.0,
}
"""How often a role is tried against the others (1 where not listed): questions that name a thing are the hard ones."""
