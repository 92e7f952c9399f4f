"""
C{wasinet bench}: many requests to a server, and how long they take.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall

from ..client import ClientLimits, Pool, Timeouts, fetch
from ..client.urls import parseUrl
from ..errors import InvalidArgument
from ..service.limits import SPARE, raiseDescriptors
from .exitcodes import TIMED_OUT, statusOf
from .load.report import Outcome, asJson, asText
from .load.running import Load
from .running import run as runOnReactor

_NAME = "wasinet bench"


def run(arguments: Namespace) -> int:
    """
    Measure, and print the report.
    """
    return runOnReactor(_NAME, lambda reactor: _bench(arguments, reactor))


async def _bench(arguments: Namespace, reactor: Any) -> int:
    """
    @raise InvalidArgument: the request makes no sense, or there can't be as many connections.
    @raise ConnectFailed: the server can't be reached.
    """
    # Reports are pasted: without user and password.
    url = str(parseUrl(arguments.url))
    body = _bodyOf(arguments.data)
    method = arguments.method or ("GET" if arguments.data is None else "POST")
    descriptors = raiseDescriptors(reactor)
    # RLIM_INFINITY is negative.
    if 0 <= descriptors < arguments.connections + SPARE:
        raise InvalidArgument(
            f"-c {arguments.connections} needs {arguments.connections + SPARE} file descriptors, and the process may "
            f"have {descriptors}: see ulimit -n"
        )
    async with Pool(
        limits=ClientLimits(connections=arguments.connections, perOrigin=arguments.connections),
        timeouts=Timeouts(total=arguments.timeout),
        caCertificates=arguments.ca,
        reactor=reactor,
    ) as pool:
        shoot = _shooter(pool, arguments.url, method, arguments.header, body)
        load = Load(shoot, arguments.connections, arguments.duration, arguments.rate, reactor, time.perf_counter)
        progress = _Progress(load, arguments.duration, reactor) if sys.stderr.isatty() else None
        interrupted = False
        try:
            await load.run()
        except CancelledError:
            interrupted = True
        finally:
            if progress is not None:
                progress.stop()
    outcome = Outcome(
        method=method,
        url=url,
        connections=arguments.connections,
        seconds=load.seconds,
        rate=arguments.rate,
        tally=load.tally,
        unanswered=load.unanswered,
        unsent=load.unsent,
        interrupted=interrupted,
    )
    print(json.dumps(asJson(outcome), indent=1) if arguments.json else _text(outcome))
    if interrupted:
        # What has been counted is printed; the command ends by its signal all the same.
        raise CancelledError
    return _status(outcome)


def _shooter(
    pool: Pool, url: str, method: str, fields: list[tuple[str, str]], body: bytes
) -> Callable[[], Awaitable[tuple[int, int]]]:
    async def shoot() -> tuple[int, int]:
        response = await fetch(url, method=method, headers=fields, body=body, redirects=0, decode=False, pool=pool)
        size = 0
        async for piece in response.stream():
            size += len(piece)
        return response.status, size

    return shoot


def _bodyOf(data: str | None) -> bytes:
    """
    @raise InvalidArgument: the file can't be read.
    """
    if data is None:
        return b""
    if not data.startswith("@"):
        # As it came: arguments that are no UTF-8 too.
        return data.encode("utf-8", "surrogateescape")
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"--data {data}: {error.strerror}") from error


def _text(outcome: Outcome) -> str:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    unicode = sys.stdout.encoding.lower().replace("-", "").startswith("utf")
    return asText(outcome, width, unicode)


def _status(outcome: Outcome) -> int:
    tally = outcome.tally
    if tally.latencies.count:
        return 0
    if not tally.errors:
        return TIMED_OUT
    [(kind, _)] = tally.errors.most_common(1)
    return statusOf(tally.examples[kind])


class _Progress:
    """
    One line on the terminal that tells how far it is.
    """

    def __init__(self, load: Load, seconds: float, reactor: Any) -> None:
        self._load = load
        self._asked = seconds
        self._before = 0
        self._call = LoopingCall(self._show)
        self._call.clock = reactor
        self._call.start(1.0, now=False)

    def stop(self) -> None:
        """
        Take the line away.
        """
        self._call.stop()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show(self) -> None:
        tally = self._load.tally
        count = tally.latencies.count
        errors = sum(tally.errors.values())
        text = f"{self._load.seconds:.0f} of {self._asked:g} s: {count - self._before:,} requests/s, {errors:,} errors"
        self._before = count
        # Not longer than the line: it would leave the rest behind.
        room = max(shutil.get_terminal_size().columns - 1, 1)
        print(f"\r\x1b[K{text[:room]}", end="", file=sys.stderr, flush=True)
