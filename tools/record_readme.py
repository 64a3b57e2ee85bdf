"""Record what the README shows: the command in a terminal, and the page in a browser. Both as animated WebP.

    pip install pyte
    python tools/record_readme.py terminal docs/terminal.webp
    python tools/record_readme.py page docs/page.webp

The terminal is a real one (a pseudo-terminal), read by a terminal emulator and drawn in its colours; the page is a
real Chromium, run by tests/serve/browser.py. Nothing is edited: time runs as it ran.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[1]
COLUMNS, LINES = 76, 12
SIZE_PX, HEIGHT_PX = 15, 19
PAPER, INK = (13, 17, 23), (214, 220, 228)
PALETTE = {
    "default": INK, "black": (110, 118, 129), "red": (255, 123, 114), "green": (86, 211, 100), "brown": (227, 179, 65),
    "blue": (121, 192, 255), "magenta": (210, 168, 255), "cyan": (86, 212, 221), "white": INK,
    "brightblack": (139, 148, 158),
}  # fmt: skip
Shot = tuple[float, Image.Image]


def main() -> None:
    """Record one of the two."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("what", choices=["terminal", "page"])
    flags.add_argument("out", type=Path)
    flags.add_argument("--seconds", type=float, default=22.0)
    flags.add_argument("--fps", type=float, default=5.0)
    args = flags.parse_args()
    shots = list((terminal if args.what == "terminal" else page)(args.seconds, 1 / args.fps))
    num = save(shots, args.out)
    size_kb = args.out.stat().st_size / 1000
    print(f"{args.out} has {num} pictures in {shots[-1][0]:.0f} s, {size_kb:.0f} kB", file=sys.stderr)


def save(shots: list[Shot], out: Path) -> int:
    """Write pictures that differ, each for as long as it stood; the last one stands for three seconds more."""
    kept: list[Shot] = []
    for at_s, image in shots:
        if not kept or image.tobytes() != kept[-1][1].tobytes():
            kept.append((at_s, image))
    ends_s = [at_s for at_s, _ in kept[1:]] + [shots[-1][0] + 3.0]
    lasting_ms = [round(1000 * (end - at_s)) for (at_s, _), end in zip(kept, ends_s, strict=True)]
    first, *rest = (image for _, image in kept)
    first.save(out, save_all=True, append_images=rest, duration=lasting_ms, quality=80, method=6, minimize_size=True)
    return len(kept)


def terminal(seconds: float, every_s: float) -> Iterator[Shot]:
    """`vigil watch`, as somebody sees it who types it."""
    import pyte

    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    stream.feed(b"$ vigil watch\r\n")
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("vigil", ["vigil", "watch"], {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    started = due = time.monotonic()
    try:
        while time.monotonic() - started < seconds:
            due += every_s
            while (left := due - time.monotonic()) > 0:
                if select.select([terminal], [], [], left)[0]:
                    stream.feed(os.read(terminal, 65536))
            yield time.monotonic() - started, drawn(screen)
    except OSError:  # the command has ended
        yield time.monotonic() - started, drawn(screen)
    os.waitpid(child, os.WNOHANG)


def drawn(screen: Any) -> Image.Image:
    """The characters of a screen in their colours."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    plain = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), SIZE_PX)
    bold = ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), SIZE_PX)
    step = plain.getlength("m")
    image = Image.new("RGB", (round(COLUMNS * step) + 32, LINES * HEIGHT_PX + 28), PAPER)
    pen = ImageDraw.Draw(image)
    for row in range(LINES):
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            if cell.data.strip() or cell.strikethrough:
                at = (16 + column * step, 14 + row * HEIGHT_PX)
                ink = PALETTE.get(cell.fg) or tuple(bytes.fromhex(cell.fg))
                pen.text(at, cell.data, fill=ink, font=bold if cell.bold else plain)
                if cell.strikethrough:
                    pen.line((at[0], at[1] + 10, at[0] + step, at[1] + 10), fill=ink)
    return image


def page(seconds: float, every_s: float) -> Iterator[Shot]:
    """The page that `vigil serve` opens with, with its demo clip."""
    sys.path.insert(0, str(ROOT))
    import vigil
    from tests.serve.browser import chromium, open_page
    from tests.serve.serving import serving

    with (
        tempfile.TemporaryDirectory() as folder,
        serving(vigil.load("nano"), tokens_per_s=8.0) as served,
        chromium(Path(folder)) as browser,
    ):
        tab = open_page(browser, served, width=1000, height=640)
        started = time.monotonic()
        while (at_s := time.monotonic() - started) < seconds:
            shot = Path(folder) / "shot.png"
            tab.picture(shot)
            yield at_s, Image.open(shot).convert("RGB")
            time.sleep(max(0.0, started + at_s + every_s - time.monotonic()))


if __name__ == "__main__":
    main()
