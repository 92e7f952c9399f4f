"""
A faster epoll reactor, for Twisted programs; L{wasinet_twisted.reactor.asyncio} is the one for those that need asyncio.

    from wasinet_twisted import reactor
    reactor.install()

or C{twistd --reactor=wasinet …}. It is Twisted's own C{EPollReactor} with two
differences: what a TCP or Unix connection writes is sent once, after the event
that wrote it, without a turn of epoll; and its reads are dispatched directly.
Linux only.
"""

from .epoll import EPollReactor, install

__all__ = ["EPollReactor", "install"]
