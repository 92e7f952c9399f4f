"""
The pool: connections are kept, counted and bounded, and requests wait in their order.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from wasinet_twisted.client import Pool, Timeouts, fetch
from wasinet_twisted.errors import (
    ConnectionClosed,
    ConnectionRefused,
    InvalidArgument,
    LimitExceeded,
    LocalProtocolError,
    TimedOut,
)

from .support import OK, ClientCase, Outcome, answer, head

A, B, C = (f"http://{name}.test/" for name in "abc")


class CloseTests(ClientCase):
    reads = False

    def test_aServerThatReadsNothing(self) -> None:
        """
        It has answered before the request was whole, and takes no more of that: a pool that is closed waits a second
        for it.
        """
        self.listen(window=1000)
        pool = self.pool()
        outcome = self.begin(method="POST", body=bytes(100_000))
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertPool(1, 1)
        closing = Outcome(pool.close())
        self.advance(0.99)
        self.assertTrue(closing.pending)
        self.advance(0.02)
        self.assertFalse(closing.pending)


class KeepAliveTests(ClientCase):
    def test_aConnectionIsUsedAgain(self) -> None:
        for _ in range(3):
            self.assertEqual(self.body(self.fetch(OK)), b"ok")
            self.assertPool(1, 1)
        self.assertEqual(len(self.peers), 1)
        self.assertEqual(len(self.peers[0].requests()), 3)

    def test_eachOriginHasItsOwn(self) -> None:
        for url in (A, B, "http://a.test:8080/", A):
            self.fetch(OK, url) if url != A or not self.peers else None
        self.assertEqual(len(self.peers), 3)
        self.begin(A)
        self.assertEqual([len(peer.requests()) for peer in self.peers], [2, 1, 1])
        self.peers[0].send(OK)
        self.settle()
        self.assertPool(3, 3)

    def test_theOneUsedLastIsUsedFirst(self) -> None:
        first, second = self.begin(), self.begin()
        self.peers[0].send(OK)
        self.settle()
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual((first.value.status, second.value.status), (200, 200))
        self.begin()
        self.assertEqual([len(peer.requests()) for peer in self.peers], [1, 2])

    def test_idleExpiry(self) -> None:
        """
        Whatever the other deadlines are, the shorter and the longer ones and none.
        """
        for timeouts in (Timeouts(), Timeouts(head=1, read=1), Timeouts(head=None, read=None)):
            self.listen()
            pool = self.pool(timeouts, idle=10)
            self.fetch(OK, pool=pool)
            self.advance(9.99)
            self.assertPool(1, 1, pool=pool)
            self.assertIsNone(self.peers[0].reason)
            self.advance(0.02)
            self.assertPool(0, 0, pool=pool)
            self.assertTrue(self.peers[0].wasClosed, "closed by FIN, not reset")

    def test_idleIsMeasuredFromTheLastResponse(self) -> None:
        self.pool(idle=10)
        for _ in range(3):
            self.fetch(OK)
            self.advance(9)
        self.assertEqual(len(self.peers), 1)
        self.assertPool(1, 1)

    def test_idleOfARequestWithTimeoutsOfItsOwn(self) -> None:
        self.pool(idle=10)
        self.fetch(OK, timeout=Timeouts(head=2, read=2, total=3))
        self.advance(9.99)
        self.assertPool(1, 1)
        self.advance(0.02)
        self.assertPool(0, 0)

    def test_idleZeroKeepsNone(self) -> None:
        self.pool(idle=0)
        self.assertEqual(self.body(self.fetch(OK)), b"ok")
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasClosed)

    def test_aServerThatCloses(self) -> None:
        """
        It is noticed at once, and both directions are ended.
        """
        for end in ("finish", "close", "reset"):
            self.listen()
            pool = self.pool()
            self.fetch(OK, pool=pool)
            self.assertPool(1, 1, pool=pool)
            getattr(self.peers[0], end)()
            self.settle()
            self.assertPool(0, 0, pool=pool)
            self.assertFalse(end == "finish" and not self.peers[0].wasClosed)

    def test_aServerThatClosesWithItsAnswer(self) -> None:
        outcome = self.begin()
        self.peers[0].send(OK)
        self.peers[0].finish()
        self.settle()
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasClosed)

    def test_connectionClose(self) -> None:
        """
        Either side may say that this is the last.
        """
        self.fetch(answer(b"x", "Connection: close"))
        self.assertPool(0, 0)
        self.fetch(OK, headers={"Connection": "close"})
        self.assertPool(0, 0)
        self.fetch(answer(b"x", version="HTTP/1.0"))
        self.assertPool(0, 0)
        self.assertTrue(all(peer.wasClosed for peer in self.peers), "closed by FIN, not reset")
        self.fetch(answer(b"x", "Connection: keep-alive", version="HTTP/1.0"))
        self.assertPool(1, 1)

    def test_aClosedOneIsNotTakenBeforeTheReactorTells(self) -> None:
        """
        The kernel knows already, and the reactor has had no turn since.
        """
        for end in ("FIN", "RST", "bytes"):
            self.listen()
            pool = self.pool()
            self.fetch(OK, pool=pool)
            self.advance(1)
            toClient = self.link(0).toClient
            if end == "FIN":
                toClient.finished = True
            elif end == "RST":
                toClient.broken = True
            else:
                toClient.arrived += OK
            outcome = self.begin(pool=pool, method="POST")
            self.assertEqual(len(self.peers), 2, end)
            self.assertEqual(len(self.peers[0].requests()), 1, end)
            self.peers[1].send(answer(b"new"))
            self.settle()
            self.assertEqual(self.body(outcome.value), b"new")

    def test_aRequestThatCannotBeSentLosesNoConnection(self) -> None:
        """
        Neither a kept one nor a new one.
        """
        for _ in range(2):
            error = self.begin(headers={"X": "a\r\nb"}).error
            self.assertIsInstance(error, LocalProtocolError)
            self.fetch(OK)
            self.assertPool(1, 1)
        self.assertEqual(len(self.peers), 1)


class BoundTests(ClientCase):
    def test_perOrigin(self) -> None:
        self.pool(perOrigin=2)
        outcomes = [self.begin(f"{A}{number}") for number in range(5)]
        self.assertPool(2, 0, 3)
        for number in range(5):
            self.assertEqual(len(self.peers), 2)
            peer = self.peers[number % 2]
            self.assertEqual(peer.requests()[-1].uri, f"/{number}", "in their order")
            peer.send(OK)
            self.settle()
            self.assertEqual(self.body(outcomes[number].value), b"ok")
        self.assertPool(2, 2)

    def test_inTotal(self) -> None:
        self.pool(connections=2)
        first, second = self.begin(A), self.begin(B)
        third, fourth = self.begin(C), self.begin(A)
        self.assertPool(2, 0, 2)
        # The first that waits is another origin's: A's connection makes room, and isn't given to A.
        self.peers[0].send(OK)
        self.settle()
        self.assertPool(2, 0, 1)
        self.assertIn(b"Host: c.test", self.peers[2].got)
        self.peers[1].send(OK)
        self.settle()
        self.assertPool(2, 0)
        for peer in self.peers[2:]:
            peer.send(OK)
        self.settle()
        for outcome in (first, second, third, fourth):
            self.assertEqual(outcome.value.status, 200)

    def test_aFreeConnectionOfAnotherOriginMakesRoom(self) -> None:
        self.pool(connections=2)
        self.fetch(OK, A)
        self.fetch(OK, B)
        self.fetch(OK, C)
        self.assertPool(2, 2)
        self.assertEqual([peer.wasClosed for peer in self.peers], [True, False, False], "the one free the longest")

    def test_aFreeConnectionIsNotClosedForNothing(self) -> None:
        """
        Who waits for a connection to an origin that has as many as it may, gets nothing of another origin's place.
        """
        self.pool(connections=2, perOrigin=1)
        self.begin(A)
        self.begin(A)
        self.fetch(OK, B)
        self.assertPool(2, 1, 1)
        self.peers[0].send(OK)
        self.settle()
        self.peers[0].send(OK)
        self.settle()
        self.assertPool(2, 2)

    def test_waitingHasABound(self) -> None:
        self.pool(perOrigin=1, connections=1, waiting=2)
        outcomes = [self.begin(A), self.begin(A), self.begin(B)]
        for url in (A, B, C):
            error = self.begin(url).error
            self.assertIsInstance(error, LimitExceeded)
            self.assertIn("2", str(error))
        self.assertPool(1, 0, 2)
        for outcome in outcomes[1:]:
            outcome.deferred.cancel()
        self.settle()
        self.assertPool(1, 0, 0)
        self.assertTrue(self.begin(A).pending)

    def test_aCancelledWaiterLosesNobodysTurn(self) -> None:
        for cancelled in ([1], [2], [1, 2], [3], [1, 3]):
            self.listen()
            pool = self.pool(perOrigin=1)
            outcomes = [self.begin(f"{A}{number}", pool=pool) for number in range(4)]
            for number in cancelled:
                outcomes[number].deferred.cancel()
                self.assertIsInstance(outcomes[number].error, CancelledError)
            self.settle()
            expected = [number for number in range(4) if number not in cancelled]
            for number in expected:
                self.peers[0].send(OK)
                self.settle()
                self.assertEqual(outcomes[number].value.status, 200)
            self.assertEqual([request.uri for request in self.peers[0].requests()], [f"/{n}" for n in expected])
            self.assertPool(1, 1, pool=pool)

    def test_aWaiterThatGivesUpLeavesNothingBehind(self) -> None:
        """
        While the connection is in use for hours, thousands may give up.
        """
        pool = self.pool(perOrigin=1, connections=1)
        self.begin(A)
        for url in (A, B):
            for _ in range(50):
                self.begin(url, timeout=1)
            for _ in range(50):
                self.begin(url).deferred.cancel()
        self.assertPool(1, 0, 100)
        self.advance(1)
        self.assertPool(1, 0, 0)
        self.assertEqual(sum(len(place.waiting) for place in pool._places.values()), 0)
        self.assertEqual(len(pool._places), 1)

    def test_aWaiterHasTheTotalTime(self) -> None:
        self.pool(perOrigin=1)
        self.begin()
        waiting = self.begin(timeout=5)
        message = self.twoSides(5, waiting, TimedOut)
        self.assertIn("1 are open", message)
        self.assertPool(1, 0, 0)

    def test_whoMakesAConnectionAndFailsLetsTheNextTry(self) -> None:
        """
        Cancelled, or refused.
        """
        self.listen(delay=1)
        pool = self.pool(perOrigin=1)
        first, second = self.begin(f"{A}1", pool=pool), self.begin(f"{A}2", pool=pool)
        first.deferred.cancel()
        self.settle()
        self.assertPool(1, 0, pool=pool)
        self.advance(5)
        self.assertEqual([peer.got[:6] for peer in self.peers if peer.got], [b"GET /2"])
        self.assertTrue(second.pending)

    def test_aConnectionThatIsLostLetsTheNextTry(self) -> None:
        self.pool(perOrigin=1)
        first, second, third = self.begin(), self.begin(), self.begin()
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(first.error, ConnectionClosed)
        self.assertPool(1, 0, 1)
        second.deferred.cancel()
        self.settle()
        self.assertPool(1, 0, 0)
        self.peers[2].send(OK)
        self.settle()
        self.assertEqual(third.value.status, 200)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    @ivar attempts: what each attempt to connect waits for.
    """

    def __init__(self) -> None:
        self.attempts: list[Deferred[Any]] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.attempts.append(Deferred())
        return self.attempts[-1]


class DialingTests(ClientCase):
    def dialing(self, endpoint: Any, **limits: Any) -> Pool:
        pool = self.pool(**limits)
        pool._dialing._endpoint = lambda _: endpoint()
        return pool

    def test_refused(self) -> None:
        """
        Each that waits tries for itself, however many they are.
        """

        class Refusing(Endpoint):
            def connect(self, protocolFactory: Any) -> Deferred[Any]:
                return fail(ConnectionRefusedError())

        self.dialing(Refusing, perOrigin=1)
        outcomes = [self.begin() for _ in range(300)]
        self.settle()
        self.assertEqual({type(outcome.error) for outcome in outcomes}, {ConnectionRefused})

    def test_whatFailsAtOnce(self) -> None:
        """
        Hundreds that wait fail one after the other, not one inside the other.
        """
        endpoint = Endpoint()
        pool = self.dialing(lambda: endpoint, perOrigin=1)
        outcomes = [self.begin() for _ in range(500)]

        def broken(_: object) -> Any:
            raise ZeroDivisionError("no endpoint")

        pool._dialing._endpoint = broken
        outcomes[0].deferred.cancel()
        self.settle()
        self.assertEqual({type(outcome.error) for outcome in outcomes[1:]}, {ZeroDivisionError})
        self.assertPool(0, 0)

    def test_closeWhileDialing(self) -> None:
        endpoint = Endpoint()
        pool = self.dialing(lambda: endpoint)
        outcome = self.begin()
        self.assertPool(1, 0)
        closing = Outcome(pool.close())
        self.settle()
        self.assertIsInstance(outcome.error, ConnectionClosed)
        self.assertFalse(closing.pending)
        self.assertPool(0, 0)

    def test_totalWhileDialing(self) -> None:
        endpoint = Endpoint()
        self.dialing(lambda: endpoint)
        self.twoSides(5, self.begin(timeout=5), TimedOut)
        self.assertPool(0, 0)


class ClosingTests(ClientCase):
    def test_freeConnectionsAreClosedAndOthersReset(self) -> None:
        pool = self.pool(perOrigin=2)
        free, body, waits = self.begin(), self.begin(), self.begin()
        self.peers[0].send(OK)
        self.settle()
        self.peers[1].send(head("Content-Length: 100") + b"some")
        self.settle()
        # The first that waited has the connection that was free.
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual((free.value.status, waits.value.status), (200, 200))
        self.begin()
        queued = self.begin()
        self.assertPool(2, 0, 1)
        self.peers[0].send(OK)
        self.settle()
        reading = Outcome(body.value.bytes())
        closing = Outcome(pool.close())
        self.assertIsInstance(queued.error, (ConnectionClosed, type(None)))
        self.settle()
        self.assertIsInstance(reading.error, ConnectionClosed)
        self.assertFalse(closing.pending)
        self.assertTrue(self.peers[1].wasReset)

    def test_aFreeOneIsClosedByFin(self) -> None:
        pool = self.pool()
        self.fetch(OK)
        self.now(pool.close())
        self.assertTrue(self.peers[0].wasClosed)

    def test_aPoolThatIsClosed(self) -> None:
        pool = self.pool()
        self.now(pool.close())
        self.now(pool.close())
        self.assertTrue(pool.closed)
        self.assertIsInstance(self.begin().error, ConnectionClosed)
        self.assertEqual(self.peers, [])

    def test_waitersAreTold(self) -> None:
        pool = self.pool(perOrigin=1, connections=1)
        outcomes = [self.begin(A), self.begin(A), self.begin(B, timeout=10)]
        pool.close()
        self.settle()
        for outcome in outcomes:
            self.assertIsInstance(outcome.error, ConnectionClosed)
        self.assertTrue(self.peers[0].wasReset)

    def test_closedByWhoIsTold(self) -> None:
        """
        From within the very callbacks that a connection or a waiter calls.
        """
        for when in ("answer", "waiter", "lost"):
            self.listen()
            pool = self.pool(perOrigin=1)
            first, second = self.begin(pool=pool), self.begin(pool=pool)
            told = first if when == "answer" else second if when == "waiter" else first
            told.deferred.addBoth(lambda result, pool=pool: pool.close() and result)
            if when == "lost":
                self.peers[0].reset()
            elif when == "answer":
                self.peers[0].send(OK)
            else:
                second.deferred.cancel()
            self.settle()
            self.assertFalse(first.pending or second.pending, when)
            self.assertEverythingIsGone(pool)

    def test_asyncWith(self) -> None:
        async def use() -> bytes:
            async with Pool(endpoint=lambda _: self.listener.endpoint, reactor=self.clock) as pool:
                self.pools.append(pool)
                response = await fetch(A, pool=pool)
                return await response.bytes()

        outcome = Outcome(ensureDeferred(use()))
        self.settle()
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value, b"ok")
        self.assertTrue(self.peers[0].wasClosed)

    def test_arguments(self) -> None:
        for options in ({"limits": 3}, {"timeouts": 3}):
            self.assertRaises(InvalidArgument, Pool, reactor=self.clock, **options)
