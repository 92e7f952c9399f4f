"""
Field lines: judged, remembered, collected.

RFC 9112 section 5, for heads and for trailer sections alike.
"""

from __future__ import annotations

from .._fast import fastLines
from ..errors import MessageTooLarge, RemoteProtocolError
from . import grammar
from .framing import CONTENT_LENGTH, KINDS, PLAIN, TRANSFER_ENCODING, fieldMeaning, show

Pair = tuple[str, str]

# (name, value), as on the wire; the kind (framing.py); what the value means to the framing.
Field = tuple[Pair, int, int]

# Clients send the same lines over and over: what a line means is remembered by its bytes. The bound keeps it below
# some 1.5 MB; it is emptied when full, so that no peer can keep others out of it. What could hold a secret, and what
# is long and so hardly ever the same twice, never enters it.
_CACHE_SIZE = 2048
CACHED_LINE = 128
_NEVER_CACHED = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))
cache: dict[bytes, Field] = {}
# The same for names alone, for the lines that differ each time.
_names: dict[str, tuple[int, bool]] = {}


_FAST_LINE = fastLines(
    "http.fieldLine", slow="grammar.fieldLine", why="a Cookie line of 88 characters: 0.54 us instead of 1.10"
)


def parseFieldLine(line: bytes) -> Field:
    """
    Judge one field line, given without its CRLF, and remember it.

    @raise RemoteProtocolError: it is not valid.
    """
    text = line.decode("latin-1")
    name, colon, value = text.partition(":")
    known = _names.get(name) if colon else None
    if _FAST_LINE and known is not None and text.isprintable():
        # The name has been seen before, so it is a token. Every printable character of latin-1 is one that the grammar
        # has in a value, and SP is the only white space among them.
        value = value.strip(" ")
    else:
        match = grammar.fieldLine(line)
        if match is None:
            raise RemoteProtocolError(_whatIsWrong(line))
        # RFC 9112 section 5.1: OWS is SP and HTAB, where strip() alone would take more.
        value = match[2].decode("latin-1").rstrip(" \t")
        known = _remember(name)
    kind, cacheable = known
    field = ((name, value), kind, fieldMeaning(kind, value.encode("latin-1")) if kind else 0)
    if cacheable and len(line) <= CACHED_LINE:
        if len(cache) >= _CACHE_SIZE:
            cache.clear()
        cache[line] = field
    return field


def _remember(name: str) -> tuple[int, bool]:
    """
    What is to be known of a field name that is a token: its kind, and whether its lines may be cached.
    """
    lower = name.lower().encode("ascii")
    known = (KINDS.get(lower, PLAIN), lower not in _NEVER_CACHED)
    if len(name) <= CACHED_LINE:
        if len(_names) >= _CACHE_SIZE:
            _names.clear()
        _names[name] = known
    return known


def _whatIsWrong(line: bytes) -> str:
    """
    The reason why the pattern didn't match. Values may be secrets, so only names are shown.
    """
    name, colon, value = line.partition(b":")
    if not colon:
        return f"a field line without a colon: {show(line)}"
    if not name:
        return "a field without a name"
    if grammar.token(name) is None:
        if name[-1:] in (b" ", b"\t"):
            # RFC 9112 section 5.1: servers that took it off, and proxies that didn't, disagreed about the field.
            return f"white space between the field name and the colon: {show(name)}"
        return f"a field name must be a token, not {show(name)}"
    bad = next(byte for byte in value if (byte < 0x20 and byte != 0x09) or byte == 0x7F)
    return f"the value of field {show(name)} holds the control character 0x{bad:02x}"


class FieldSection:
    """
    The field lines of a head or a trailer section, up to the empty line that ends it.

    @ivar pairs: the fields so far, in order.
    """

    __slots__ = ("_folded", "_most", "_unfolds", "lastKind", "pairs")

    def __init__(self, most: int, unfolds: bool) -> None:
        """
        @param most: how many fields there may be.
        @param unfolds: is a continued line (obs-fold) replaced by a SP, as a user
            agent must, or refused, as a server may (RFC 9112 section 5.2)?
        """
        self.pairs: list[Pair] = []
        self.lastKind = PLAIN
        self._most = most
        self._unfolds = unfolds
        self._folded: dict[int, list[str]] = {}

    def add(self, line: bytes) -> Field | None:
        """
        Take the next line, without its CRLF.

        @return: the field, or L{None} if the line continued the one before.
        @raise RemoteProtocolError: the line is not valid.
        """
        if line[0] in b" \t":
            self._continue(line)
            return None
        if len(self.pairs) >= self._most:
            raise MessageTooLarge(f"more than {self._most} fields", statusHint=431)
        field = cache.get(line) or parseFieldLine(line)
        self.pairs.append(field[0])
        self.lastKind = field[1]
        return field

    def _continue(self, line: bytes) -> None:
        if not self.pairs:
            # RFC 9112 section 2.2
            raise RemoteProtocolError("white space before the first field")
        if not self._unfolds:
            raise RemoteProtocolError("a continued field line (obs-fold, RFC 9112 section 5.2)")
        if self.lastKind in (CONTENT_LENGTH, TRANSFER_ENCODING):
            # Its value has been judged. No honest peer folds these; one that does wants two readers to differ.
            raise RemoteProtocolError(f"a continued {self.pairs[-1][0]} line")
        if grammar.fieldValue(line) is None:
            raise RemoteProtocolError(f"the continued value of field {self.pairs[-1][0]} holds a control character")
        self._folded.setdefault(len(self.pairs) - 1, []).append(line.strip(b" \t").decode("latin-1"))

    @property
    def hasContinued(self) -> bool:
        """
        Has a line continued the one before?
        """
        return bool(self._folded)

    def finish(self) -> list[Pair]:
        """
        All fields. Continued values are joined here, once: joined line by line they would cost the square.
        """
        for index, pieces in self._folded.items():
            name, value = self.pairs[index]
            self.pairs[index] = (name, " ".join(piece for piece in (value, *pieces) if piece))
        return self.pairs
