"""Write docs/reliability.md: the promises, what was measured, and which test stands behind what.

    VIGIL_FIGURES=runs/reliability.json pytest -m "tier_p or tier_n or tier_r"
    python tools/reliability_page.py runs/reliability.json docs/reliability.md --date 2026-11-23

Figures that were not measured leave their lines out. A test that is named here and does not exist is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

INTRO = """\
# What does vigil promise when things go wrong?

Every promise here has a test, and a test that could pass for the wrong reason has a second one with a planted fault, in
which it must fail. `python tools/reliability_page.py` writes this page, and refuses names of tests that do not exist.
How events are kept: [durability](durability.md). How to serve: [serve](serve.md).

## Promises

| | |
|---|---|
| order | events of a session are numbered 1, 2, 3, ... without gaps; every reader sees the same bytes in this order |
| nothing lost | an event is safe before anybody sees it: at `strict` from a power cut, at `process` from a crash |
| resume | a client that comes back gets exactly what it has not seen; where events are gone it is told which, and why |
| commands | each has one effect, however often it is sent; its number lies in the record of its effect |
| frames | received = perceived + dropped, with the reason, + pending; each answer names the newest frame it had seen |
| answers | each revision ends exactly once: final, superseded, interrupted or error, also after a crash |
| time | session time never goes back; a wall clock that jumps reorders and expires nothing |
| readiness | `/readyz` tells of a step of the model; a step that never ends stops the process with code 6 |
| limits | every limit is finite, is checked before bytes are buffered, and no request can raise one |

### A model that hangs

A step that takes longer than 5 s and 20 times longer than 99 % of the steps before it will not end. Clients get
`server.going_away` with the reason `model`, what was being said is closed with the status `error`, sockets close with
1012, and the process ends with code 6. Whoever starts it again (for systemd: `Restart=on-failure`,
`StartLimitIntervalSec=60`, `StartLimitBurst=5`) finds all sessions as they were; clients resume. The first step has
600 s, and `serving ... at` is not said before it.

## Commands

| | |
|---|---|
| quick | `pytest tests/serve` |
| tier P | `pytest -m tier_p` |
| tier N, nightly | `pytest -m tier_n` |
| tier R, before a release | `pytest -m tier_r` |

With `VIGIL_FIGURES=FILE` the tests also write what they measured. The quick suite holds a small version of nearly every
test of tier P, and all its controls.
"""

FIGURES: tuple[tuple[str, str], ...] = (
    ("D1", "acknowledged events lost: {lost} of {events} in {rounds} kill -9 of the process that writes"),
    ("D1-release", "the same before a release: {lost} of {events} in {rounds} kill -9"),
    ("D1-server", "events lost that the client of a server had seen: {lost} of {acknowledged} in {rounds} kill -9"),
    ("D8", "the same where the file system loses its power: {lost} of {events} in {rounds} cuts"),
    ("W1", "hostile messages: {messages}, {problems} got no typed reply, {unhandled} unhandled, {grown_mib} MiB more"),
    ("W3", "random doings of clients against a model of the promises: {steps} steps, {violations} violations"),
    ("W3-night", "the same at night: {steps} steps, {violations} violations"),
    ("W6", "sessions opened, used, and closed or abandoned: {sessions}; left over: {fds} files, {threads} threads, "
           "{tasks} tasks, {objects:.0f} small objects and {heap_mib} MiB of other memory in use; resident "
           "{resident_mib} MiB more"),
    ("W7", "idle sockets: {sockets}, {kib_per_socket_both_ends} KiB each, both ends together"),
    ("W9", "reconnects over a network that cuts each connection: {reconnects}, {events} events, {lost} lost"),
    ("M1", "hostile files: {files}, of which {with_frames} gave frames and the others one typed error; child at most "
           "{child_mib} MiB"),
    ("M3", "damaged files: {files}, the child died {child_died} times"),
    ("M7-sound", "25 MB of silent Opus: {result} after {seconds} s, {child_mib} MiB more"),
    ("M7-matroska", "a million subtitle tracks in Matroska: {result} after {seconds} s, {child_mib} MiB more"),
    ("M7-mp4", "a million subtitle tracks in MP4: {result} after {seconds} s, {child_mib} MiB more"),
    ("M9", "{hours} h of a transport stream, whose clock wraps after 26.5 h: {pictures} pictures, {problems} problems"),
    ("C1-C2", "camera, {rounds} times frozen or gone: frozen noticed within {frozen_noticed_max_s} s, gone within "
              "{gone_noticed_max_s} s, back within {back_max_s} s"),
    ("C3", "camera that is off for half of each second, for {seconds} s: {cpu_percent} % of a core, {left_files} files "
           "left open, back {back_s} s after the end"),
    ("C7", "SIGTERM in the middle of an answer that does not end: exit after {exit_s} s with the full drain of 30 s"),
    ("PAGE", "first answer after the page was opened: {median_s} s (median of {openings}), {most_s} s at most"),
    ("L2", "four sessions for {hours} h: {mib_per_h} MiB per hour more of {mib} MiB, {files_more} files more, frames "
           "{drift_percent} % older (99th percentile)"),
    ("L3", "{hours} h with a fault every few minutes: {problems} problems with {events} events and {frames} frames, "
           "{mib_per_h} MiB per hour more, ready for {ready_percent} % of the seconds"),
)  # fmt: skip

CATALOGUE = Path(__file__).with_name("reliability_catalogue.txt")
"""Of the design: the tier, what is tested, and by which tests, without "test_"."""

THREATS: tuple[tuple[str, str, str], ...] = (
    ("a foreign web page connects (DNS rebinding too)", "known hosts, exact origins, browsers need a ticket", "S1 S3"),
    ("a token leaks, a route is forgotten", "header, ticket or first message; redaction; what is not listed is closed",
     "S4 S5"),
    ("the server is made to call or read", "no address and no path of a client; lists of formats and protocols",
     "S6"),
    ("a decoder is exploited", "a child without network, 2 GiB, processor budget, few formats", "M1 M4"),
    ("bombs: pixels, frames, bodies", "header checks, ceilings of the server, counters while streaming", "M5 M6"),
    ("slow clients and floods", "time-outs, credit, caps per session, token and address", "W4 W5 W7 W11"),
    ("poisonous messages", "strict parser, ASCII log", "W1 W2 W3"),
    ("endless growth", "rings and quotas; abandoned sessions leave the memory", "W6 L1 L5"),
    ("control tokens in text", "a tokenizer for text that knows no control token; control by id alone", "P1 P2 P4"),
    ("output attacks its reader", "textContent, CSP, no control characters in the terminal", "P7 S16"),
    ("sessions are stolen or mixed up", "128-bit ids, separate tokens to resume and to view", "S9 S10"),
    ("code in checkpoints and packages", "safetensors, no pickle, no remote code", "S11"),
    ("paths lead out, passwords show", "opaque ids, containment; the address of a camera is never told", "S11 S4"),
    ("a client does what only the operator may", "a role for every message and route; nothing is recorded", "S9 D9"),
    ("crash, power, disk, clock, camera, a model that hangs", "the log, its recovery, readiness by steps, the watchdog",
     "D1 D2 D4 D5 C1 C6 C7 C9"),
    ("chat beside live sessions", "one step at a time, at most a quarter of the time while sessions live", "CHAT"),
)  # fmt: skip
"""Threat, control, and where in the catalogue its tests are."""
MORE = {"CHAT": ("a_side_door_rests_in_proportion_while_sessions_live", "a_chat_beside_a_session_uses_the_side_door")}
PROMISED_NOT = """\
## Not promised

* A disk that lies about its syncs. `kill -9` proves the end of a process; for a power cut a real file system is cut off
  from its disk and loses what only its caches held, but no machine was switched off.
* What needs a GPU (memory that runs out, asserts on the device, drift over 100,000 frames) has not been tested. The
  soak (L3) is made for days; how long it has run so far is said under Figures.
* A session that comes back after a crash has seen nothing: its numbers, questions and sources go on, the frame memory
  does not.
* Order between sessions; frames are at most once; exact session time over a restart; that what the model says is true.
* That instructions shown to the camera have no effect on what is said. They have none on control.
* W10 has 300 rounds, not 1,000. Seeds are fixed.
* Recordings: this server keeps no pictures (`record: true` is refused).
"""


def known_tests(folder: Path) -> dict[str, str]:
    """Name of each test to its file, below `tests/`."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for name in re.findall(r"^def test_(\w+)\(", path.read_text("utf-8"), re.MULTILINE):
            found.setdefault(name, str(path.relative_to(folder)))
    return found


def catalogue() -> list[tuple[str, str, list[str]]]:
    """What is tested, its tier, and its tests."""
    rows: list[tuple[str, str, list[str]]] = []
    for line in CATALOGUE.read_text("utf-8").splitlines():
        if line.startswith(" "):
            rows[-1][2].append(line.strip())
        else:
            tier, _, what = line.partition(": ")
            rows.append((what, tier, []))
    return rows


def unknown(tests: dict[str, str]) -> list[str]:
    """Tests that are named here and do not exist."""
    names = [name for *_, row in catalogue() for name in row] + [name for row in MORE.values() for name in row]
    return sorted({name for name in names if name not in tests})


def code(names: list[str], tests: dict[str, str]) -> str:
    """Tests, each with its file."""
    return "<br>".join(f"`{tests[name]}::test_{name}`" for name in names) or "none yet"


def rows_of(ids: str) -> list[str]:
    """The tests of some places of the catalogue."""
    names: list[str] = []
    for wanted in ids.split():
        names += MORE.get(wanted, ())
        for what, _, row in catalogue():
            if re.search(rf"\b{wanted}\b", what):
                names += row
    return list(dict.fromkeys(names))


def machine() -> str:
    """What this runs on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def page(figures: dict[str, dict[str, Any]], tests: dict[str, str], *, date: str, where: str) -> str:
    """The whole page."""
    measured = f"Measured on {date} ({where}), with other work beside. What is not listed has not been measured yet."
    lines = [INTRO, f"## Figures\n\n{measured}\n"]
    lines += [f"* {text.format(**figures[name])}." for name, text in FIGURES if name in figures]
    lines += ["\n## Threats and what stands against each\n", "| threat | control | tests |", "|---|---|---|"]
    lines += [f"| {threat} | {control} | {code(rows_of(ids), tests)} |" for threat, control, ids in THREATS]
    lines += ["\n## The catalogue\n", "| what | tier | tests |", "|---|---|---|"]
    lines += [f"| {what} | {tier} | {code(row, tests)} |" for what, tier, row in catalogue()]
    return "\n".join([*lines, "", PROMISED_NOT])


def main() -> None:
    """Write the page."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("figures", type=Path)
    flags.add_argument("out", type=Path)
    flags.add_argument("--date", required=True)
    flags.add_argument("--machine", default=machine())
    args = flags.parse_args()
    tests = known_tests(ROOT / "tests")
    if missing := unknown(tests):
        raise SystemExit("these tests do not exist: " + ", ".join(missing))
    figures = json.loads(args.figures.read_text("utf-8")) if args.figures.exists() else {}
    args.out.write_text(page(figures, tests, date=args.date, where=args.machine), encoding="utf-8")


if __name__ == "__main__":
    main()
