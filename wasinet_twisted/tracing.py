"""
Which request is being answered: its id, and its place in a trace (W3C Trace Context, level 1).

The server makes a L{Trace} for each request and keeps it in L{current} while the handler runs; the client asks
L{outgoing} what it passes on; logs show it. All of them import this module, which imports none of theirs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

# What a request id may be, whoever has made it: it stands in fields, in logs and in the names of files.
requestIds = re.compile(r"[A-Za-z0-9._-]{1,128}")

# Section 3.2.2: the version ff and ids of zeros alone are invalid. Only versions after 00 may have more at the end.
_parent = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")

# Section 3.3.1: a member of tracestate, and how many there may be. 512 characters are passed on by everybody.
_member = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_MOST_MEMBERS = 32
_LONGEST_STATE = 512

# The one flag that version 00 has.
SAMPLED = 1


class Remote(NamedTuple):
    """
    What a traceparent field says of the request's sender.
    """

    traceId: str
    spanId: str
    sampled: bool


class Sent:
    """
    What a request that is sent has of its trace.

    @ivar fields: those that are to be added.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields

    def answered(self, status: int) -> None:
        """
        The head of the response has come.
        """

    def failed(self, error: BaseException) -> None:
        """
        There is no response.
        """


class Trace:
    """
    One request that is being answered, as logs and other servers know it.

    @ivar requestId: its id; L{None}: requests are given none.
    @ivar traceId: the trace that it belongs to, 32 hexadecimal digits; L{None}: requests are not traced.
    @ivar spanId: this server's part of that trace, 16 hexadecimal digits.
    @ivar parentId: the part that it belongs to, the client's; L{None}: the trace begins here.
    @ivar sampled: is the trace recorded, as far as its beginner has decided?
    @ivar state: the value of the tracestate field, which is passed on as it came; C{""}: there is none.
    """

    __slots__ = ("parentId", "requestId", "sampled", "spanId", "state", "traceId")

    def __init__(self) -> None:
        self.requestId: str | None = None
        self.traceId: str | None = None
        self.spanId: str | None = None
        self.parentId: str | None = None
        self.sampled = True
        self.state = ""

    def join(self, remote: Remote | None, state: str = "") -> None:
        """
        Become a part of the trace that a request's sender has begun, or begin one.
        """
        self.spanId = newId(8)
        if remote is None:
            self.traceId = newId(16)
        else:
            self.traceId, self.parentId, self.sampled = remote
            self.state = state

    def sending(self, method: str, url: str) -> Sent | None:
        """
        Return what a request has that is sent while this one is answered: the same trace, with an id of its own for
        its part.
        """
        if self.traceId is None:
            return None
        return Sent(fieldsOf(self.traceId, newId(8), self.sampled, self.state))

    # For subclasses; the server calls these

    def failed(self, error: BaseException) -> None:
        """
        The handler has raised C{error}.
        """

    def ended(self, status: int, complete: bool) -> None:
        """
        The response is complete, or broken off.

        @param status: as the access log has it.
        """


# The one whose handler runs. Each handler has a context of its own.
current: ContextVar[Trace | None] = ContextVar("wasinet_twisted.tracing.current", default=None)

# Is asked by the client with the method and the URL of each request: what is passed on? None, and it costs nothing,
# while nothing is traced.
outgoing: Callable[[str, str], Sent | None] | None = None


def passOn(hook: Callable[[str, str], Sent | None] | None = None) -> None:
    """
    Have the client pass traces on.

    @param hook: asked instead of the present request's trace.
    """
    global outgoing
    if hook is not None or outgoing is None:
        outgoing = hook or fromCurrent


def fromCurrent(method: str, url: str) -> Sent | None:
    """
    Return what a request has that is sent now: that of the request whose handler runs.
    """
    trace = current.get()
    return None if trace is None else trace.sending(method, url)


def newId(size: int) -> str:
    """
    Return so many random bytes, as hexadecimal digits. Zeros alone would be no id.
    """
    # Not by `random`: a process that has been forked would make the same ones as its siblings.
    made = os.urandom(size)
    return made.hex() if any(made) else newId(size)


def parseParent(values: Iterable[str]) -> Remote | None:
    """
    Return what the values of all traceparent fields say; L{None} if there are several, or the one is not valid
    (section 3.2).
    """
    found = list(values)
    match = _parent.fullmatch(found[0]) if len(found) == 1 else None
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return Remote(match[2], match[3], bool(int(match[4], 16) & SAMPLED))


def parseState(values: Iterable[str]) -> str:
    """
    Return the value of all tracestate fields as one; C{""} if it is not valid, or too long (section 3.3).
    """
    state = ",".join(values)
    if not state or len(state) > _LONGEST_STATE:
        return ""
    members = [each for part in state.split(",") if (each := part.strip(" \t"))]
    names = {each.partition("=")[0] for each in members}
    if not 0 < len(members) <= _MOST_MEMBERS or len(names) != len(members):
        return ""
    return ",".join(members) if all(map(_member.fullmatch, members)) else ""


def fieldsOf(traceId: str, spanId: str, sampled: bool, state: str) -> list[tuple[str, str]]:
    """
    Return the fields that pass a trace on.

    @param spanId: the sender's part.
    """
    fields = [("traceparent", f"00-{traceId}-{spanId}-{SAMPLED if sampled else 0:02x}")]
    if state:
        fields.append(("tracestate", state))
    return fields


def traceOf(event: dict[str, Any]) -> Trace | None:
    """
    Return the trace that a log event belongs to: that of its C{request}, or of the request whose handler logs it.
    """
    trace = getattr(event.get("request"), "trace", None)
    return trace if isinstance(trace, Trace) else current.get()


def tag(event: dict[str, Any]) -> None:
    """
    Say in a log event which request it belongs to: C{requestId} and C{traceId}.

    It is an observer of C{twisted.logger}'s, for those that come after it.
    """
    trace = traceOf(event)
    if trace is not None:
        if trace.requestId is not None:
            event.setdefault("requestId", trace.requestId)
        if trace.traceId is not None:
            event.setdefault("traceId", trace.traceId)
