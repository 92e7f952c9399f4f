"""
L{jsonLine}: an event of the service's own log as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.python.reflect import qual, safe_str

_encode = json.JSONEncoder(separators=(",", ":")).encode

_UNSHOWN = "(can't be shown)"

# Where an event of another process has what L{detailsOf} returned there.
DETAILS = "wasinet_details"


def jsonLine(event: dict[str, Any]) -> str:
    """
    Return an event of C{twisted.logger}'s as a JSON object on one line, in ASCII: C{time} (RFC 3339, UTC), C{level},
    C{logger} (the namespace), C{message}; where there are such, C{system}, C{requestId}, C{traceId}, and C{failure}
    with C{type}, C{message} and C{traceback}.

    Whatever the event holds, this raises nothing, and what it returns is valid JSON: what can't be shown is said to be
    so, and a lone surrogate stands as C{\\udc80}, with the backslash.
    """
    entry: dict[str, Any] = {
        "time": _shown(_time, event.get("log_time"), None),
        "level": _shown(lambda level: level.name, event.get("log_level"), "info"),
        "logger": _shown(_text, event.get("log_namespace"), "-"),
    }
    if event.get("log_system") not in (None, "-"):
        entry["system"] = _shown(_text, event["log_system"], _UNSHOWN)
    entry |= event.get(DETAILS) or detailsOf(event)
    return _encode(entry) + "\n"


def detailsOf(event: dict[str, Any]) -> dict[str, Any]:
    """
    Return C{message}, and where there are such C{requestId}, C{traceId} and C{failure} of L{jsonLine}.
    """
    details: dict[str, Any] = {"message": _shown(formatEvent, event, _UNSHOWN)}
    for name in ("requestId", "traceId"):
        if event.get(name) not in (None, "-"):
            details[name] = _shown(_text, event[name], _UNSHOWN)
    failure = event.get("log_failure")
    if failure is not None:
        details["failure"] = _failure(failure)
    return details


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "type": _shown(lambda each: qual(each.type), failure, _UNSHOWN),
        "message": _shown(lambda each: safe_str(each.value), failure, _UNSHOWN),
        "traceback": _shown(lambda each: each.getTraceback(), failure, _UNSHOWN),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _shown(show: Callable[[Any], Any], value: Any, otherwise: Any) -> Any:
    """
    @param otherwise: what stands for a value that can't be shown, or is missing.
    """
    if value is None:
        return otherwise
    try:
        # Many parsers refuse the escape of half a surrogate pair.
        return show(value).encode("utf-8", "backslashreplace").decode("utf-8")
    except Exception:
        return otherwise
