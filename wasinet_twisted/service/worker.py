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

from .app import AppFailed, reasonOf
from .workers.channel import Channel
from .workers.messages import packed
from .workers.order import Order, ordered
from .workers.template import CanNotFork, Forking, checkForkable, countedThreads
from .workers.worker import Worker, WorkerLaunch

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
    _leaveSignals()
    if order.template:
        order = _forked(order)
    channel = Channel(order.channel)

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        channel.send("event", packed(event))

    globalLogBeginner.beginLoggingTo([observe])
    try:
        _stayOn(order.core)
        _run(order, channel)
    except SystemExit:
        channel.flush()
        raise
    except BaseException as error:
        # Nobody would see it elsewhere.
        channel.send("failed", str(error) if isinstance(error, AppFailed) else reasonOf(error)[0])
        channel.flush()
        raise SystemExit(1) from None


def _forked(order: Order) -> Order:
    """
    Be the template; return in each worker that it has forked.
    """
    forking = Forking(order)
    try:
        # Threads of a library's that the app imports may survive a fork; of those that are there already nobody knows.
        checkForkable("this Python", "starts", countedThreads())
        options = _options(order)
        import_module(order.reactor)
        return forking.run(lambda: _command(order).preload(options) if order.preload else None)
    except CanNotFork as error:
        if not order.preload:
            forking.leave("alone", str(error))
        hint = f"{error.hint}, or leave out --preload, and each worker imports the app by itself"
        forking.leave("failed", f"the app can't be preloaded: {error}; {hint}")
    except AppFailed as error:
        forking.leave("failed", str(error))
    except BaseException as error:
        forking.leave("failed", reasonOf(error)[0])


def _command(order: Order) -> Any:
    return import_module(f"{__package__}.{_COMMANDS[order.command]}")


def _options(order: Order, worker: Worker | None = None, launch: WorkerLaunch | None = None) -> Any:
    options = _command(order).Options()
    options.worker, options.launch = worker, launch
    options.parseOptions(order.arguments)
    return options


def _stayOn(core: int | None) -> None:
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
    except OSError as error:
        # Such as a sandbox of systemd's that has no calls of @resources.
        raise AppFailed(f"--pin: the process can't stay on the processor core {core}: {error.strerror}") from error


def _leaveSignals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        # Ctrl-C in a terminal comes to all of its processes: it is the parent's to say what it means. A handler and not
        # SIG_IGN, which programs that the app starts would inherit.
        signal.signal(number, _ignore)


def _run(order: Order, channel: Channel) -> None:
    command = _command(order)
    if "twisted.internet.reactor" not in sys.modules:
        import_module(order.reactor).install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    worker = Worker(channel, order.sockets, order.accessLog, order.maxRequests, givesWay=order.givesWay)
    service = command.makeService(_options(order, worker, WorkerLaunch(order.command, channel=channel)))
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
