"""Where containers say that they end, on a few bytes written by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.stream._media import is_cut_short

FTYP = struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\0\0"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def large_box(name: bytes, body: bytes) -> bytes:
    """With a size of 64 bits."""
    return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body


def element(name: bytes, body: bytes, *, known: bool = True) -> bytes:
    """A Matroska element with a size of 8 bytes."""
    size = len(body) if known else (1 << 56) - 1
    return name + (size | 1 << 56).to_bytes(8, "big") + body


EBML, SEGMENT, CLUSTER, BLOCK = b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\x1fC\xb6u", b"\xa3"
HEAD = element(EBML, b"\x42\x82\x84webm")
WHOLE = {
    "mp4": FTYP + box(b"moov", bytes(20)) + box(b"mdat", bytes(50)),
    "mp4 with 64 bits": FTYP + large_box(b"mdat", bytes(40)),
    "matroska": HEAD + element(SEGMENT, element(CLUSTER, element(BLOCK, bytes(30)))),
    "live matroska": HEAD + element(SEGMENT, element(CLUSTER, element(BLOCK, bytes(30)), known=False), known=False),
    "avi": b"RIFF" + struct.pack("<I", 60) + bytes(60),
    "transport stream": (b"\x47" + bytes(187)) * 6,
    "transport stream of a disc": (bytes(4) + b"\x47" + bytes(187)) * 6,
    "transport stream with check sums": (b"\x47" + bytes(203)) * 6,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_whole_and_without_its_last_byte_it_is_cut_short(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(WHOLE[name])
    assert not is_cut_short(path)
    path.write_bytes(WHOLE[name][:-1])
    assert is_cut_short(path)


def test_a_last_box_that_goes_to_the_end_of_the_file_is_never_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(FTYP + struct.pack(">I4s", 0, b"mdat") + bytes(9))
    assert not is_cut_short(path)


def test_an_element_of_unknown_size_ends_with_what_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    blocks = element(BLOCK, bytes(30)) + element(BLOCK, bytes(7))
    path.write_bytes(HEAD + element(SEGMENT, element(CLUSTER, blocks, known=False), known=False))
    assert not is_cut_short(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"GIF89a" + bytes(60), (b"\x47" + bytes(187)) * 4])
def test_what_states_no_size_is_not_called_cut(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert not is_cut_short(path)


@given(name=st.sampled_from(sorted(WHOLE)), kept=st.floats(0.0, 1.0), junk=st.binary(max_size=40))
def test_no_bytes_make_it_fail_or_go_on_for_ever(
    tmp_path_factory: pytest.TempPathFactory, name: str, kept: float, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("ends") / "a.bin"
    path.write_bytes(WHOLE[name][: int(kept * len(WHOLE[name]))] + junk)
    assert is_cut_short(path) in (True, False)
