"""
The statistics as Prometheus reads them. Needs prometheus-client, the extra C{metrics}.

They are read when somebody scrapes, so that a server that nobody scrapes
pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from .statistics import EDGES, Statistics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# The whole histogram would be 248 series. Where a power of two ends, one of its buckets ends too: of these, from 64 us
# to 67 s, none is lost by adding up.
_ENDS = tuple(2**power / 1e6 for power in range(6, 27))


class StatisticsCollector(Collector):
    """
    Gives one server's statistics.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def describe(self) -> list[Metric]:
        """
        Nothing beforehand: collecting is cheap, and the registry may do it to learn the names.
        """
        return []

    def collect(self) -> Iterator[Metric]:
        """
        The metrics as they are now.
        """
        now = self._statistics
        yield GaugeMetricFamily("wasinet_connections_open", "Connections that are open.", now.openConnections)
        yield CounterMetricFamily("wasinet_connections_accepted", "Connections accepted.", now.accepted)
        yield GaugeMetricFamily("wasinet_requests_in_flight", "Requests without an answer yet.", now.inFlight)
        yield CounterMetricFamily("wasinet_requests", "Requests given to the handler.", now.requests)
        yield CounterMetricFamily(
            "wasinet_requests_abandoned", "Requests whose connection went before the answer.", now.abandonedRequests
        )
        yield CounterMetricFamily("wasinet_received_bytes", "Bytes received.", now.bytesReceived)
        yield CounterMetricFamily("wasinet_sent_bytes", "Bytes sent.", now.bytesSent)
        answers = CounterMetricFamily("wasinet_answers", "Answers by status, refusals included.", labels=["status"])
        for status, count in enumerate(now.statuses):
            if count:
                answers.add_metric([str(status)], count)
        yield answers
        refused = CounterMetricFamily("wasinet_refused", "Requests refused, and why.", labels=["status", "reason"])
        for (code, reason), count in sorted(now.refusals.items()):
            refused.add_metric([str(code), reason], count)
        yield refused
        dropped = CounterMetricFamily("wasinet_dropped", "Connections closed without an answer.", labels=["reason"])
        for reason, count in sorted(now.drops.items()):
            dropped.add_metric([reason], count)
        yield dropped
        yield self._latency()

    def _latency(self) -> Metric:
        counts = iter(zip(EDGES, self._statistics.buckets, strict=True))
        total = 0
        buckets = []
        for end in _ENDS:
            for edge, count in counts:
                total += count
                if edge == end:
                    break
            buckets.append((repr(end), total))
        total += sum(count for _, count in counts)
        buckets.append(("+Inf", total))
        return HistogramMetricFamily(
            "wasinet_answer_seconds", "How long answers took.", buckets, sum_value=self._statistics.seconds
        )


class WorkersCollector(Collector):
    """
    Gives what each process of a server does.
    """

    def __init__(self, workers: Callable[[], list[dict[str, Any]]]) -> None:
        self._workers = workers

    def describe(self) -> list[Metric]:
        """
        Nothing beforehand, see L{StatisticsCollector.describe}.
        """
        return []

    def collect(self) -> Iterator[Metric]:
        """
        The metrics as they are now.
        """
        # While one takes another's place there are two of a number: the one that serves counts.
        rows = {row["worker"]: row for row in sorted(self._workers(), key=lambda row: bool(row["state"] == "ready"))}
        ready = sum(row["state"] == "ready" for row in rows.values())
        yield GaugeMetricFamily("wasinet_workers_ready", "Workers that serve.", ready)
        for name, key, kind, what in _WORKER:
            family = kind(f"wasinet_worker_{name}", what, labels=["worker"])
            for number, row in sorted(rows.items()):
                if row[key] is not None:
                    family.add_metric([str(number)], row[key])
            yield family


# Of the process that each worker is at present: with another one these begin anew. The sums above never do.
_WORKER = (
    ("uptime_seconds", "uptime", GaugeMetricFamily, "How long the worker's process has lived."),
    ("requests", "requests", CounterMetricFamily, "Requests given to the worker's handler."),
    ("connections_accepted", "accepted", CounterMetricFamily, "Connections that the worker has accepted."),
    ("connections_open", "open", GaugeMetricFamily, "The worker's connections that are open."),
    ("cpu_seconds", "cpu", CounterMetricFamily, "Processor time that the worker has used."),
    ("resident_memory_bytes", "memory", GaugeMetricFamily, "The worker's memory, what it shares included."),
)


class Metrics:
    """
    The text that Prometheus scrapes.
    """

    def __init__(self, statistics: Statistics, workers: Callable[[], list[dict[str, Any]]] | None = None) -> None:
        # Of its own: two servers in one process would otherwise be at odds over the names.
        self._registry = CollectorRegistry()
        self._registry.register(StatisticsCollector(statistics))
        if workers is not None:
            self._registry.register(WorkersCollector(workers))
        # Memory, processor time and descriptors of the process.
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """
        The metrics as they are now.
        """
        return generate_latest(self._registry)
