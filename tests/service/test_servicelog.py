"""
The service's own log: JSON whatever is logged, from the first line on, and with the ids of requests.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Application
from twisted.logger import ILogObserver, Logger, LogLevel, eventAsJSON, eventFromJSON, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE, run, script, talk, waitUntil
from wasinet_twisted import tracing
from wasinet_twisted.service import command
from wasinet_twisted.service.echo import Options as EchoOptions
from wasinet_twisted.service.http import Options
from wasinet_twisted.service.jsonlog import jsonLine
from wasinet_twisted.service.listening import Launch
from wasinet_twisted.service.servicelog import Tagged
from wasinet_twisted.service.tracing import tracingOf

from .support import COMMANDS, at, serving, write

APP = """
from twisted.logger import Logger
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.tracing import current

log = Logger()
log.info("loaded {what}", what=b"\\xff\\n")

async def handler(request):
    log.warn("asked for {path}", path=request.path)
    print("printed\\ud800", current.get() is request.trace)
    if request.path == "/raise":
        raise LookupError("no \\udc80")
    return WasiResponse(body=request.id or "-")
"""


class Unshowable:
    """
    Whatever is asked of it fails.
    """

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class UnshowableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class JsonTests(SynchronousTestCase):
    def logged(self, **event: Any) -> dict[str, Any]:
        line = jsonLine(event)
        self.assertTrue(line.endswith("\n"))
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.isascii())
        # No half of a surrogate pair: many parsers refuse its escape.
        self.assertNotRegex(re.sub(r"\\ud[89ab]..\\ud[c-f]..", "", line), r"(?<!\\)(\\\\)*\\ud")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def test_event(self) -> None:
        events: list[Any] = []
        Logger("shop.web", observer=events.append).warn("sold {count} of {what}", count=2, what="caf\xe9 \U0001f600\n")  # type: ignore[arg-type]
        self.assertEqual(
            self.logged(**{**events[0], "log_time": 1767323045.0625}),
            {
                "time": "2026-01-02T03:04:05.062500Z",
                "level": "warn",
                "logger": "shop.web",
                "message": "sold 2 of caf\xe9 \U0001f600\n",
            },
        )

    def test_ids(self) -> None:
        """
        And the system, which says for instance which worker it was.
        """
        found = self.logged(log_format="x", log_system="worker 1", requestId="a", traceId="b")
        self.assertEqual((found["system"], found["requestId"], found["traceId"]), ("worker 1", "a", "b"))
        for system in (None, "-"):
            self.assertNotIn("system", self.logged(log_format="x", log_system=system))

    def test_failure(self) -> None:
        try:
            raise LookupError("no \udc80\n")
        except LookupError:
            failure = Failure()
        found = self.logged(log_format="failed", log_failure=failure, log_level=LogLevel.critical)
        self.assertEqual(found["failure"]["type"], "builtins.LookupError")
        self.assertEqual(found["failure"]["message"], "no \\udc80\n")
        self.assertIn("Traceback (most recent call last):", found["failure"]["traceback"])
        self.assertEqual((found["level"], found["message"]), ("critical", "failed"))

    def test_eventOfAnotherProcess(self) -> None:
        """
        As Twisted's own JSON brings it.
        """
        event = {"log_format": "{x} failed", "x": b"\xff", "log_failure": Failure(LookupError("no")), "log_time": 1.0}
        found = self.logged(**eventFromJSON(eventAsJSON({**event, "log_level": LogLevel.error, "log_namespace": "n"})))
        self.assertEqual(
            (found["level"], found["logger"], found["time"]), ("error", "n", "1970-01-01T00:00:01.000000Z")
        )
        self.assertEqual(set(found["failure"]), {"type", "message", "traceback"})

    def test_whateverIsLogged(self) -> None:
        """
        What can't be shown is said to be so; the line is there.
        """
        shown = "(can't be shown)"
        for event, expected in (
            ({}, {"time": None, "level": "info", "logger": "-", "message": ""}),
            ({"log_format": "{x}", "x": b"\xff\x00"}, {"message": "b'\\xff\\x00'"}),
            ({"log_format": b"\xff{x}", "x": 1}, {}),
            ({"log_format": "\ud800{x}", "x": "\udfff"}, {"message": "\\ud800\\udfff"}),
            ({"log_format": "{x}", "x": Unshowable()}, {}),
            ({"log_format": "{missing.attribute}"}, {}),
            ({"log_format": 7}, {}),
            ({"log_format": "x", "log_time": "then"}, {"time": None}),
            ({"log_format": "x", "log_time": float("nan")}, {"time": None}),
            ({"log_format": "x", "log_time": 1e300}, {"time": None}),
            ({"log_format": "x", "log_level": 7}, {"level": "info"}),
            ({"log_format": "x", "log_namespace": Unshowable()}, {"logger": "-"}),
            ({"log_format": "x", "log_namespace": b"a\xff"}, {"logger": "a\\xff"}),
            ({"log_format": "x", "log_system": Unshowable()}, {"system": shown}),
            ({"log_format": "x", "requestId": 7}, {"requestId": "7"}),
            (
                {"log_format": "x", "log_failure": 7},
                {"failure": dict.fromkeys(("type", "message", "traceback"), shown)},
            ),
        ):
            found = self.logged(**event)
            self.assertEqual({**found, **expected}, found)
        failure = self.logged(log_failure=Failure(UnshowableError()))["failure"]
        self.assertEqual(failure["type"], f"{__name__}.UnshowableError")


class TaggedTests(SynchronousTestCase):
    def test_inText(self) -> None:
        """
        The id stands beside the system; other observers of the event see no other system.
        """
        trace = tracing.Trace()
        trace.requestId = "a1"
        token = tracing.current.set(trace)
        self.addCleanup(tracing.current.reset, token)
        for inText, expected in ((True, "n#warn a1"), (False, None)):
            seen: list[Any] = []
            observer: Any = seen.append
            event = {"log_level": LogLevel.warn, "log_namespace": "n"}
            Tagged(observer, inText)(event)
            self.assertEqual((seen[0].get("log_system"), seen[0]["requestId"]), (expected, "a1"))
            self.assertNotIn("log_system", event)
            Tagged(observer, inText)({"log_system": "own"})
            self.assertEqual(seen[1]["log_system"], "own")


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(command, "installReactor", lambda **_: None)
        self.patch(tracing, "outgoing", None)

    def parse(self, *arguments: str, parent: Any = None, kind: Any = Options) -> Any:
        options = kind()
        options.parent = parent
        options.parseOptions([*(("--app", "app:handler") if kind is Options else ()), *arguments])
        return options

    def test_formats(self) -> None:
        error = self.assertRaises(UsageError, self.parse, "--log-format", "xml")
        self.assertEqual(str(error), "--log-format: there are text and json, not 'xml'")
        self.assertEqual(self.parse("--log-format", "json", kind=EchoOptions)["log-format"], "json")

    def test_tracing(self) -> None:
        self.assertIsNone(tracingOf(self.parse()))
        made = tracingOf(self.parse("--request-id", "Request-Id"))
        assert made is not None
        self.assertEqual(made.field, "Request-Id")
        self.assertIsNone(tracing.outgoing)
        made = tracingOf(self.parse("--trace"))
        assert made is not None
        self.assertIsNone(made.field)
        self.assertIs(tracing.outgoing, tracing.fromCurrent)
        self.assertEqual(type(tracingOf(self.parse("--otel"))).__name__, "OtelTracing")

    def test_refused(self) -> None:
        for arguments, text in (
            (("--request-id", "Content-Length"), "--request-id: the field of the request id must be a name"),
            (("--fresh-ids",), "--fresh-ids: without --request-id, --trace or --otel there are none"),
        ):
            error = self.assertRaises(UsageError, self.parse, *arguments)
            self.assertTrue(str(error).startswith(text), error)

    def test_someoneElsesLog(self) -> None:
        """
        twistd's own options for an observer or for syslog say how lines look: with tracing alone, these stay.
        """
        for other in ("logger", "syslog"):
            parent = {"nodaemon": 1, other: 1}
            with pytest.raises(SystemExit):
                self.parse("--log-format", "json", parent=parent)
            self.assertIsNone(self.component(self.parse("--trace", parent=parent)))

    def component(self, options: Any) -> Any:
        application: Any = Application("x")
        Launch.fromOptions(options).observe(application)
        return application.getComponent(ILogObserver, None)

    def test_component(self) -> None:
        """
        Only who asks for something gets another observer than twistd's.
        """
        parent = {"nodaemon": 1, "logfile": "-"}
        self.assertIsNone(self.component(self.parse(parent=parent)))
        for arguments in (("--log-format", "text"), ("--log-format", "json"), ("--trace",)):
            self.assertIsNotNone(self.component(self.parse(*arguments, parent=parent)))

    def test_twist(self) -> None:
        for arguments, changed in (((), False), (("--log-format", "json"), True), (("--trace",), True)):
            parent = {"fileLogObserverFactory": textFileLogObserver}
            self.parse(*arguments, parent=parent)
            self.assertEqual(parent["fileLogObserverFactory"] is not textFileLogObserver, changed)


@COMMANDS
def test_json(tmp_path: Path, command: list[str]) -> None:
    """
    Each line that the process writes, from its start to its end.
    """
    write(tmp_path, APP)
    options = ("--log-format", "json", "--request-id", "X-Request-Id", "--trace")
    with serving(tmp_path, *options, command=command) as (process, port):
        head = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: mine\r\n\r\n"
        assert talk(port, b"GET /" + head).endswith(b"\r\n\r\nmine")
        assert b"\r\nX-Request-Id: mine\r\n" in talk(port, b"GET /raise" + head)
        assert process.stop() == -signal.SIGTERM
    events = [json.loads(line) for line in process.stdout().splitlines()]
    assert events[0]["message"] == "loaded b'\\xff\\n'"
    said = [(event["logger"], event["message"], event.get("requestId")) for event in events]
    assert ("app", "asked for /", "mine") in said
    assert ("stdout", "printed\\ud800 True", "mine") in said
    assert any(message.startswith("listening on http://127.0.0.1:") for _, message, _ in said)
    (failed,) = (event for event in events if "failure" in event)
    assert (failed["requestId"], failed["level"], failed["failure"]["message"]) == ("mine", "critical", "no \\udc80")
    assert len({event["traceId"] for event in events if "traceId" in event}) == 2
    assert process.stderr() == ""


def test_daemon(tmp_path: Path) -> None:
    """
    In twistd's file, whose old lines stay, and which is rotated as ever.
    """
    write(tmp_path, APP)
    log = tmp_path / "log"
    log.write_text('{"message":"before"}\n')
    program = [script("twistd"), f"--pidfile={tmp_path / 'pid'}", f"--logfile={log}", "wasinet-http"]
    assert run([*program, "--app", "app:handler", "--listen", at(0), "--log-format", "json"], tmp_path).wait() == 0
    pid = int((tmp_path / "pid").read_text())
    try:
        waitUntil(lambda: "listening on" in log.read_text(), "listening")
        os.kill(pid, signal.SIGUSR1)
        waitUntil((tmp_path / "log.1").exists, "the rotated log")
    finally:
        os.kill(pid, signal.SIGTERM)
    waitUntil(lambda: not (tmp_path / "pid").exists(), f"the end, within {PATIENCE} s")
    first, second = (
        [json.loads(line)["message"] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("log.1", "log")
    )
    assert first[:2] == ["before", "loaded b'\\xff\\n'"]
    assert second[-1] == "Server Shut Down."


@COMMANDS
def test_text(tmp_path: Path, command: list[str]) -> None:
    """
    The id stands where the system does.
    """
    write(tmp_path, APP)
    options = ("--log-format", "text", "--request-id", "X-Request-Id")
    with serving(tmp_path, *options, command=command) as (process, port):
        talk(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: mine\r\n\r\n")
        process.waitForOutput("[app#warn mine] asked for /\n")
        assert process.stop() == -signal.SIGTERM
