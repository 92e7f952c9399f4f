"""
The PROXY protocol, by which a load balancer says whom it speaks for: Twisted's, made patient and strict.

Twisted's own wrapper drops a connection whose header arrives in pieces, tells
the application of the connection before it knows the peer, and converts ports
with C{int()}, which takes more than digits. Here the connection is made when
its header is complete, and a header that is none, is too long, or takes too
long is refused.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IListeningPort,
    ILoggingContext,
    IProtocolFactory,
    ISSLTransport,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ..._privates import proxiedEndpoint
from ..addresses import formatAddress
from .proxyheader import Addresses, MalformedHeader, addressesOf, sizeOf

log = Logger()

# How long the header may take, in seconds.
HEADER_TIMEOUT = 10.0


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """
    Listens on another endpoint; each connection begins with a PROXY header.

    @ivar inner: the other endpoint.
    """

    def __init__(self, inner: IStreamServerEndpoint, reactor: Any) -> None:
        self.inner = inner
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen.
        """
        listening: Deferred[IListeningPort] = self.inner.listen(ProxiedFactory(protocolFactory, self._reactor))
        return listening


def withPatience(endpoint: IStreamServerEndpoint, reactor: Any) -> IStreamServerEndpoint:
    """
    The same endpoint; if it takes PROXY headers, it takes them as this module has it.

    @raise NotSupported: it may take PROXY headers, and there is no telling.
    """
    inner = proxiedEndpoint(endpoint)
    return endpoint if inner is None else ProxiedEndpoint(inner, reactor)


def innermost(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """
    The endpoint that has the socket: C{endpoint}, or the one beneath if it takes PROXY headers.
    """
    return endpoint.inner if isinstance(endpoint, ProxiedEndpoint) else endpoint


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class ProxiedProtocol(ProtocolWrapper):
    """
    Between the transport and the Protocol: takes the header off, then stands aside.
    """

    wrappedProtocol: Any
    transport: Any

    def __init__(self, factory: Any, wrappedProtocol: Any) -> None:
        super().__init__(factory, wrappedProtocol)
        self._header = b""
        # None until the header has come.
        self._addresses: Addresses | None = None
        self._timer: IDelayedCall | None = None
        # Is the handshake's end still to come, where this waits for it?
        self._shakesHands = False

    def makeConnection(self, transport: Any) -> None:
        """
        There is a connection; whom it is with isn't known yet.
        """
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        timeout: float | None = getattr(self.factory.wrappedFactory, "handshakeTimeout", None)
        if timeout is not None and ISSLTransport.providedBy(transport):
            self._shakesHands = True
            self._wait(timeout, f"the TLS handshake was not complete after {timeout:g} s")
        else:
            self._wait(HEADER_TIMEOUT, "it did not come in time")

    def handshakeCompleted(self) -> None:
        """
        The header comes by TLS, and the TLS handshake has ended.
        """
        if self._shakesHands and self._timer is not None:
            self._stopTimer()
            self._wait(HEADER_TIMEOUT, "it did not come in time")
        self._shakesHands = False

    def _wait(self, timeout: float, otherwise: str) -> None:
        self._timer = self.factory.reactor.callLater(timeout, self._refuse, otherwise)

    def dataReceived(self, data: bytes) -> None:
        """
        Take the header, then all that follows as it is.
        """
        if self._addresses is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        if self._timer is None:
            # Refused.
            return
        self._header += data
        try:
            size = sizeOf(self._header)
            if size is None:
                return
            header, rest = self._header[:size], self._header[size:]
            self._addresses = addressesOf(header)
        except MalformedHeader as error:
            self._refuse(str(error))
            return
        self._header = b""
        self._stopTimer()
        # What ProtocolWrapper does at once, with the interfaces of the transport behind this.
        super().makeConnection(self.transport)
        if rest:
            self.wrappedProtocol.dataReceived(rest)

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction.
        """
        if self._addresses is None:
            self._refuse("the stream ended in it")
        else:
            self.wrappedProtocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended.
        """
        self.wrappedProtocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, made or not.
        """
        self._stopTimer()
        super().connectionLost(reason)

    def getPeer(self) -> IAddress:
        """
        Whom the header names; without one, who sent it.
        """
        peer: IAddress = (self._addresses and self._addresses[0]) or self.transport.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """
        To whom the header says that the connection was made; without one, our address.
        """
        host: IAddress = (self._addresses and self._addresses[1]) or self.transport.getHost()
        return host

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _refuse(self, why: str) -> None:
        if self._timer is None:
            # It has been.
            return
        self._stopTimer()
        log.warn("no PROXY header from {peer}: {why}", peer=formatAddress(self.transport.getPeer()), why=why)
        self.transport.abortConnection()


class ProxiedFactory(WrappingFactory):
    """
    Puts a L{ProxiedProtocol} before each Protocol of a factory.
    """

    protocol = ProxiedProtocol
    noisy = False

    def __init__(self, wrappedFactory: Any, reactor: Any) -> None:
        super().__init__(wrappedFactory)
        self.reactor = reactor

    def logPrefix(self) -> str:
        """
        What stands before log messages of the port's.
        """
        wrapped = self.wrappedFactory
        prefix = wrapped.logPrefix() if ILoggingContext.providedBy(wrapped) else type(wrapped).__name__
        return f"{prefix} (PROXY)"
