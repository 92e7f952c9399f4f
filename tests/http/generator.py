"""
HTTP messages by the thousand: valid ones, nearly valid ones, and damaged ones.

Hypothesis (strategies.py) finds small counterexamples; this finds many inputs
fast. What it makes follows from the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from . import ingredients as some


class Case(NamedTuple):
    """
    What a parser is given.

    @ivar role: C{"request"} or C{"response"}.
    @ivar method: which method the responses answer.
    @ivar eof: does the stream end after C{data}?
    """

    role: str
    data: bytes
    method: str = "GET"
    eof: bool = False


class Generator:
    """
    Makes cases.

    @ivar damage: the share of messages that get something wrong with them; 0: all are valid, but for what one
        kind of field does to another.
    """

    def __init__(self, seed: int, damage: float = 0.4) -> None:
        self._chance = random.Random(seed)
        # Faster than choice() and randrange(), which count bits.
        self._share = self._chance.random
        self.damage = damage

    def cases(self, count: int) -> Iterator[Case]:
        """
        So many cases, requests and responses in turn.
        """
        for number in range(count):
            yield self.request() if number & 1 else self.response()

    def request(self) -> Case:
        """
        One to four pipelined requests, and what was done to them.
        """
        return Case("request", self._several(self._request), eof=self._share() < 0.2)

    def response(self) -> Case:
        """
        One to four pipelined responses, and what was done to them.
        """
        method = self._pick(some.ANSWERED)
        return Case("response", self._several(self._response), method, eof=self._share() < 0.5)

    def _pick(self, among: Sequence[bytes]) -> bytes:
        return among[int(self._share() * len(among))]

    def _several(self, one: Callable[[str], bytes]) -> bytes:
        share = self._share
        data = one(self._fault())
        while share() < 0.3:
            if share() < 0.1:
                data += b"\r\n" * int(share() * 8)
            data += one(self._fault())
        if share() < self.damage / 2:
            # Some bytes, wherever they fall.
            data = self._bend(data)
        if share() < self.damage / 20:
            data = self._stretch(data)
        return data

    def _fault(self) -> str:
        """
        What is to be wrong with the next message, if anything?
        """
        if self._share() > self.damage:
            return ""
        return some.FAULTS[int(self._share() * len(some.FAULTS))]

    def _request(self, fault: str) -> bytes:
        share, pick = self._share, self._pick
        method, target, version = pick(some.METHODS), pick(some.TARGETS), pick(some.VERSIONS)
        if share() < 0.1:
            method = pick(some.ODD_METHODS)
        if share() < 0.1:
            target = pick(some.ODD_TARGETS)
        if method == b"CONNECT" and share() < 0.8:
            target = b"b:443"
        separators = [b" ", b" "]
        if fault == "start":
            which = int(share() * 5)
            if which == 0:
                target = pick(some.BAD_TARGETS)
            elif which == 1:
                version = pick(some.BAD_VERSIONS)
            elif which == 2:
                separators[int(share() * 2)] = pick((b"  ", b"\t", b"", b" \t", b"\x0b", b"\r\n", b"\x0c", b"\r"))
            elif which == 3:
                method = pick(
                    (
                        b"",
                        b"G(T",
                        b"GET:",
                        b" GET",
                        b"G\x80T",
                        b"\tGET",
                        b"G\0T",
                        b"\r\n\r\n\r\n\r\n\r\nGET",
                        b"\nGET",
                        b"\rGET",
                    )
                )
            else:
                version += pick(some.ENDS)
        fields = [self._host(fault)]
        body = self._frame(fields, fault)
        return self._assemble(b"".join((method, separators[0], target, separators[1], version)), fields, body, fault)

    def _host(self, fault: str) -> bytes:
        if fault == "host":
            share = self._share()
            if share < 0.3:
                return b"X: no host"
            if share < 0.5:
                return self._pick(some.HOSTS) + b"\r\n" + self._pick(some.HOSTS)
            return self._pick(some.BAD_HOSTS)
        return self._pick(some.HOSTS)

    def _response(self, fault: str) -> bytes:
        share, pick = self._share, self._pick
        version, status, reason = pick(some.VERSIONS), pick(some.STATUSES), pick(some.REASONS)
        separator = b" "
        if fault == "start":
            which = int(share() * 5)
            if which == 0:
                status = pick(some.BAD_STATUSES)
            elif which == 1:
                version = pick(some.BAD_VERSIONS)
            elif which == 2:
                separator = pick((b"  ", b"\t", b"", b"\x0b"))
            elif which == 3:
                reason = pick(some.BAD_REASONS)
            else:
                reason += pick(some.ENDS)
        fields: list[bytes] = []
        body = self._frame(fields, fault)
        return self._assemble(b"".join((version, separator, status, reason)), fields, body, fault)

    def _frame(self, fields: list[bytes], fault: str) -> bytes:
        """
        Say in C{fields} how long the body is, and make it.
        """
        share, pick = self._share, self._pick
        how = share()
        if fault == "both":
            fields += (self._length(3), pick(some.CODINGS)) if how < 0.5 else (pick(some.CODINGS), self._length(3))
            return self._chunked("") if share() < 0.7 else b"abc"
        if fault == "twice":
            size = int(share() * 3)
            fields += (self._length(size), self._length(size if how < 0.6 else 2))
            return b"abc"[:size]
        if fault == "length":
            fields.append(pick(some.LENGTHS) + pick(some.BAD_LENGTHS))
            return pick(some.BODIES)
        if fault == "coding":
            fields.append(b"Transfer-Encoding: " + pick(some.BAD_CODINGS))
            if how < 0.2:
                fields.append(pick(some.CODINGS))
            return self._chunked("")
        if how < 0.35 or fault in ("chunk", "trailer"):
            fields.append(pick(some.CODINGS))
            return self._chunked(fault)
        if how < 0.7:
            body = pick(some.BODIES)
            fields.append(self._length(len(body)))
            return body
        return b""

    def _length(self, size: int) -> bytes:
        return self._pick(some.LENGTHS) + (b"%d" if self._share() < 0.9 else b"00%d") % size

    def _chunked(self, fault: str) -> bytes:
        share, pick = self._share, self._pick
        pieces = []
        bad = int(share() * 3) if fault == "chunk" else -1
        for number in range(int(share() * 3)):
            data = pick(some.BODIES) or b"z"
            size, extension, end = pick(some.SIZES), pick(some.EXTENSIONS), b"\r\n"
            if number == bad:
                which = share()
                if which < 0.4:
                    size = pick(some.BAD_SIZES)
                elif which < 0.8:
                    extension = pick(some.BAD_EXTENSIONS)
                else:
                    end = pick(some.ENDS)
            pieces += (_format(size, len(data)), extension, b"\r\n", data, end)
        last = pick((b"0", b"0", b"0", b"000", b"0000000000000000"))
        extension = pick(some.EXTENSIONS)
        if fault == "chunk" and bad >= len(pieces) // 5:
            if share() < 0.5:
                last = _format(pick(some.BAD_SIZES), 0)
            else:
                extension = pick(some.BAD_EXTENSIONS)
        pieces += (last, extension, b"\r\n")
        while share() < 0.2:
            pieces += (pick(some.TRAILERS), b"\r\n")
        if fault == "trailer":
            pieces += (pick(some.BAD_TRAILERS), b"\r\n")
        pieces.append(b"\r\n")
        return b"".join(pieces)

    def _assemble(self, start: bytes, fields: list[bytes], body: bytes, fault: str) -> bytes:
        share, pick = self._share, self._pick
        while share() < 0.5:
            fields.insert(int(share() * (len(fields) + 1)), pick(some.FIELDS))
        if share() < 0.05:
            fields.append(pick(some.ODD_FIELDS))
        if fault == "field":
            fields.insert(int(share() * (len(fields) + 1)), pick(some.BAD_FIELDS))
        elif fault == "end" and fields:
            # Joined with CRLF below, so this one ends in its own way.
            where = int(share() * len(fields))
            fields[where] += pick(some.ENDS) + (
                fields.pop(where + 1) if where + 1 < len(fields) and share() < 0.7 else b""
            )
        elif fault == "blank":
            return (
                b"\r\n".join((start, *fields))
                + pick((b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r", b"\r\n \r\n", b"\r\n"))
                + body
            )
        return b"\r\n".join((start, *fields)) + b"\r\n\r\n" + body

    def _bend(self, data: bytes) -> bytes:
        share = self._share
        for _ in range(1 + int(share() * 2)):
            start = int(share() * (len(data) + 1))
            which = share()
            if which < 0.4:
                data = data[:start] + self._pick(some.INSERTS) + data[start:]
            elif which < 0.6:
                piece = self._pick(some.INSERTS)
                data = data[:start] + piece + data[start + len(piece) :]
            elif which < 0.75:
                data = data[:start] + data[start + 1 + int(share() * 4) :]
            elif which < 0.85:
                data = data[: start + int(share() * 20)] + data[start:]
            else:
                data = data[:start]
        return data

    def _stretch(self, data: bytes) -> bytes:
        """
        Make some part of it long, around the limits and beyond.
        """
        share = self._share
        what, size = _LONG[int(share() * len(_LONG))]
        times = size // len(what) + int(share() * 4) - 1
        places = [place for place, byte in enumerate(data) if byte in b" /:;\n"] or [0]
        where = places[int(share() * len(places))] + 1
        return data[:where] + what * times + data[where:]


_LONG = (
    (b"a", 8192 - 13), (b"a", 40000), (b"\r\n", 14), (b"\r\n", 1000), (b"X: y\r\n", 6 * 99), (b"X: y\r\n", 6 * 200),
    (b" ", 9000), (b";a", 4096), (b";a", 2000), (b"a", 8192), (b"a", 32768 - 40), (b"0", 12),
    (b"X: yyyyyyyyyy\r\n", 8192),
)  # fmt: skip


def _format(size: bytes, number: int) -> bytes:
    return size % ((number,) * size.count(b"%"))
