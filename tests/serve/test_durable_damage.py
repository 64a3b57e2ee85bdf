"""D5 to D7: damaged files are found by place and the rest is served; commands stay single; the index can be lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from durable_fakes import CREATED, Disk, Time, fill, note, open_store

from vigil.serve.durable import Entry, Gap, SessionLog, Store
from vigil.serve.lines import decode
from vigil.serve.segments import read_events, segment_numbers, segment_path
from vigil.serve.verify import verify


def make_log(folder: Path, events: int = 120) -> tuple[Path, dict[int, str]]:
    """A closed session in several files; its folder, and what it holds."""
    with open_store(folder, segment_bytes=4000, level="process") as store:
        log = store.create(CREATED, session_id="a")
        fill(log, events)
        log.append({"type": "session.closed", "reason": "client"}).durable.result(20)
    path = folder / "sessions" / "a"
    return path, {
        item.seq: item.json for item in read_events(path, after=0, upto=events + 2) if isinstance(item, Entry)
    }


def read(path: Path, head: int) -> tuple[dict[int, str], set[int]]:
    """What can still be read, and which numbers are in a gap."""
    items = list(read_events(path, after=0, upto=head))
    gone = {seq for item in items if isinstance(item, Gap) for seq in range(item.first, item.last + 1)}
    return {item.seq: item.json for item in items if isinstance(item, Entry)}, gone


# ---- D5 ----------------------------------------------------------------------------------------------------------


def flips(tmp_path: Path, count: int) -> None:
    path, whole = make_log(tmp_path / "log")
    files = [segment_path(path, number) for number in segment_numbers(path)]
    assert len(files) > 3
    assert verify(path).damage == []
    chance = random.Random(5)
    for _ in range(count):
        file = chance.choice(files)
        data = file.read_bytes()
        offset, bit = chance.randrange(len(data)), chance.randrange(8)
        file.write_bytes(data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :])
        where = f"bit {bit} of byte {offset} in {file.name}"
        report = verify(path)
        assert any(d.path == file and d.offset <= offset < d.end for d in report.damage), where
        there, gone = read(path, len(whole))
        assert there.keys() | gone == whole.keys(), where
        assert all(whole[seq] == text for seq, text in there.items()), where
        assert len(gone) <= 2, where
        file.write_bytes(data)


def test_d5_flipped_bits_are_found_with_their_place_and_the_rest_is_served(tmp_path: Path) -> None:
    flips(tmp_path, 60)


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_d5_a_thousand_flipped_bits(tmp_path: Path) -> None:
    flips(tmp_path, 1000)


def test_d5_control_a_check_that_reads_upper_case_sums_misses_some_flips(tmp_path: Path) -> None:
    path, _ = make_log(tmp_path / "log")
    lines = segment_path(path, 1).read_bytes().splitlines(keepends=True)
    line, letter = next((line, i) for line in lines for i in range(8) if chr(line[i]) in "abcdef")
    flipped = line[:letter] + bytes([line[letter] ^ 0x20]) + line[letter + 1 :]
    assert int(flipped[:8], 16) == int(line[:8], 16)
    assert decode(flipped) is None


@pytest.mark.parametrize("what", ["line", "seal", "file", "swap"])
def test_d5_what_is_missing_as_a_whole_is_found_too(tmp_path: Path, what: str) -> None:
    path, whole = make_log(tmp_path / "log")
    file = segment_path(path, 2)
    lines = file.read_bytes().splitlines(keepends=True)
    if what == "line":
        del lines[3]
    elif what == "seal":
        del lines[-1]
    elif what == "swap":
        lines[3], lines[4] = lines[4], lines[3]
    file.write_bytes(b"".join(lines))
    if what == "file":
        file.unlink()
    found = [(damage.path.name, damage.what) for damage in verify(path).damage]
    expected = {
        "line": "the seal does not fit the file",
        "seal": "the seal is missing",
        "file": "are missing before it",
        "swap": "the seal does not fit the file",
    }
    assert any(expected[what] in text for _, text in found)
    there, gone = read(path, len(whole))
    assert there.keys() | gone == whole.keys()
    assert all(whole[seq] == text for seq, text in there.items())


def test_a_bad_line_far_from_the_end_is_damage_that_is_kept_and_reported(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED, session_id="a")
        acknowledged = fill(log, 60)
    (file,) = (tmp_path / "log" / "sessions" / "a").glob("*.log")
    data = bytearray(file.read_bytes())
    place = data.index(b'"seq":10,')
    data[place] ^= 1
    file.write_bytes(data)
    with open_store(tmp_path / "log") as store:
        (recovered,) = store.recover()
        (damage,) = recovered.damage
        assert (damage.path, damage.what) == (file, "a damaged line")
        assert damage.offset <= place < damage.end
        more = fill(recovered.log, 3, start=100)
        items = list(recovered.log.replay(after=8))
        assert items[1] == Gap(10, 10, "corrupt")
        kept = {item.seq: item.json for item in items if isinstance(item, Entry)}
        assert kept == {seq: text for seq, text in (acknowledged | more).items() if seq > 8 and seq != 10}
        assert file.read_bytes() == data


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_tail_is_saved_aside_and_cut_off(tmp_path: Path, cut: int) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED, session_id="a")
        acknowledged = fill(log, 10)
    (file,) = (tmp_path / "log" / "sessions" / "a").glob("*.log")
    whole = file.read_bytes()
    file.write_bytes(whole + bytes(cut))
    with open_store(tmp_path / "log") as store:
        (recovered,) = store.recover()
        assert recovered.damage == ()
        assert {i.seq: i.json for i in recovered.log.replay(after=1) if isinstance(i, Entry)} == acknowledged
    assert file.read_bytes().startswith(whole)
    assert file.with_suffix(".torn-1").read_bytes() == bytes(cut)
    assert verify(file.parent).damage == []


def test_a_file_whose_head_is_damaged_costs_no_event(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", segment_bytes=2000) as store:
        log = store.create(CREATED, session_id="a")
        acknowledged = fill(log, 60)
    folder = tmp_path / "log" / "sessions" / "a"
    file = segment_path(folder, segment_numbers(folder)[-1])
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.write_bytes(data)
    with open_store(tmp_path / "log") as store:
        (recovered,) = store.recover()
        assert {i.seq: i.json for i in recovered.log.replay(after=1) if isinstance(i, Entry)} == acknowledged
        assert recovered.log.head.epoch == 2
        assert fill(recovered.log, 1)


# ---- D6 ----------------------------------------------------------------------------------------------------------


def serve(log: SessionLog, cmd: int) -> int:
    """What a server does with a command, whether it comes first or again: the number of its effect."""
    effect = log.effect("c", cmd)
    if effect is None:
        effect = log.append({"type": "note", "i": cmd}, by=("c", cmd))
    return effect.durable.result(20)


def effects(log: SessionLog) -> list[int]:
    return [item.event["i"] for item in log.replay(after=0) if isinstance(item, Entry) and "by" in item.event]


def test_d6_commands_sent_again_have_one_effect_each(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", level="process", segment_bytes=20_000) as store:
        log = store.create(CREATED)
        first = [serve(log, cmd) for cmd in range(1, 201)]
        assert [serve(log, cmd) for cmd in range(1, 201)] == first
        assert effects(log) == list(range(1, 201))


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_d6_a_thousand_commands_sent_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", level="process") as store:
        log = store.create(CREATED)
        first = [serve(log, cmd) for cmd in range(1, 1001)]
        assert [serve(log, cmd) for cmd in range(1, 1001)] == first
        assert effects(log) == list(range(1, 1001))


def life(folder: Path, disk: Disk) -> tuple[Store, SessionLog]:
    store = open_store(folder, files=disk)
    recovered = store.recover()
    return store, recovered[0].log if recovered else store.create(CREATED)


def test_d6_a_crash_between_effect_and_reply_repeats_nothing(tmp_path: Path) -> None:
    replied, chance, disk = 0, random.Random(3), Disk()
    for _ in range(12):
        store, log = life(tmp_path / "log", disk)
        for cmd in range(replied + 1, replied + 6):  # the client sends everything again that had no reply
            serve(log, cmd)
            if chance.random() < 0.3:
                break  # the effect is safe, and the reply is lost
            replied = cmd
        store.close()
        disk.lose_power()
    _, log = life(tmp_path / "log", disk)
    assert effects(log) == list(range(1, log.applied("c") + 1))
    assert log.applied("c") >= replied > 12


def test_d6_control_a_number_stored_apart_from_its_effect_is_found_out(tmp_path: Path) -> None:
    disk, number = Disk(), tmp_path / "applied.json"
    number.write_text("0")
    for has_crash in (True, False):
        store, log = life(tmp_path / "log", disk)
        for cmd in (1, 2):
            if cmd > json.loads(number.read_text()):
                log.append({"type": "note", "i": cmd, "by_hand": True}).durable.result(20)
                if has_crash:
                    break
                number.write_text(str(cmd))
        store.close()
    _, log = life(tmp_path / "log", disk)
    seen = [item.event["i"] for item in log.replay(after=0) if isinstance(item, Entry) and "by_hand" in item.event]
    assert seen == [1, 1, 2]


# ---- D7 ----------------------------------------------------------------------------------------------------------


def test_d7_an_index_that_was_lost_is_made_again_as_it_was(tmp_path: Path) -> None:
    time = Time()
    folder = tmp_path / "log"
    with open_store(folder, index=True, segment_bytes=1500, time=time) as store:
        for name in ("a", "b", "c"):
            fill(store.create(CREATED, session_id=name), 30)
        store.delete("b")
        assert store._index is not None
        original = store._index.rows()
    assert len(original) == 62
    assert len({row[5] for row in original}) > 2
    (folder / "index.sqlite").unlink()
    with open_store(folder, index=True, time=time) as store:
        assert store._index is not None
        assert store._index.rows() == original


def test_d7_an_index_that_fell_behind_or_broke_is_brought_up_to_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with open_store(folder, index=True) as store:
        fill(store.create(CREATED, session_id="a"), 3)
    with open_store(folder) as store:  # a life without an index
        fill(store.resume("a").log, 3)
        fill(store.create(CREATED, session_id="b"), 1)
    with open_store(folder, index=True) as store:
        assert store._index is not None
        assert [row[:2] for row in store._index.rows()] == [*(("a", seq) for seq in range(1, 8)), ("b", 1), ("b", 2)]
        store._index._db.execute("DROP TABLE events")
        log = store.create(CREATED, session_id="c")
        assert fill(log, 2)  # the log goes on without its index
        log.flush()
        assert store._index.broken == "no such table: events"
    (folder / "index.sqlite").write_bytes(b"rubbish" * 100)
    with open_store(folder, index=True) as store:
        assert store._index is not None
        assert len(store._index.rows()) == 12


def test_d7_what_expires_leaves_the_index_too(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", index=True, segment_bytes=1, time=time, keep_s=100.0) as store:
        log = store.create(CREATED, session_id="a")
        fill(log, 3)
        time.pass_s(101.0)
        log.append(note(9)).durable.result(20)
        log.append(note(9)).durable.result(20)
        assert store.expire() == []
        assert store._index is not None
        assert [row[1] for row in store._index.rows()] == [5, 6]
