"""
TLS under a connection: the transport that its Protocol has then.

Twisted's TLS leaves open what matters to those who await:

 - what is written before the handshake has ended is told to be taken as soon
   as it has been encrypted, though the peer may take nothing. So it is kept
   here until then;
 - a close_notify that comes while our output is held back leaves the
   connection neither reading nor closing. So the producer is taken away;
 - reasons are lists of tuples.

This module loads no OpenSSL; it meets it only on connections that have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IReactorTime,
    ISSLTransport,
)
from twisted.logger import Logger
from zope.interface import alsoProvides

from ..._privates import plaintextBytes
from ...errors import (
    ConnectionClosed,
    HandshakeFailed,
    TimedOut,
    WasinetError,
)
from ..server.proxyprotocol import ProxiedProtocol
from ..tasks.awaited import Awaited, failAll, succeedAll
from .contexts import takeAnyOffer, verdictOf
from .info import TlsInfo, agreedOn, reasonText
from .output import Output

log = Logger()

# How long a handshake may take, in seconds.
HANDSHAKE_TIMEOUT = 30.0


class Secured(Protocol):
    """
    What TLS needs of the Protocol above it.

    @ivar transport: the Protocol's transport so far.
    @ivar tls: is it over TLS?
    @ivar closing: has our side closed or aborted?
    """

    reactor: IReactorTime
    transport: Any
    tls: TlsTransport | None
    closing: bool

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """

    def soon(self, waiting: Awaited[None], error: WasinetError | None) -> None:
        """
        Tell somebody that all is well, or what is wrong.
        """

    def byPeer(self, error: WasinetError) -> WasinetError:
        """
        Return C{error}, which the peer has caused. It may be marked as such.
        """

    def abort(self) -> None:
        """
        Reset.
        """

    def abortFor(self, error: WasinetError) -> None:
        """
        Reset; C{error} is what those who go on with the connection get.
        """


class TlsTransport:
    """
    What a connection's Protocol has for a transport over TLS.

    @ivar info: what was agreed on; L{None} until the handshake has ended.
    """

    def __init__(self, protocol: Secured, addresses: Any = None) -> None:
        """
        @param addresses: what knows those of the connection, if TLS doesn't.
        """
        self.info: TlsInfo | None = None
        self._protocol = protocol
        self._tls: Any = None
        self._addresses = addresses
        self._verdict: Any = None
        # Awaited[None] before the handshake has ended.
        self._held: list[bytes] | None = []
        self._producer: Any = None
        self._waiting: list[tuple[Awaited[None], bool]] = []
        # Resets an accepted connection whose handshake takes too long.
        self._deadline: IDelayedCall | None = None
        # What those get who come too late.
        self._closed: WasinetError | None = None
        # The transport over TLS that carries this one, where there are two (a server behind a proxy, both by TLS).
        self._carrier: TlsTransport | None = None

    def over(self, tls: Any) -> None:
        """
        The handshake begins.

        @param tls: Twisted's side of it, a C{TLSMemoryBIOProtocol} that is connected.
        """
        self._tls = tls
        self._verdict = verdictOf(tls.getHandle())
        takeAnyOffer(tls)

    def carry(self, tls: Any, inner: TlsTransport) -> None:
        """
        Carry another TLS from now on.

        @param tls: Twisted's side of the other one, a C{TLSMemoryBIOProtocol} that is not connected yet.
        @param inner: our side of it.
        """
        self.unregisterProducer()
        inner._carrier = self
        self._tls.wrappedProtocol = tls
        tls.makeConnection(self._tls)

    def carries(self, protocol: Secured) -> bool:
        """
        Return whether C{protocol} is what Twisted hands deciphered bytes to, with nothing in between.
        """
        return self._tls.wrappedProtocol is protocol

    # ITransport, as far as the Protocol needs it

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._tls.write(data)
        else:
            self._held.append(data)
            if self._producer is not None:
                self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        if self._held is None:
            self._register()

    def _register(self) -> Output:
        output = Output(self, self._producer)
        self._tls.registerProducer(output, True)
        return output

    def unregisterProducer(self) -> None:
        self._producer = None
        self.unregisterOutput()

    def unregisterOutput(self) -> None:
        """
        Take the producer away from what is beneath.
        """
        self._tls.unregisterProducer()

    def ends(self) -> bool:
        """
        Return whether a transport beneath closes as soon as it has no producer.
        """
        carrier = self._carrier
        return getattr(self._tls.transport, "disconnecting", False) or (carrier is not None and carrier.ends())

    def loseConnection(self) -> None:
        # Twisted sends what it holds when the handshake has ended, and closes then. If it holds nothing, it resets.
        self._handOver()
        self._tls.loseConnection()

    def hangUp(self) -> None:
        """
        After L{loseConnection}: don't wait for the peer's close_notify, which would say nothing (RFC 8446 section 6.1).
        """
        beneath = self.beneath()
        if beneath is not None:
            beneath.loseConnection()
            if self._carrier is not None:
                # That was a TLS, too, whose peer may answer as little.
                self._carrier.hangUp()

    def abortConnection(self) -> None:
        self._tls.abortConnection()

    def pauseProducing(self) -> None:
        self._tls.pauseProducing()

    def resumeProducing(self) -> None:
        self._tls.resumeProducing()

    def getPeer(self) -> Any:
        return (self._addresses or self._tls).getPeer()

    def getHost(self) -> Any:
        return (self._addresses or self._tls).getHost()

    def beneath(self) -> Any:
        """
        What carries it; L{None} if more waits here than there, before the handshake has ended.
        """
        return self._tls.transport if self._held is None else None

    def plaintext(self) -> tuple[int, Any]:
        """
        Return how many bytes wait to be enciphered, by this TLS or one that carries it, and the transport that carries
        the rest.

        Before the handshake's end they wait here, later in Twisted's TLS.
        """
        here = sum(map(len, self._held or ())) + plaintextBytes(self._tls)
        if self._carrier is None:
            return here, self._tls.transport
        there, transport = self._carrier.plaintext()
        return here + there, transport

    def _handOver(self) -> None:
        held, self._held = self._held, None
        for data in held or ():
            self._tls.write(data)

    # The handshake

    def handshake(self, written: Awaited[None], timeout: float | None, attempt: bool) -> None:
        """
        Tell C{written} when the handshake has ended.

        @param attempt: does it belong to who began the handshake? Then its
            failure is told as such, and the connection ends with the timeout.
        """
        if self.info is not None:
            self._protocol.soon(written, None)
        elif self._closed is not None:
            self._protocol.soon(written, self._closed)
        else:
            timeout = HANDSHAKE_TIMEOUT if timeout is None else timeout
            timer: IDelayedCall = self._protocol.reactor.callLater(timeout, self._expire, written, timeout, attempt)
            self._waiting.append((written, attempt))
            written.addBoth(self._forget, written, timer)

    def _forget(self, result: Any, written: Awaited[None], timer: IDelayedCall) -> Any:
        if timer.active():
            timer.cancel()
        self._waiting = [each for each in self._waiting if each[0] is not written]
        return result

    def _expire(self, written: Awaited[None], timeout: float, attempt: bool) -> None:
        written.failQuietly(self._late(timeout))
        if attempt:
            # Neither plaintext nor TLS can be spoken over it any more.
            self._protocol.abort()

    def _late(self, timeout: float) -> WasinetError:
        error = TimedOut(f"timed out: no TLS with {self._protocol.peerName()} in {timeout:g} s")
        return self._protocol.byPeer(error)

    def limit(self, timeout: float | None) -> None:
        """
        Reset the connection unless the handshake has ended C{timeout} seconds from now; L{None}: never.
        """
        if self.info is None and timeout is not None:
            self._deadline = self._protocol.reactor.callLater(timeout, self._tooLate, timeout)

    def _tooLate(self, timeout: float) -> None:
        self._deadline = None
        late = self._late(timeout)
        log.info("{late}; the connection is reset", late=late)
        closed = ConnectionClosed(f"the connection with {self._protocol.peerName()} is gone: {late}")
        closed.__cause__ = late
        self._protocol.abortFor(closed)

    def _inTime(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def handshakeCompleted(self) -> None:
        """
        Twisted tells that the handshake has ended.
        """
        if self.info is not None:
            # Told again, by a renegotiation.
            return
        if self._tls.disconnecting and not self._protocol.closing:
            # Twisted's own verification has refused the certificate: 25.5 tells both, and the reason follows.
            return
        if self._verdict is not None and not self._verdict.accepted:
            # OpenSSL would have refused it; but this is not to be left to chance.
            self._protocol.abort()
            return
        self._inTime()
        self.info = agreedOn(self._tls.getHandle())
        if self._producer is None:
            # Closed meanwhile; Twisted has the rest.
            self._handOver()
        else:
            output = self._register()
            self._handOver()
            if not output.paused:
                self._producer.resumeProducing()
        succeedAll([written for written, _ in self._waiting])

    def lost(
        self, reason: BaseException, broken: WasinetError | None
    ) -> tuple[WasinetError, Callable[[], None] | None]:
        """
        The connection is gone.

        @param broken: why, if our side has ended it.
        @return: what those get who go on with the connection; and what tells those who wait for the handshake.
        """
        self._inTime()
        peer = self._protocol.peerName()
        if broken is not None:
            self._closed = broken
            return broken, lambda: failAll([written for written, _ in self._waiting], broken)
        if self.info is not None:
            text = reasonText(reason)
            if isinstance(reason, ConnectionLost):
                # TCP alone knows no more of who ended the stream, and anybody on the way can do that.
                text = f"it ended without TLS's close_notify, and may be cut ({text})"
            self._closed = ConnectionClosed(f"the connection with {peer} is gone: {text}")
            self._closed.__cause__ = reason
            return self._closed, None
        failure: WasinetError | None = None if self._verdict is None else self._verdict.error(peer, reason)
        if failure is None:
            text = reasonText(reason)
            if isinstance(reason, ConnectionDone | ConnectionLost):
                text = f"the peer has ended the connection ({text})"
            failure = HandshakeFailed(f"no TLS with {peer}: {text}", [(peer, reason)])
            failure.__cause__ = reason
        self._protocol.byPeer(failure)
        self._closed = ConnectionClosed(f"the connection with {peer} is gone: {failure}")
        self._closed.__cause__ = failure
        if not any(attempt for _, attempt in self._waiting):
            log.info("{failure}", failure=failure)
        closed = self._closed

        def tell() -> None:
            for written, attempt in self._waiting[:]:
                failAll([written], failure if attempt else closed)

        return closed, tell


def overTls(protocol: Secured, transport: Any) -> TlsTransport | None:
    """
    The transport that C{protocol} is to have, if C{transport} is one of Twisted's over TLS.
    """
    if not ISSLTransport.providedBy(transport):
        return None
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    if isinstance(transport, ProxiedProtocol) and isinstance(transport.transport, TLSMemoryBIOProtocol):
        # The PROXY header has come by TLS, so the handshake is over.
        tls = TlsTransport(protocol, transport)
        tls.over(transport.transport)
        tls.handshakeCompleted()
        return tls
    if not isinstance(transport, TLSMemoryBIOProtocol):
        # There is something in between that keeps the handshake to itself.
        return None
    listener: Any = transport.wrappedProtocol
    if listener is not protocol and not IHandshakeListener.providedBy(listener):
        # Twisted's client endpoints put something in between that would pass it on, had we asked for it before.
        if not hasattr(listener, "handshakeCompleted"):
            return None
        alsoProvides(listener, IHandshakeListener)
    tls = TlsTransport(protocol)
    tls.over(transport)
    return tls
