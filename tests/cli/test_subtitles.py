"""Subtitles say what was said when it was said, in files that players can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scripted import Script

from vigil.cli.story import Story
from vigil.cli.subtitles import Cue, Track, check_writable, cues, to_srt, to_vtt, write_whole
from vigil.errors import OutputError


def story(script: Script) -> Story:
    told = Story()
    for event in script.events:
        told.add(event)
    return told


def test_a_text_is_shown_from_its_first_word_until_it_has_been_read_or_the_next_begins() -> None:
    script = Script().ask(0, "Which?").spoken(3.0, "Red.").spoken(5.0, "Green.", rev=2).spoken(20.0, "x" * 60, answer=2)
    assert cues(story(script)) == [
        Cue(3.0, 5.0, "Red."),  # the revision cuts it
        Cue(5.0, 8.0, "Green."),  # said until 6, and 2 s more
        Cue(20.0, 24.0, "x" * 60),  # 60 characters at 15 a second
    ]


def test_what_was_not_finished_ends_in_dots_and_blank_texts_are_left_out() -> None:
    script = (
        Script().spoken(1.0, "The light", status="interrupted").spoken(5.0, " ", answer=2).say(9.0, "Now", answer=3)
    )
    assert [cue.text for cue in cues(story(script))] == ["The light ...", "Now ..."]


def test_an_answer_that_is_replaced_in_the_same_moment_leaves_no_cue() -> None:
    script = Script().say(2.0, "Red").done(2.0, "Red", status="superseded").spoken(2.0, "Green", rev=2)
    assert [cue.text for cue in cues(story(script))] == ["Green"]


def test_a_stream_gives_the_cues_of_the_whole_story_each_as_soon_as_it_has_ended() -> None:
    script = Script().ask(0, "Which?").spoken(3.0, "Red.").spoken(5.0, "Green.", rev=2)
    script.say(9.0, " ", answer=2).say(9.5, "Blue", answer=2).say(9.6, " too.", answer=2).done(
        10.0, "Blue too.", answer=2
    )
    told, track, found = Story(keep=2), Track(), []
    for event in script.events:
        told.add(event)
        found += [(event.time_s, cue) for cue in track.reach(told.entries[-1])]
    assert found == [(5.0, Cue(3.0, 5.0, "Red.")), (9.5, Cue(5.0, 8.0, "Green."))]
    assert [*(cue for _, cue in found), *track.end()] == cues(story(script))
    assert track.end() == []


def test_the_last_cue_does_not_outlast_what_it_belongs_to() -> None:
    track = Track()
    assert track.reach(story(Script().spoken(3.0, "Red.")).entries[-1]) == []
    assert track.end(3.5) == [Cue(3.0, 3.5, "Red.")]


TRICKY = [Cue(0.0, 1.5, "a --> b & <i>c</i>"), Cue(3661.0405, 3662.0, "Ünï ✓")]


def test_srt_by_hand() -> None:
    assert to_srt(TRICKY) == (
        "1\n00:00:00,000 --> 00:00:01,500\na -> b & <i>c</i>\n\n2\n01:01:01,040 --> 01:01:02,000\nÜnï ✓\n"
    )


def test_vtt_by_hand() -> None:
    assert to_vtt(TRICKY) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na --&gt; b &amp; &lt;i&gt;c&lt;/i&gt;\n\n"
        "01:01:01.040 --> 01:01:02.000\nÜnï ✓\n"
    )
    assert to_vtt([]) == "WEBVTT\n"


def test_control_characters_of_the_model_do_not_reach_the_file() -> None:
    script = Script().spoken(1.0, "one\n\n2\n00:00:09,000 --> x\x1b[2J")
    assert cues(story(script))[0].text == "one  2 00:00:09,000 --> x[2J"


def test_a_file_is_replaced_whole_and_keeps_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "said.srt"
    path.write_text("old")
    before = os.umask(0o027)
    try:
        write_whole(path, "new ✓\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == "new ✓\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_when_writing_fails_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "said.srt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"said.srt cannot be written: No space left on device. Choose"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "said.srt")
    assert list(tmp_path.iterdir()) == []
