"""
How a reactor of this room listens and connects: Twisted's methods of C{IReactorTCP}, C{IReactorUNIX} and
C{IReactorSocket}, with the transports of this room. Each function is a method of the reactor classes that name it in
their bodies.
"""

from __future__ import annotations

from socket import AF_UNIX
from typing import Any

from twisted.internet.error import UnsupportedAddressFamily

from .transports import Connector, Port, Server, UNIXConnector, UNIXPort, UNIXServer


def listenTCP(self: Any, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
    """
    See C{IReactorTCP.listenTCP}.
    """
    listening = Port(port, factory, backlog, interface, self)
    listening.startListening()
    return listening


def connectTCP(self: Any, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
    """
    See C{IReactorTCP.connectTCP}.
    """
    connector = Connector(host, port, factory, timeout, bindAddress, self)
    connector.connect()
    return connector


def listenUNIX(self: Any, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
    """
    See C{IReactorUNIX.listenUNIX}.
    """
    listening = UNIXPort(address, factory, backlog, mode, self, wantPID)
    listening.startListening()
    return listening


def connectUNIX(self: Any, address: Any, factory: Any, timeout: float = 30, checkPID: int = 0) -> Any:
    """
    See C{IReactorUNIX.connectUNIX}.
    """
    connector = UNIXConnector(address, factory, timeout, self, checkPID)
    connector.connect()
    return connector


def adoptStreamPort(self: Any, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
    """
    See C{IReactorSocket.adoptStreamPort}.
    """
    if addressFamily not in self._supportedAddressFamilies:
        raise UnsupportedAddressFamily(addressFamily)
    if addressFamily == AF_UNIX:
        listening = UNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
    else:
        listening = Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
    listening.startListening()
    return listening


def adoptStreamConnection(self: Any, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
    """
    See C{IReactorSocket.adoptStreamConnection}.
    """
    if addressFamily not in self._supportedAddressFamilies:
        raise UnsupportedAddressFamily(addressFamily)
    if addressFamily == AF_UNIX:
        return UNIXServer._fromConnectedSocket(fileDescriptor, factory, self)
    return Server._fromConnectedSocket(fileDescriptor, addressFamily, factory, self)
