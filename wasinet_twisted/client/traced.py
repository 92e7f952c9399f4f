"""
Requests that pass on the trace of the one that is being answered (W3C Trace Context).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from .. import tracing
from ..http.fields import Pair
from ..tracing import Sent
from .bodies import Body
from .planning import Plan
from .pool import Pool
from .response import Response
from .urls import Target


def passOn(pool: Pool, method: str, url: str, fields: list[Pair]) -> Sent | None:
    """
    Add to C{fields} what passes the present trace on, unless the caller has given a traceparent, or the pool is one
    whose servers are not to have it.

    @return: what is to be told of the response; L{None}: nothing is passed on.
    """
    hook = tracing.outgoing
    # A list: most have a field or two, and a generator costs as much again.
    if hook is None or not pool.trace or any([name.lower() == "traceparent" for name, _ in fields]):  # noqa: C419
        return None
    sent = hook(method, url)
    if sent is not None:
        fields += sent.fields
    return sent


def begin(
    plan: Plan, target: Target, method: str, fields: list[Pair], body: Body, expectContinue: bool
) -> Deferred[Response]:
    """
    Send a request, as L{Plan.begin} does, with its trace.
    """
    sent = passOn(plan.pool, method, str(target), fields)
    if sent is None:
        return plan.begin(target, method, fields, body, expectContinue)
    try:
        fetching = plan.begin(target, method, fields, body, expectContinue)
    except BaseException as error:
        sent.failed(error)
        raise
    return watched(fetching, sent, lambda response: response.status)


def watched(fetching: Deferred[Any], sent: Sent, statusOf: Any) -> Deferred[Any]:
    """
    Tell C{sent} what becomes of a request.

    @param statusOf: returns the status of a response.
    """

    def answered(response: Any) -> Any:
        sent.answered(statusOf(response))
        return response

    def failed(failure: Any) -> Any:
        sent.failed(failure.value)
        return failure

    fetching.addCallbacks(answered, failed)
    return fetching
