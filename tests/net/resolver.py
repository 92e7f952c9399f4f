"""
A resolver that answers what the test says, when it says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer


def addresses(*hosts: str) -> list[IAddress]:
    """
    As the resolver gives them.
    """
    return [(IPv6Address if ":" in host else IPv4Address)("TCP", host, 0) for host in hosts]


@implementer(IHostnameResolver)
class FakeResolver:
    """
    Knows some names, and answers for them at once; for the others when told to.

    @ivar asked: the names it was asked for.
    @ivar cancelled: those that nobody waits for any more.
    @ivar uncancellable: does it, as Twisted's own, know no cancelling?
    """

    def __init__(self, **known: Sequence[str]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.uncancellable = False
        self._waiting: dict[str, IResolutionReceiver] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append(hostName)
        resolution = _Resolution(self, hostName)
        resolutionReceiver.resolutionBegan(resolution)
        self._waiting[hostName] = resolutionReceiver
        if hostName in self.known:
            self.answer(hostName, *addresses(*self.known[hostName]))
        return resolution

    def answer(self, name: str, *found: IAddress) -> None:
        receiver = self._waiting.pop(name)
        for address in found:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, resolver: FakeResolver, name: str) -> None:
        self.name = name
        self._resolver = resolver

    def cancel(self) -> None:
        if self._resolver.uncancellable:
            raise NotImplementedError
        self._resolver.cancelled.append(self.name)
        # Some tell the end nevertheless.
        self._resolver.answer(self.name)
