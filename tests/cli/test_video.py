"""`vigil watch --video`: what was watched, as a video that says what was said when it was said, decoded again."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from scripted import FakeSession, Script, fakes, traffic_light

import vigil
from tests.fakes import ScriptedModel
from tests.stream.cameras import Camera, until
from vigil.assets import demo_clip
from vigil.cli import main
from vigil.cli.annotated import AHEAD, KEPT_ENTRIES, Film, Tape, shown_of
from vigil.cli.story import Story
from vigil.cli.strip import Layout, Shown
from vigil.errors import SourceLost
from vigil.stream.source import Source, open_source
from vigil.types import Back, Event, Frame, Lost

HERE = Path(__file__).parent


class Decoded:
    """A decoded video: times (ms), pictures, and the texts of its track with their times."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            self.duration_s = (container.duration or 0) / 1e6
            decoded = [(round(1000 * frame.time), frame) for frame in container.decode(video=0)]
        self.times_ms = [time_ms for time_ms, _ in decoded]
        self.images = [frame.to_ndarray(format="rgb24") for _, frame in decoded]
        self.texts: list[tuple[int, int, str]] = []
        with av.open(str(path)) as container:
            for packet in container.demux(subtitles=0):
                text = bytes(packet)[2:].decode()
                if text:
                    assert packet.pts is not None
                    assert packet.duration is not None
                    start_s = packet.pts * packet.time_base
                    end_s = start_s + packet.duration * packet.time_base
                    self.texts.append((round(1000 * start_s), round(1000 * end_s), text))


def caption_changes(film: Decoded, layout: Layout) -> list[float]:
    """How much the area of what is said changes from each picture to the next: its largest mean over 8 x 8 pixels."""
    top = layout.picture_px[1] + layout.captions_px
    areas = [image[top:].astype(float).mean(axis=2) for image in film.images]
    found = []
    for before, after in pairwise(areas):
        apart = np.abs(before - after)
        blocks = apart[: apart.shape[0] // 8 * 8, : apart.shape[1] // 8 * 8].reshape(apart.shape[0] // 8, 8, -1, 8)
        found.append(float(blocks.mean(axis=(1, 3)).max()))
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decoded, list[dict[str, Any]], str]:
    """The bundled clip, watched by nano: the video, the lines of --json, and the subtitles of --srt."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["--video", "said.mp4", "--out", "events.jsonl", "--srt", "said.srt"]
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["watch", "--speed", "max", *words]) == 0
    finally:
        os.chdir(before)
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "said.mp4", "said.srt"]
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return Decoded(folder / "said.mp4"), rows, (folder / "said.srt").read_text()


def test_a_picture_begins_with_each_frame_and_each_word_and_at_no_other_time(demo: Any) -> None:
    film, rows, _ = demo
    frames = {1000 * second for second in range(20)}
    words = {round(1000 * row["t"]) for row in rows if row["event"] in ("ask", "say", "revise", "done")}
    assert film.times_ms == sorted(frames | words)
    assert len(words - frames) > 20  # what is said between two frames
    assert film.duration_s == 20.0


def test_its_pictures_are_those_of_the_source(demo: Any) -> None:
    film, _, _ = demo
    with open_source(demo_clip(), fps=1.0) as source:
        frames = list(source)
    layout = Layout.of(frames[0].image)
    assert {image.shape for image in film.images} == {(layout.height_px, layout.width_px, 3)}
    shown = dict(zip(film.times_ms, film.images, strict=True))
    for index, frame in enumerate(frames):
        picture = shown[round(1000 * frame.time_s)][: layout.picture_px[1]]
        small = np.asarray(Image.fromarray(picture).resize(frame.image.shape[1::-1], Image.Resampling.BOX))
        errors = [np.abs(small.astype(float) - other.image).mean() for other in frames]
        assert errors[index] == min(errors) < 8


def test_the_captions_change_when_something_is_said_and_not_in_silence(demo: Any) -> None:
    film, rows, _ = demo
    with open_source(demo_clip(), fps=1.0) as source:
        layout = Layout.of(next(iter(source)).image)
    words = {round(1000 * row["t"]) for row in rows if row["event"] in ("say", "revise", "done")}
    asked = {round(1000 * row["t"]) for row in rows if row["event"] == "ask"}
    changes = dict(zip(film.times_ms[1:], caption_changes(film, layout), strict=True))
    told = [change for time_ms, change in changes.items() if time_ms in words]
    quiet = [change for time_ms, change in changes.items() if time_ms not in words | asked]
    assert len(quiet) >= 8
    assert max(quiet) < 4
    assert min(told) > 10


def test_its_track_of_texts_has_the_cues_of_the_subtitles(demo: Any) -> None:
    film, _, srt = demo
    blocks = [block.split("\n", 2)[1:] for block in srt.strip().split("\n\n")]
    cues = [(*(ms(stamp) for stamp in span.split(" --> ")), text) for span, text in blocks]
    assert len(cues) >= 4
    end_ms = round(1000 * film.duration_s)
    assert film.texts == [(start, min(end, end_ms), text) for start, end, text in cues]


def ms(stamp: str) -> int:
    hours, minutes, seconds = stamp.replace(",", ".").split(":")
    return round(1000 * (3600 * int(hours) + 60 * int(minutes) + float(seconds)))


def test_making_a_video_changes_nothing_that_is_said(demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = demo
    assert main(["watch", "--speed", "max", "--json"]) == 0
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{**row, "wall": 0} for row in plain] == [{**row, "wall": 0} for row in rows]


# ---- scripted sessions ---------------------------------------------------------------------------------------


class Traced(FakeSession):
    """A scripted session that also perceives a frame for each second of its script."""

    def watch(self, source: object, **how: Any) -> Iterator[Event]:
        """Yield the script."""
        seen = -1
        for event in super().watch(source, **how):
            while seen < event.frame:
                seen += 1
                for kind in ("frame", "ready"):
                    self.settings["trace"](kind, i=seen, t=float(seen), w=float(seen))
            yield event


@pytest.fixture
def frames(tmp_path: Path) -> str:
    """Ten pictures, one a second, each brighter than the one before."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(10):
        Image.fromarray(np.full((48, 64, 3), 20 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    return str(folder)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(events: list[Event], **behaviour: Any) -> list[FakeSession]:
        names, _ = fakes(events)
        made: list[FakeSession] = []
        session = type("Scripted", (Traced,), {"events": events, "made": made, **behaviour})
        for name, value in {**names, "Session": session}.items():
            monkeypatch.setitem(vars(vigil), name, value)
        return made

    return put


LIGHT = "What colour is the light?"
RED = {"text": "The light is red.", "said_s": 1.0}
TOLD: dict[str, tuple[Script, dict[str, Any]]] = {
    "asked": (Script().ask(0, LIGHT), {}),
    "being-said": (Script().ask(0, LIGHT).say(1, "The light"), {**RED, "text": "The light", "is_speaking": True}),
    "said": (Script().ask(0, LIGHT).spoken(1, "The light is red."), RED),
    "cut": (Script().ask(0, LIGHT).spoken(1, "The", status="interrupted"), {**RED, "text": "The ..."}),
    "withdrawn": (Script().ask(0, LIGHT).spoken(1, "The light is red.", status="superseded"), {**RED, "holds": False}),
    "revised": (
        Script().ask(0, LIGHT).spoken(1, "The light is red.").spoken(5, "Green.", rev=2),
        {"was": "The light is red.", "text": "Green.", "said_s": 5.0},
    ),
    "revised-twice": (
        Script().ask(0, LIGHT).spoken(1, "Red.").spoken(3, "Blue.", rev=2).spoken(5, "Green.", rev=3),
        {"was": "Blue.", "text": "Green.", "said_s": 5.0},
    ),
    "next-update": (
        Script().ask(0, LIGHT).spoken(1, "One.").spoken(5, "Two.", answer=2),
        {"text": "Two.", "said_s": 5},
    ),
    "asked-again": (Script().ask(0, "Who?").spoken(1, "A cat.").ask(3, LIGHT, turn=2), {}),
    "cut-by-a-question": (
        Script().ask(0, "Who?").say(1, "A").ask(2, LIGHT, turn=2).done(2, "A", status="interrupted"),
        {},
    ),
    "dropped": (Script().ask(0, LIGHT).dropped(2, 3).dropped(4, 2), {"num_dropped": 5}),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_written_under_a_picture_follows_from_the_events(name: str) -> None:
    script, shown = TOLD[name]
    story = Story(keep=KEPT_ENTRIES)
    for event in script.events:
        story.add(event)
    assert shown_of(story) == Shown(question=LIGHT, **shown)


def test_a_revision_is_there_from_its_moment_and_a_log_is_kept_beside_the_video(
    play: Any, frames: str, tmp_path: Path
) -> None:
    play(traffic_light())
    words = ["--video", str(tmp_path / "said.mp4"), "--log", str(tmp_path / "logs")]
    assert main(["watch", frames, *words]) == 0
    film = Decoded(tmp_path / "said.mp4")
    assert film.times_ms == [1000 * second for second in range(10)]
    assert film.texts == [(3000, 6000, "The light is red."), (7000, 10_000, "The light is green.")]
    changes = caption_changes(film, Layout.of(np.zeros((48, 64, 3), dtype=np.uint8)))
    assert [second + 1 for second, change in enumerate(changes) if change > 10] == [3, 4, 7, 8]
    assert (tmp_path / "logs" / "sessions").is_dir()


def test_what_was_watched_before_a_source_was_lost_is_there(play: Any, frames: str, tmp_path: Path) -> None:
    play(traffic_light()[:4], fails_with=SourceLost("the file went away. Bring it back."))
    assert main(["watch", frames, "--video", str(tmp_path / "said.mp4")]) == 4
    film = Decoded(tmp_path / "said.mp4")
    assert film.times_ms[-1] == 4000
    assert [text for _, _, text in film.texts] == ["The light is red."]


def test_a_run_that_saw_nothing_leaves_no_file_and_says_so(
    play: Any, frames: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play([])
    video = tmp_path / "said.mp4"
    assert main(["watch", frames, "--video", str(video)]) == 0
    assert capsys.readouterr().err == f"vigil: no picture was seen, so there is no {video}\n"
    assert not list(tmp_path.glob("*.mp4*"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a.mp4", "b.mp4", "--video", "{}/x.mp4"], 2, "--video is for one source, and 2 are given. Leave it out."),
        (["--video", "{}/x.mkv"], 2, "--video writes MP4, so the name of its file must end in .mp4, got '{}/x.mkv'."),
        (["--video", "{}/x.mp4", "--log", "{}", "--resume", "a"], 2, "--video shows a session from its beginning"),
        (["--video", "{}/nowhere/x.mp4"], 5, "{}/nowhere/x.mp4 cannot be written: No such file or directory."),
        (["--video", "{}/folder.mp4"], 5, "{}/folder.mp4 is a folder. Give the name of a file."),
    ],
)
def test_what_cannot_be_made_is_one_line_before_the_model_is_loaded(
    play: Any, tmp_path: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = play(traffic_light())
    (tmp_path / "folder.mp4").mkdir()
    assert main(["watch", *(word.format(tmp_path) for word in words)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"vigil: {message.format(tmp_path)}")
    assert made == []


@contextmanager
def no_file_above(num_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_exit_code_5(
    play: Any, frames: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    play(traffic_light())
    with no_file_above(2000):
        assert main(["watch", frames, "--json", "--video", str(tmp_path / "said.mp4")]) == 5
    err = capfd.readouterr().err
    assert err == f"vigil: {tmp_path}/said.mp4 cannot be written: File too large. Choose another place.\n"
    assert not (tmp_path / "said.mp4").exists()


FAKE = (
    "import sys, vigil, scripted, test_video; "
    "names, made = scripted.fakes(scripted.traffic_light()); "
    "names['Session'] = type('S', (test_video.Traced,), {'events': scripted.traffic_light(), 'made': made, "
    "'stop_after': 4}); vars(vigil).update(names); from vigil.cli import main; sys.exit(main(sys.argv[1:]))"
)


def test_ctrl_c_leaves_a_whole_video_of_what_was_watched(frames: str, tmp_path: Path) -> None:
    places = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", FAKE, "watch", frames, "--json", "--video", "said.mp4"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": places}, **pipes) as run:  # type: ignore[call-overload]
        assert run.stdout is not None
        for _ in range(4):
            run.stdout.readline()
        assert not (tmp_path / "said.mp4").exists()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (130, b"")
    film = Decoded(tmp_path / "said.mp4")
    assert film.times_ms == [0, 1000, 2000, 3000, 4000, 5000]
    assert film.texts == [(3000, 6000, "The light ...")]
    assert not (tmp_path / "said.mp4.part").exists()


# ---- the clock of the wall -----------------------------------------------------------------------------------


def source_of(times_s: list[float]) -> Any:
    pictures = [(np.full((48, 64, 3), 10 * i % 256, dtype=np.uint8), at_s) for i, at_s in enumerate(times_s)]
    return open_source(pictures, fps=1000.0)


def test_a_picture_keeps_its_own_time_however_late_it_is_seen(tmp_path: Path) -> None:
    """Frame 1 comes at 1.0 s, is readable at 1.5 s, and a word is said in between."""
    said = Script().say(1.25, "Hm").say(1.75, " yes").done(2.0, "Hm yes").ended(2.0).events
    with Film(tmp_path / "said.mp4") as film:
        tape = film.of(source_of([0.0, 1.0]), "live")
        trace = film.trace(lambda kind, **fields: None)
        frames = iter(tape)
        next(frames)
        trace("frame", i=0, t=0.0, w=0.0)
        trace("ready", i=0, t=0.25, w=0.25)
        next(frames)
        film.show(said[0])
        trace("frame", i=1, t=1.0, w=1.0)
        trace("ready", i=1, t=1.5, w=1.5)
        for event in said[1:]:
            film.show(event)
    decoded = Decoded(tmp_path / "said.mp4")
    assert decoded.times_ms == [0, 1000, 1250, 1750, 2000]
    assert [round(image[:100, :100].mean() / 10) for image in decoded.images] == [0, 1, 1, 1, 1]
    assert decoded.duration_s == pytest.approx(2.001)


def test_the_time_of_a_live_source_begins_when_it_is_read_and_not_with_its_first_frame() -> None:
    begun: list[str] = []

    class Late(Source):
        def __init__(self) -> None:
            self.name, self.fps, self.duration_s, self.warnings = "late", 1.0, None, []

        def __iter__(self) -> Iterator[Frame]:
            begun.append("now")
            return iter(())

    iter(Tape(Late()))
    assert begun == ["now"]


def test_a_camera_is_filmed_until_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(vars(vigil), "load", lambda name: ScriptedModel(""))
    video = tmp_path / "said.mp4"
    with Camera() as camera:

        def unplug() -> None:
            until(lambda: camera.num_sent > 8)
            camera.off()

        thread = threading.Thread(target=unplug, daemon=True)
        thread.start()
        assert main(["watch", camera.url, "--fps", "10", "--patience", "0.001", "--video", str(video)]) == 4
        thread.join(20)
    assert "lost       the source has closed the connection" in capsys.readouterr().out
    film = Decoded(video)
    assert len(film.times_ms) >= 3
    assert film.times_ms == sorted(set(film.times_ms))
    assert film.images[0].shape == (Layout.of(np.zeros((48, 64, 3), dtype=np.uint8)).height_px, 640, 3)


def test_a_loss_is_written_in_the_corner_until_the_source_is_back(tmp_path: Path) -> None:
    at = {"seq": 1, "wall_s": 0.0, "frame": 0}
    with Film(tmp_path / "said.mp4") as film:
        next(iter(film.of(source_of([0.0]), "live")))
        film.show(Lost(**at, time_s=1.0, cause="frozen", attempt=1, retry_in_s=0.5))  # type: ignore[arg-type]
        film.show(Lost(**at, time_s=2.0, cause="frozen", attempt=2, retry_in_s=0.5))  # type: ignore[arg-type]
        film.show(Back(**at, time_s=3.0, epoch=2, cause="reconnect", gap_s=2.0))  # type: ignore[arg-type]
        film.show(Script().ended(4.0).events[0])
    assert Decoded(tmp_path / "said.mp4").times_ms == [0, 1000, 3000]


# ---- bounds --------------------------------------------------------------------------------------------------


def test_a_session_that_stands_still_keeps_no_more_pictures_than_its_bound() -> None:
    tape = Tape(source_of([float(second) for second in range(3 * AHEAD)]))
    assert len(list(tape)) == 3 * AHEAD
    assert [frame.time_s for frame in tape.frames] == [float(second) for second in range(2 * AHEAD, 3 * AHEAD)]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("words", [[], ["keep"]], ids=["filmed", "control-that-keeps-the-pictures"])
def test_memory_does_not_grow_with_the_length_of_a_session(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, str(HERE / "long_film.py"), str(tmp_path / "said.mp4"), "60", *words]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (grown > 20e6) if words else (grown < 5e6)  # 40 pictures of 0.7 MB
    assert len(Decoded(tmp_path / "said.mp4").texts) == 60
