"""
The report of a load: text, histogram, JSON.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.command.load.support import near
from wasinet_twisted.command.load.latencies import Latencies
from wasinet_twisted.command.load.report import Outcome, asJson, asText, bar, histogram, niceStep
from wasinet_twisted.command.load.tally import Tally
from wasinet_twisted.errors import RemoteProtocolError, TimedOut


def outcome(tally: Tally, **changes: Any) -> Outcome:
    return Outcome(
        **{
            "method": "GET",
            "url": "http://example.org/",
            "connections": 50,
            "seconds": 10.0,
            "rate": None,
            "tally": tally,
            "unanswered": 0,
            "unsent": 0,
            "interrupted": False,
            **changes,
        }
    )


def answered(*seconds: float) -> Tally:
    tally = Tally()
    for each in seconds:
        tally.answered(200, 1024, each)
    return tally


class HostileTests(SynchronousTestCase):
    def test_aServersErrorDoesNothingToTheTerminal(self) -> None:
        tally = Tally()
        tally.failed(RemoteProtocolError("the reason is \x1b[2J\u202e"))
        text = asText(outcome(tally))
        self.assertIn("such as: the reason is \\x1b[2J\\u202e", text)


class NiceStepTests(SynchronousTestCase):
    def test_steps(self) -> None:
        for least, step in ((0.001, 0.001), (0.0011, 0.002), (0.0021, 0.005), (0.0051, 0.01), (7, 10), (1e-6, 1e-6)):
            self.assertTrue(near(niceStep(least), step, step * 1e-6))


class BarTests(SynchronousTestCase):
    def test_eighths(self) -> None:
        self.assertEqual([bar(columns, True) for columns in (0, 0.01, 1, 2.5, 2.99)], ["", "▏", "█", "██▌", "███"])

    def test_ascii(self) -> None:
        self.assertEqual([bar(columns, False) for columns in (0, 0.01, 1, 2.6)], ["", "#", "#", "###"])


class HistogramTests(SynchronousTestCase):
    def latencies(self, *seconds: float) -> Latencies:
        return answered(*seconds).latencies

    def test_hasEachOnce(self) -> None:
        """
        In ranges of the same width that follow one another, and one for the slowest.
        """
        found = histogram(self.latencies(*(0.001 + number / 1e5 for number in range(1000)), 3.0))
        self.assertEqual(sum(count for _, _, count in found), 1001)
        self.assertTrue(5 <= len(found) <= 14, found)
        for (_, high, _), (low, _, _) in pairwise(found):
            self.assertEqual(high, low)
        self.assertEqual(found[-1][1], 3.0)

    def test_aLongTailDoesNotHideTheRest(self) -> None:
        """
        The ranges go up to the 99th percentile, so that one request of a minute leaves them as they are.
        """
        usual = [0.001 + number / 1e6 for number in range(1000)]
        without, tailed = histogram(self.latencies(*usual)), histogram(self.latencies(*usual, 60.0))
        self.assertEqual(tailed[: len(without)], without)
        self.assertEqual([count for _, _, count in tailed[len(without) :]], [1])

    def test_allTheSame(self) -> None:
        found = histogram(self.latencies(0.002, 0.002))
        self.assertEqual(sum(count for _, _, count in found), 2)


class TextTests(SynchronousTestCase):
    def test_whole(self) -> None:
        tally = answered(*([0.0015] * 90 + [0.0025] * 9 + [0.0105]))
        tally.statuses[404] += 3
        text = asText(outcome(tally, unanswered=2))
        self.assertEqual(
            text.splitlines()[:7],
            [
                "GET http://example.org/: 50 connections, 10.0 s",
                "",
                "requests    100, 10.0 a second",
                "received    100.0 KiB, 10.0 KiB a second",
                "statuses    200: 100, 404: 3",
                "in flight   2 at the end, without an answer",
                "errors      none",
            ],
        )
        self.assertIn("  50 %       1.50 ms", text)
        self.assertIn("  99.9 %    10.50 ms", text)
        self.assertIn("  most      10.50 ms", text)
        rows = text.splitlines()[-12:]
        self.assertIn("█", rows[0] + rows[1])
        self.assertRegex(rows[-1], r"^  2\.\d - 10\.5 ms  ▌ *  +1 +1\.00 %$")

    def test_fitsTheTerminal(self) -> None:
        for width in (60, 80, 200):
            text = asText(outcome(answered(*(number / 1e4 for number in range(1, 3000)))), width)
            self.assertLessEqual(max(map(len, text.splitlines())), width)

    def test_asciiOnly(self) -> None:
        text = asText(outcome(answered(0.00015, 0.0002, 0.1)), unicode=False)
        text.encode("ascii")
        self.assertIn("#", text)

    def test_errorsWithAnExample(self) -> None:
        """
        The kind that came most often is first. An example has one line, whatever is in it.
        """
        tally = answered(0.1)
        tally.failed(TimedOut("one\nline"))
        tally.failed(TimedOut("another"))
        self.assertIn("errors      2 timed out, such as: one line", asText(outcome(tally)))

    def test_nothingAnswered(self) -> None:
        text = asText(outcome(Tally(), unanswered=50, interrupted=True))
        self.assertIn("10.0 s, interrupted", text)
        self.assertIn("requests    0, 0.0 a second", text)
        self.assertNotIn("latency", text)

    def test_noTimeAtAll(self) -> None:
        self.assertIn("0.0 a second", asText(outcome(Tally(), seconds=0.0)))

    def test_aRateSaysWhatLatencyMeans(self) -> None:
        text = asText(outcome(answered(0.1), rate=1000.0, unsent=12))
        self.assertIn("50 connections, 1,000 requests/s asked for", text)
        self.assertIn("latency, from when each request was due (no coordinated omission)", text)
        self.assertIn("not sent    12 that were due at the end", text)


class JsonTests(SynchronousTestCase):
    def test_whole(self) -> None:
        tally = answered(0.1, 0.2, 0.3, 0.4)
        tally.answered(503, 0, 0.5)
        tally.failed(TimedOut("late"))
        found = json.loads(json.dumps(asJson(outcome(tally, rate=7.5, unanswered=1, unsent=2, interrupted=True))))
        latency = found.pop("latency")
        self.assertEqual(
            found,
            {
                "method": "GET",
                "url": "http://example.org/",
                "connections": 50,
                "rateAsked": 7.5,
                "seconds": 10.0,
                "interrupted": True,
                "requests": 5,
                "requestsPerSecond": 0.5,
                "received": 4096,
                "statuses": {"200": 4, "503": 1},
                "statusClasses": {"2xx": 4, "5xx": 1},
                "errors": {"timeout": 1},
                "errorExamples": {"timeout": "late"},
                "unanswered": 1,
                "unsent": 2,
            },
        )
        self.assertTrue(latency["correctedForCoordinatedOmission"])
        self.assertAlmostEqual(latency["mean"], 0.3)
        self.assertEqual((latency["min"], latency["max"]), (0.1, 0.5))
        self.assertTrue(near(latency["percentiles"]["50"], 0.3, 0.003))
        self.assertEqual(list(latency["percentiles"]), ["50", "75", "90", "95", "99", "99.9", "99.99"])
        self.assertEqual(sum(each["count"] for each in latency["histogram"]), 5)

    def test_nothingAnswered(self) -> None:
        found = asJson(outcome(Tally()))
        self.assertIsNone(found["latency"])
        self.assertEqual(found["requestsPerSecond"], 0.0)

    def test_withoutARateNothingIsCorrected(self) -> None:
        self.assertFalse(asJson(outcome(answered(0.1)))["latency"]["correctedForCoordinatedOmission"])
