"""
Descriptors that somebody else has opened: which may be listened on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.task import Clock
from twisted.protocols.haproxy import proxyEndpoint

from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.net.server.adopted import checkAdopted
from wasinet_twisted.net.server.endpoints import endpointOf

pytestmark = pytest.mark.reactorless


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def check(descriptor: int, family: int = socket.AF_INET) -> None:
    checkAdopted(AdoptedStreamServerEndpoint(Clock(), descriptor, family))


def refused(descriptor: int, family: int = socket.AF_INET) -> str:
    """
    @return: the one line that says why, which names the descriptor.
    """
    with pytest.raises(InvalidArgument) as caught:
        check(descriptor, family)
    message = str(caught.value)
    assert message.startswith(f"descriptor {descriptor} is ")
    return message.removeprefix(f"descriptor {descriptor} is ")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_listening(opened: ExitStack, tmp_path: Path, family: int) -> None:
    """
    It stays as it is.
    """
    found = opened.enter_context(socket.socket(family))
    found.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s"))
    found.listen()
    check(found.fileno(), family)
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_nobodyListens(opened: ExitStack) -> None:
    found = opened.enter_context(socket.socket())
    assert refused(found.fileno()) == "a socket that nobody listens on"
    found.bind(("127.0.0.1", 0))
    assert refused(found.fileno()) == "a socket that nobody listens on"


def test_aConnection(opened: ExitStack) -> None:
    """
    As inetd hands over, or systemd with Accept=yes.
    """
    ours, theirs = socket.socketpair()
    opened.enter_context(ours)
    opened.enter_context(theirs)
    assert refused(ours.fileno(), socket.AF_UNIX) == "a socket that nobody listens on"


def test_datagrams(opened: ExitStack) -> None:
    found = opened.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    assert refused(found.fileno()) == "no stream socket but SOCK_DGRAM"


def test_anotherFamily(opened: ExitStack) -> None:
    found = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    expected = "a socket of AF_INET, and the endpoint is for AF_INET6"
    assert refused(found.fileno(), socket.AF_INET6) == expected


def test_noSocket(opened: ExitStack) -> None:
    reading, writing = os.pipe()
    opened.callback(os.close, reading)
    opened.callback(os.close, writing)
    assert refused(reading) == "no socket: Socket operation on non-socket"


def test_closed() -> None:
    descriptor = os.dup(0)
    os.close(descriptor)
    assert refused(descriptor) == "no socket: Bad file descriptor"


def test_endpointsAreChecked(opened: ExitStack) -> None:
    """
    Also those that are given as objects, and those within others.
    """
    found = opened.enter_context(socket.socket())
    endpoint = AdoptedStreamServerEndpoint(Clock(), found.fileno(), socket.AF_INET)
    for given in (endpoint, proxyEndpoint(endpoint)):
        with pytest.raises(InvalidArgument, match="nobody listens on"):
            endpointOf(Clock(), given)
