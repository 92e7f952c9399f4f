"""
The access log: what stands in a line, and when the lines are written.
"""

from __future__ import annotations

import json
import os
import sys

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support import temporaryDirectory
from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import Buffer, RequestHead, WasiRequest
from wasinet_twisted.server import AccessLog

# 2026-01-02 03:04:05 UTC
NOW = 1767323045


def parsed(text: bytes) -> RequestHead:
    """
    The head of a request as it comes from the wire.
    """
    buffer = Buffer("request")
    buffer.append(text)
    head = buffer.nextEvent()
    assert isinstance(head, RequestHead)
    return head


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.path = temporaryDirectory(self) / "file"
        self.log = AccessLog(str(self.path), reactor=self.clock)
        self.closed = False
        self.addCleanup(self.close)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.log.close()

    def line(self, request: RequestHead | None, status: int = 200, size: int = 5) -> str:
        """
        The one line that a request makes.
        """
        self.log.answered("192.0.2.7", request, status, size)
        self.close()
        text = self.path.read_bytes().decode("ascii")
        self.assertTrue(text.endswith("\n"))
        self.assertEqual(text.count("\n"), 1)
        return text[:-1]

    def test_combinedFormat(self) -> None:
        request = parsed(
            b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nReferer: http://x/from\r\nUser-Agent: curl/8.5.0\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        self.assertEqual(
            self.line(request, 201, 1234),
            '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "POST /a?b=1 HTTP/1.1" 201 1234 "http://x/from" "curl/8.5.0"',
        )

    def test_whatIsMissingIsADash(self) -> None:
        """
        No Referer, no User-Agent, an empty body.
        """
        self.assertEqual(
            self.line(parsed(b"GET / HTTP/1.0\r\n\r\n"), 204, 0),
            '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET / HTTP/1.0" 204 - "-" "-"',
        )

    def test_emptyFieldsAreDashes(self) -> None:
        request = parsed(b"GET / HTTP/1.0\r\nReferer:\r\nUser-Agent: \r\n\r\n")
        self.assertTrue(self.line(request).endswith(' 200 5 "-" "-"'))

    def test_refusedRequest(self) -> None:
        """
        What couldn't be parsed has no request line.
        """
        self.assertEqual(self.line(None, 400, 12), '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "-" 400 12 "-" "-"')

    def test_quotesAndBackslashes(self) -> None:
        """
        A client can't end a value, and an escape can't be forged.
        """
        request = parsed(b'GET /"\\ HTTP/1.0\r\nReferer: a" 200 1 "b\r\nUser-Agent: \\x22\r\n\r\n')
        self.assertTrue(
            self.line(request).endswith(r'"GET /\"\\ HTTP/1.0" 200 5 "a\" 200 1 \"b" "\\x22"'),
        )

    def test_obsText(self) -> None:
        """
        Bytes beyond ASCII stand as escapes, each for itself.
        """
        request = parsed(b"GET / HTTP/1.0\r\nUser-Agent: caf\xc3\xa9\xff\tx\r\n\r\n")
        self.assertTrue(self.line(request).endswith(r'"caf\xc3\xa9\xff\x09x"'))

    def test_controls(self) -> None:
        """
        Should a request be made by other means than the parser: no line breaks, no terminal sequences.
        """
        request = WasiRequest("GET", "/\n\x1b[2J", {"Referer": "\x00\r\n", "User-Agent": "\x7f\x80"})
        self.assertTrue(self.line(request).endswith(r'"GET /\x0a\x1b[2J HTTP/1.1" 200 5 "\x00\x0d\x0a" "\x7f\x80"'))

    def test_nothingBeforeTheIntervalHasPassed(self) -> None:
        for size in (1, 2, 3):
            self.log.answered("192.0.2.7", None, 400, size)
            self.clock.advance(0.1)
            self.assertEqual(self.path.read_bytes(), b"")
        self.clock.advance(0.5)
        lines = self.path.read_text().splitlines()
        self.assertEqual([line.split()[7] for line in lines], ["1", "2", "3"])

    def test_theNextBatchWaitsAgain(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.log.answered("192.0.2.7", None, 400, 2)
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.path.read_text().splitlines()), 2)

    def test_aFullBatchDoesNotWait(self) -> None:
        count = 0
        while not (written := self.path.read_bytes()):
            self.log.answered("192.0.2.7", None, 400, 1)
            count += 1
        self.assertEqual(written.count(b"\n"), count)
        self.assertGreaterEqual(len(written), 64 * 1024)
        self.assertLess(len(written), 65 * 1024)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theTimeOfDayGoesOn(self) -> None:
        for _ in range(2):
            self.log.answered("192.0.2.7", None, 400, 1)
            self.clock.advance(56)
        self.assertIn("[02/Jan/2026:03:04:05 +0000]", self.path.read_text().splitlines()[0])
        self.assertIn("[02/Jan/2026:03:05:01 +0000]", self.path.read_text().splitlines()[1])

    def test_closeWritesTheRest(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1)
        self.close()
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeWithNothingToWrite(self) -> None:
        self.close()
        self.assertEqual(self.path.read_bytes(), b"")

    def test_appends(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1)
        self.close()
        again = AccessLog(str(self.path), reactor=self.clock)
        again.answered("192.0.2.7", None, 400, 2)
        again.close()
        self.assertEqual([line.split()[7] for line in self.path.read_text().splitlines()], ["1", "2"])

    def test_othersMayNotReadIt(self) -> None:
        """
        It holds addresses of people.
        """
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_cannotBeOpened(self) -> None:
        with self.assertRaises(OSError):
            AccessLog(str(self.path / "below" / "a file"), reactor=self.clock)
        with self.assertRaises(IsADirectoryError):
            AccessLog(str(self.path.parent), reactor=self.clock)

    def test_standardOutput(self) -> None:
        """
        C{-} is the process's own standard output, also where sys.stdout was replaced; closing the log leaves it open.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        stdout = os.fdopen(writing, "w")
        self.addCleanup(stdout.close)
        self.patch(sys, "__stdout__", stdout)
        log = AccessLog("-", reactor=self.clock)
        log.answered("192.0.2.7", None, 400, 1)
        log.close()
        self.assertTrue(os.read(reading, 4096).startswith(b"192.0.2.7 - - ["))
        os.fstat(writing)

    def test_aFullDiskEndsNothing(self) -> None:
        """
        Lines that can't be written are lost, and that is said; requests go on being answered.
        """
        full = AccessLog("/dev/full", reactor=self.clock)
        with capturedLogs() as events:
            for _ in range(2):
                full.answered("192.0.2.7", None, 400, 1)
                self.clock.advance(1)
            full.answered("192.0.2.7", None, 400, 1)
            full.close()
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["the access log can't be written, lines are lost: No space left on device"],
        )

    def test_json(self) -> None:
        """
        Everything that was sent comes back, in ASCII and on one line.
        """
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        head = b'GET /"\\ HTTP/1.0\r\nReferer: a"\\\r\nUser-Agent: caf\xe9\tx\r\n\r\n'
        log.answered("192.0.2.7", parsed(head), 404, 0)
        log.answered("-", None, 400, 12)
        log.answered("::1", WasiRequest("GET", "/\n\x1b", {"Referer": "\x00\r\n"}), 200, 1)
        log.close()
        first, second, third = (json.loads(line) for line in self.path.read_bytes().decode("ascii").splitlines())
        self.assertEqual(
            first,
            {
                "time": "2026-01-02T03:04:05Z",
                "peer": "192.0.2.7",
                "method": "GET",
                "target": '/"\\',
                "version": "HTTP/1.0",
                "status": 404,
                "bytes": 0,
                "referer": 'a"\\',
                "userAgent": "caf\xe9\tx",
            },
        )
        self.assertEqual([second[name] for name in ("peer", "method", "target", "version", "bytes")], [None] * 4 + [12])
        self.assertEqual((third["target"], third["referer"]), ("/\n\x1b", "\x00\r\n"))

    def test_jsonInBatches(self) -> None:
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        log.answered("192.0.2.7", None, 400, 1)
        self.assertEqual(self.path.read_bytes(), b"")
        self.clock.advance(1)
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        log.close()

    def test_unknownFormat(self) -> None:
        error = self.assertRaises(InvalidArgument, AccessLog, str(self.path), format="xml")
        self.assertEqual(str(error), "format must be one of combined, json, not 'xml'")

    def test_reopen(self) -> None:
        """
        What was gathered belongs to the old file.
        """
        old = self.path.with_name("old")
        self.log.answered("192.0.2.7", None, 400, 1)
        self.path.rename(old)
        self.log.reopen()
        self.assertEqual((len(old.read_text().splitlines()), self.path.read_bytes()), (1, b""))
        self.log.answered("192.0.2.7", None, 400, 2)
        self.close()
        self.assertEqual((len(old.read_text().splitlines()), len(self.path.read_text().splitlines())), (1, 1))

    def test_reopenLeaksNothing(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.log.reopen()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_reopenFails(self) -> None:
        """
        The old file goes on.
        """
        old = self.path.with_name("old")
        self.path.rename(old)
        self.path.mkdir()
        with capturedLogs() as events:
            self.log.reopen()
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"the access log {self.path} can't be opened anew, the old file goes on: Is a directory"],
        )
        self.log.answered("192.0.2.7", None, 400, 1)
        self.close()
        self.assertEqual(len(old.read_text().splitlines()), 1)
