"""
Ids of requests and of traces: what is taken, what is made, and what logs are told.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted import tracing
from wasinet_twisted.tracing import Remote, Trace, newId, parseParent, parseState, requestIds, tag

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class GrammarTests(SynchronousTestCase):
    def test_traceparent(self) -> None:
        """
        W3C Trace Context, section 3.2. Versions to come may have more at the end.
        """
        for flags, sampled in (("00", False), ("01", True), ("02", False), ("ff", True)):
            self.assertEqual(parseParent([f"00-{TRACE}-{SPAN}-{flags}"]), Remote(TRACE, SPAN, sampled))
        for later in (f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what.the=future", f"fe-{TRACE}-{SPAN}-01-"):
            self.assertEqual(parseParent([later]), Remote(TRACE, SPAN, True))

    def test_traceparentThatIsNone(self) -> None:
        for bad in (
            "",
            f"00-{TRACE}-{SPAN}",
            f"00-{TRACE}-{SPAN}-",
            f"00-{TRACE}-{SPAN}-1",
            f"00-{TRACE}-{SPAN}-011",
            f"{PARENT}-",
            f"{PARENT}-more",
            f"cc-{TRACE}-{SPAN}-01.more",
            f"cc-{TRACE}-{SPAN}-01-\x7f",
            f"ff-{TRACE}-{SPAN}-01",
            f"0-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN.upper()}-01",
            f"00-{TRACE[:-1]}-{SPAN}-01",
            f"00-{TRACE}0-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-0g",
            f" {PARENT}",
            f"{PARENT}\n",
            f"{PARENT},{PARENT}",
            PARENT.replace("a", "\u0661"),
        ):
            self.assertIsNone(parseParent([bad]), bad)
        self.assertIsNone(parseParent([]))
        self.assertIsNone(parseParent([PARENT, PARENT]))

    def test_tracestate(self) -> None:
        """
        Section 3.3: members with a key each, in several fields or one.
        """
        for given, expected in (
            (["rojo=00f067aa0ba902b7"], "rojo=00f067aa0ba902b7"),
            (["rojo=1,congo=2", "a@b=3"], "rojo=1,congo=2,a@b=3"),
            ([" rojo=1 ,\t, 0x@b=a b "], "rojo=1,0x@b=a b"),
            ([",".join(f"k{number}=v" for number in range(32))], ",".join(f"k{number}=v" for number in range(32))),
            (["k=" + "v" * 256], "k=" + "v" * 256),
        ):
            self.assertEqual(parseState(given), expected)

    def test_tracestateThatIsNone(self) -> None:
        """
        Nothing of it is passed on.
        """
        for bad in (
            [],
            [""],
            [" , "],
            ["a"],
            ["a="],
            ["=a"],
            ["A=1"],
            ["1=1"],
            ["a=1=2"],
            ["a=\x7f"],
            ["a=\xe9"],
            ["a=1,a=2"],
            ["a=1", "a=2"],
            ["a=1,b"],
            ["k=" + "v" * 257],
            [",".join(f"k{number}=v" for number in range(33))],
            [",".join(f"k{number}={'v' * 100}" for number in range(5))],
        ):
            self.assertEqual(parseState(bad), "", bad)

    def test_requestId(self) -> None:
        for good in ("a", "A-z_0.9", "x" * 128):
            self.assertIsNotNone(requestIds.fullmatch(good))
        for bad in ("", "x" * 129, "a b", 'a"', "a\n", "a\r\nb", "\xe9", "a/b", "\u0661"):
            self.assertIsNone(requestIds.fullmatch(bad), bad)

    def test_madeIds(self) -> None:
        """
        Zeros alone would be no id.
        """
        self.assertRegex(newId(16), "^[0-9a-f]{32}$")
        self.assertNotEqual(newId(16), newId(16))
        given = [bytes(8), bytes(7) + b"\1"]
        self.patch(os, "urandom", lambda size: given.pop(0))
        self.assertEqual(newId(8), "0000000000000001")


class TraceTests(SynchronousTestCase):
    def sent(self, trace: Trace) -> dict[str, str]:
        sent = trace.sending("GET", "http://x/")
        assert sent is not None
        return dict(sent.fields)

    def test_joins(self) -> None:
        """
        Each request that is sent has an id of its own below the trace that was taken.
        """
        for flags in ("00", "01"):
            trace = Trace()
            trace.join(parseParent([f"00-{TRACE}-{SPAN}-{flags}"]), "a=1")
            self.assertEqual((trace.traceId, trace.parentId), (TRACE, SPAN))
            first, second = self.sent(trace), self.sent(trace)
            self.assertEqual(first["tracestate"], "a=1")
            spans = {SPAN, trace.spanId, first["traceparent"][36:52], second["traceparent"][36:52]}
            self.assertEqual(len(spans), 4)
            for each in (first, second):
                self.assertEqual(
                    parseParent([each["traceparent"]]), Remote(TRACE, each["traceparent"][36:52], flags == "01")
                )

    def test_begins(self) -> None:
        trace = Trace()
        trace.join(None)
        self.assertIsNone(trace.parentId)
        sent = self.sent(trace)
        self.assertEqual(list(sent), ["traceparent"])
        self.assertEqual(sent["traceparent"][3:35], trace.traceId)

    def test_anIdAlone(self) -> None:
        """
        There is nothing to be passed on.
        """
        trace = Trace()
        trace.requestId = "a"
        self.assertIsNone(trace.sending("GET", "http://x/"))

    def test_theFirstHookStays(self) -> None:
        """
        The server's own doesn't replace another one.
        """
        self.patch(tracing, "outgoing", None)
        tracing.passOn()
        self.assertIs(tracing.outgoing, tracing.fromCurrent)
        hook: Any = lambda method, url: None  # noqa: E731
        tracing.passOn(hook)
        tracing.passOn()
        self.assertIs(tracing.outgoing, hook)


class TagTests(SynchronousTestCase):
    def tagged(self, trace: Trace | None, **event: Any) -> dict[str, Any]:
        token = tracing.current.set(trace)
        self.addCleanup(tracing.current.reset, token)
        tag(event)
        return event

    def trace(self, requestId: str | None = "id", joined: bool = True) -> Trace:
        trace = Trace()
        trace.requestId = requestId
        if joined:
            trace.join(parseParent([PARENT]))
        return trace

    def test_thePresentRequest(self) -> None:
        self.assertEqual(self.tagged(self.trace()), {"requestId": "id", "traceId": TRACE})
        self.assertEqual(self.tagged(self.trace(joined=False)), {"requestId": "id"})
        self.assertEqual(self.tagged(self.trace(None)), {"traceId": TRACE})

    def test_outsideOfRequests(self) -> None:
        self.assertEqual(self.tagged(None, a=1), {"a": 1})

    def test_theRequestOfTheEvent(self) -> None:
        """
        The server logs what became of a handler when that runs no more.
        """
        request = SimpleNamespace(trace=self.trace("another"))
        self.assertEqual(self.tagged(self.trace(), request=request)["requestId"], "another")
        for other in (None, 1, SimpleNamespace(trace="x")):
            self.assertEqual(self.tagged(self.trace(), request=other)["requestId"], "id")

    def test_theEventHasItsOwn(self) -> None:
        self.assertEqual(self.tagged(self.trace(), requestId="own")["requestId"], "own")
