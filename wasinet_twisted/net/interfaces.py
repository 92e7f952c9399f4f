"""
What the other rooms may rely on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, BinaryIO, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import Interface

T = TypeVar("T")


class IConnection(Interface):
    """
    A stream of bytes in both directions, to be awaited.
    """

    def read(maxBytes: int = ..., timeout: float | None = None) -> Deferred[bytes]:
        """
        Read what has arrived, at least one byte; C{b""} at the end of the stream.
        """

    def readExactly(size: int, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read C{size} bytes.
        """

    def readUntil(separator: bytes, maxBytes: int = ..., timeout: float | None = None) -> Deferred[bytes]:
        """
        Read up to C{separator}, which is included.
        """

    def readLine(maxBytes: int = ..., timeout: float | None = None) -> Deferred[bytes]:
        """
        Read a line, its LF included.
        """

    def readToEnd(maxBytes: int, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read to the end of the stream.
        """

    def unread(data: bytes | bytearray | memoryview) -> None:
        """
        Give bytes back to the next read.
        """

    def write(data: bytes | bytearray | memoryview | str) -> Deferred[None]:
        """
        Queue C{data}; awaited, returns when the peer has taken enough.
        """

    def writeLines(lines: Iterable[bytes | bytearray | memoryview | str]) -> Deferred[None]:
        """
        Queue several pieces at once.
        """

    def sendFile(file: BinaryIO, progress: Callable[[int], object] | None = None) -> Deferred[int]:
        """
        Send a file, in constant memory.
        """

    def start(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        Run a coroutine that ends with the connection at the latest.
        """

    def finish() -> Deferred[None]:
        """
        End the stream in our direction only.
        """

    def close(timeout: float | None = ...) -> Deferred[None]:
        """
        Send what is queued, then close.
        """

    def abort() -> None:
        """
        Reset the connection: what is queued is lost, and the peer is told so.
        """

    def whenClosed() -> Deferred[None]:
        """
        Fires when the connection is gone.
        """

    def whenPeerFinished() -> Deferred[None]:
        """
        Fires when the peer has ended its direction, or when the connection is gone.
        """

    def local() -> IAddress:
        """
        Our address.
        """

    def peer() -> IAddress:
        """
        The peer's address.
        """
