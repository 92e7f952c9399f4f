"""
One open WebSocket: a connection's bytes, what waits for messages, the close, and time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ..errors import ConnectionClosed, LimitExceeded, NotSupported, WebSocketClosed
from ..net.stream.handle import WasiTcpConn
from ..net.tasks.awaited import IMMEDIATE, Awaited, Done
from .codes import ABNORMAL, CLOSE, PING, PONG, shortened
from .frames import Control, Failed, FrameReader, FrameWriter
from .handshake import Agreed
from .limits import WebSocketLimits
from .messages import Messages
from .pings import Pings

# So many frames are read before others have their turn, some 2 ms; a long message counts as one more for each 4 KiB.
TURN, _COUNTS = 256, 4096
# How much is read at a time, in bytes.
_READ = 65536
# The states: messages go both ways; we have sent a Close frame; both have, or one of them has failed the other; over.
OPEN, CLOSING, ENDING, OVER = range(4)


class Session:
    """
    What a L{WebSocket<wasinet_twisted.websocket.WebSocket>} is the handle of. It never refers to that: a WebSocket that
    nobody holds any more can be closed.

    @ivar conn: the connection.
    @ivar subprotocol: what has been agreed on.
    @ivar state: OPEN, CLOSING, ENDING or OVER.
    @ivar code: the code of the Close frame that began the close, 1006 if there was none; L{None} while it is open.
    @ivar reason: the reason in it.
    @ivar receiver: who waits for a message.
    @ivar holding: is the peer held back, since nobody receives?
    """

    __slots__ = (
        "_byUs",
        "_deadline",
        "_isServer",
        "_later",
        "_limits",
        "_messages",
        "_pings",
        "_protocol",
        "_reader",
        "_turns",
        "_watched",
        "_writer",
        "code",
        "conn",
        "holding",
        "onClose",
        "reason",
        "receiver",
        "state",
        "subprotocol",
    )

    def __init__(self, conn: WasiTcpConn, agreed: Agreed, isServer: bool, limits: WebSocketLimits) -> None:
        """
        @param conn: the connection, on which the handshake has been made. It is the session's from now on.
        """
        self.conn = conn
        self._protocol = conn._protocol
        self._isServer = isServer
        self._limits = limits
        self._reader = FrameReader(isServer, agreed.deflate, limits)
        self._writer = FrameWriter(isServer, agreed.deflate)
        self.subprotocol = agreed.subprotocol
        self.state = OPEN
        self.code: int | None = None
        self.reason = ""
        self.receiver: Awaited[str | bytes] | None = None
        self._messages = Messages(limits.queue)
        self.holding = False
        # How many calls in a row have been answered at once.
        self._turns = 0
        # What has come behind the handshake waits for those who receive: who opens a WebSocket is told first.
        self._later: IDelayedCall | None = self._protocol.reactor.callLater(0, self._goOn)
        self._deadline: IDelayedCall | None = None
        # Who is told when it is over.
        self.onClose: Any = None
        # Has our side closed it, and not the peer? Is somebody told when the connection is gone?
        self._byUs = self._watched = False
        self._pings = Pings(self, self._protocol, limits)
        self._pings.start()

    # Bytes in. It is resumed as a task is.

    def resume(self, data: bytes) -> None:
        """
        Bytes have come; C{b""}: no more will.
        """
        receiver = self.receiver
        message = None if receiver is None or self._messages.held else self._reader.whole(data)
        if message is not None:
            # As nearly always.
            self._pings.heard = True
            self._give(receiver, message)  # type: ignore[arg-type]
        else:
            self._take(data)
        self._read()

    def throw(self, _: BaseException) -> None:
        """
        The connection is gone.
        """
        self._over()

    def _read(self) -> None:
        """
        Read on, as long as there is something at once.
        """
        while not (self.holding or self._later is not None or self.state == OVER):
            # What it gives is answered as a task's await is: the quickest way.
            waiting: Any = self.conn.read(_READ)
            if not waiting.called:
                waiting.task = self
                return
            if waiting.result.__class__ is bytes:
                self._take(waiting.result)
            else:
                waiting.addErrback(lambda _: self._over())

    def _take(self, data: bytes) -> None:
        if not data:
            self._over()
            return
        self._pings.heard = True
        if self.state < ENDING:
            self._reader.feed(data)
            self._pump()

    def _pump(self) -> None:
        """
        Read frames: as many as others can wait for, and as nobody has to be held back for.
        """
        reader = self._reader
        left = TURN
        while left > 0:
            left -= 1
            found = reader.next()
            if found is None:
                pass
            elif found.__class__ is Control:
                self._control(found)
            elif found.__class__ is Failed:
                self.fail(found.code, found.reason)
            else:
                left -= len(found) // _COUNTS
                if self.state == OPEN and self._arrived(found):  # type: ignore[arg-type]
                    self._hold()
                    return
            if self.state >= ENDING or not reader.more:
                return
        self._later = self._protocol.reactor.callLater(0, self._goOn)

    def _hold(self) -> None:
        self.holding = True
        if not self._watched:
            # While nothing is read, nothing else tells.
            self._watched = True
            self.conn.whenClosed().addCallback(lambda _: self._pings.closed(self.closed()))

    def _goOn(self) -> None:
        self._later = None
        self.holding = False
        if self.state < ENDING:
            self._pump()
        self._read()

    def _arrived(self, message: str | bytes) -> bool:
        """
        A message has come.

        @return: is it the last that may, until somebody receives?
        """
        receiver = self.receiver
        if receiver is None or self._messages.held:
            return self._messages.add(message)
        self._give(receiver, message)
        return self.state == OPEN and self._messages.full

    def _give(self, receiver: Awaited[str | bytes], message: str | bytes) -> None:
        self.receiver = None
        self._turns = 0
        receiver.give(message)

    def _control(self, frame: Control) -> None:
        if frame.opcode == PING:
            self._pings.answer(frame.payload)
        elif frame.opcode == PONG:
            self._pings.answered(frame.payload)
        else:
            if self.state == OPEN:
                self._note(frame.code, frame.reason)
                # RFC 6455 section 5.5.1.
                self._send(self._writer.control(CLOSE, frame.payload))
            self._end()

    # Messages

    def receive(self, receiver: Awaited[str | bytes]) -> None:
        """
        Give the next message to C{receiver}, now or later.
        """
        self._turns += 1
        if self._turns > IMMEDIATE:
            # Whoever receives on and on without ever waiting would keep the reactor from its turn.
            self._turns = 0
            self.receiver = receiver
            self._protocol.reactor.callLater(0, self._receiveAgain, receiver)
            return
        if self._messages.held:
            receiver.begin(self._messages.take())
        elif self.state == OPEN:
            self.receiver = receiver
        else:
            receiver.failQuietly(self.closed())
        self._letGoOn()

    def _receiveAgain(self, receiver: Awaited[str | bytes]) -> None:
        # Meanwhile a message may have come, or the caller may have given up.
        if self.receiver is not receiver:
            return
        if self._messages.held:
            self.receiver = None
            message = self._messages.take()
            self._letGoOn()
            receiver.give(message)
        elif self.state != OPEN:
            self.receiver = None
            receiver.failQuietly(self.closed())

    def _letGoOn(self) -> None:
        if self.holding and self._later is None:
            self._later = self._protocol.reactor.callLater(0, self._goOn)

    def send(self, message: str | bytes) -> Deferred[None]:
        """
        Send a message; see L{WebSocket.send<wasinet_twisted.websocket.WebSocket.send>}.
        """
        if self.state != OPEN or self._protocol.lost or self._protocol.closing:
            if self._byUs:
                raise self.closed()
            gone: Awaited[None] = Awaited()
            self._protocol.soon(gone, self.closed())
            return gone
        written: Any = self.conn.write(self._writer.message(message))
        if written.__class__ is not Done:
            written.addErrback(self._notSent)
            written.silence()
        return written  # type: ignore[no-any-return]

    def _notSent(self, failure: Failure) -> None:
        failure.trap(ConnectionClosed, LimitExceeded)
        raise self.closed() from failure.value

    def ping(self) -> Awaited[float]:
        """
        Send a ping; the result fires with the seconds to its pong.
        """
        if self.state != OPEN or self._protocol.lost or self._protocol.closing:
            raise self.closed()
        return self._pings.ping()

    def control(self, opcode: int, payload: bytes) -> None:
        """
        Send a ping or a pong.
        """
        if self.state == OPEN:
            self._send(self._writer.control(opcode, payload))

    def _send(self, data: bytes) -> None:
        try:
            self._protocol.send(data)
        except ConnectionClosed:
            # Our side has aborted it just now.
            self._over()

    # The end

    def closed(self) -> WebSocketClosed:
        """
        Return what those get who go on with it.
        """
        error = WebSocketClosed(ABNORMAL if self.code is None else self.code, self.reason)
        error.__cause__ = self._protocol._broken if self.code in (None, ABNORMAL) else None
        return error

    def close(self, code: int, reason: str) -> None:
        """
        Begin the close (RFC 6455 section 7.1.2), unless it has begun.
        """
        if self.state != OPEN:
            return
        self._byUs = True
        if self._protocol.lost:
            self._over()
            return
        self._note(code, reason)
        self._send(self._writer.close(code, reason))
        if self.state == OVER:
            return
        self.state = CLOSING
        self._closeWithin()
        self._tell()
        # The peer's Close frame comes behind messages that nobody will receive.
        self._letGoOn()

    def fail(self, code: int, reason: str) -> None:
        """
        The peer has sent what is not valid: tell it, and read nothing more (RFC 6455 section 7.1.7).
        """
        if self.state == OPEN:
            self._note(code, reason)
            self._send(self._writer.close(code, shortened(reason)))
        self._end(failed=True)

    def abort(self) -> None:
        """
        Reset the connection.
        """
        if self.state == OPEN:
            self._byUs = True
        self._protocol.abort()
        self._over()

    def _note(self, code: int, reason: str) -> None:
        if self.code is None:
            self.code, self.reason = code, reason

    def _end(self, failed: bool = False) -> None:
        """
        Nothing more is sent: the connection is to end. The server ends it; a client waits for that (RFC 6455 section
        7.1.1), but not for ever.
        """
        if self.state == OVER:
            return
        self.state = ENDING
        self._stopPumping()
        self._closeWithin()
        self._tell()
        protocol = self._protocol
        if protocol.closing or protocol.lost:
            return
        if failed:
            # What the peer goes on sending is read and forgotten: else the kernel would reset the connection, and the
            # peer never read why.
            try:
                protocol.finish()
            except (NotSupported, ConnectionClosed):
                protocol.close(self._limits.closeTimeout)
        elif self._isServer:
            protocol.close(self._limits.closeTimeout)

    def _stopPumping(self) -> None:
        self.holding = False
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _over(self) -> None:
        if self.state == OVER:
            return
        self.state = OVER
        self._note(ABNORMAL, "")
        self._stopPumping()
        self._pings.stop()
        # It has 40 KB and more of compression, and cycles of references may keep it for long.
        self._reader.forget()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        if not (self._protocol.closing or self._protocol.lost):
            self._protocol.close(self._limits.closeTimeout)
        self._tell()
        onClose, self.onClose = self.onClose, None
        if onClose is not None:
            onClose()

    def _tell(self) -> None:
        receiver = self.receiver
        if receiver is not None and not self._messages.held:
            self.receiver = None
            receiver.fail(self.closed())
        self._pings.closed(self.closed())

    def _closeWithin(self) -> None:
        if self._deadline is None:
            self._deadline = self._protocol.reactor.callLater(self._limits.closeTimeout, self.abort)
