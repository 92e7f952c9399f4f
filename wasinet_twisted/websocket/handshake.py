"""
The opening handshake (RFC 6455 section 4), without I/O: what both roles send, and what they refuse.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from os import urandom
from typing import NamedTuple

from ..errors import InvalidArgument, InvalidHandshake
from .deflate import Deflate, agree, answered, offer

Pair = tuple[str, str]
# The values of all fields of a name.
Values = Callable[[str], Sequence[str]]

VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# 16 bytes in base64.
_key = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch
_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


class Agreed(NamedTuple):
    """
    What the two sides have agreed on.

    @ivar subprotocol: one of those that the client offers, or none.
    @ivar deflate: how messages are compressed; L{None}: they aren't.
    """

    subprotocol: str | None
    deflate: Deflate | None


def acceptKey(key: str) -> str:
    """
    Return the value of Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 section 4.2.2).
    """
    return b64encode(sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()).decode("ascii")


def checkSubprotocols(subprotocols: Iterable[str]) -> tuple[str, ...]:
    """
    @raise InvalidArgument: one of them is no token, or there twice.
    """
    if isinstance(subprotocols, str):
        raise InvalidArgument(f"subprotocols must be a sequence of str, not the str {subprotocols!r}")
    names = tuple(subprotocols)
    for name in names:
        if not isinstance(name, str) or not _token(name):
            raise InvalidArgument(f"a subprotocol must be a token (RFC 9110 section 5.6.2), not {name!r}")
    if len(set(names)) != len(names):
        raise InvalidArgument(f"a subprotocol is given twice in {names!r}")
    return names


# The server's role


def answer(
    values: Values, subprotocols: Sequence[str], compression: bool, origins: Sequence[str] | None
) -> tuple[list[Pair], Agreed]:
    """
    Judge a client's handshake, whose method, version, Host, Upgrade and Connection have been judged.

    @param subprotocols: those of ours, the preferred one first.
    @param origins: what Origin may be, if there is one; L{None}: anything.
    @return: the fields of the 101 that answers it, and what is agreed on.
    @raise InvalidHandshake: it is not valid, or not allowed.
    """
    versions = values("Sec-WebSocket-Version")
    if list(versions) != [VERSION]:
        said = ", ".join(versions) if versions else "none"
        raise InvalidHandshake(
            f"the version of WebSocket must be {VERSION}, not {said:.100}",
            statusHint=426,
            fields=(("Sec-WebSocket-Version", VERSION), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
        )
    keys = values("Sec-WebSocket-Key")
    if len(keys) != 1 or not _key(keys[0]):
        raise InvalidHandshake(f"Sec-WebSocket-Key must be there once, 16 bytes in base64, not {list(keys)!r:.100}")
    _checkOrigin(values("Origin"), origins)
    offered = _subprotocolsOf(values("Sec-WebSocket-Protocol"))
    subprotocol = next((name for name in subprotocols if name in offered), None)
    fields = [("Sec-WebSocket-Accept", acceptKey(keys[0]))]
    if subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", subprotocol))
    extension, deflate = agree(values("Sec-WebSocket-Extensions"), compression)
    if extension is not None:
        fields.append(("Sec-WebSocket-Extensions", extension))
    return fields, Agreed(subprotocol, deflate)


def _checkOrigin(given: Sequence[str], allowed: Sequence[str] | None) -> None:
    if len(given) > 1:
        raise InvalidHandshake(f"there are {len(given)} Origin fields")
    # Only browsers send one, and always do: what other programs send proves nothing.
    if allowed is not None and given and given[0].lower() not in [each.lower() for each in allowed]:
        raise InvalidHandshake(f"the origin {given[0]!r:.100} may not open a WebSocket here", statusHint=403)


def _subprotocolsOf(values: Sequence[str]) -> list[str]:
    """
    @raise InvalidHandshake: the list is malformed (RFC 6455 section 11.3.4).
    """
    names = [member.strip(" \t") for value in values for member in value.split(",")]
    if not all(map(_token, names)):
        raise InvalidHandshake(f"Sec-WebSocket-Protocol is no list of tokens: {', '.join(values)!r:.100}")
    if len(set(names)) != len(names):
        raise InvalidHandshake(f"Sec-WebSocket-Protocol names a subprotocol twice: {', '.join(values)!r:.100}")
    return names


# The client's role


def newKey() -> str:
    """
    Return a Sec-WebSocket-Key: 16 random bytes.
    """
    return b64encode(urandom(16)).decode("ascii")


def ask(key: str, subprotocols: Sequence[str], compression: bool) -> list[Pair]:
    """
    Return the fields of a client's handshake (RFC 6455 section 4.1), but for Host.
    """
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if compression:
        fields.append(("Sec-WebSocket-Extensions", offer()))
    return fields


def check(key: str, subprotocols: Sequence[str], compression: bool, values: Values) -> Agreed:
    """
    Judge the 101 that has answered L{ask} (RFC 6455 section 4.1).

    @return: what is agreed on.
    @raise InvalidHandshake: it is not valid; the message says why.
    """
    upgrade = [value.strip(" \t").lower() for value in values("Upgrade")]
    if upgrade != ["websocket"]:
        raise InvalidHandshake(f"the server has switched to {', '.join(upgrade) or 'nothing'}, not to websocket")
    tokens = [token.strip(" \t").lower() for value in values("Connection") for token in value.split(",")]
    if "upgrade" not in tokens:
        raise InvalidHandshake(f"the server's 101 has Connection: {', '.join(tokens)}, not Upgrade")
    accepts, due = list(values("Sec-WebSocket-Accept")), acceptKey(key)
    if accepts != [due]:
        raise InvalidHandshake(
            f"the server's Sec-WebSocket-Accept must be {due}, not {', '.join(accepts) or 'missing'}"
        )
    chosen = list(values("Sec-WebSocket-Protocol"))
    if len(chosen) > 1:
        raise InvalidHandshake(f"the server has chosen more than one subprotocol: {', '.join(chosen)}")
    if chosen and chosen[0] not in subprotocols:
        raise InvalidHandshake(
            f"the server has chosen the subprotocol {chosen[0]!r}; offered were {', '.join(subprotocols) or 'none'}"
        )
    deflate = answered(values("Sec-WebSocket-Extensions"), compression)
    return Agreed(chosen[0] if chosen else None, deflate)
