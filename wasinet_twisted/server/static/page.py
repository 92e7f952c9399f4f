"""
A directory as an HTML page.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice
from time import gmtime, strftime
from urllib.parse import quote

from .opening import Opened, Root
from .paths import Refused, isServable

# How many entries are shown, and how many of these are looked at in a turn of the reactor's.
MOST = 10_000
_AT_ONCE = 200

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "h1{font-size:1.25rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.15rem .75rem .15rem 0;text-align:left;vertical-align:top}td:first-child{overflow-wrap:anywhere}"
    "th:nth-child(2),td:nth-child(2){text-align:right}td:nth-child(n+2){white-space:nowrap;color:GrayText}"
    ":root{color-scheme:light dark}"
)
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class DirectoryPage:
    """
    The page of one directory, as a response's body. Its files are looked at while it is sent.

    @ivar isShort: is it to be made in one turn of the reactor's?
    """

    __slots__ = ("_directory", "_dotFiles", "_entries", "_more", "_names", "_root", "isShort")

    def __init__(self, root: Root, directory: Opened, names: Sequence[bytes], dotFiles: bool) -> None:
        """
        @param directory: is closed with this.
        @param names: of the directories on the way to it, and its own.
        """
        self._root = root
        self._directory = directory
        self._names = names
        self._dotFiles = dotFiles
        with os.scandir(directory.descriptor) as found:
            # Of a directory's descriptor, names are str.
            servable = (each for each in found if isServable(os.fsencode(each.name), dotFiles))
            self._entries = list(islice(servable, MOST))
            self._more = next(servable, None) is not None
        self._entries.sort(key=lambda each: each.name)
        self.isShort = len(self._entries) <= _AT_ONCE

    def __iter__(self) -> Iterator[bytes]:
        path = _shown(b"/" + b"".join(name + b"/" for name in self._names))
        yield (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n<title>{path}</title>\n<style>{_STYLE}</style>\n'
            f"</head>\n<body>\n<h1>{path}</h1>\n<table>\n<tr><th>Name</th><th>Size</th><th>Changed (UTC)</th></tr>\n"
        ).encode()
        if self._names:
            yield b'<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'
        for begin in range(0, len(self._entries), _AT_ONCE):
            yield "".join(self._row(each) for each in self._entries[begin : begin + _AT_ONCE]).encode()
        yield b"</table>\n"
        if self._more:
            yield f"<p>There are more than {MOST} files; the others are not shown.</p>\n".encode()
        yield b"</body>\n</html>\n"

    def close(self) -> None:
        """
        Close the directory.
        """
        self._directory.close()

    def _row(self, entry: os.DirEntry[str]) -> str:
        """
        @return: an empty string, if it can't be served.
        """
        name = os.fsencode(entry.name)
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                file = self._root.open([*self._names, name])
                status = file.status
                file.close()
        except (OSError, Refused):
            return ""
        if stat.S_ISDIR(status.st_mode):
            slash, size = "/", ""
        elif stat.S_ISREG(status.st_mode):
            slash, size = "", sizeOf(status.st_size)
        else:
            return ""
        # Without "./", a name with a colon would be a URL of its own scheme.
        link = f"./{quote(name, safe='')}{slash}"
        return (
            f'<tr><td><a href="{link}"><bdi>{_shown(name)}</bdi>{slash}</a></td>'
            f"<td>{size}</td><td>{_time(status.st_mtime)}</td></tr>\n"
        )


def sizeOf(size: int) -> str:
    """
    A number of bytes as people read it.
    """
    if size < 1024:
        return f"{size} B"
    value, unit = size / 1024, 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def _time(seconds: float) -> str:
    try:
        return strftime("%Y-%m-%d %H:%M", gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return ""


def _shown(name: bytes) -> str:
    """
    A name for the page. What is no UTF-8 is shown as U+FFFD; its link leads to it all the same.
    """
    return escape(name.decode("utf-8", "replace"))
