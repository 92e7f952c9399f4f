"""
One request over the connections of a pool, and once more where that is safe.
"""

from __future__ import annotations

from typing import Any

from ..errors import ConnectionClosed, IncompleteRead
from ..http import ResponseHead, WasiRequest
from .bodies import Body
from .call import Call
from .dialing import Route
from .limits import Timeouts
from .pool import Pool
from .protocol import HttpClientProtocol

# RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


async def exchange(
    pool: Pool,
    route: Route,
    request: WasiRequest,
    body: Body,
    call: Call,
    timeouts: Timeouts,
    again: bool = False,
) -> tuple[HttpClientProtocol, ResponseHead]:
    """
    Send a request, and wait for the head of its response.

    A kept connection may have been closed by the server just when the request
    was sent. If nothing has come of a response, and the request is one that may
    be repeated (RFC 9110 section 9.2.2), it is sent once more (RFC 9112 section
    9.3.1): over a new connection, or, where the pool's bounds allow none, over
    one that another request has just used.

    @param again: has it been sent already, and got no response?
    @return: the connection, which holds the rest of the response, and the head.
    @raise WasinetError: see L{fetch<wasinet_twisted.client.fetch>}.
    """
    head: Any
    if not again:
        protocol = pool.take(route) or await pool.wait(route, timeouts, call.timings, call.until)
        kept = protocol.isKept
        try:
            head = await protocol.ask(call, request, body)
            return protocol, head
        except (ConnectionClosed, IncompleteRead):
            if not kept or not mayRepeat(call, body):
                raise
    protocol = await pool.fresh(route, timeouts, call.timings, call.until)
    head = await protocol.ask(call, request, body)
    return protocol, head


def mayRepeat(call: Call, body: Body) -> bool:
    """
    Return whether a request that got no response over a kept connection may be sent once more.
    """
    return not call.answered and call.method in IDEMPOTENT and body.replayable
