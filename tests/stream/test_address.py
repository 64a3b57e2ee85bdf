"""What becomes of a live address: how it is opened, on each system, and what of it may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import SourceError
from vigil.stream.address import DEVICES, PROTOCOLS, SCREENS, Address, address_of


def opened(spec: str) -> Address:
    address = address_of(spec)
    assert address is not None
    return address


def on(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """As if this were another system."""
    monkeypatch.setattr("vigil.stream.address.sys.platform", system)


# ---- devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "spec", "url", "options"),
    [
        ("linux", "camera:", "/dev/video0", {}),
        ("linux", "camera:12", "/dev/video12", {}),
        ("linux", "camera:/dev/video2", "/dev/video2", {}),
        ("darwin", "camera:1", "1:none", {"framerate": "30"}),
        ("darwin", "camera:FaceTime", "FaceTime:none", {"framerate": "30"}),
        ("win32", "camera:Webcam", "video=Webcam", {}),
    ],
)
def test_a_camera_is_named_as_the_system_wants_it(
    monkeypatch: pytest.MonkeyPatch, system: str, spec: str, url: str, options: dict[str, str]
) -> None:
    on(monkeypatch, system)
    address = opened(spec)
    assert (address.kind, address.url, address.options) == ("camera", url, options)
    assert address.format == DEVICES[system]
    assert not address.may_stand_still
    assert not address.has_secret


@pytest.mark.parametrize(
    ("system", "spec", "url"),
    [
        ("linux", "screen:", ":0"),
        ("linux", "screen::1.0+100,200", ":1.0+100,200"),
        ("darwin", "screen:", "Capture screen 0:none"),
        ("darwin", "screen:2", "Capture screen 2:none"),
        ("win32", "screen:", "desktop"),
    ],
)
def test_a_screen_may_stand_still(monkeypatch: pytest.MonkeyPatch, system: str, spec: str, url: str) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    on(monkeypatch, system)
    address = opened(spec)
    assert (address.kind, address.url, address.shown) == ("screen", url, "screen:")
    assert address.format == SCREENS[system]
    assert address.options == {"framerate": "5"}
    assert address.may_stand_still


@pytest.mark.parametrize(("spec", "what"), [("camera:0", "cameras"), ("screen:", "screens")])
def test_on_a_system_without_a_reader_the_error_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, spec: str, what: str
) -> None:
    on(monkeypatch, "sunos5")
    with pytest.raises(SourceError, match=rf"{what} cannot be read on this system \(sunos5\)\. Give a file"):
        address_of(spec)


@pytest.mark.parametrize("spec", ["camera:a b", "camera:0\n", "camera:\x7f"])
def test_a_camera_s_name_has_no_spaces_and_no_control_characters(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    on(monkeypatch, "darwin")
    with pytest.raises(SourceError, match="a camera is a number or a device"):
        address_of(spec)


def test_a_drive_of_windows_is_a_path_and_on_linux_a_word_and_a_colon_too(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "win32")
    assert address_of("C://clips/a.mp4") is None
    on(monkeypatch, "linux")
    with pytest.raises(SourceError, match="c: addresses are not opened"):
        address_of("C://clips/a.mp4")
    assert address_of("note: to self.mp4") is None


# ---- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", sorted(PROTOCOLS))
def test_only_the_protocols_of_the_address_may_be_used(scheme: str) -> None:
    address = opened(f"{scheme}://cam/x")
    assert address.kind == ("rtsp" if scheme.startswith("rtsp") else "http")
    assert address.options["protocol_whitelist"].split(",")[0] == scheme
    assert "file" not in address.options["protocol_whitelist"]
    assert address.options["max_redirects"] == "0"
    assert address.format is None


def test_containers_are_listed_and_no_playlist_is_among_them() -> None:
    formats = opened("http://cam/x").options["format_whitelist"].split(",")
    assert {"mjpeg", "mpjpeg", "mp4", "matroska"} <= set(formats)
    assert not {"hls", "dash", "concat", "sdp"} & set(formats)
    assert opened("rtsp://cam/x").options["format_whitelist"] == "rtsp"


@pytest.mark.parametrize(
    ("spec", "has_secret"),
    [
        ("rtsp://cam/x", False),
        ("rtsp://u@cam/x", True),
        ("rtsp://:p@cam/x", True),
        ("http://cam/x?token=1", True),
        ("http://cam/x#part", False),
    ],
)
def test_a_user_a_password_or_a_query_is_a_secret(spec: str, has_secret: bool) -> None:
    assert opened(spec).has_secret is has_secret


@pytest.mark.parametrize("ending", [".m3u8", ".M3U", ".mpd", ".sdp"])
def test_a_playlist_is_refused_by_its_ending(ending: str) -> None:
    with pytest.raises(SourceError, match=rf"playlists are not opened \({ending.lower()}\)"):
        address_of(f"http://cam/a{ending}?x=1")
    assert opened(f"http://cam/a{ending}/x")


WORD = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(scheme=st.sampled_from(sorted(PROTOCOLS)), user=WORD, password=WORD, path=WORD, port=st.integers(1, 65535))
def test_what_is_shown_is_the_kind_the_host_and_the_port_and_nothing_else(
    scheme: str, user: str, password: str, path: str, port: int
) -> None:
    password = f"canary{password}"
    address = opened(f"{scheme}://{user}:{password}@camera.example:{port}/{path}")
    assert address.shown == f"{scheme}://camera.example:{port}"
    assert address.url == f"{scheme}://{user}:{password}@camera.example:{port}/{path}"
    assert "canary" not in repr(address)


# ---- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["kitchen.mp4", "./a/b.mkv", "/clips/a.mp4", "1.mp4", "time 10:30.mp4", "a,b.mp4"])
def test_a_file_s_name_is_no_address(spec: str) -> None:
    assert address_of(spec) is None
    assert address_of(Path(spec)) is None


@pytest.mark.parametrize("prefix", ["udp", "SRT", "rtmps", "concat", "concatf", "ffrtmphttp", "mmsh", "unix", "pipe"])
def test_prefixes_that_the_library_would_follow_are_refused(prefix: str) -> None:
    with pytest.raises(SourceError, match=f"{prefix.lower()}: addresses are not opened"):
        address_of(f"{prefix}:x")
