"""
The service's own log: in which format, and to where, as twistd and twist would write it.

Both keep what is logged before their observer is there, and give it to that. So what is chosen here has every line,
from the first on.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import FileLogObserver, ILogObserver, textFileLogObserver
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from twisted.python.usage import Options, UsageError
from zope.interface import implementer

from ..tracing import tag
from .jsonlog import DETAILS, jsonLine

FORMATS = ("text", "json")


@implementer(ILogObserver)
class Tagged:
    """
    An observer, whose events say which request they belong to.
    """

    def __init__(self, observer: ILogObserver, inText: bool) -> None:
        """
        @param inText: have the text of the line say it: beside the system, such as C{[namespace#info 1f3a]}.
        """
        self._observer = observer
        self._inText = inText

    def __call__(self, event: dict[str, Any]) -> None:
        """
        Log an event.
        """
        tag(event)
        shown = event.get("requestId") or event.get("traceId")
        system = event.get("log_system")
        # Who has named a system means it, but for workers, whose name is the parent's.
        if self._inText and shown is not None and (system is None or DETAILS in event):
            level = getattr(event.get("log_level"), "name", "-")
            # The other observers' events are the same.
            system = system or f"{event.get('log_namespace', '-')}#{level}"
            event = {**event, "log_system": f"{system} {shown}"}
        self._observer(event)


def checkLog(options: Options) -> None:
    """
    Check C{--log-format}, and have twist use it. twistd is told later, see L{logComponent}.

    @raise UsageError: there is no such format, or the log is somebody else's to format.
    """
    format = options["log-format"]
    parent = getattr(options, "parent", None) or {}
    if format is not None and format not in FORMATS:
        raise UsageError(f"--log-format: there are {' and '.join(FORMATS)}, not {format!r}")
    for other in ("logger", "syslog"):
        if format is not None and parent.get(other):
            raise UsageError(f"--log-format: twistd's --{other} says already how the log is written")
    if "fileLogObserverFactory" in parent and _isChosen(options):
        # It is twist, which has its own option --log-format, and a default.
        theirs = parent["fileLogObserverFactory"]
        parent["fileLogObserverFactory"] = lambda file: _observer(options, file, theirs)


def logComponent(options: Options) -> Callable[[object], None]:
    """
    Return what is to be called with the application that twistd has made, before it begins to log.
    """

    def use(application: object) -> None:
        parent = getattr(options, "parent", None) or {}
        ours = _isChosen(options) and not (parent.get("logger") or parent.get("syslog"))
        if ours and "nodaemon" in parent and isinstance(application, Componentized):
            observer = _observer(options, _logFile(parent), textFileLogObserver)
            application.setComponent(ILogObserver, observer)

    return use


def _isChosen(options: Options) -> bool:
    return options.get("log-format") is not None or bool(options.get("tracing"))


def _observer(options: Options, file: Any, otherwise: Callable[[Any], Any]) -> ILogObserver:
    format = options.get("log-format")
    observer: Any
    if format == "json":
        observer = FileLogObserver(file, jsonLine)
    else:
        observer = textFileLogObserver(file) if format == "text" else otherwise(file)
    return Tagged(observer, inText=format != "json") if options.get("tracing") else observer


def _logFile(parent: Any) -> Any:
    """
    The file that twistd would log to, opened as twistd does.
    """
    name = parent.get("logfile")
    if name == "-" and not parent["nodaemon"]:
        sys.exit("Daemons cannot log to stdout, exiting!")
    if name == "-" or (parent["nodaemon"] and not name):
        return sys.stdout
    file = LogFile.fromFullPath(name or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):

        def rotate(*_: object) -> None:
            from twisted.internet import reactor

            reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]

        signal.signal(signal.SIGUSR1, rotate)
    return file
