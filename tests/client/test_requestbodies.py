"""
Bodies of requests on a Clock: when they are sent, and what becomes of a request whose body fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.client import Pool, Response, fetch
from wasinet_twisted.client.sending import CONTINUE_TIMEOUT
from wasinet_twisted.errors import ConnectionClosed, TimedOut
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.testing import MemoryListener

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestBodyTests(SynchronousTestCase):
    """
    The server is the test itself: it keeps what comes, and says what the test lets it say.
    """

    def setUp(self) -> None:
        self.listener = MemoryListener()
        self.conns: list[WasiTcpConn] = []
        self.came = b""

        async def handler(conn: WasiTcpConn) -> None:
            self.conns.append(conn)
            async for data in conn:
                self.came += data

        self.listener.listen(ConnectionFactory(handler, reactor=self.listener.clock))
        self.pool = Pool(endpoint=lambda origin: self.listener.endpoint, reactor=self.listener.clock)
        self.addCleanup(lambda: self.listener.run(self.pool.close()))

    def put(self, **options: Any) -> Deferred[Response]:
        asked = fetch("http://test/", method="PUT", pool=self.pool, **options)
        self.listener.settle()
        return asked

    def say(self, data: bytes) -> None:
        self.conns[-1].write(data)
        self.listener.settle()

    def test_bytesWaitForContinue(self) -> None:
        """
        Also a body that is there waits until the server asks for it; its length is told.
        """
        for body in (b"body", "body", bytearray(b"body"), [b"bo", b"dy"]):
            self.came = b""
            asked = self.put(body=body, expectContinue=True)
            self.assertIn(b"\r\nExpect: 100-continue\r\n", self.came)
            self.assertIn(b"Content-Length: 4" if not isinstance(body, list) else b"Transfer-Encoding", self.came)
            self.assertTrue(self.came.endswith(b"\r\n\r\n"))
            self.say(CONTINUE)
            self.assertIn(b"bo", self.came.partition(b"\r\n\r\n")[2])
            self.say(NO_CONTENT)
            self.assertEqual(self.successResultOf(asked).status, 204)
        self.assertEqual(len(self.conns), 1)

    def test_notForEver(self) -> None:
        asked = self.put(body=b"body", expectContinue=True)
        self.listener.advance(CONTINUE_TIMEOUT - 0.01)
        self.assertTrue(self.came.endswith(b"\r\n\r\n"))
        self.listener.advance(0.02)
        self.assertTrue(self.came.endswith(b"\r\n\r\nbody"))
        self.say(NO_CONTENT)
        self.assertEqual(self.successResultOf(asked).status, 204)

    def test_refusedWithoutTheBody(self) -> None:
        """
        It is never sent, and the connection is closed: the server may wait for it all the same.
        """
        asked = self.put(body=b"body", expectContinue=True)
        self.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(asked).status, 413)
        self.listener.advance(CONTINUE_TIMEOUT * 2)
        self.assertTrue(self.came.endswith(b"\r\n\r\n"))
        self.assertIn("0 connections", repr(self.pool))

    def test_nothingToWaitFor(self) -> None:
        """
        A request without a body expects nothing (RFC 9110 section 10.1.1).
        """
        asked = self.put(body=b"", expectContinue=True)
        self.assertNotIn(b"Expect", self.came)
        self.say(NO_CONTENT)
        self.assertEqual(self.successResultOf(asked).status, 204)

    def test_theBodysOwnConnectionIsClosed(self) -> None:
        """
        A body that is read from another connection, and fails there, fails the request: nobody waits for its rest.
        """

        async def pieces() -> AsyncIterator[bytes]:
            yield b"some"
            raise ConnectionClosed("the other one")

        asked = self.put(body=pieces())
        self.assertEqual(str(self.failureResultOf(asked, ConnectionClosed).value), "the other one")
        self.listener.settle()
        self.assertIn("0 connections", repr(self.pool))

    def test_theDeadlineIsToldAsItWasGiven(self) -> None:
        """
        Not as the difference of two times on a clock that has run for long.
        """
        self.listener.advance(1000.1)
        asked = self.put(body=b"body", timeout=0.3)
        self.listener.advance(0.31)
        self.assertIn("not complete in 0.3 s", str(self.failureResultOf(asked, TimedOut).value))
