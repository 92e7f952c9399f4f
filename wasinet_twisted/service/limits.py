"""
Bounds as a command line gives them, and those that the system sets.
"""

from __future__ import annotations

import contextlib
import re
import resource
from dataclasses import fields, replace
from typing import Any

from twisted.internet.selectreactor import SelectReactor
from twisted.logger import Logger

from ..errors import InvalidArgument
from ..server.limits import ServerLimits

log = Logger()

# Descriptors for what is no client's connection: listening sockets, logs, the reactor's own, the status pages', and
# what the app opens for a moment.
SPARE = 64
# select() takes no descriptor from this one on.
_SELECTABLE = 1024

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}", re.ASCII)


def limitsByName(limits: ServerLimits) -> dict[str, Any]:
    """
    All bounds by the names that C{--limits} knows them by.
    """
    found = {each.name: getattr(limits, each.name) for each in fields(limits) if each.name != "message"}
    found |= {f"message.{each.name}": getattr(limits.message, each.name) for each in fields(limits.message)}
    return found


def withLimit(limits: ServerLimits, text: str) -> ServerLimits:
    """
    @param text: C{name=value}; C{none} is no bound.
    @raise InvalidArgument: there is no such bound, or it can't have this value.
    """
    name, equals, given = text.partition("=")
    known = limitsByName(limits)
    if not equals or name not in known:
        why = f"there is no limit {name!r}" if equals else f"must be like name=value, not {text!r}"
        raise InvalidArgument(f"{why}; the limits are {', '.join(known)}")
    value: Any = given
    if given == "none":
        value = None
    elif _WHOLE.fullmatch(given):
        value = int(given)
    elif _NUMBER.fullmatch(given):
        value = float(given)
    _, dot, inner = name.rpartition(".")
    try:
        if dot:
            return replace(limits, message=replace(limits.message, **{inner: value}))
        return replace(limits, **{inner: value})
    except InvalidArgument as error:
        raise InvalidArgument(f"{error}; the limits are {', '.join(known)}") from None


def secondsOf(text: str) -> float:
    """
    Return a number of seconds.

    @raise InvalidArgument: C{text} is none, or less than 0.
    """
    if not (_WHOLE.fullmatch(text) or _NUMBER.fullmatch(text)) or text.startswith("-"):
        raise InvalidArgument(f"must be a number of seconds, at least 0, such as 5 or 2.5, not {text!r}")
    return float(text)


def raiseDescriptors(reactor: object) -> int:
    """
    Allow this process as many file descriptors as it may have, and as its reactor can watch.

    @return: how many these are.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard
    if isinstance(reactor, SelectReactor) and not 0 <= hard < _SELECTABLE:
        # A connection beyond would be accepted and then dropped; like this it waits until there is room.
        most = _SELECTABLE
    # A container's kernel may refuse what it has promised: then the soft limit is as good as it gets.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft


def withinDescriptors(limits: ServerLimits, descriptors: int) -> ServerLimits:
    """
    The same bounds, with no more connections than there are descriptors for.
    """
    # RLIM_INFINITY is negative.
    most = max(descriptors - SPARE, 1)
    if descriptors < 0 or limits.connections <= most:
        return limits
    log.warn(
        "at most {most} connections instead of {connections}: the process may have {descriptors} file descriptors, "
        "of which {spare} are kept for other things",
        most=most,
        connections=limits.connections,
        descriptors=descriptors,
        spare=SPARE,
    )
    return replace(limits, connections=most)
