"""
permessage-deflate (RFC 7692): it is agreed on, and made, by the C{websockets} package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from websockets.exceptions import InvalidHandshake as _Unacceptable
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.headers import build_extension, parse_extension

from ..errors import InvalidHandshake

_NAME = PerMessageDeflate.name
# How long a Sec-WebSocket-Extensions is read, in characters: a browser's has 60, and 32 KB of commas would take 30 ms.
_LONGEST = 1024
# zlib can't compress with a window of 8 bits; older versions of websockets find that out by a ValueError.
_LEAST_BITS = 9
# As C{websockets} has them by default: some 40 KB a connection instead of 300, for little worse a compression.
_SETTINGS = {"memLevel": 5}
_server = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings=_SETTINGS
)
_client = ClientPerMessageDeflateFactory(compress_settings=_SETTINGS)


class Deflate:
    """
    How the messages of one connection are compressed. The state of both directions is made when it is first needed:
    most connections are idle, and it takes some 40 KB.
    """

    __slots__ = ("_extensions", "_parameters")

    def __init__(self, agreed: PerMessageDeflate) -> None:
        self._parameters = (
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            _SETTINGS,
        )
        self._extensions: list[Any] | None = None

    def extensions(self) -> list[Any]:
        """
        Return it as C{Frame.parse} and C{Frame.serialize} take it.
        """
        if self._extensions is None:
            self._extensions = [PerMessageDeflate(*self._parameters)]
        return self._extensions

    def forget(self) -> None:
        """
        Nothing more is compressed, or decompressed.
        """
        self._extensions = None


def agree(values: Sequence[str], compression: bool) -> tuple[str | None, Deflate | None]:
    """
    The server's role: take the first offer that can be taken (RFC 7692 section 5).

    @param values: those of the client's Sec-WebSocket-Extensions.
    @return: the value of ours, and how messages are compressed; twice L{None}, if there is nothing to agree on.
    @raise InvalidHandshake: they are no list of extensions.
    """
    for name, parameters in _parse(values):
        if name != _NAME or not compression:
            continue
        try:
            accepted, extension = _server.process_request_params(parameters, [])
        except (NegotiationError, ValueError):
            # RFC 7692 section 5.1: an offer that can't be taken is declined; there may be another one.
            continue
        if extension.local_max_window_bits < _LEAST_BITS:
            continue
        return build_extension([(_NAME, accepted)]), Deflate(extension)
    return None, None


def offer() -> str:
    """
    The client's role: return the value of Sec-WebSocket-Extensions that offers it.
    """
    return build_extension([(_NAME, list(_client.get_request_params()))])


def answered(values: Sequence[str], compression: bool) -> Deflate | None:
    """
    The client's role: judge what the server has taken.

    @raise InvalidHandshake: that was not offered, or not like that.
    """
    deflate = None
    for name, parameters in _parse(values):
        if name != _NAME or not compression:
            raise InvalidHandshake(f"the server has taken the extension {name!r}, which was not offered")
        if deflate is not None:
            raise InvalidHandshake(f"the server has taken the extension {name!r} twice")
        try:
            extension = _client.process_response_params(parameters, [])
        except (NegotiationError, ValueError) as error:
            raise InvalidHandshake(f"the server has not taken {name} as it was offered: {error}") from None
        if extension.local_max_window_bits < _LEAST_BITS:
            raise InvalidHandshake(f"the server has not taken {name} as it was offered: zlib has no such window")
        deflate = Deflate(extension)
    return deflate


def _parse(values: Sequence[str]) -> list[Any]:
    size = sum(map(len, values))
    if size > _LONGEST:
        raise InvalidHandshake(f"Sec-WebSocket-Extensions has {size} characters, the bound is {_LONGEST}")
    try:
        return [each for value in values for each in parse_extension(value)]
    except _Unacceptable as error:
        raise InvalidHandshake(f"Sec-WebSocket-Extensions is no list of extensions: {error}") from None
