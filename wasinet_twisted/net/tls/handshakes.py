"""
How a Protocol learns that its TLS handshake has ended.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IHandshakeListener
from zope.interface import implementer

from .transport import TlsTransport


class _Secured(Protocol):
    tls: TlsTransport | None


@implementer(IHandshakeListener)
class HandshakeListener:
    """
    What the class of a Protocol over TLS has beside its own. A Protocol can't provide this interface from the
    beginning: of the interfaces that it provides, Twisted's client endpoints pass on the last one only, and half-close
    would be lost.
    """

    __slots__ = ()

    def handshakeCompleted(self: _Secured) -> None:
        """
        The TLS handshake has ended.
        """
        assert self.tls is not None
        self.tls.handshakeCompleted()


# By the class before.
_overTls: dict[type, type] = {}


def listening(kind: type) -> type:
    """
    Return the class that a Protocol of class C{kind} has over TLS.
    """
    if issubclass(kind, HandshakeListener):
        return kind
    if kind not in _overTls:
        _overTls[kind] = type(f"Tls{kind.__name__}", (kind, HandshakeListener), {"__slots__": ()})
    return _overTls[kind]
