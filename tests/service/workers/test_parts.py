"""
What C{--workers} is made of, in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.service.test_httpoptions import parse
from tests.support import temporaryDirectory
from wasinet_twisted.server.statistics import Statistics
from wasinet_twisted.service import command, worker
from wasinet_twisted.service.app import AppFailed
from wasinet_twisted.service.echo import Options as EchoOptions
from wasinet_twisted.service.jsonlog import jsonLine
from wasinet_twisted.service.workers import rolling, spawning, templates
from wasinet_twisted.service.workers.channel import _WAITING, Channel
from wasinet_twisted.service.workers.child import Child, Logged, Said, statusOf
from wasinet_twisted.service.workers.messages import (
    LONGEST,
    LONGEST_TEXT,
    Decoder,
    NoMessage,
    encoded,
    packed,
    unpacked,
)
from wasinet_twisted.service.workers.options import MOST, drawn, processors
from wasinet_twisted.service.workers.order import VARIABLE, Order, ordered
from wasinet_twisted.service.workers.rolling import AGAIN, READY, Rolling, numberOf
from wasinet_twisted.service.workers.scheduling import BUSY, CALM, Scheduling
from wasinet_twisted.service.workers.templates import Template, Templates
from wasinet_twisted.service.workers.totals import Totals


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(command, "installReactor", lambda **_: None)

    def refused(self, *arguments: str) -> str:
        error = self.assertRaises(UsageError, parse, "--app=a:b", *arguments)
        return str(error)

    def test_workers(self) -> None:
        self.assertIsNone(parse("--app=a:b")["workers"])
        self.assertEqual(parse("--app=a:b", "--workers=1")["workers"], 1)
        self.assertEqual(parse("--app=a:b", f"--workers={MOST}")["workers"], MOST)
        self.assertEqual(parse("--app=a:b", "--workers=auto")["workers"], processors())
        for wrong in ("0", str(MOST + 1), "-1", "1.5", "", "many", "٣", "1" * 400):
            self.assertTrue(self.refused(f"--workers={wrong}").startswith("--workers: it must be auto, or a number"))

    def test_maxRequests(self) -> None:
        given = parse("--app=a:b", "--workers=2", "--max-requests=1000")["max-requests"]
        self.assertEqual(given, (1000, 100))
        self.assertEqual(parse("--app=a:b", "--workers=2", "--max-requests=9:0")["max-requests"], (9, 0))
        self.assertIsNone(drawn(None))
        self.assertEqual({drawn((5, 2)) for _ in range(200)}, {5, 6, 7})
        for wrong in ("0", "0:5", "-1", "1:", ":1", "a", "1:2:3"):
            self.assertIn("--max-requests: it must be", self.refused("--workers=2", f"--max-requests={wrong}"))

    def test_together(self) -> None:
        for option in ("--pin", "--preload", "--max-requests=5", "--scheduling=auto"):
            self.assertIn("there is no --workers", self.refused(option))
        self.assertIn("leave out --workers", self.refused("--workers=2", "--reload"))
        options = ["--workers=2", "--max-requests=5", "--tcp=1"]
        error = self.assertRaises(UsageError, EchoOptions().parseOptions, options)
        self.assertIn("no HTTP endpoint", str(error))

    def test_scheduling(self) -> None:
        for given in ("auto", "normal"):
            self.assertEqual(parse("--app=a:b", "--workers=2", f"--scheduling={given}")["scheduling"], given)
        for wrong in ("", "Auto", "batch"):
            self.assertIn(
                "--scheduling: it must be auto or normal", self.refused("--workers=2", f"--scheduling={wrong}")
            )

    def test_quota(self) -> None:
        """
        A container's processors are those that its quota lets run.
        """
        path = temporaryDirectory(self) / "cpu.max"
        everything = processors(path)
        for text, expected in (
            ("max 100000\n", everything),
            ("100000 100000\n", 1),
            ("50000 100000\n", 1),
            (f"{everything * 100000 + 1} 100000\n", everything),
            ("1 0\n", everything),
            ("nonsense", everything),
        ):
            path.write_text(text)
            self.assertEqual(processors(path), expected, text)


class OrderTests(SynchronousTestCase):
    def test_throughTheEnvironment(self) -> None:
        """
        Nothing of it is left for the processes that the worker starts.
        """
        import sys

        self.patch(sys, "path", ["/a", "/b"])
        order = Order("wasinet-http", ["--app", "é:b"], "x", {"tcp:1": 5}, path=["/c", ""], channel=6, accessLog=7)
        environment = order.environment({"PYTHONPATH": "/mine", "A": "b"})
        self.assertEqual(environment["PYTHONPATH"], "/c:")
        self.patch(os, "environ", environment)
        found = ordered()
        assert found is not None
        self.assertEqual((found.command, found.arguments), (order.command, order.arguments))
        self.assertEqual((found.sockets, found.channel), ({"tcp:1": 5}, 6))
        self.assertEqual(environment, {"PYTHONPATH": "/mine", "A": "b"})
        self.assertEqual(sys.path, ["/c", ""])
        self.assertIsNone(ordered())

    def test_pinned(self) -> None:
        """
        A sandbox may forbid it, which is said.
        """
        kept: list[object] = []
        self.patch(os, "sched_setaffinity", lambda pid, cores: kept.append((pid, cores)))
        worker._stayOn(None)
        worker._stayOn(3)
        self.assertEqual(kept, [(0, {3})])

        def forbidden(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(os, "sched_setaffinity", forbidden)
        error = self.assertRaises(AppFailed, worker._stayOn, 3)
        self.assertEqual(str(error), "--pin: the process can't stay on the processor core 3: Operation not permitted")

    def test_noWorker(self) -> None:
        self.assertNotIn(VARIABLE, os.environ)
        self.assertIsNone(ordered())


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system has no such scheduling")
class SchedulingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.policy = os.SCHED_OTHER
        self.patch(os, "sched_getscheduler", lambda pid: self.policy)
        self.patch(os, "sched_setscheduler", self.set)
        self.cpu = 100.0
        self.scheduling = Scheduling(self.cpu)

    def set(self, pid: int, policy: int, parameter: Any) -> None:
        self.assertEqual((pid, parameter.sched_priority), (0, 0))
        self.policy = policy

    def look(self, used: float, times: int = 1) -> int:
        for _ in range(times):
            self.cpu += used
            self.scheduling.look(self.cpu)
        return self.policy

    def test_muchToDo(self) -> None:
        """
        It waits for its turn as soon as it has much to do, until it has had little for a while.
        """
        self.assertEqual(self.look(BUSY / 2, 2 * CALM), os.SCHED_OTHER)
        for _ in range(2):
            self.assertEqual(self.look(BUSY), os.SCHED_BATCH)
            self.assertEqual(self.look(0, CALM - 1), os.SCHED_BATCH)
            self.assertEqual(self.look(1), os.SCHED_BATCH)
            self.assertEqual(self.look(0, CALM - 1), os.SCHED_BATCH)
            self.assertEqual(self.look(BUSY / 2), os.SCHED_OTHER)

    def test_chosen(self) -> None:
        """
        What somebody has chosen for the service stays, also if it is chosen meanwhile.
        """
        for policy in (os.SCHED_IDLE, os.SCHED_FIFO, os.SCHED_BATCH):
            self.policy = policy
            self.assertEqual(self.look(1), policy)
            self.assertEqual(self.look(0, CALM), policy)
        self.policy = os.SCHED_OTHER
        self.assertEqual(self.look(1), os.SCHED_BATCH)
        self.policy = os.SCHED_IDLE
        self.assertEqual(self.look(0, CALM), os.SCHED_IDLE)

    def test_forbidden(self) -> None:
        """
        In a sandbox it runs as ever.
        """

        def forbidden(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(os, "sched_setscheduler", forbidden)
        self.assertEqual(self.look(1), os.SCHED_OTHER)
        self.assertEqual(self.look(0, CALM), os.SCHED_OTHER)


class MessagesTests(SynchronousTestCase):
    def test_howeverTheyAreCut(self) -> None:
        data = encoded("ready") + encoded("failed", "no\nné") + encoded("statistics", {"a": [1.5]})
        expected = [("ready", None), ("failed", "no\nné"), ("statistics", {"a": [1.5]})]
        self.assertEqual(list(Decoder().decode(data)), expected)
        decoder = Decoder()
        self.assertEqual([each for byte in data for each in decoder.decode(bytes([byte]))], expected)

    def test_none(self) -> None:
        for wrong in (b"\n", b"[]\n", b"3\n", b"[1,2,3]\n", b"\xff\n", b"[" * 100_000 + b"\n", b"x" * (LONGEST + 1)):
            with self.assertRaises(NoMessage):
                list(Decoder().decode(wrong))
        self.assertEqual(list(Decoder().decode(b"x" * LONGEST)), [])

    def events(self, function: Callable[[Logger], object]) -> list[Any]:
        with capturedLogs() as events:
            function(Logger(namespace="shop"))
        self.flushLoggedErrors()
        return [unpacked(json.loads(json.dumps(packed(event))), "worker 3") for event in events]

    def test_events(self) -> None:
        (event,) = self.events(lambda log: log.warn("{a}{b.__name__}", a=1, b=dict, time=0))
        self.assertEqual(formatEvent(event), "1dict")
        self.assertEqual((event["log_level"], event["log_system"]), (LogLevel.warn, "worker 3"))
        self.assertEqual(event["log_namespace"], "shop")
        self.assertIsInstance(event["log_time"], float)

    def test_tracebacks(self) -> None:
        def fail(log: Logger) -> None:
            try:
                raise ValueError("{braces}")
            except ValueError:
                log.failure("it failed")

        (event,) = self.events(fail)
        lines = formatEvent(event).splitlines()
        self.assertEqual(lines[:2], ["it failed", "Traceback (most recent call last):"])
        self.assertEqual(lines[-1], "builtins.ValueError: {braces}")

    def test_bound(self) -> None:
        for size, cut in ((LONGEST_TEXT, False), (LONGEST_TEXT + 1, True)):
            (event,) = self.events(lambda log, size=size: log.info("{text}", text="\x00" * size))  # type: ignore[misc]
            self.assertEqual("(1 more characters)" in event["text"], cut)
            self.assertLess(len(encoded("event", packed({"log_format": "{text}", "text": "\x00" * size}))), LONGEST)

    def test_json(self) -> None:
        """
        The parent's log as JSON says what the worker's own would.
        """

        def fail(log: Logger) -> None:
            try:
                raise ValueError("{braces}")
            except ValueError:
                log.failure("it failed", requestId="1f3a")

        (event,) = self.events(fail)
        line = json.loads(jsonLine(event))
        self.assertEqual((line["message"], line["requestId"], line["system"]), ("it failed", "1f3a", "worker 3"))
        self.assertEqual((line["failure"]["type"], line["failure"]["message"]), ("builtins.ValueError", "{braces}"))
        self.assertIn("Traceback", line["failure"]["traceback"])

    def test_others(self) -> None:
        """
        Whatever an observer has made of an event.
        """
        event = unpacked({"text": "a", "level": "nonsense", "time": None, "namespace": None}, "worker 1")
        self.assertEqual((event["log_level"], "log_time" in event), (LogLevel.info, False))


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []
        self.writers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def addWriter(self, writer: object) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: object) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)


class ChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.ours, theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.channel = Channel(theirs.detach())
        self.addCleanup(self.channel._socket.close)
        self.received: list[object] = []

    def listen(self) -> None:
        self.channel.listen(
            self.reactor, lambda kind, value: self.received.append((kind, value)), lambda: self.received.append("end")
        )

    def test_bothWays(self) -> None:
        self.channel.send("ready")
        self.assertEqual(self.ours.recv(100), b'["ready",null]\n')
        self.listen()
        self.ours.sendall(encoded("drain", 2.0) + encoded("x"))
        self.assertIsNone(self.channel.doRead())
        self.assertIsNone(self.channel.doRead())
        self.assertEqual(self.received, [("drain", 2.0), ("x", None)])
        self.ours.close()
        self.assertEqual(self.channel.doRead(), CONNECTION_DONE)
        self.channel.connectionLost(Failure(CONNECTION_DONE))
        self.assertEqual(self.received[-1], "end")
        # Nobody hears it.
        self.channel.send("ready")

    def test_aParentThatIsStuck(self) -> None:
        """
        What it doesn't take waits, up to a bound; then how much is lost is said.
        """
        self.listen()
        text = "x" * 100_000
        sent = 0
        while not self.channel._lost:
            self.channel.send("event", text)
            sent += 1
        self.assertLessEqual(len(self.channel._waiting), _WAITING)
        self.assertEqual(self.reactor.writers, [self.channel])
        self.channel.send("worn", 5)
        decoder, messages = Decoder(), []
        self.ours.setblocking(False)
        while self.reactor.writers:
            messages += decoder.decode(self.ours.recv(1 << 20))
            self.channel.doWrite()
        messages += decoder.decode(self.ours.recv(1 << 20))
        self.assertEqual(messages[:-1], [("event", text)] * (sent - 1) + [("worn", 5)])
        self.assertEqual(messages[-1][1]["text"], "messages lost: 1")
        self.assertIsInstance(unpacked(messages[-1][1], "worker 1")["log_time"], float)

    def test_aHandlerThatLogsALot(self) -> None:
        """
        While the reactor does nothing, the parent is sent what it takes.
        """
        self.listen()
        decoder, count = Decoder(), 0
        self.ours.setblocking(False)
        for _ in range(100):
            self.channel.send("event", "x" * 50_000)
            with contextlib.suppress(BlockingIOError):
                while True:
                    count += len(list(decoder.decode(self.ours.recv(1 << 20))))
        self.assertGreater(count, 90)
        self.assertEqual(self.channel._lost, 0)

    def test_beforeTheReactorRuns(self) -> None:
        """
        As much is sent as the parent takes.
        """
        decoder, count = Decoder(), 0
        self.ours.setblocking(False)
        for _ in range(50):
            self.channel.send("event", "x" * 50_000)
            with contextlib.suppress(BlockingIOError):
                while True:
                    count += len(list(decoder.decode(self.ours.recv(1 << 20))))
        self.channel.send("failed", "why")
        self.channel.flush()
        messages = list(decoder.decode(self.ours.recv(1 << 20)))
        self.assertEqual((count + len(messages), messages[-1]), (51, ("failed", "why")))

    def test_aSignalWhileSending(self) -> None:
        """
        Its handler logs, and waits for nobody.
        """
        with self.channel._lock:
            self.channel.send("event", "within")
        self.channel.send("event", "after")
        messages = list(Decoder().decode(self.ours.recv(1000)))
        self.assertEqual(messages, [("event", "within"), ("event", "after")])

    def test_lastWords(self) -> None:
        self.channel.send("failed", "why")
        self.channel._waiting += encoded("failed", "again")
        # What has been lost is said even if there was no time to before.
        self.channel._lost = 7
        self.channel.flush()
        *messages, (kind, lost) = Decoder().decode(self.ours.recv(1000))
        self.assertEqual(messages, [("failed", "why"), ("failed", "again")])
        self.assertEqual((kind, lost["text"]), ("event", "messages lost: 7"))
        self.ours.close()
        self.channel.flush()


class RollingTests(SynchronousTestCase):
    """
    Who is hired and dismissed when.
    """

    def setUp(self) -> None:
        self.reactor = Clock()
        self.done: list[str] = []
        self.rolling = Rolling(
            self.reactor,
            3,
            lambda name: self.done.append(f"+{name}"),
            lambda name: self.done.append(f"-{name}"),
            lambda: self.done.append("begin"),
        )
        self.addCleanup(self.rolling.stop)

    def taken(self) -> list[str]:
        done, self.done[:] = list(self.done), []
        return done

    def test_all(self) -> None:
        self.rolling.start()
        self.assertEqual(self.taken(), ["+1.0", "+2.0", "+3.0"])
        self.rolling.all()
        self.assertEqual(self.taken(), ["begin", "+1.1"])
        self.assertTrue(self.rolling.isSuccessor("1.1"))
        self.rolling.succeeded()
        self.assertEqual(self.taken(), ["-1.0", "+2.2"])
        self.rolling.succeeded()
        self.assertEqual(self.taken(), ["-2.0", "+3.3"])
        self.rolling.succeeded()
        self.assertEqual(self.taken(), ["-3.0"])
        self.assertEqual(self.rolling.names, {1: "1.1", 2: "2.2", 3: "3.3"})
        self.assertEqual(list(map(numberOf, self.rolling.names.values())), [1, 2, 3])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_onceMore(self) -> None:
        """
        However often it was asked for meanwhile.
        """
        self.rolling.all()
        self.rolling.all()
        self.rolling.all()
        for _ in range(3):
            self.rolling.succeeded()
        self.assertEqual(self.taken(), ["begin", "+1.1", "-1.0", "+2.2", "-2.0", "+3.3", "-3.0", "begin", "+1.4"])
        for _ in range(3):
            self.rolling.succeeded()
        self.assertFalse(any(map(self.rolling.isSuccessor, ("1.4", "2.5", "3.6"))))

    def test_aSuccessorFails(self) -> None:
        self.rolling.all()
        self.rolling.succeeded()
        self.taken()
        with capturedLogs() as events:
            self.rolling.failed("why")
        self.assertEqual(self.taken(), ["-2.2"])
        self.assertEqual(self.rolling.names, {1: "1.1", 2: "2.0", 3: "3.0"})
        self.assertIn("worker 2 stays: its successor can't serve: why", formatEvent(events[0]))
        self.rolling.all()
        self.assertEqual(self.taken(), ["begin", "+1.3"])

    def test_late(self) -> None:
        self.rolling.all()
        self.reactor.advance(READY - 0.1)
        self.assertTrue(self.rolling.isSuccessor("1.1"))
        with capturedLogs() as events:
            self.reactor.advance(0.1)
        self.assertEqual(self.taken(), ["begin", "+1.1", "-1.1"])
        self.assertIn("it is not ready after 300 s", formatEvent(events[0]))

    def test_one(self) -> None:
        """
        One at a time; one that fails is tried again later.
        """
        self.rolling.one(2)
        self.rolling.one(2)
        self.rolling.one(1)
        self.assertEqual(self.taken(), ["+2.1"])
        with capturedLogs():
            self.rolling.failed("why")
        self.assertEqual(self.taken(), ["-2.1", "+1.2"])
        self.rolling.succeeded()
        self.assertEqual(self.taken(), ["-1.0"])
        self.reactor.advance(AGAIN)
        self.assertEqual(self.taken(), ["+2.3"])
        self.rolling.succeeded()
        self.assertEqual(self.taken(), ["-2.0"])
        self.assertEqual(rolling.log.namespace, "wasinet_twisted.service.workers.rolling")

    def test_stop(self) -> None:
        self.rolling.all()
        self.rolling.one(3)
        self.rolling.stop()
        self.rolling.one(2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.taken(), ["begin", "+1.1"])


def raiser(error: BaseException) -> Callable[..., object]:
    """
    Return what raises this.
    """

    def call(*_: object) -> object:
        raise error

    return call


class FakeCrew:
    """
    It notes what it is told.
    """

    def __init__(self) -> None:
        self.told_: list[str] = []
        self.lines: list[bytes] = []

    def ready(self, child: Child) -> None:
        self.told_.append("ready")

    def worn(self, child: Child) -> None:
        self.told_.append(f"worn {child.wornAt}")

    def asked(self, child: Child) -> None:
        self.told_.append("asked")

    def told(self, child: Child) -> None:
        self.told_.append(f"told {child.figures}")

    def ended(self, child: Child) -> None:
        self.told_.append(f"ended: {child.reason}")

    def logged(self, lines: Any) -> None:
        self.lines += lines

    def drainIdle(self) -> float:
        return 2.0


class FakeProcess:
    """
    A process, and procmon's protocol of one.
    """

    pid = 77
    name = "1.0"

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.ends: list[Failure] = []
        self.connected: object = None

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def makeConnection(self, transport: object) -> None:
        self.connected = transport

    def processEnded(self, reason: Failure) -> None:
        self.ends.append(reason)


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Clock()
        self.crew = FakeCrew()
        self.process = FakeProcess()
        self.child = Child(1, self.process, self.crew, self.reactor)  # type: ignore[arg-type]
        self.child.makeConnection(self.process)
        self.channel, self.lines = Said(self.child), Logged(self.child)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)
        self.loglines = StringTransport()
        self.lines.makeConnection(self.loglines)

    def close(self) -> None:
        self.channel.connectionLost()
        self.lines.connectionLost()

    def test_theLife(self) -> None:
        self.channel.dataReceived(encoded("ready") + encoded("statistics", {"a": 1}) + encoded("worn", 5))
        self.assertEqual(self.crew.told_, ["ready", "told {'a': 1}", "worn 5"])
        self.child.signalProcess("TERM")
        self.child.signalProcess("TERM")
        self.assertEqual((self.transport.value(), self.process.signals), (encoded("drain", 2.0), []))
        self.assertEqual(self.child.state, "draining")
        self.child.signalProcess("KILL")
        self.assertEqual(self.process.signals, ["KILL"])
        self.child.processEnded(Failure(ProcessDone(0)))
        self.assertRaises(ProcessExitedAlready, self.child.signalProcess, "TERM")
        # What it has said is read first.
        self.channel.dataReceived(encoded("statistics", {"a": 2}))
        self.assertEqual(self.process.ends, [])
        self.close()
        self.assertEqual(self.crew.told_[3:], ["told {'a': 2}", "ended: it has ended with status 0"])
        self.assertEqual(len(self.process.ends), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_aForkHoldsTheChannels(self) -> None:
        """
        They are not waited for long, and their end is not taken for another one.
        """
        self.child.processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(0.4)
        self.assertEqual(self.process.ends, [])
        self.reactor.advance(0.1)
        self.close()
        self.assertEqual(self.crew.told_, ["ended: it has ended with SIGKILL"])
        self.assertEqual(len(self.process.ends), 1)

    def test_nobodyTellsOfItsEnd(self) -> None:
        """
        A template that was stopped doesn't: what was killed has ended, and this is not told twice.
        """
        self.close()
        self.child.signalProcess("KILL")
        self.reactor.advance(2.9)
        self.assertEqual(self.process.ends, [])
        self.reactor.advance(0.1)
        self.child.processEnded(Failure(ProcessTerminated(signal=9)))
        self.assertEqual(self.crew.told_, ["ended: it has ended with SIGKILL"])
        self.assertEqual(len(self.process.ends), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_beforeItIsReady(self) -> None:
        """
        The signal ends it; or if it was just about to say that it is ready, and so asks what is meant, it is told.
        """
        self.child.signalProcess("TERM")
        self.assertEqual((self.transport.value(), self.process.signals), (b"", ["TERM"]))
        self.channel.dataReceived(encoded("ready"))
        self.assertEqual((self.transport.value(), self.child.state), (encoded("drain", 2.0), "draining"))
        self.assertEqual(self.crew.told_, [])

    def test_aProcessAfterAll(self) -> None:
        """
        One that was taken for gone hears that it is alone, and of what it says nothing counts.
        """
        self.child.orphaned()
        self.child.notStarted("the template process has ended")
        self.reactor.advance(0)
        self.assertEqual((self.transport.disconnecting, self.loglines.disconnecting), (True, True))
        self.channel.dataReceived(encoded("ready"))
        self.assertEqual(self.crew.told_, ["ended: the template process has ended"])

    def test_itHasFailedAndStays(self) -> None:
        """
        Threads of the app keep it; it is killed.
        """
        self.channel.dataReceived(encoded("failed", "why") + encoded("failed", "another"))
        self.reactor.advance(2.9)
        self.assertEqual(self.process.signals, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.process.signals, ["KILL"])
        self.close()
        self.child.processEnded(Failure(ProcessTerminated(signal=9)))
        self.assertEqual(self.crew.told_, ["ended: why"])

    def test_noMessage(self) -> None:
        with capturedLogs() as events:
            self.channel.dataReceived(b"nonsense\n")
        self.assertIn("worker 1 (process 77) is killed: no message", formatEvent(events[0]))
        self.assertEqual(self.process.signals, ["KILL"])

    def test_itCanNotBeStarted(self) -> None:
        child = Child(1, FakeProcess(), self.crew, self.reactor)  # type: ignore[arg-type]
        child.notStarted("can't start it: no memory")
        self.assertEqual(self.crew.told_, [])
        self.reactor.advance(0)
        self.assertEqual(self.crew.told_, ["ended: can't start it: no memory"])

    def test_orphaned(self) -> None:
        self.child.orphaned()
        self.assertEqual(self.process.ends, [])
        self.close()
        self.assertEqual(statusOf(self.process.ends[0]), "a status that nobody has seen")

    def test_lines(self) -> None:
        """
        Only whole ones.
        """
        for cut in (b"o", b"ne\ntw", b"o\nthree\nfo"):
            self.lines.dataReceived(cut)
        self.close()
        self.assertEqual(self.crew.lines, [b"one\n", b"two\n", b"three\n"])


class TemplateTests(SynchronousTestCase):
    """
    A worker that the template has not forked yet.
    """

    def setUp(self) -> None:
        self.reactor = Clock()
        self.crew = FakeCrew()
        self.process = FakeProcess()
        self.ended: list[Template] = []
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.template = Template(ours, self.ended.append, self.fail)
        self.template.makeConnection(self.process)
        self.template.received("ready", None)
        self.child = Child(1, FakeProcess(), self.crew, self.reactor)  # type: ignore[arg-type]
        self.template.fork(self.child, Order("wasinet-http", [], "", {}), theirs, theirs)

    def end(self) -> None:
        self.template.processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(0)
        self.assertEqual(self.ended, [self.template])

    def test_itMustEnd(self) -> None:
        """
        A template that is stuck, or stopped, does not keep the service from ending.
        """
        self.child.signalProcess("TERM")
        self.assertEqual(self.process.signals, [])
        self.child.signalProcess("KILL")
        # Others may need it.
        self.assertEqual(self.process.signals, [])
        self.reactor.advance(3)
        self.assertEqual(self.crew.told_, ["ended: it has ended with SIGKILL"])
        self.assertRaises(ProcessExitedAlready, self.child.signalProcess, "KILL")
        self.end()
        self.assertEqual(len(self.crew.told_), 1)

    def test_itIsForkedAfterAll(self) -> None:
        """
        It is sent what was meant for it.
        """
        sent: list[object] = []
        self.patch(os, "kill", lambda *what: sent.append(what))
        self.child.signalProcess("TERM")
        self.template.received("forked", [1, 4711])
        self.assertEqual(sent, [(4711, signal.SIGTERM)])
        self.template.received("exited", [4711, signal.SIGTERM])
        self.assertEqual(self.ended, [self.template])
        self.ended.clear()
        self.end()

    def test_itHasEndedAtOnce(self) -> None:
        """
        What was meant for it finds nobody.
        """
        self.patch(os, "kill", raiser(ProcessLookupError()))
        self.child.signalProcess("TERM")
        self.template.received("forked", [1, 4711])
        self.template.received("exited", [4711, signal.SIGKILL])
        self.assertEqual(self.ended, [self.template])
        self.ended.clear()
        self.end()

    def test_noRoom(self) -> None:
        """
        Then it is of no use, if there is another one.
        """
        self.template.received("unforked", [1, "Cannot allocate memory"])
        self.reactor.advance(0)
        self.assertEqual(self.crew.told_, ["ended: can't fork it: Cannot allocate memory"])
        self.assertEqual(self.ended, [self.template])
        self.ended.clear()
        self.end()

    def test_itIsHeardNoMore(self) -> None:
        """
        Then it is ended.
        """
        self.template.channelLost()
        self.assertEqual(self.process.signals, ["KILL"])
        self.end()


class FakeExecuting:
    """
    It starts nothing, or can't.
    """

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.error: OSError | None = None

    def start(self, process: Any, order: Order, channel: socket.socket, accessLog: socket.socket) -> None:
        channel.getsockname(), accessLog.getsockname()
        if self.error is not None:
            raise self.error
        self.processes.append(FakeProcess())
        process.makeConnection(self.processes[-1])


class TemplatesTests(SynchronousTestCase):
    """
    Templates that follow one another, or can't fork.
    """

    def setUp(self) -> None:
        self.reactor = Clock()
        self.crew = FakeCrew()
        self.executing = FakeExecuting()
        self.patch(templates, "adopt", lambda reactor, channel, said: channel.close())
        self.templates = Templates(self.reactor, self.executing, Order("wasinet-http", [], "", {}))  # type: ignore[arg-type]
        self.monitored: list[FakeProcess] = []
        self.first, self.second = self.start(), self.start()
        (self.process,) = self.executing.processes
        self.addCleanup(self.leave)
        self.template: Any = self.templates._templates[0]

    def start(self) -> Child:
        self.monitored.append(FakeProcess())
        child = Child(1, self.monitored[-1], self.crew, self.reactor)  # type: ignore[arg-type]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.templates.start(child, Order("wasinet-http", [], "", {}), ours, theirs)
        return child

    def leave(self) -> None:
        for template in list(self.templates._templates):
            template.processEnded(Failure(ProcessTerminated(signal=9)))

    def alone(self) -> None:
        self.template.received("alone", "this Python does things")
        self.assertEqual(self.process.signals, ["KILL"])
        self.template.processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(0)

    def test_oneThatHasBeenReplaced(self) -> None:
        """
        It forks no worker any more, also when its successor ends.
        """
        self.replace()
        self.start()
        self.assertEqual(len(self.executing.processes), 3)

    def test_itsWorkersHaveEnded(self) -> None:
        """
        Then one that has been replaced ends.
        """
        self.replace()
        self.template.received("exited", [4711, 0])
        self.assertEqual(self.process.signals, [])
        self.template.received("exited", [4712, 0])
        self.assertEqual(self.process.signals, ["KILL"])

    def replace(self) -> None:
        self.template.received("ready", None)
        for number in (1, 2):
            self.template.received("forked", [number, 4710 + number])
        self.templates.renew()
        later: Any = self.templates._templates[1]
        later.received("ready", None)
        later.processEnded(Failure(ProcessTerminated(signal=9)))

    def test_oneWhoseSuccessorFails(self) -> None:
        """
        It goes on.
        """
        self.template.received("ready", None)
        self.templates.renew()
        later: Any = self.templates._templates[1]
        later.received("failed", "can't import the app")
        later.processEnded(Failure(ProcessTerminated(signal=9)))
        self.start()
        self.assertEqual(len(self.executing.processes), 2)
        self.assertEqual(self.process.signals, [])

    def test_oneThatHangs(self) -> None:
        """
        It ends when a worker has to that waits for it.
        """
        self.first.signalProcess("TERM")
        self.assertEqual(self.process.signals, [])
        self.first.signalProcess("KILL")
        self.assertEqual(self.process.signals, ["KILL"])
        self.template.processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(0)
        self.assertEqual(len(self.crew.told_), 2)

    def test_eachByItself(self) -> None:
        """
        Those that wait are started, and those to come. procmon is told of each once; a signal that it has sent arrives.
        """
        self.first.signalProcess("TERM")
        del self.monitored[0].connected
        with capturedLogs() as logged:
            self.alone()
        self.assertEqual([formatEvent(each) for each in logged], ["workers share no memory: this Python does things"])
        self.assertEqual([each.signals for each in self.executing.processes], [["KILL"], ["TERM"], []])
        self.assertFalse(hasattr(self.monitored[0], "connected"))
        self.assertEqual((self.first.pid, self.second.pid), (77, 77))
        third = self.start()
        self.assertEqual(third.pid, 77)
        self.templates.renew()
        self.assertEqual(len(self.executing.processes), 4)
        self.assertEqual(self.crew.told_, [])
        stopped: list[None] = []
        self.templates.stop().addCallback(stopped.append)
        self.assertEqual(stopped, [None])

    def test_notAnyMore(self) -> None:
        """
        A template from before ends when its workers have, though there is none after it.
        """
        self.template.received("ready", None)
        for number in (1, 2):
            self.template.received("forked", [number, 4710 + number])
        self.templates.renew()
        later: Any = self.templates._templates[1]
        later.received("alone", "this Python does things")
        later.processEnded(Failure(ProcessTerminated(signal=9)))
        for number in (1, 2):
            self.assertEqual(self.process.signals, [])
            self.template.received("exited", [4710 + number, 0])
        self.assertEqual(self.process.signals, ["KILL"])

    def test_oneThatCanNotBeStarted(self) -> None:
        """
        It is said why.
        """
        self.executing.error = OSError(12, "Cannot allocate memory", "python")
        self.alone()
        self.assertEqual(self.crew.told_, ["ended: can't start python: Cannot allocate memory"] * 2)


class SpawnerTests(SynchronousTestCase):
    def test_noDescriptors(self) -> None:
        """
        A worker to which there is no channel isn't started.
        """
        crew, reactor, started = FakeCrew(), Clock(), FakeExecuting()

        def make(monitored: Any, order: Order) -> tuple[Child, Order]:
            return Child(1, monitored, crew, reactor), order

        self.patch(spawning, "adopt", raiser(OSError(24, "Too many open files")))
        spawner = spawning.Spawner(reactor, Order("wasinet-http", [], "", {}), started, make)  # type: ignore[arg-type]
        spawner.spawnProcess(FakeProcess(), "python")  # type: ignore[arg-type]
        reactor.advance(0)
        self.assertEqual(crew.told_, ["ended: can't start it: Too many open files"])
        self.assertEqual(started.processes, [])


class TotalsTests(SynchronousTestCase):
    def statistics(self, requests: int) -> Statistics:
        found = Statistics()
        for _ in range(requests):
            found.opened()
            found.requests += 1
        return found

    def test_fromSnapshot(self) -> None:
        """
        All of it comes back, through JSON.
        """
        before = self.statistics(7)
        for seconds in (0.0, 1e-7, 0.0003, 0.0021, 5.0, 1e9):
            before.answered(200, seconds, 100)
        before.answered(404, 0.1, 9)
        before.refused(400, "malformed head")
        before.dropped("idle")
        before.refusedRequests = 1
        before.requests += 2
        before.abandoned()
        before.closed()
        before.bytesReceived = 5
        after = Statistics.fromSnapshot(json.loads(json.dumps(before.snapshot())))
        for name in Statistics.__slots__:
            if name not in ("_clock", "_started", "startTime"):
                self.assertEqual(getattr(after, name), getattr(before, name), name)
        with self.assertRaises(LookupError):
            Statistics.fromSnapshot({})

    def test_counters(self) -> None:
        """
        They never go back, though one that dies takes what is open with it.
        """
        totals = Totals()
        one, two = self.statistics(3), self.statistics(5)
        one.answered(200, 0.1, 10)
        totals.tell("one", one.snapshot())
        totals.tell("two", two.snapshot())
        one.answered(200, 0.2, 10)
        one.refused(400, "x")
        totals.tell("one", one.snapshot())
        sums = totals.statistics
        self.assertEqual((sums.requests, sums.openConnections, sums.inFlight, sums.bytesSent), (8, 8, 6, 20))
        self.assertEqual((sums.statuses[200], sums.statuses[400], sums.refusals[400, "x"]), (2, 1, 1))
        before = sums.seconds
        for _ in range(50):
            totals.tell("one", one.snapshot())
        self.assertEqual(sums.seconds, before)
        totals.end("one")
        self.assertEqual((sums.requests, sums.openConnections, sums.inFlight, sums.abandonedRequests), (8, 5, 5, 1))
        totals.end("one")
        # Another process begins anew.
        totals.tell("three", self.statistics(1).snapshot())
        self.assertEqual((sums.requests, sums.openConnections), (9, 6))
