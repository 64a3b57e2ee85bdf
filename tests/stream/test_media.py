"""Video files: damage is stepped over, pictures come upright, whole and in 8 bits, and bad files say what is wrong."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from videos import CORNERS, cut, grey, read, ten, write_video

from vigil.errors import MediaError, SourceLost
from vigil.stream import _media
from vigil.stream._media import _Decoder, is_cut_short
from vigil.stream.source import open_source, printable


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), np.rot90(CORNERS, -1)),
        ((-1, 0, 0, -1), np.rot90(CORNERS, 2)),
        ((0, -1, 1, 0), np.rot90(CORNERS, 1)),
        ((-1, 0, 0, 1), CORNERS[:, ::-1]),
        ((1, 0, 0, -1), CORNERS[::-1]),
        ((0, 1, 1, 0), CORNERS.swapaxes(0, 1)),
    ],
    ids=["quarter right", "half", "quarter left", "mirrored", "upside down", "transposed"],
)
def test_a_display_matrix_is_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int], expected: NDArray[np.uint8]
) -> None:
    path = write_video(tmp_path / "turned.mp4", [CORNERS] * 2)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # after version, times, id, duration, layer, group, volume
    a, b, c, d = (65536 * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with open_source(path, fps=10) as source:
        image = next(iter(source)).image
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 3


def test_ten_bit_video_becomes_eight_bit_within_two_steps(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8), 4)[None, :, None] * np.ones((16, 1, 3), dtype=np.uint8)
    path = write_video(tmp_path / "deep.mkv", [ramp], codec="ffv1", pixels="yuv444p10le")
    with open_source(path, fps=1) as source:
        assert np.abs(next(iter(source)).image.astype(int) - ramp).max() <= 2


def test_odd_sizes_come_whole(tmp_path: Path) -> None:
    odd = np.zeros((31, 1037, 3), dtype=np.uint8)
    odd[-1], odd[:, -1] = 200, 200
    with open_source(write_video(tmp_path / "odd.mkv", [odd], codec="ffv1", pixels="yuv444p"), fps=1) as source:
        image = next(iter(source)).image
    assert image.shape == (31, 1037, 3)
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - odd).max() <= 3


def test_one_picture_is_a_video_too(tmp_path: Path) -> None:
    assert read(write_video(tmp_path / "one.mp4", [grey(70)]))[:2] == ([0.0], [7])


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mkv", {}), ("live.mkv", {"live": "1"}), ("a.mp4", FRAGMENTED), ("a.ts", {})],
    ids=["mkv", "live", "mp4", "ts"],
)
def test_a_file_cut_short_is_decoded_as_far_as_it_goes(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = ten(tmp_path / name, options=options)
    assert read(path)[2].warnings == []  # the whole file is not called cut
    times, pictures, source = read(cut(path, 0.7))
    assert pictures == list(range(len(pictures)))
    assert 3 <= len(pictures) < 10
    (warning,) = source.warnings
    assert warning.startswith(f"{name} is cut short: decoded as far as it goes, {times[-1] + 0.1:.1f} s")


@pytest.mark.parametrize(("in_front", "behind"), [(0, 0), (4, 0), (0, 16)], ids=["188", "192", "204"])
def test_a_transport_stream_is_cut_short_where_it_does_not_end_with_a_packet(
    tmp_path: Path, in_front: int, behind: int
) -> None:
    data = ten(tmp_path / "a.ts").read_bytes()
    packets = [bytes(in_front) + data[at : at + 188] + bytes(behind) for at in range(0, len(data), 188)]
    path = tmp_path / "b.ts"
    for cut_bytes, expected in ((0, False), (1, True), (187, True)):
        whole = b"".join(packets)
        path.write_bytes(whole[: len(whole) - cut_bytes])
        assert is_cut_short(path) is expected


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_FILE_BYTES", 1024, "a.mkv is too large: 0.00 GiB, the limit is"),
        ("MAX_DURATION_S", 0.5, "a.mkv is too long: 0.0 h, the limit is"),
        ("MAX_FPS", 9, "a.mkv has 10 frames per second, the limit is 9. Convert it to fewer."),
    ],
)
def test_a_file_beyond_a_limit_is_refused_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, message: str
) -> None:
    path = ten(tmp_path / "a.mkv")
    monkeypatch.setattr(_media, limit, value)
    with pytest.raises(MediaError, match=message):
        open_source(path, fps=1.0)


def test_the_limits_are_those_of_the_design() -> None:
    assert (_media.MAX_FILE_BYTES, _media.MAX_DURATION_S, _media.MAX_FPS) == (2 * 1024**3, 6 * 60 * 60, 120)
    assert _media.MAX_PIXELS == 4096**2


def test_a_file_that_goes_on_after_what_it_says_is_read_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ten(tmp_path / "a.ts")
    with open_source(path, fps=1000.0) as source:
        monkeypatch.setattr(_media, "MAX_DURATION_S", 0.45)
        assert [round(frame.time_s, 1) for frame in source] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert source.warnings == ["a.ts goes on after 0.000125 h; the rest is left out."]


def plain_decode(path: Path) -> int:
    """Frames that the ordinary loop gets before it gives up: the control for the tolerant one."""
    count = 0
    with av.open(str(path)) as container, contextlib.suppress(av.FFmpegError):
        for _ in container.decode(video=0):
            count += 1
    return count


def test_damaged_packets_are_stepped_over_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "bad.mkv", [grey(100)] * 60, options={"cluster_time_limit": "300"})
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    data = path.read_bytes()
    for packet in (packets[20], packets[40]):
        data = data.replace(packet, b"\xff" * 8 + packet[8:])
    path.write_bytes(data)
    times, _, source = read(path)
    assert len(times) >= 50
    assert plain_decode(path) <= 20
    (warning,) = source.warnings
    assert re.fullmatch(r"bad.mkv is damaged: \d+ of its packets could not be decoded.", warning)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (av.error.OSError(5, "Input/output error"), SourceLost),
        (av.error.MemoryError(12, "Cannot allocate memory"), None),
    ],
    ids=["the disk is gone", "the file asks for too much"],
)
def test_a_failing_disk_is_a_lost_source_and_a_failing_demuxer_is_damage(
    tmp_path: Path, error: av.FFmpegError, expected: type[Exception] | None
) -> None:
    class Failing:
        """A container that fails after its third packet."""

        def __init__(self, container: av.container.InputContainer) -> None:
            self.container = container

        def demux(self, stream: av.VideoStream) -> Iterator[av.Packet[av.VideoStream]]:
            yield from islice(self.container.demux(stream), 3)
            raise error

    warnings: list[str] = []
    with av.open(str(ten(tmp_path / "a.mkv"))) as container:
        decoder = _Decoder(Failing(container), container.streams.video[0], "a.mkv")  # type: ignore[arg-type]
        with pytest.raises(expected, match="can no longer be read") if expected else contextlib.nullcontext():
            assert list(decoder.pictures(None, warnings, cut_short=False))
    assert warnings == ([] if expected else ["a.mkv is damaged: 1 of its packets could not be decoded."])


def text_file(path: Path) -> Path:
    path.write_text("not a video\n" * 50)
    return path


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def only_header(path: Path) -> Path:
    data = ten(path).read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75") + 20])  # up to the first cluster of frames
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (text_file, "text.mp4", "text.mp4 is not a video that can be decoded. Give an mp4"),
        (text_file, "text.png", "text.png is not an image that can be decoded."),
        (empty, "zero.mp4", "zero.mp4 is empty (0 bytes). Copy or record it again."),
        (audio_only, "sound.m4a", "sound.m4a has no video stream, only sound or data."),
        (lambda p: cut(ten(p), 0.5), "half.mp4", "half.mp4 is cut short before its index (moov)"),
        (only_header, "head.mkv", "head.mkv holds no frame that can be decoded"),
        (lambda p: text_file(p), "two\n\x1b[31mlines\u202e.mp4", "two [31mlines.mp4 is not a video"),
    ],
    ids=["text", "text image", "zero bytes", "audio only", "no index", "only a head", "hostile name"],
)
def test_what_holds_no_video_is_a_media_error_of_one_clean_line(
    tmp_path: Path, make: Callable[[Path], Path], name: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / name)
    with pytest.raises(MediaError) as caught:
        read(path)
    assert str(caught.value).startswith(message)
    assert printable(str(caught.value)) == str(caught.value)
    assert "Errno" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no library logs
