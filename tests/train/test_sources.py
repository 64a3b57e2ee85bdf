"""Examples from the world, from JSON lines with files beside them, and from tars: counted by kind, read by number."""

from __future__ import annotations

import io
import json
import random
import tarfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fakes import byte_tokenizer, tiny_config
from tests.stream.videos import grey, write_video
from tests.train.tiny import STAGE, maker
from vigil.data.records import Record, Reply, Turn
from vigil.errors import DataError
from vigil.model.loss import IGNORE
from vigil.train.examples import Example, evenly
from vigil.train.sources import JsonLines, Source, open_sources

OPENING = Turn(ask_s=0.0, question="", kind="opening")


def record(video: str, *, answer: str = "yes", offline: bool = False, fps: float = 10.0) -> Record:
    reply = Reply(time_s=0.2, text=answer)
    return Record(
        id=video,
        video=video,
        duration_s=0.5,
        turns=(OPENING, Turn(ask_s=0.1, question="is it?", kind="state", replies=(reply,))),
        fps=fps,
        offline=offline,
    )


def write_lines(path: Path, *rows: Record | dict[str, Any] | str) -> Path:
    lines = [
        row if isinstance(row, str) else json.dumps(asdict(row) if isinstance(row, Record) else row) for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def jpeg(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey(value)).save(file, "PNG")
    return file.getvalue()


def messages(*parts: dict[str, str], answer: str = "a cat") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": answer}]}


def read(source: Source, number: int, **changes: Any) -> Example:
    return source.read(number, maker(replace(STAGE, **changes)), random.Random(0))


def learnt(example: Example) -> list[str]:
    tokenizer = byte_tokenizer()
    return [tokenizer.decode([label for label in sample.labels if label != IGNORE]) for sample in example.samples]


def test_dialogues_about_one_video_share_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [grey(10 * i) for i in range(5)])
    path = write_lines(
        tmp_path / "train.jsonl",
        record("a.mp4", answer="one"),
        record("a.mp4", answer="off", offline=True),
        record("a.mp4", answer="two"),
    )
    source = JsonLines(path, STAGE)
    assert source.items == {"video": [0, 1]}
    both = read(source, 0)
    assert learnt(both) == ["one", "two"]
    assert both.frames is not None
    assert both.frames.shape == (5, 3, 32, 32)
    means = both.frames.mean((1, 2, 3))
    assert bool((means[1:] > means[:-1]).all())
    assert all(len(sample.frame_positions) == 5 for sample in both.samples)


def test_offline_questions_are_read_at_the_stage_s_rate_and_thinned_out_evenly(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [grey(10 * i) for i in range(20)])
    source = JsonLines(write_lines(tmp_path / "t.jsonl", record("a.mp4", offline=True)), STAGE)
    slow, fast, few = (read(source, 0, fps=fps, frames=(1, most)) for fps, most in [(5.0, 99), (10.0, 99), (10.0, 4)])
    assert [len(example.frames) for example in (slow, fast, few) if example.frames is not None] == [10, 20, 4]
    assert few.frames is not None
    assert fast.frames is not None
    seen = [next(i for i, frame in enumerate(fast.frames) if torch.equal(frame, kept)) for kept in few.frames]
    assert seen == [0, 4, 12, 16]  # every fourth is kept in passing, and four of those five
    assert evenly(9, 3) == [0, 4, 8]


def test_a_long_real_time_video_is_cut_and_later_questions_are_not_asked(tmp_path: Path) -> None:
    late = replace(record("world:train:3", fps=1.0), duration_s=8.0)
    asked = Turn(ask_s=6.0, question="and now?", kind="state", replies=(Reply(time_s=6.0, text="late"),))
    late = replace(late, turns=(*late.turns, asked))
    source = JsonLines(write_lines(tmp_path / "t.jsonl", late), STAGE)
    assert learnt(read(source, 0)) == ["yeslate"]
    cut = read(source, 0, frames=(1, 3))
    assert learnt(cut) == ["yes"]
    assert "and now" not in byte_tokenizer().decode(cut.samples[0].ids)
    assert cut.frames is not None
    assert len(cut.frames) == 3


def test_images_stand_where_the_message_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(jpeg(50))
    (tmp_path / "b.png").write_bytes(jpeg(200))
    parts = ({"text": "first "}, {"image": "b.png"}, {"text": " then "}, {"image": "a.png"})
    rows = (messages(*parts), messages({"text": "<|image|> hi"}, answer="<|silence|>"))
    source = JsonLines(write_lines(tmp_path / "t.jsonl", *rows), STAGE)
    assert source.items == {"image": [0], "text": [1]}
    seen = read(source, 0)
    (sample,) = seen.samples
    assert seen.frames is not None
    assert float(seen.frames[0].mean()) > float(seen.frames[1].mean())
    tokenizer, image = byte_tokenizer(), tiny_config().image_token_id
    between = sample.ids[sample.frame_positions[0] + 1 : sample.frame_positions[1]]
    assert tokenizer.decode(between) == " then "
    assert sample.ids.count(image) == 2
    assert learnt(seen) == ["a cat"]
    text = read(source, 1)
    assert text.frames is None
    assert text.samples[0].frame_positions == []  # text is text
    assert learnt(text) == ["<|silence|>"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"t\.jsonl line 1 is not JSON"),
        ('{"id": "x"}', r"t\.jsonl line 1 is not a record: 'turns'"),
        (record("none.mp4"), r"t\.jsonl line 1 names the file 'none\.mp4', which is not there"),
        (record("broken.mp4"), r"broken\.mp4 is not a video"),
        (record("world:train:x"), "'world:train:x' is no scene"),
        (messages({"image": "none.png"}), r"names the file 'none\.png', which is not there"),
        (messages({"image": "broken.mp4"}), r"image 'broken\.mp4', cannot be decoded"),
        (messages({"sound": "x"}), r"breaks the form of messages \(KeyError: 'text'\)"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role 'tool' is not system, user or assistant"),
        ({"messages": [{"role": "user", "content": "x"}]}, "holds nothing to learn"),
    ],
)
def test_a_broken_example_says_what_is_wrong_when_it_is_read(
    row: Record | dict[str, Any] | str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    source = JsonLines(write_lines(tmp_path / "t.jsonl", row), STAGE)
    assert sum(len(numbers) for numbers in source.items.values()) == 1
    with pytest.raises(Exception, match=message):
        read(source, 0)


def test_too_few_frames_for_the_stage_is_an_error_with_the_numbers(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [grey(10 * i) for i in range(3)])
    source = JsonLines(write_lines(tmp_path / "t.jsonl", record("a.mp4")), STAGE)
    with pytest.raises(DataError, match=r"t\.jsonl line 1 has 3 frames; the stage realtime_sft wants 8 or more"):
        read(source, 0, frames=(8, 64))


def test_tars_hold_videos_images_captions_and_texts_by_key(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [grey(10 * i) for i in range(4)]).read_bytes()
    members: dict[str, str | bytes] = {
        "x/000.json": json.dumps([asdict(record("ignored", answer="one")), asdict(record("ignored", answer="two"))]),
        "x/000.mp4": video,
        "x/001.txt": "a grey square",
        "x/001.jpg": jpeg(90),
        "x/002.json": json.dumps(messages({"image": "0.png"}, {"text": "?"})),
        "x/002.0.png": jpeg(10),
        "x/003.json": json.dumps(messages({"text": "hi"}, answer="hello")),
        "x/004.mp4": video,
    }
    with tarfile.open(tmp_path / "shard-0.tar", "w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ((source, weight),) = open_sources([f"{tmp_path}/shard-0.tar=0.5"], STAGE)
    assert weight == 0.5
    assert source.items == {"video": [0, 4], "image": [1, 2], "text": [3]}
    assert [learnt(read(source, number)) for number in range(4)] == [
        ["one", "two"],
        ["a grey square"],
        ["a cat"],
        ["hello"],
    ]
    with pytest.raises(DataError, match=r"shard-0\.tar x/004 has neither \.json nor \.txt with an image, only mp4"):
        read(source, 4)


def test_a_tar_that_is_cut_or_compressed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(DataError, match=r"a\.tar is not a whole, uncompressed tar"):
        open_sources([str(tmp_path / "a.tar")], STAGE)


def test_a_scene_is_asked_about_with_the_same_words_each_time() -> None:
    ((world, _),) = open_sources(["world"], STAGE)
    first, again, other = (read(world, number) for number in (7, 7, 8))
    assert first.samples == again.samples
    assert first.samples != other.samples
    assert first.frames is not None
    assert np.isfinite(first.frames.numpy()).all()


@pytest.mark.parametrize("name", ["none.jsonl", "empty", "a.csv"])
def test_data_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"is no file, or a folder without|is neither \.jsonl nor \.tar"):
        open_sources([str(tmp_path / name)], STAGE)
