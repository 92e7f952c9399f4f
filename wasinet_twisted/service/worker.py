"""
C{python -m wasinet_twisted.service.worker}: one of the processes that C{--workers} starts.

What to serve stands in the environment, as JSON: see L{Order<wasinet_twisted.service.workers.order.Order>}.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import provider

from .app import reasonOf
from .workers.channel import Channel
from .workers.messages import packed
from .workers.order import Order, ordered

_COMMANDS = {"wasinet-http": "http", "wasinet-asgi": "asgi", "wasinet-echo": "echo"}


def main() -> None:
    """
    Serve until the parent says that it is enough, or has gone.
    """
    order = ordered()
    if order is None:
        print("wasinet_twisted.service.worker: twistd starts it, for the option --workers", file=sys.stderr)
        raise SystemExit(1)
    serve(order)


def serve(order: Order) -> None:
    """
    Do what the parent has ordered.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        # Ctrl-C in a terminal comes to all of its processes: it is the parent's to say what it means. A handler and not
        # SIG_IGN, which programs that the app starts would inherit.
        signal.signal(number, _ignore)
    if order.core is not None:
        os.sched_setaffinity(0, {order.core})
    channel = Channel(order.channel)

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        channel.send("event", packed(event))

    globalLogBeginner.beginLoggingTo([observe])
    try:
        _run(order, channel)
    except SystemExit:
        channel.flush()
        raise
    except BaseException as error:
        # Nobody would see it elsewhere.
        channel.send("failed", reasonOf(error)[0])
        channel.flush()
        raise SystemExit(1) from None


def _run(order: Order, channel: Channel) -> None:
    from .workers.worker import Worker, WorkerLaunch

    command = import_module(f"{__package__}.{_COMMANDS[order.command]}")
    if "twisted.internet.reactor" not in sys.modules:
        import_module(order.reactor).install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    worker = Worker(channel, order.sockets, order.accessLog, order.maxRequests)
    options = command.Options()
    options.worker = worker
    options.launch = WorkerLaunch(order.command, channel=channel)
    options.parseOptions(order.arguments)
    service = command.makeService(options)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    worker.end()


def _ignore(*_: object) -> None:
    """
    It is a signal to the parent.
    """


if __name__ == "__main__":
    main()
