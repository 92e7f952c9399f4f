"""
Listening sockets that somebody else has opened: systemd's, and inherited descriptors.
"""

from __future__ import annotations

import os
import socket

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from ...errors import InvalidArgument
from .proxyprotocol import innermost


def checkAdopted(endpoint: IStreamServerEndpoint) -> None:
    """
    See that the descriptor of an endpoint, if it has one, is a listening stream
    socket of the family that the endpoint names. On anything else C{accept()}
    would fail over and over, and nobody would be told.

    @raise InvalidArgument: it isn't.
    """
    inner = innermost(endpoint)
    if not isinstance(inner, AdoptedStreamServerEndpoint):
        return
    descriptor, family = inner.fileno, inner.addressFamily
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            kind = found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            if kind != socket.SOCK_STREAM:
                raise InvalidArgument(
                    f"descriptor {descriptor} is no stream socket but {_nameOf(socket.SocketKind, kind)}"
                )
            if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise InvalidArgument(f"descriptor {descriptor} is a socket that nobody listens on")
            if found.family != family:
                theirs, ours = (_nameOf(socket.AddressFamily, each) for each in (found.family, family))
                raise InvalidArgument(
                    f"descriptor {descriptor} is a socket of {theirs}, and the endpoint is for {ours}"
                )
    except OSError as error:
        raise InvalidArgument(f"descriptor {descriptor} is no socket: {error.strerror}") from error


def _nameOf(names: type[socket.SocketKind] | type[socket.AddressFamily], number: int) -> str:
    try:
        return names(number).name
    except ValueError:
        return f"number {number}"
