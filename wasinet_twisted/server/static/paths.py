"""
From a request's target to names of files: percent-decoded once, and refused where anything is doubtful.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

# A deeper path is not found. Links that lead in circles could make a request cost much otherwise.
DEEPEST = 128

_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):
    """
    There is no file that may be served.

    @ivar status: what to answer: 400, 403, 404 or 503.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def namesOf(path: str, dotFiles: bool) -> list[bytes]:
    """
    Take a path apart.

    @param path: the raw path of a request target, without the slash at its beginning.
    @param dotFiles: may names begin with a dot?
    @return: the names, percent-decoded; the last is empty if the path ends in a slash, or is empty.
    @raise Refused: 400, a percent sign begins no escape; 404, a name is empty, C{.} or C{..}, or holds a slash, a
        backslash or a NUL; or it begins with a dot and may not.
    """
    if _NO_ESCAPE.search(path):
        raise Refused(400)
    names = [unquote_to_bytes(each) for each in path.split("/")]
    if len(names) > DEEPEST:
        raise Refused(404)
    for name in names[:-1]:
        _check(name, dotFiles)
    if names[-1]:
        _check(names[-1], dotFiles)
    return names


def isServable(name: bytes, dotFiles: bool) -> bool:
    """
    Can a request name this file of a directory?
    """
    return bool(name) and b"\\" not in name and (dotFiles or not name.startswith(b"."))


def _check(name: bytes, dotFiles: bool) -> None:
    if not isServable(name, dotFiles) or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise Refused(404)
