"""
The PROXY protocol, by which a load balancer says whom it speaks for: Twisted's, made patient and strict.

Twisted's own wrapper drops a connection whose header arrives in pieces, tells
the application of the connection before it knows the peer, and converts ports
with C{int()}, which takes more than digits. Here the connection is made when
its header is complete, and a header that is none, is too long, or takes too
long is refused.

U{https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}
"""

from __future__ import annotations

import re
import struct
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import _WrapperServerEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ISSLTransport,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .addresses import formatAddress

log = Logger()

# How long the header may take, in seconds, and how many bytes it may be: section 2.1 has 107 for version 1; the fields
# of version 2 (2.2) are small but for the extensions.
HEADER_TIMEOUT = 10.0
_LONGEST_V1 = 107
_LONGEST_V2 = 16 + 2048

_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x21-\x7e ]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5}))\Z"
)


def withPatience(endpoint: IStreamServerEndpoint, reactor: Any) -> IStreamServerEndpoint:
    """
    The same endpoint; if it takes PROXY headers, it takes them as this module has it.
    """
    if getattr(endpoint, "_wrapperFactory", None) is not HAProxyWrappingFactory:
        return endpoint
    inner = endpoint._wrappedEndpoint  # type: ignore[attr-defined]
    return _WrapperServerEndpoint(inner, lambda factory: ProxiedFactory(factory, reactor))


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class ProxiedProtocol(HAProxyProtocolWrapper):
    """
    Between the transport and the Protocol: takes the header off, then stands aside.
    """

    wrappedProtocol: Any
    transport: Any

    def __init__(self, factory: Any, wrappedProtocol: Any) -> None:
        super().__init__(factory, wrappedProtocol)
        self._header = b""
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
        if self._proxyInfo is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        if self._timer is None:
            # Refused.
            return
        self._header += data
        try:
            size = _sizeOf(self._header)
            if size is None:
                return
            header, rest = self._header[:size], self._header[size:]
            self._proxyInfo = _infoOf(header)
        except InvalidProxyHeader as error:
            self._refuse(str(error) or "it is malformed")
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
        if self._proxyInfo is None:
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
        peer: IAddress = super().getPeer()
        return peer

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


class ProxiedFactory(HAProxyWrappingFactory):
    """
    Puts a L{ProxiedProtocol} before each Protocol of a factory.
    """

    protocol = ProxiedProtocol
    noisy = False

    def __init__(self, wrappedFactory: Any, reactor: Any) -> None:
        super().__init__(wrappedFactory)
        self.reactor = reactor


def _sizeOf(data: bytes) -> int | None:
    """
    How long the header is that C{data} begins with; L{None} if that can't be seen yet.

    @raise InvalidProxyHeader: it begins with none, or one that is too long.
    """
    if data[: len(V2Parser.PREFIX)] == V2Parser.PREFIX[: len(data)]:
        if len(data) < 16:
            return None
        size: int = 16 + struct.unpack("!H", data[14:16])[0]
        if size > _LONGEST_V2:
            raise InvalidProxyHeader(f"it has {size} bytes, the bound is {_LONGEST_V2}")
        return size if len(data) >= size else None
    if data[:6] != b"PROXY "[: len(data)]:
        raise InvalidProxyHeader(f"the connection begins with {data[:16]!r}")
    end = data.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0 and len(data) >= _LONGEST_V1:
        raise InvalidProxyHeader(f"no line of at most {_LONGEST_V1} bytes")
    return None if end < 0 else end + 2


def _infoOf(header: bytes) -> ProxyInfo:
    """
    Whom a header names.

    @raise InvalidProxyHeader: it is malformed.
    """
    if not header.startswith(b"PROXY"):
        return V2Parser.parse(header)
    line = header[:-2]
    match = _V1.match(line)
    if match is None:
        raise InvalidProxyHeader(f"malformed: {line!r}")
    if match[1] is None:
        # UNKNOWN. What may follow is to be ignored, and needn't follow, as Twisted's parser has it.
        return ProxyInfo(line, None, None)
    valid = isIPAddress if match[1] == b"4" else isIPv6Address
    hosts = [host.decode("ascii", "replace") for host in match.group(2, 3)]
    if not all(map(valid, hosts)) or not all(int(port) <= 65535 for port in match.group(4, 5)):
        raise InvalidProxyHeader(f"malformed: {line!r}")
    return V1Parser.parse(line)
