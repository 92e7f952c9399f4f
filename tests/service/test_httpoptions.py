"""
What wasinet-http takes on its command line, and what it makes of the bounds it is given.
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.service.test_options import Parent as EchoParent
from tests.support import MemoryPeer
from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.server.limits import DEFAULT_SERVER_LIMITS, ServerLimits
from wasinet_twisted.service import command, endpoints
from wasinet_twisted.service.endpoints import namesOf, onLoopback
from wasinet_twisted.service.http import HttpAppService, Options
from wasinet_twisted.service.limits import SPARE, limitsByName, raiseDescriptors, withinDescriptors

PAGE = Path(__file__).parent.parent.parent / "docs" / "operating.md"


class Parent(EchoParent):
    subCommands = (("wasinet-http", None, Options, ""),)


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(["--app=app:handler", *arguments])
    return options


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Under trial there is none at this point, and it isn't for a test to choose one for all that follow.
        self.patch(command, "installReactor", lambda **_: None)

    def refused(self, *arguments: str) -> str:
        """
        @return: the one line that says why.
        """
        error = self.assertRaises(UsageError, parse, *arguments)
        self.assertEqual(len(str(error).splitlines()), 1)
        return str(error)

    def test_defaults(self) -> None:
        options = parse()
        self.assertEqual((options["app"], options["listen"], options["status"]), ("app:handler", ["tcp:8080"], []))
        self.assertEqual(options["limits"], DEFAULT_SERVER_LIMITS)
        self.assertFalse(options["reload"])

    def test_noApp(self) -> None:
        error = self.assertRaises(UsageError, Options().parseOptions, [])
        self.assertIn("--app", str(error))

    def test_repeatable(self) -> None:
        options = parse("--listen=tcp:1", "--listen=unix:/run/x", "--status=tcp:2", "--status=tcp6:3")
        self.assertEqual(options["listen"], ["tcp:1", "unix:/run/x:mode=660"])
        self.assertEqual(options["status"], ["tcp:2:interface=127.0.0.1", r"tcp6:3:interface=\:\:1"])

    def test_eachParseStartsAnew(self) -> None:
        parse("--listen=tcp:1", "--limits=head=1")
        self.assertEqual((parse()["listen"], parse()["limits"].head), (["tcp:8080"], 10.0))

    def test_badEndpoints(self) -> None:
        for option in ("--listen", "--status"):
            for text in ("", "65536", "tcp:eighty", "nonsense:1", "ssl:1:privateKey=/no"):
                message = self.refused(option, text)
                self.assertTrue(message.startswith(f"{option}: "), message)
                self.assertIn(text, message)

    def test_statusIsForThisMachine(self) -> None:
        """
        Unless an interface is named, whichever way.
        """
        for given, expected in {
            "tcp:1": "tcp:1:interface=127.0.0.1",
            "tcp:1:backlog=5": "tcp:1:backlog=5:interface=127.0.0.1",
            "haproxy:tcp:1": "haproxy:tcp:1:interface=127.0.0.1",
            "tcp6:1": r"tcp6:1:interface=\:\:1",
        }.items():
            self.assertEqual(onLoopback("status", given), expected)
            self.assertEqual(onLoopback("status", expected), expected)
        for given in ("tcp:1:interface=192.0.2.1", "tcp:1:192.0.2.1", "tcp:1:interface=", "unix:/run/x"):
            self.assertEqual(onLoopback("status", given), given)

    def test_statusWithoutTwistedsPrivateNames(self) -> None:
        """
        Where a new Twisted has no such attribute, nobody knows where the page would listen: it must be said.
        """

        @implementer(IStreamServerEndpoint)
        class Unknown:
            def listen(self, factory: object) -> None:
                raise AssertionError

        class NoInterface(TCP4ServerEndpoint):
            def __getattribute__(self, name: str) -> Any:
                if name == "_interface":
                    raise AttributeError(name)
                return super().__getattribute__(name)

        for endpoint in (Unknown(), NoInterface(None, 1)):
            self.patch(endpoints, "endpointFromString", lambda reactor, text, endpoint=endpoint: endpoint)
            error = self.assertRaises(UsageError, onLoopback, "status", "tcp:1")
            self.assertEqual(
                str(error),
                "--status: can't find out which interface tcp:1 listens on; name it, as in :interface=127.0.0.1",
            )
            named = "tcp:1:interface=127.0.0.1"
            self.assertEqual(onLoopback("status", named), named)

    def test_statusByItsPort(self) -> None:
        options = parse("--status=9000", "--status=[::]:9000", "--status=192.0.2.1:9000", "--status=unix:/run/x")
        self.assertEqual(
            options["status"],
            [
                "tcp:9000:interface=127.0.0.1",
                r"tcp6:9000:interface=\:\:",
                "tcp:9000:interface=192.0.2.1",
                "unix:/run/x:mode=660",
            ],
        )

    def test_statusHosts(self) -> None:
        options = parse("--status=1", "--status-host=Status.Example.org.", "--status-host=box")
        self.assertEqual(options["status-host"], ["status.example.org", "box"])
        for name in ("a:80", "", "http://a", "*", "a b", "a..b", "x" * 254):
            self.assertIn("--status-host: a host must be a name", self.refused("--status=1", f"--status-host={name}"))
        self.assertIn("there is no --status page", self.refused("--status-host=box"))

    def test_namesOf(self) -> None:
        """
        Those that an endpoint listens on: by these the status page may be asked for.
        """
        texts = [
            "tcp:1:interface=box.example",
            "tcp:1:interface=127.0.0.1",
            "tcp:1",
            "unix:/run/x",
            r"tcp6:1:interface=\:\:1",
        ]
        self.assertEqual(list(namesOf(texts)), ["box.example"])

    def test_drainDelay(self) -> None:
        self.assertEqual(parse()["drain-delay"], 0)
        for text, expected in (("5", 5), ("2.5", 2.5), ("0", 0)):
            self.assertEqual(parse(f"--drain-delay={text}")["drain-delay"], expected)
        for text in ("-1", "", "1s", "nan", "inf", "1e3", "none"):
            self.assertEqual(
                self.refused("--drain-delay", text),
                f"--drain-delay: must be a number of seconds, at least 0, such as 5 or 2.5, not {text!r}",
            )

    def test_limits(self) -> None:
        limits = parse(
            *("--limits=head=5", "--limits=idle=2.5", "--limits=handler=none", "--limits=requests=100"),
            *("--limits=message.body=10000000", "--limits=message.fields=7"),
        )["limits"]
        self.assertEqual((limits.head, limits.idle, limits.handler, limits.requests), (5, 2.5, None, 100))
        self.assertEqual((limits.message.body, limits.message.fields, limits.message.head), (10_000_000, 7, 32768))

    def test_theLastOneHolds(self) -> None:
        self.assertEqual(parse("--limits=head=5", "--limits=head=6")["limits"].head, 6)

    def test_badLimits(self) -> None:
        """
        Each is told with its name, its bound, its value, and the names that there are.
        """
        names = ", ".join(limitsByName(DEFAULT_SERVER_LIMITS))
        for text, expected in {
            "head=-1": "ServerLimits.head must be a number of at least 0, not -1",
            "head=x": "ServerLimits.head must be a number of at least 0, not 'x'",
            "head=nan": "ServerLimits.head must be a number of at least 0, not 'nan'",
            "head=inf": "ServerLimits.head must be a number of at least 0, not 'inf'",
            "head=": "ServerLimits.head must be a number of at least 0, not ''",
            "head=none": "ServerLimits.head must be a number of at least 0, not None",
            "connections=0": "ServerLimits.connections must be a whole number of at least 1, not 0",
            "connections=2.5": "ServerLimits.connections must be a whole number of at least 1, not 2.5",
            "message.body=1k": "Limits.body must be a whole number of at least 0, not '1k'",
            "message.body=-1": "Limits.body must be a whole number of at least 0, not -1",
            "nonsense=1": "there is no limit 'nonsense'",
            "message=1": "there is no limit 'message'",
            "body=1": "there is no limit 'body'",
            "head": "must be like name=value, not 'head'",
            "": "must be like name=value, not ''",
        }.items():
            self.assertEqual(self.refused("--limits", text), f"--limits {text}: {expected}; the limits are {names}")

    def test_accessLog(self) -> None:
        self.assertIsNone(parse("--access-log=x")["access-log-format"])
        self.assertEqual(parse("--access-log=x", "--access-log-format=json")["access-log-format"], "json")
        self.assertIn("combined and json, not 'xml'", self.refused("--access-log=x", "--access-log-format=xml"))
        self.assertIn("there is no --access-log", self.refused("--access-log-format=json"))

    def test_daemons(self) -> None:
        for arguments in (["--access-log", "-"], ["--reload"]):
            self.patch(sys, "stderr", stderr := StringIO())
            with self.assertRaises(SystemExit):
                Parent().parseOptions(["wasinet-http", "--app=a:b", *arguments])
            self.assertIn(arguments[0], stderr.getvalue())
            Parent().parseOptions(["-n", "wasinet-http", "--app=a:b", *arguments])

    def test_reloadWithSystemd(self) -> None:
        error = self.refused("--reload", "--listen=tcp:1", "--status=tcp:2", "--listen=systemd:domain=INET:name=x")
        self.assertIn("systemd", error)

    def test_strayArgument(self) -> None:
        self.refused("tcp:8000")

    def test_help(self) -> None:
        text = parse().getUsage()
        for name in (
            "--app",
            "--listen",
            "--access-log",
            "--access-log-format",
            "--limits",
            "--drain-delay",
            "--status",
            "--status-host",
            "--reload",
        ):
            self.assertIn(name, text)


class LimitsTests(SynchronousTestCase):
    def test_names(self) -> None:
        names = {each.name for each in fields(ServerLimits)} - {"message"}
        names |= {f"message.{each.name}" for each in fields(Limits)}
        self.assertEqual(set(limitsByName(DEFAULT_SERVER_LIMITS)), names)

    def test_documented(self) -> None:
        """
        The page has each with its default, in this order.
        """
        rows = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        expected = [
            (name, "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value))
            for name, value in limitsByName(DEFAULT_SERVER_LIMITS).items()
        ]
        self.assertEqual(rows, expected)

    def test_withinDescriptors(self) -> None:
        limits = ServerLimits(connections=100)
        with capturedLogs() as events:
            for enough in (100 + SPARE, 1000, resource.RLIM_INFINITY):
                self.assertIs(withinDescriptors(limits, enough), limits)
        self.assertEqual(events, [])
        with capturedLogs() as events:
            self.assertEqual(withinDescriptors(limits, 99 + SPARE).connections, 99)
            self.assertEqual(withinDescriptors(limits, 10).connections, 1)
        self.assertEqual(
            formatEvent(events[0]),
            "at most 99 connections instead of 100: the process may have 163 file descriptors, "
            "of which 64 are kept for other things",
        )

    def test_raiseDescriptors(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
        self.assertEqual(raiseDescriptors(MemoryReactorClock()), before[1])
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (before[1], before[1]))

    def test_theSystemRefuses(self) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError

        self.patch(resource, "setrlimit", refuse)
        self.patch(resource, "getrlimit", lambda _: (100, 200))
        self.assertEqual(raiseDescriptors(MemoryReactorClock()), 100)


class ServiceTests(SynchronousTestCase):
    """
    Where time matters.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def start(self, *arguments: str) -> HttpAppService:
        service = HttpAppService(parse(*arguments), lambda request: WasiResponse(body=b"x"), reactor=self.reactor)
        service.privilegedStartService()
        service.startService()
        return service

    def connect(self, index: int = 0) -> MemoryPeer:
        peer = MemoryPeer(self.reactor.tcpServers[index][1], self.reactor)
        self.addCleanup(peer.reset)
        return peer

    def test_drains(self) -> None:
        """
        For as long as the limit has it.
        """
        service = self.start("--limits=drain=7")
        idle, upload = self.connect(), self.connect()
        idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        upload.send(b"GET / HTT")
        stopped = service.stopService()
        idle.settle()
        self.assertTrue(idle.gone)
        self.reactor.advance(6.5)
        upload.settle()
        self.assertFalse(upload.gone)
        self.assertNoResult(stopped)
        for _ in range(8):
            self.reactor.advance(1)
            upload.settle()
        self.assertTrue(upload.gone)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_status(self) -> None:
        """
        It shows what the app's server does.
        """
        service = self.start("--listen=tcp:1", "--status=tcp:2", "--status-host=box", "--limits=connections=50")
        self.assertEqual([(port, where) for port, _, _, where in self.reactor.tcpServers], [(1, ""), (2, "127.0.0.1")])
        self.connect().send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        peer = self.connect(1)
        peer.send(b"GET /status.json HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        answer = peer.take()
        self.assertTrue(answer.startswith(b"HTTP/1.1 403 Forbidden\r\n"), answer)
        peer.send(b"GET /status.json HTTP/1.1\r\nHost: box\r\n\r\n")
        answer = peer.take()
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertIn(b'"connections":50', answer)
        stopped = service.stopService()
        self.reactor.pump([0] * 4)
        self.successResultOf(stopped)

    def test_nothingIsReportedWithoutRequests(self) -> None:
        service = self.start()
        self.connect()
        with capturedLogs() as events:
            stopped = service.stopService()
            # A new connection may still bring its first request.
            self.reactor.pump([0.5] * 4)
        self.successResultOf(stopped)
        self.assertEqual([formatEvent(event) for event in events if event["log_namespace"].startswith("wasinet")], [])
