"""
The access log: what stands in a line, and when the lines are written.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE, ROOT, waitUntil
from tests.support import temporaryDirectory
from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import Buffer, RequestHead, WasiRequest
from wasinet_twisted.server import AccessLog
from wasinet_twisted.server.accesslog import peerOf
from wasinet_twisted.tracing import Trace, parseParent

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


@contextmanager
def stalledPipe(case: SynchronousTestCase, clock: Clock, format: str = "combined") -> Iterator[tuple[AccessLog, int]]:
    """
    A log to a standard output that is a full pipe.

    @return: it, and the pipe's other end, from which dots come first.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"." * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    stdout = os.fdopen(writing, "w")
    case.patch(sys, "__stdout__", stdout)
    log = AccessLog("-", format=format, reactor=clock)
    try:
        yield log, reading
    finally:
        os.close(reading)
        log.close()
        stdout.close()


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
        self.log.answered("192.0.2.7", request, status, size, 0.0015)
        self.close()
        text = self.path.read_bytes().decode("ascii")
        self.assertTrue(text.endswith("\n"))
        self.assertEqual(text.count("\n"), 1)
        return text[:-1]

    def written(self, count: int) -> list[str]:
        """
        So many lines, and no more, once they are in the file.
        """
        waitUntil(lambda: self.path.read_bytes().count(b"\n") >= count, f"{count} lines")
        lines = self.path.read_text().splitlines()
        self.assertEqual(len(lines), count)
        return lines

    def flushed(self, log: AccessLog) -> None:
        """
        Flush it, within the time that this may take.
        """
        flushing = log.flush()
        for _ in range(110):
            if not flushing.called:
                time.sleep(0.01)
                self.clock.advance(0.01)
        self.assertIsNone(self.successResultOf(flushing))

    def test_combinedFormat(self) -> None:
        request = parsed(
            b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nReferer: http://x/from\r\nUser-Agent: curl/8.5.0\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        self.assertEqual(
            self.line(request, 201, 1234),
            '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "POST /a?b=1 HTTP/1.1" 201 1234 "http://x/from" "curl/8.5.0" '
            "0.001500 - - -",
        )

    def test_whatIsMissingIsADash(self) -> None:
        """
        No Referer, no User-Agent, an empty body.
        """
        self.assertEqual(
            self.line(parsed(b"GET / HTTP/1.0\r\n\r\n"), 204, 0),
            '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET / HTTP/1.0" 204 - "-" "-" 0.001500 - - -',
        )

    def test_emptyFieldsAreDashes(self) -> None:
        request = parsed(b"GET / HTTP/1.0\r\nReferer:\r\nUser-Agent: \r\n\r\n")
        self.assertTrue(self.line(request).endswith(' 200 5 "-" "-" 0.001500 - - -'))

    def test_refusedRequest(self) -> None:
        """
        What couldn't be parsed has no request line.
        """
        self.assertEqual(
            self.line(None, 400, 12), '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "-" 400 12 "-" "-" 0.001500 - - -'
        )

    def test_quotesAndBackslashes(self) -> None:
        """
        A client can't end a value, and an escape can't be forged.
        """
        request = parsed(b'GET /"\\ HTTP/1.0\r\nReferer: a" 200 1 "b\r\nUser-Agent: \\x22\r\n\r\n')
        self.assertTrue(
            self.line(request).endswith(r'"GET /\"\\ HTTP/1.0" 200 5 "a\" 200 1 \"b" "\\x22" 0.001500 - - -'),
        )

    def test_obsText(self) -> None:
        """
        Bytes beyond ASCII stand as escapes, each for itself.
        """
        request = parsed(b"GET / HTTP/1.0\r\nUser-Agent: caf\xc3\xa9\xff\tx\r\n\r\n")
        self.assertTrue(self.line(request).endswith(r'"caf\xc3\xa9\xff\x09x" 0.001500 - - -'))

    def test_controls(self) -> None:
        """
        Should a request be made by other means than the parser: no line breaks, no terminal sequences.
        """
        request = WasiRequest("GET", "/\n\x1b[2J", {"Referer": "\x00\r\n", "User-Agent": "\x7f\x80"})
        self.assertTrue(
            self.line(request).endswith(r'"GET /\x0a\x1b[2J HTTP/1.1" 200 5 "\x00\x0d\x0a" "\x7f\x80" 0.001500 - - -')
        )

    def test_nothingBeforeTheIntervalHasPassed(self) -> None:
        for size in (1, 2, 3):
            self.log.answered("192.0.2.7", None, 400, size, 0.0)
            self.clock.advance(0.1)
            self.assertEqual(self.path.read_bytes(), b"")
        self.clock.advance(0.5)
        lines = self.written(3)
        self.assertEqual([line.split()[7] for line in lines], ["1", "2", "3"])

    def test_theNextBatchWaitsAgain(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.log.answered("192.0.2.7", None, 400, 2, 0.0)
        self.written(1)
        self.clock.advance(1)
        self.written(2)

    def test_aFullBatchDoesNotWait(self) -> None:
        count = 0
        while not count or self.clock.getDelayedCalls():
            self.log.answered("192.0.2.7", None, 400, 1, 0.0)
            count += 1
        written = sum(len(line) + 1 for line in self.written(count))
        self.assertGreaterEqual(written, 64 * 1024)
        self.assertLess(written, 65 * 1024)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theTimeOfDayGoesOn(self) -> None:
        for _ in range(2):
            self.log.answered("192.0.2.7", None, 400, 1, 0.0)
            self.clock.advance(56)
        first, second = self.written(2)
        self.assertIn("[02/Jan/2026:03:04:05 +0000]", first)
        self.assertIn("[02/Jan/2026:03:05:01 +0000]", second)

    def test_closeWritesTheRest(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.close()
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeWithNothingToWrite(self) -> None:
        self.close()
        self.assertEqual(self.path.read_bytes(), b"")

    def test_appends(self) -> None:
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.close()
        again = AccessLog(str(self.path), reactor=self.clock)
        again.answered("192.0.2.7", None, 400, 2, 0.0)
        again.close()
        self.assertEqual([line.split()[7] for line in self.path.read_text().splitlines()], ["1", "2"])

    def test_othersMayNotReadIt(self) -> None:
        """
        It holds addresses of people. The group may read it, and not write it, whatever the umask is.
        """
        path = self.path.with_name("another")
        self.addCleanup(os.umask, os.umask(0))
        log = AccessLog(str(path), reactor=self.clock)
        log.close()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)

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
        log.answered("192.0.2.7", None, 400, 1, 0.0)
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
                full.answered("192.0.2.7", None, 400, 1, 0.0)
                self.flushed(full)
            full.answered("192.0.2.7", None, 400, 1, 0.0)
            full.close()
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["the access log can't be written, lines are lost: No space left on device"],
        )

    def test_brokenOff(self) -> None:
        self.log.answered("192.0.2.7", parsed(b"GET / HTTP/1.0\r\n\r\n"), 200, 1234, 12.3456789, complete=False)
        self.close()
        self.assertTrue(self.path.read_text().endswith('"GET / HTTP/1.0" 200 1234 "-" "-" 12.345679 X - -\n'))

    def test_peers(self) -> None:
        """
        Whatever a peer is called, it is one word: the path of a Unix socket may hold anything but a NUL.
        """
        addresses = [
            IPv4Address("TCP", "192.0.2.7", 80),
            IPv6Address("TCP", "2001:db8::1", 80),
            IPv4Address("TCP", '1" [\n', 80),
            UNIXAddress('/run/a \\"\n\x1b[2J\xe9/s'),
            UNIXAddress("\0abstract"),
            UNIXAddress(""),
            UNIXAddress(None),
            None,
        ]
        for address in addresses:
            self.log.answered(peerOf(address), None, 400, 1, 0.0)
        self.log.answered("", None, 400, 1, 0.0)
        self.log.answered("\u20ac", None, 400, 1, 0.0)
        self.close()
        lines = self.path.read_text("ascii").splitlines()
        self.assertEqual(
            [line.partition(" - - [02/Jan/2026:03:04:05 +0000] ")[0] for line in lines],
            [
                "192.0.2.7",
                "2001:db8::1",
                r"1\"\x20[\x0a",
                r"/run/a\x20\\\"\x0a\x1b[2J\xc3\xa9/s",
                r"\x00abstract",
                *("-" for _ in range(4)),
                r"\u20ac",
            ],
        )

    def test_peersInJson(self) -> None:
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        log.answered(peerOf(UNIXAddress('/run/a "\n')), None, 400, 1, 0.0)
        log.close()
        self.assertEqual(json.loads(self.path.read_text("ascii"))["peer"], '/run/a "\n')

    def test_flush(self) -> None:
        self.assertIsNone(self.successResultOf(self.log.flush()))
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.flushed(self.log)
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flushIsCancelled(self) -> None:
        with stalledPipe(self, self.clock) as (log, _):
            log.answered("192.0.2.7", None, 400, 1, 0.0)
            flushing = log.flush()
            flushing.cancel()
            self.failureResultOf(flushing, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flushIsBounded(self) -> None:
        """
        A stalled file is waited for during a second, and only once.
        """
        with stalledPipe(self, self.clock) as (log, _):
            log.answered("192.0.2.7", None, 400, 1, 0.0)
            flushing = log.flush()
            self.clock.pump([0.01] * 95)
            self.assertNoResult(flushing)
            self.clock.pump([0.01] * 10)
            self.successResultOf(flushing)
            self.successResultOf(log.flush())
            with capturedLogs() as events:
                log.close()
            self.assertEqual(
                [formatEvent(event) for event in events],
                ["the access log can't be written, lines are lost: 1 were not taken in time"],
            )

    def test_aStalledPipe(self) -> None:
        """
        Requests go on being answered, the memory is bounded, that is said once, and the count stands where lines are
        missing.
        """
        for format in ("combined", "json"):
            with stalledPipe(self, self.clock, format) as (log, reading), capturedLogs() as events:
                tracemalloc.start()
                for size in range(40_000):
                    log.answered("192.0.2.7", None, 400, size + 1, 0.0)
                self.clock.advance(1)
                self.assertLess(tracemalloc.get_traced_memory()[0], 4 * 1024 * 1024)
                tracemalloc.stop()
                data = os.read(reading, 1 << 20)
                while b"lost" not in data:
                    data += os.read(reading, 1 << 20)
                waitUntil(lambda events=events: events, "the warning")
            self.assertEqual(
                [formatEvent(event) for event in events],
                ["the access log can't be written, lines are lost: what reads them is too slow"],
            )
            *lines, last = data.lstrip(b".").decode("ascii").splitlines()
            if format == "json":
                sizes = [json.loads(line)["bytes"] for line in lines]
                lost = json.loads(last)["lost"]
            else:
                sizes = [int(line.split()[7]) for line in lines]
                match = re.fullmatch(r"# \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] lines lost: (\d+)", last)
                assert match is not None
                lost = int(match[1])
            self.assertEqual(sizes, list(range(1, 40_001 - lost)))
            self.assertLess(len(data), 1024 * 1024 + 128 * 1024)

    def test_aFifo(self) -> None:
        """
        It is opened without a reader. Lines wait for one, and for the next one.
        """
        os.mkfifo(fifo := self.path.with_name("fifo"))
        log = AccessLog(str(fifo), reactor=self.clock)
        for size in (1, 2):
            log.answered("192.0.2.7", None, 400, size, 0.0)
            self.flushed(log)
            with fifo.open("rb", buffering=0) as reading:
                self.assertIn(b'"-" 400 %d ' % size, reading.read(4096))
        log.close()

    def test_closedByTheShutdown(self) -> None:
        """
        After everything else: the last answers are sent while the reactor shuts down.
        """
        reactor = MemoryReactorClock()
        log = AccessLog(str(self.path), reactor=reactor)
        log.answered("192.0.2.7", None, 400, 1, 0.0)
        for close, _, _ in reactor.triggers["after"]["shutdown"]:
            close()
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_afterTheEnd(self) -> None:
        """
        Nothing happens.
        """
        self.close()
        self.log.close()
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.log.reopen()
        self.successResultOf(self.log.flush())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.path.read_bytes(), b"")

    def test_theExitOfTheProcess(self) -> None:
        """
        Nobody closes it, with the reactor's end or without a reactor.
        """
        for reactor in ("reactor.callLater(0, reactor.stop); reactor.run()", ""):
            program = (
                "import sys\n"
                "from twisted.internet import reactor\n"
                "from wasinet_twisted.server import AccessLog\n"
                "AccessLog(sys.argv[1]).answered('-', None, 400, 1, 0.0)\n"
                f"{reactor}\n"
            )
            subprocess.run([sys.executable, "-c", program, str(self.path)], cwd=ROOT, timeout=PATIENCE, check=True)
            self.assertEqual(len(self.path.read_text().splitlines()), 1)
            self.path.unlink()

    def test_json(self) -> None:
        """
        Everything that was sent comes back, in ASCII and on one line.
        """
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        head = b'GET /"\\ HTTP/1.0\r\nReferer: a"\\\r\nUser-Agent: caf\xe9\tx\r\n\r\n'
        log.answered("192.0.2.7", parsed(head), 404, 0, 1.0000004)
        log.answered("-", None, 400, 12, 0.0)
        log.answered("::1", WasiRequest("GET", "/\n\x1b", {"Referer": "\x00\r\n"}), 200, 1, 0.25, complete=False)
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
                "seconds": 1.0,
                "complete": True,
                "aborted": False,
                "tls": None,
                "requestId": None,
                "traceId": None,
            },
        )
        self.assertEqual([second[name] for name in ("peer", "method", "target", "version", "bytes")], [None] * 4 + [12])
        self.assertEqual((third["target"], third["referer"]), ("/\n\x1b", "\x00\r\n"))
        self.assertEqual((third["seconds"], third["complete"], third["aborted"]), (0.25, False, True))

    def test_tlsAndTrace(self) -> None:
        """
        Combined has the version of TLS and the request's id, JSON the trace's as well.
        """
        trace = Trace()
        trace.join(parseParent(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]))
        request = parsed(b"GET / HTTP/1.0\r\n\r\n")
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        for requestId in (None, "a.b-c_1"):
            trace.requestId = requestId
            for each in (self.log, log):
                each.answered("192.0.2.7", request, 200, 5, 0.5, True, "TLSv1.3", trace)
                self.flushed(each)
        log.close()
        lines = self.path.read_text().splitlines()
        self.assertEqual(
            [line.rpartition('" ')[2] for line in lines[::2]], ["0.500000 - TLSv1.3 " + x for x in ("-", "a.b-c_1")]
        )
        self.assertEqual(
            [[json.loads(line)[name] for name in ("tls", "requestId", "traceId")] for line in lines[1::2]],
            [["TLSv1.3", each, "0af7651916cd43dd8448eb211c80319c"] for each in (None, "a.b-c_1")],
        )

    def test_jsonInBatches(self) -> None:
        log = AccessLog(str(self.path), format="json", reactor=self.clock)
        log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.assertEqual(self.path.read_bytes(), b"")
        self.clock.advance(1)
        self.written(1)
        log.close()

    def test_unknownFormat(self) -> None:
        error = self.assertRaises(InvalidArgument, AccessLog, str(self.path), format="xml")
        self.assertEqual(str(error), "format must be one of combined, json, not 'xml'")

    def test_reopen(self) -> None:
        """
        What was gathered belongs to the old file.
        """
        old = self.path.with_name("old")
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.path.rename(old)
        self.log.reopen()
        waitUntil(self.path.exists, "the new file")
        self.flushed(self.log)
        self.assertEqual((len(old.read_text().splitlines()), self.path.read_bytes()), (1, b""))
        self.log.answered("192.0.2.7", None, 400, 2, 0.0)
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
        self.log.answered("192.0.2.7", None, 400, 1, 0.0)
        self.close()
        self.assertEqual(len(old.read_text().splitlines()), 1)
