"""
Why an app has ended.
"""

from __future__ import annotations

from asyncio import CancelledError as AsyncioCancelledError
from collections.abc import Iterator

from twisted.internet.defer import CancelledError

from ..errors import ClientDisconnected


def _causes(error: BaseException) -> Iterator[BaseException]:
    """
    An exception, and all that it was raised from, or that its group holds.
    """
    found = [error]
    seen = set()
    while found:
        each = found.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            found += each.exceptions
        found += [cause for cause in (each.__cause__, each.__context__) if cause is not None]


def isOfTheClient(error: BaseException) -> bool:
    """
    Is it that the client has gone, whatever the app's framework has made of that?
    """
    return any(isinstance(each, ClientDisconnected) for each in _causes(error))


def isCancellation(error: BaseException) -> bool:
    """
    Is it what asyncio or Twisted cancels with?
    """
    return isinstance(error, CancelledError | AsyncioCancelledError)
