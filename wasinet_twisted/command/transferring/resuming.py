"""
Going on with a file whose transfer was interrupted.

While a response is written to C{FILE}, C{FILE.wasinet} stands beside it and
says of which version of the resource it is a part. Without that, nobody could
say whether the rest, asked for later, fits. When the file is complete, it is
removed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from ...server.dates import parseDate

ENDING = ".wasinet"
# How large the file beside may be, in bytes; longer URLs and tags are not kept.
_MOST = 64 * 1024
# RFC 9110 section 8.8.3; a weak one says too little (section 13.1.5).
_strong = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"').fullmatch
# RFC 9110 section 14.4. The unit's case doesn't matter.
_contentRange = re.compile(r"(?i:bytes) (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)").fullmatch


class CantResume(Exception):
    """
    The transfer can't go on where it stopped; the file is as it was.
    """


@dataclass(frozen=True)
class Part:
    """
    What a file is a part of.

    @ivar url: where it came from.
    @ivar validator: the ETag, or the Last-Modified, of the version: what If-Range takes.
    """

    url: str
    validator: str

    def save(self, file: str) -> None:
        """
        Write it beside C{file}.

        @raise OSError: it can't be written.
        """
        # A URL may hold what nobody else should read.
        descriptor = os.open(file + ENDING, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as beside:
            json.dump(asdict(self), beside)


def partOf(url: str, headers: Mapping[str, str]) -> Part | None:
    """
    Return what tells a response's version; L{None}: nothing does.
    """
    validator = headers.get("ETag", "")
    if not _strong(validator):
        # RFC 9110 section 8.8.2.2: changed in the second in which it was sent, it might change again in that second.
        validator = headers.get("Last-Modified", "")
        changed, sent = parseDate(validator), parseDate(headers.get("Date", ""))
        if changed is None or sent is None or sent - changed < 1:
            return None
    part = Part(url, validator)
    return part if len(json.dumps(asdict(part))) <= _MOST else None


def load(file: str) -> Part | None:
    """
    Read what stands beside C{file}; L{None}: nothing.

    @raise CantResume: it is not what L{Part.save} has written.
    """
    try:
        with open(file + ENDING, "rb") as beside:
            found = json.loads(beside.read(_MOST + 1))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CantResume(f"can't read {file}{ENDING}: {error}; remove it and {file} to start anew") from error
    if not (
        isinstance(found, dict)
        and found.keys() == {"url", "validator"}
        and all(isinstance(value, str) for value in found.values())
    ):
        raise CantResume(f"{file}{ENDING} is not what this command writes; remove it and {file} to start anew")
    return Part(**found)


def forget(file: str) -> None:
    """
    The file is complete, or will be something else.
    """
    with suppress(OSError):
        os.unlink(file + ENDING)


def rangeFields(size: int, part: Part | None) -> list[tuple[str, str]]:
    """
    Return the fields that ask for what comes after C{size} bytes. RFC 9110 sections 13.1.5 and 14.2.
    """
    fields = [("Range", f"bytes={size}-")]
    if part is not None:
        fields.append(("If-Range", part.validator))
    return fields


def restOf(headers: Mapping[str, str], size: int, part: Part | None) -> tuple[int, int | None]:
    """
    Look at what a 206 holds.

    @param size: how many bytes the file has.
    @return: how many bytes come, and how many there are in all; L{None}: the server doesn't say.
    @raise CantResume: they don't follow on the file's, or are another version's.
    """
    given = headers.get("Content-Range", "")
    match = _contentRange(given)
    if match is None or match[1] is None:
        raise CantResume(f"the server has sent a part without saying which one: Content-Range {given!r:.100}")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    length = headers.get("Content-Length", "")
    if first != size or last < first or (total is not None and last >= total):
        raise CantResume(f"the server has sent bytes {given[:100]} instead of those from {size} on")
    if length.isascii() and length.isdigit() and length.lstrip("0") != str(last - first + 1):
        raise CantResume(f"the server has sent {length[:20]} bytes as {given[:100]}")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CantResume("the server has sent a part of a compressed body")
    tag = headers.get("ETag")
    if part is not None and tag is not None and _strong(part.validator) and tag != part.validator:
        raise CantResume(
            f"the server has sent a part of another version: ETag {tag:.100} instead of {part.validator:.100}"
        )
    return last - first + 1, total


def isComplete(headers: Mapping[str, str], size: int) -> bool:
    """
    Does a 416 say that there are no more than C{size} bytes? RFC 9110 section 15.5.17.
    """
    match = _contentRange(headers.get("Content-Range", ""))
    return match is not None and match[1] is None and match[3] != "*" and int(match[3]) == size
