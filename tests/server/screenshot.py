"""
Make docs/status.png: the status page of a made-up server, after a minute.

    python -m tests.server.screenshot [--seconds N] [--dark] [FILE]

Needs chromium and chromedriver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import argparse
import shutil
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from tests.processes import ROOT, freePort, running
from tests.server.browser import browsing, setColours


def packed(png: bytes) -> bytes:
    """
    The same picture without filters, which make photographs smaller and pages of text and lines by a quarter larger.

    @param png: of eight bits a colour, without an alpha channel, not interlaced: chromium's.
    """
    width, _, *kind = struct.unpack(">IIBBBBB", png[16:29])
    assert kind == [8, 2, 0, 0, 0], kind
    written, pixels, offset = [], b"", 8
    while offset < len(png):
        (size,) = struct.unpack_from(">I", png, offset)
        if png[offset + 4 : offset + 8] == b"IDAT":
            pixels += png[offset + 8 : offset + 8 + size]
        offset += size + 12
    filtered = zlib.decompress(pixels)
    rows, above = b"", bytes(3 * width + 3)
    for start in range(0, len(filtered), 3 * width + 1):
        # Three bytes of nothing stand before each row, for what is left of it.
        row = bytearray(3)
        for position, byte in enumerate(filtered[start + 1 : start + 1 + 3 * width]):
            left, up, corner = row[position], above[position + 3], above[position]
            row.append((byte + _predicted(filtered[start], left, up, corner)) & 0xFF)
        rows += b"\0" + row[3:]
        above = bytes(row)
    for name, data in ((b"IHDR", png[16:29]), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")):
        written.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return png[:8] + b"".join(written)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    """
    What a filter takes away from a byte. PNG (third edition) section 9.
    """
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    paeth = left + up - corner
    return min((left, up, corner), key=lambda value: abs(paeth - value))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.server.screenshot", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=70, help="how long the page is watched first (%(default)s)")
    parser.add_argument("--dark", action="store_true", help="as those see it who prefer dark colours")
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "docs" / "status.png")
    options = parser.parse_args(arguments)
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        print("chromium or chromedriver is missing: apt-get install chromium chromium-driver", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        port = freePort()
        server = [sys.executable, str(ROOT / "tests" / "server" / "statusserver.py"), str(port)]
        with (
            running(server, directory) as process,
            browsing(chromium, driver, directory / "profile", height=880) as browser,
        ):
            process.waitForPorts(port)
            setColours(browser, "dark" if options.dark else "light")
            browser.get(f"http://127.0.0.1:{port}/")
            time.sleep(options.seconds)
            options.file.write_bytes(packed(browser.get_screenshot_as_png()))
    print(f"{options.file}: {options.file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
