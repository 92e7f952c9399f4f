"""
The switch to TLS of a connection that has begun in the clear, or over another TLS.
"""

from __future__ import annotations

from types import MemberDescriptorType
from typing import Any, Protocol

from twisted.internet.protocol import Protocol as TwistedProtocol

from ...errors import BusyError, InvalidArgument, NotSupported, UnreadPlaintext
from ..addresses import checkTimeout
from ..tasks.awaited import Awaited
from .contexts import TlsClient, TlsServer
from .transport import Secured, TlsTransport


class Readable(Secured, Protocol):
    """
    What the switch has to know of the Protocol, beside what TLS needs of it.
    """

    def waits(self) -> bool:
        """
        Is a read waiting?
        """

    def unreadBytes(self) -> int:
        """
        How many bytes have arrived that nobody has read.
        """


def startTls(
    protocol: Readable, settings: TlsClient | TlsServer, written: Awaited[None], timeout: float | None
) -> TlsTransport:
    """
    Begin TLS on an open connection. What was written before goes first, as it is.

    A connection that is over TLS already has two then, one in the other: the outer one with a proxy, the inner one with
    the server that the proxy has connected to.

    @param written: fires when the handshake has ended.
    @return: the transport from now on.
    @raise InvalidArgument: these are no settings.
    @raise BusyError: a read is waiting, for plaintext; or another handshake has not ended.
    @raise UnreadPlaintext: there is some.
    @raise NotSupported: the transport can't.
    """
    isClient = isinstance(settings, TlsClient)
    if not isClient and not isinstance(settings, TlsServer):
        raise InvalidArgument(f"startTLS() takes a TlsClient or a TlsServer, not {settings!r}")
    checkTimeout(timeout)
    peer = protocol.peerName()
    carrier = protocol.tls
    if carrier is not None and carrier.info is None:
        raise BusyError(f"startTLS() before the handshake with {peer} that has begun has ended")
    if protocol.waits():
        raise BusyError(f"startTLS() while a read of the connection with {peer} is waiting")
    if unread := protocol.unreadBytes():
        clear = "in the clear" if carrier is None else "over the TLS before"
        raise UnreadPlaintext(f"startTLS(): {unread} bytes have come {clear} from {peer} and have not been read")
    beneath: Any = protocol.transport
    # A wrapper passes the question on, but not what is set: it would go on to give us what isn't deciphered.
    if carrier is not None:
        # Nor would it learn of the connection's end.
        if not carrier.carries(protocol):
            raise NotSupported(f"startTLS(): what wraps the connection with {peer} can't carry another TLS")
    elif not _hasProtocol(beneath) or isinstance(beneath, TwistedProtocol):
        raise NotSupported(f"startTLS(): {type(beneath).__name__} can't switch to TLS")
    from twisted.protocols.tls import TLSMemoryBIOFactory

    # It is Twisted's own startTLS(), for every transport and in either role, with our clock.
    factory: Any = TLSMemoryBIOFactory(settings, isClient, None, protocol.reactor)  # type: ignore[arg-type]
    tls = TlsTransport(protocol)
    twisteds = factory.protocol(factory, protocol, False)
    if carrier is None:
        beneath.unregisterProducer()
        beneath.protocol = twisteds
        twisteds.makeConnection(beneath)
    else:
        carrier.carry(twisteds, tls)
    tls.over(twisteds)
    tls.registerProducer(protocol, True)
    tls.handshake(written, timeout, attempt=True)
    return tls


def _hasProtocol(transport: Any) -> bool:
    """
    Has C{transport} a protocol of its own, in its dict or in a slot?
    """
    own = "protocol" in vars(transport) or isinstance(getattr(type(transport), "protocol", None), MemberDescriptorType)
    return own and getattr(transport, "protocol", None) is not None
