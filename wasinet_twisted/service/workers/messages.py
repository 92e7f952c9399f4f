"""
What a worker and its parent say to each other: one JSON array a line, C{[kind, value]}.

From the worker to its parent:

  - C{ready}: the app is served.
  - C{failed}, with the reason: it can't be, and the worker ends.
  - C{worn}: the worker has served as many requests as it should.
  - C{asked}: somebody has sent the worker a signal, to end it.
  - C{statistics}, with a snapshot, once a second and at the end.
  - C{event}, with a message for the log.

From the parent to a worker:

  - C{drain}, with the least C{drainIdle} in seconds.

The end of the channel is a message, too: the other process is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.logger import InvalidLogLevelError, LogLevel, eventAsText

from ...tracing import tag
from ..jsonlog import DETAILS, detailsOf

# The longest line, in bytes. Statistics have some 30 KB at most.
LONGEST = 1024 * 1024

# What a message for the log is cut to, in characters. One of them may take six bytes as JSON.
LONGEST_TEXT = 64 * 1024


class NoMessage(ValueError):
    """
    What has come is no message.
    """


def encoded(kind: str, value: Any = None) -> bytes:
    """
    Return a message as it is sent.
    """
    return json.dumps([kind, value], separators=(",", ":")).encode("ascii") + b"\n"


class Decoder:
    """
    Makes messages of bytes as they come.
    """

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> Iterator[tuple[str, Any]]:
        """
        Return the messages that C{data} completes.

        @raise NoMessage: there is one that is none, or a line above L{LONGEST}.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise NoMessage(f"a line has more than {LONGEST} bytes")
        for line in lines:
            try:
                kind, value = json.loads(line)
            except (ValueError, TypeError, RecursionError) as error:
                raise NoMessage(f"no message: {line!r:.100}") from error
            yield kind, value


def packed(event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the parent needs of an event of C{twisted.logger}: the text, with the traceback if there is one, and
    what a log of JSON objects has instead.
    """
    tagged = dict(event)
    tag(tagged)
    level = event.get("log_level")
    return {
        # As texts, as no object can be sent: exceptions least of all.
        "text": _cut(eventAsText(tagged, includeTimestamp=False, includeSystem=False)),
        "details": {key: _cutAll(value) for key, value in detailsOf(tagged).items()},
        "level": getattr(level, "name", None),
        "time": event.get("log_time"),
        "namespace": event.get("log_namespace"),
    }


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} ... ({len(text) - LONGEST_TEXT} more characters)"


def _cutAll(value: str | dict[str, str]) -> str | dict[str, str]:
    # A traceback is in the text too: a quarter of the bound for each leaves the line below its own.
    if isinstance(value, dict):
        return {key: text[: LONGEST_TEXT // 4] for key, text in value.items()}
    return value[: LONGEST_TEXT // 4]


def unpacked(sent: Mapping[str, Any], system: str) -> dict[str, Any]:
    """
    Return an event for the parent's own log.

    @param system: who says it.
    """
    level: Any
    try:
        level = LogLevel.levelWithName(sent["level"])
    except (InvalidLogLevelError, TypeError):
        level = LogLevel.info
    details = sent.get("details") or {}
    event = {
        "log_format": "{text}",
        "text": sent["text"].rstrip("\n"),
        "log_level": level,
        "log_system": system,
        DETAILS: details,
        **{key: details[key] for key in ("requestId", "traceId") if key in details},
    }
    if isinstance(sent["time"], int | float):
        event["log_time"] = sent["time"]
    return {**event, "log_namespace": sent["namespace"] or __name__}
