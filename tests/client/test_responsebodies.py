"""
Bodies of responses on a Clock: what is told of one that fails.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.client import Pool, TooManyRedirects, fetch
from wasinet_twisted.errors import IncompleteRead, MessageTooLarge, RemoteProtocolError, WasinetError
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.testing import MemoryListener


class ResponseBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.listener = MemoryListener()
        self.says = b""

        async def handler(conn: WasiTcpConn) -> None:
            while await conn.read():
                conn.write(self.says)
                if self.says.endswith(b"half"):
                    return

        self.listener.listen(ConnectionFactory(handler, reactor=self.listener.clock))
        self.pool = Pool(endpoint=lambda origin: self.listener.endpoint, reactor=self.listener.clock)
        self.addCleanup(lambda: self.listener.run(self.pool.close()))

    def fails(self, kind: type[WasinetError]) -> None:
        """
        Each who asks for the body is told the same.
        """
        response = self.listener.run(fetch("http://test/", pool=self.pool))
        told = set()
        for name in ("bytes", "text", "json", "bytes"):
            with self.assertRaises(kind) as raised:
                self.listener.run(getattr(response, name)(maxBytes=10))
            told.add(str(raised.exception))
        self.assertEqual(len(told), 1, told)

    def test_cut(self) -> None:
        self.says = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"
        self.fails(IncompleteRead)

    def test_tooLong(self) -> None:
        self.says = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890"
        self.fails(MessageTooLarge)

    def test_keptForAWhile(self) -> None:
        """
        A connection in memory has no socket that could be asked whether it is stale.
        """
        self.says = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
        for _ in range(3):
            response = self.listener.run(fetch("http://test/", pool=self.pool))
            self.assertEqual(self.listener.run(response.text()), "good")
            self.listener.advance(1)
        self.assertEqual(len(self.listener.links), 1)

    def test_aRedirectThatIsNotFollowed(self) -> None:
        """
        Its body isn't read; its connection doesn't wait until the error is forgotten.
        """
        for location, kind in (("ftp://test/", RemoteProtocolError), ("/again", TooManyRedirects)):
            self.says = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 80000\r\n\r\n".encode()
            # More than what is read and forgotten.
            self.says += b"x" * 70_000
            asked = fetch("http://test/", pool=self.pool, redirects=1)
            self.listener.settle()
            failure = self.failureResultOf(asked, kind)
            self.assertIn("0 connections", repr(self.pool))
            self.assertIsNotNone(failure)
