# Where the slots are of a connection, as users hold it and as Twisted sees it, and of what has arrived there.

from wasinet_twisted.net.stream.handle import WasiTcpConn
from wasinet_twisted.net.stream.incoming import Incoming
from wasinet_twisted.net.stream.lifecycle import Lifecycle
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.net.stream.transportprotocol import TransportProtocol
from wasinet_twisted.net.tasks.awaited import Done

cdef PyTypeObject* CONN_TYPE = <PyTypeObject*>WasiTcpConn
cdef PyTypeObject* PROTOCOL_TYPE = <PyTypeObject*>ConnectionProtocol
cdef PyTypeObject* INCOMING_TYPE = <PyTypeObject*>Incoming
cdef PyTypeObject* DONE_TYPE = <PyTypeObject*>Done

cdef Py_ssize_t PROTOCOL = slot_offset(WasiTcpConn, "_protocol")
cdef Py_ssize_t ASKED = slot_offset(ConnectionProtocol, "_asked")
cdef Py_ssize_t ARRIVED = slot_offset(ConnectionProtocol, "_incoming")
cdef Py_ssize_t READER = slot_offset(ConnectionProtocol, "_reader")
cdef Py_ssize_t TIMER = slot_offset(ConnectionProtocol, "_readTimer")
cdef Py_ssize_t QUEUED = slot_offset(TransportProtocol, "_queued")
cdef Py_ssize_t WRITE_PAUSED = slot_offset(TransportProtocol, "_writePaused")
cdef Py_ssize_t BROKEN = slot_offset(Lifecycle, "_broken")
cdef Py_ssize_t CLOSING = slot_offset(Lifecycle, "closing")
cdef Py_ssize_t FINISHED = slot_offset(Lifecycle, "finished")
cdef Py_ssize_t COUNT = slot_offset(Lifecycle, "_immediate")
cdef Py_ssize_t LOST = slot_offset(Lifecycle, "lost")
cdef Py_ssize_t READ_PAUSED = slot_offset(Lifecycle, "_readPaused")
cdef Py_ssize_t TRANSPORT = slot_offset(Lifecycle, "transport")
cdef Py_ssize_t ENDED = slot_offset(Incoming, "ended")
cdef Py_ssize_t SIZE = slot_offset(Incoming, "size")
cdef Py_ssize_t WAITING = slot_offset(Incoming, "waiting")
