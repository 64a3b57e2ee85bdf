"""Addresses of live sources: what may be opened, how, and by what name it is shown.

An address may hold a password; it reaches the decoder child by a pipe, and nothing else. What people and logs see is
`Address.shown`: the kind and the host, never a user, a password, a path or a query.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from vigil.errors import SourceError

Kind = Literal["camera", "screen", "rtsp", "http"]

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,ogg"
"""Containers that are tried over HTTP. Playlists are not among them: they make the reader open more addresses."""
PROTOCOLS = {"http": "http,tcp", "https": "https,tls,tcp", "rtsp": "rtsp,rtp,tcp", "rtsps": "rtsps,rtsp,rtp,tls,tcp"}
DEVICES = {"linux": "video4linux2", "darwin": "avfoundation", "win32": "dshow"}
SCREENS = {"linux": "x11grab", "darwin": "avfoundation", "win32": "gdigrab"}
PLAYLISTS = (".m3u8", ".m3u", ".mpd", ".sdp")
PROBE = {"max_redirects": "0", "rtsp_transport": "tcp", "probesize": "5000000", "analyzeduration": "5000000"}

_PREFIX = re.compile(r"([a-z][a-z0-9+.-]*)([:,])(.*)", re.IGNORECASE | re.DOTALL)
_DEVICE = re.compile(r"/dev/video[0-9]+|[0-9]+")
_UNFIT = re.compile(r"[\x00-\x20\x7f]")
_WHAT_IS_READ = "Give a file, camera:0, screen:, or an rtsp://, rtsps://, http:// or https:// address."


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How a live source is opened."""

    kind: Kind
    url: str = field(repr=False)
    """What the decoder child opens; may hold a password."""
    shown: str
    """Safe to print."""
    format: str | None = None
    """Name of the device reader, or None for an address of the network."""
    options: dict[str, str] = field(default_factory=dict)
    has_secret: bool = False
    """The address holds a user, a path or a query that nobody but the source should see."""
    may_stand_still: bool = False
    """The same picture for a long time is no fault: a screen."""


def address_of(spec: str | Path) -> Address | None:
    """Read what a user gave; None: it is a path.

    What exists as a file or a folder is a path, whatever its name looks like.

    Raises:
        SourceError: it is an address, but not one that may be opened, or not one that can be understood.
    """
    text = str(spec)
    if _DEVICE.fullmatch(text):
        return None if text.isdecimal() and Path(text).exists() else _camera(text)
    match = _PREFIX.match(text)
    if match is None or _is_there(text) or (sys.platform == "win32" and len(match[1]) == 1):
        return None
    prefix, mark, rest = match[1].lower(), match[2], match[3]
    if mark == ":" and prefix == "camera":
        return _camera(rest or "0")
    if mark == ":" and prefix == "screen":
        return _screen(rest)
    if mark == ":" and prefix in PROTOCOLS and rest.startswith("//"):
        return _network(text, prefix)
    if rest.startswith("//") or _OPENS_MORE.fullmatch(prefix):
        raise SourceError(f"{prefix}: addresses are not opened. {_WHAT_IS_READ}")
    return None


_OPENS_MORE = re.compile(
    "async|bluray|cache|concatf?|crypto|data|dash|fd|ffrtmp.*|file|ftp|gopher|hls|httpproxy|icecast|ip[fn]s|lavfi|mms[ht]"
    "|pipe|prompeg|rtmp.*|rtp|sap|sctp|sdp|smb|srt|subfile|tcp|tee|tls|udp|unix"
)
"""Prefixes that the library would follow to other places; `file:` too, since a path says the same and is checked."""


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _camera(which: str) -> Address:
    """A device by number or by name, as the system's own reader wants it."""
    device = _of_platform(DEVICES, "cameras")
    if _UNFIT.search(which):
        raise SourceError(f"a camera is a number or a device, such as camera:0. {_WHAT_IS_READ}")
    if sys.platform == "linux":
        path = f"/dev/video{which}" if which.isdecimal() else which
        if not _DEVICE.fullmatch(path):
            raise SourceError("a camera is a number or a device, such as camera:0 or /dev/video0.")
        return Address(kind="camera", url=path, shown=f"camera:{path.removeprefix('/dev/video')}", format=device)
    url = f"{which}:none" if sys.platform == "darwin" else f"video={which}"
    options = {"framerate": "30"} if sys.platform == "darwin" else {}
    return Address(kind="camera", url=url, shown=f"camera:{which}", format=device, options=options)


def _screen(which: str) -> Address:
    """The screen, or another display of X11: `screen::1`, `screen::0.0+100,200`."""
    reader = _of_platform(SCREENS, "screens")
    if sys.platform == "linux":
        display = which or os.environ.get("DISPLAY", "")
        if not display:
            raise SourceError(
                "there is no X11 screen here: DISPLAY is not set. Start vigil on a desktop, or name one: screen::0."
            )
        if not re.fullmatch(r":[0-9]+(\.[0-9]+)?(\+[0-9]+,[0-9]+)?", display):
            raise SourceError("a screen is written as screen: or as an X11 display of this machine, such as screen::0.")
        return Address(
            kind="screen", url=display, shown="screen:", format=reader, options={"framerate": "5"}, may_stand_still=True
        )
    url = f"Capture screen {which or 0}:none" if sys.platform == "darwin" else "desktop"
    return Address(
        kind="screen", url=url, shown="screen:", format=reader, options={"framerate": "5"}, may_stand_still=True
    )


def _of_platform(readers: dict[str, str], what: str) -> str:
    if sys.platform not in readers:
        raise SourceError(f"{what} cannot be read on this system ({sys.platform}). {_WHAT_IS_READ}")
    return readers[sys.platform]


def _network(text: str, scheme: str) -> Address:
    """An address of the network. Errors do not repeat it: it may hold a password."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or _UNFIT.search(text) or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise SourceError(
            f"this {scheme}:// address cannot be understood. Write {scheme}://user:password@host:port/path, "
            "with special characters of the password as %40 for @ and %2F for /."
        )
    if parts.path.lower().endswith(PLAYLISTS):
        raise SourceError(
            f"playlists are not opened ({Path(parts.path).suffix.lower()}): each line may lead to another address. "
            "Give the camera's own stream, rtsp:// or http://."
        )
    kind: Kind = "rtsp" if scheme.startswith("rtsp") else "http"
    name = f"[{host}]" if ":" in host else host
    shown = f"{scheme}://{name}" + (f":{port}" if port else "")
    formats = kind if kind == "rtsp" else f"{FORMATS},mpjpeg,mjpeg"
    return Address(
        kind=kind,
        url=parts._replace(fragment="").geturl(),
        shown=shown,
        options={**PROBE, "protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": formats},
        has_secret=bool(parts.username or parts.password or parts.query),
    )
