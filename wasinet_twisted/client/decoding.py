"""
A body without its content codings (RFC 9110 section 8.4).

    decoder = decoderFor(response.getHeader("Content-Encoding"))
    for piece in decoder.decode(data):
        ...
    decoder.end()

Decoded bytes come in pieces of at most 256 KiB, each made when it is asked for: whoever
waits between two pieces holds up the rest, and a bomb is noticed before it is in memory.

What follows the end of a coded stream is refused, as curl does: nobody can say whose bytes
these are. After a gzip member another one may follow, and after a zstd frame another frame.
A body of no bytes at all is a body of no bytes, whatever its coding is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..errors import ContentError, IncompleteRead, MessageTooLarge, WasinetError
from ..http.checks import shorten
from ..http.limits import checkNumbers
from . import codings
from .codings import SLICE, Step

# RFC 9110 section 5.6.2: a token, without case.
_coding = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++").fullmatch
# RFC 9110 section 8.4.1.3
_ALIASES = {"x-gzip": "gzip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingLimits:
    """
    Bounds on what a coded body decodes to. A body exactly as large as its bound is accepted; beyond the first three,
    L{MessageTooLarge} is raised, beyond the last, L{ContentError}.

    @ivar decoded: how many bytes a decoded body may have, also where it is streamed.
    @ivar ratio: how many decoded bytes there may be for each coded byte, on average since the body began. The bytes
        between two codings count too, and so does making a decoder: each gzip member as 4 KiB, each zstd frame as
        16 KiB.
    @ivar free: how many bytes may be decoded before the ratio is looked at.
    @ivar codings: how many codings a body may have, one over the other.
    """

    decoded: int = 1024 * 1024 * 1024
    # Apache's mod_deflate has the same.
    ratio: float = 200.0
    free: int = 1024 * 1024
    codings: int = 3

    def __post_init__(self) -> None:
        checkNumbers(self, whole=frozenset(("decoded", "free", "codings")))


DEFAULT_DECODING_LIMITS = DecodingLimits()


def decoderFor(contentEncoding: str | None, limits: DecodingLimits = DEFAULT_DECODING_LIMITS) -> Decoder | None:
    """
    Return what decodes a body; L{None}: the body is to be left as it is.

    That is so where nothing is coded, and where one of the codings isn't known, or the package that decodes it isn't
    installed. Such a coding is never asked for (L{acceptEncoding}).

    @param contentEncoding: the values of all Content-Encoding fields, joined with C{", "}; L{None}: there are none.
    @raise ContentError: there are more codings than C{limits} allows.
    """
    if contentEncoding is None:
        return None
    names = _namesOf(contentEncoding)
    if names is None or not names:
        return None
    if len(names) > limits.codings:
        raise ContentError(
            f"at most {limits.codings} content codings are decoded, not {len(names)}: {shorten(contentEncoding)}",
            statusHint=415,
        )
    # The last one was applied last.
    return Decoder(names[::-1], limits)


@lru_cache(maxsize=1)
def acceptEncoding() -> str:
    """
    Return the value of Accept-Encoding: the codings that can be decoded here. RFC 9110 section 12.5.3.
    """
    return ", ".join(codings.available())


@lru_cache(maxsize=16)
def _namesOf(contentEncoding: str) -> tuple[str, ...] | None:
    """
    Return the codings, without C{identity}; L{None}: one of them isn't known.
    """
    found = []
    for element in contentEncoding.split(","):
        element = element.strip(" \t")
        # RFC 9110 section 5.6.1.2: empty elements are nothing.
        if not element:
            continue
        if _coding(element) is None:
            return None
        name = element.lower()
        name = _ALIASES.get(name, name)
        if name == "identity":
            continue
        if name not in codings.available():
            return None
        found.append(name)
    return tuple(found)


class _Meter:
    """
    What was decoded of how much, and whether that is within the bounds.
    """

    __slots__ = ("coded", "decoded", "limits", "work")

    def __init__(self, limits: DecodingLimits) -> None:
        self.limits = limits
        # What the first step has been given, and what all steps have made of it.
        self.coded = 0
        self.work = 0
        # What the last one has given.
        self.decoded = 0

    def spend(self, work: int) -> None:
        """
        @raise MessageTooLarge: the ratio is too large.
        """
        self.work += work
        limits = self.limits
        if self.work > limits.free and self.work > self.coded * limits.ratio:
            raise MessageTooLarge(
                f"decoding {self.coded} bytes of the body has taken the work of {self.work}, which is more than "
                f"{limits.ratio:g} times as much (DecodingLimits.ratio), beyond {limits.free} bytes"
            )

    def give(self, size: int) -> None:
        """
        @raise MessageTooLarge: the decoded body is too large.
        """
        self.decoded += size
        bound = self.limits.decoded
        if self.decoded > bound:
            raise MessageTooLarge(
                f"the decoded body has {self.decoded} bytes or more, the bound is {bound} (DecodingLimits.decoded)",
                statusHint=413,
            )


class _Stage:
    """
    One coding of the body, and what waits to be decoded of it.
    """

    __slots__ = ("_at", "_below", "_data", "_meter", "_name", "_step")

    def __init__(self, name: str, meter: _Meter, below: _Stage | None) -> None:
        """
        @param below: decodes what this one is to decode; L{None}: that comes from the peer.
        """
        self._name = name
        self._step: Step = codings.available()[name]()
        self._meter = meter
        self._below = below
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """
        Take more to decode.
        """
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def pull(self) -> bytes:
        """
        Return the next decoded bytes; none: more has to come first.
        """
        step = self._step
        while True:
            data = b""
            if step.hungry:
                data = self._take()
                if not data:
                    return b""
                if step.finished:
                    raise ContentError(f"more bytes follow the end of the {self._name} coding")
            price = step.price
            try:
                out = step.step(data)
            except codings.faults() as error:
                raise ContentError(f"the body is not valid {self._name}: {error}") from error
            self._meter.spend(len(out) + step.price - price)
            if out:
                return out

    def _take(self) -> bytes:
        data = self._step.rest
        if data:
            self._step.rest = b""
            return data
        if self._at == len(self._data) and self._below is not None:
            self.feed(self._below.pull())
        data = self._data[self._at : self._at + SLICE]
        self._at += len(data)
        if self._below is None:
            self._meter.coded += len(data)
        return data

    def end(self) -> None:
        """
        @raise IncompleteRead: the coding was cut.
        """
        if self._below is not None:
            self._below.end()
        if not self._step.complete:
            raise IncompleteRead(f"the body ended inside its {self._name} coding")


class Decoder:
    """
    Decodes one body.

    @ivar codings: the names of the codings, in the order in which they are decoded.
    """

    __slots__ = ("_failure", "_first", "_last", "_meter", "codings")

    def __init__(self, names: tuple[str, ...], limits: DecodingLimits) -> None:
        self.codings = names
        self._meter = _Meter(limits)
        self._first = self._last = _Stage(names[0], self._meter, None)
        for name in names[1:]:
            self._last = _Stage(name, self._meter, self._last)
        self._failure: WasinetError | None = None

    @property
    def coded(self) -> int:
        """
        How many coded bytes have been decoded.
        """
        return self._meter.coded

    @property
    def decoded(self) -> int:
        """
        How many decoded bytes have been given.
        """
        return self._meter.decoded

    def decode(self, data: bytes) -> Iterator[bytes]:
        """
        Take the next coded bytes, and give what they decode to, piece by piece.

        Pieces that nobody has asked for are given by the next call's iterator.

        @return: pieces of 1 byte to 256 KiB. Asking for one may raise:
        @raise ContentError: the body is not coded so. From then on each call raises this.
        @raise MessageTooLarge: a bound is passed. From then on each call raises this.
        """
        self._first.feed(data)
        return self._pieces()

    def end(self) -> None:
        """
        Tell that no more comes, after all pieces have been taken.

        @raise IncompleteRead: the coded body was cut.
        """
        if self._failure is not None:
            raise self._failure
        self._last.end()

    def _pieces(self) -> Iterator[bytes]:
        if self._failure is not None:
            raise self._failure
        try:
            while piece := self._last.pull():
                self._meter.give(len(piece))
                yield piece
        except (ContentError, MessageTooLarge) as error:
            self._failure = error
            raise
