# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of what nearly every handler calls: C{await request.read()} and C{WasiResponse(status, headers, body)}.

    read, Reading       Request.read, of a body that has come with its head
    _makeResponse       WasiResponse(...), that is WasiResponse.__init__ and _Message._set, of plain types

L{Reading} is what C{request.read()} gives instead of a coroutine. It behaves as
the coroutine does, also where it isn't awaited, or twice. Whatever isn't simple is
left to a real coroutine of the Python C{Request.read}, made at that moment.
"""
import collections.abc
import inspect
from sys import intern

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Items
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from wasinet_twisted._speed._watching cimport Watch

from wasinet_twisted.http import limits as _limits, messages as _messages
from wasinet_twisted.http.asks import CONTINUE as _CONTINUE
from wasinet_twisted.http.framing import CHUNKED as _CHUNKED
from wasinet_twisted.server import limits as _serverlimits, protocol as _protocol, request as _request
from wasinet_twisted.server import serving as _serving

cdef extern from "slots.h":
    Py_ssize_t slot_offset(object kind, object name) except -1
    void slot_set(object o, Py_ssize_t offset, object value)
    PyObject* SLOT(PyObject* o, Py_ssize_t offset)

cdef extern from "Python.h":
    ctypedef int (*sendfunc)(PyObject*, PyObject*, PyObject**)
    ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject**, size_t, PyObject*)
    ctypedef PyObject* (*newfunc)(PyObject*, PyObject*, PyObject*)
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct PyTypeObject:
        const char* tp_name
        PyAsyncMethods* tp_as_async
        vectorcallfunc tp_vectorcall
        newfunc tp_new
    PyTypeObject PyBaseObject_Type
    PyObject* Py_None
    PyObject* Py_False
    bint Py_IS_TYPE(PyObject* o, type kind)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    Py_ssize_t PyVectorcall_NARGS(size_t flags)
    int PyIter_Send(object coroutine, object value, PyObject** result)
    enum:
        PYGEN_RETURN

cdef extern from *:
    """
    static inline PyObject *object_new(PyObject *kind, PyObject *nothing)
    {
        return PyBaseObject_Type.tp_new((PyTypeObject *)kind, nothing, NULL);
    }
    static inline void warn_or_tell(const char *message, PyObject *where)
    {
        if (PyErr_WarnEx(PyExc_RuntimeWarning, message, 1) < 0)
            PyErr_WriteUnraisable(where);
    }
    """
    void warn_or_tell(const char* message, object where)
    # object.__new__(kind), right for every class.
    object object_new(object kind, tuple nothing)


cdef Py_ssize_t _at(kind, name) except -1:
    return slot_offset(kind, name)


cdef type Request = _request.Request, WasiResponse = _messages.WasiResponse
cdef type HttpProtocol = _protocol.HttpProtocol, HttpServer = _serving.HttpServer
cdef type ServerLimits = _serverlimits.ServerLimits, Limits = _limits.Limits
cdef Py_ssize_t BODY = _at(Request, "_body"), LENGTH = _at(Request, "_length"), ASKS = _at(Request, "_asks")
cdef Py_ssize_t BEGUN = _at(Request, "_begun"), PROTOCOL = _at(Request, "_protocol")
cdef Py_ssize_t SERVER = _at(HttpProtocol, "server"), SERVER_LIMITS = _at(HttpServer, "limits")
cdef Py_ssize_t MESSAGE = _at(ServerLimits, "message"), MOST_BODY = _at(Limits, "body")
cdef Py_ssize_t STATUS = _at(WasiResponse, "status"), REASON = _at(WasiResponse, "reason")
cdef Py_ssize_t VERSION = _at(WasiResponse, "version"), HEADERS = _at(WasiResponse, "_headers")
cdef Py_ssize_t PAIRS = _at(WasiResponse, "_pairs"), TRAILERS = _at(WasiResponse, "_trailers")

cdef long CONTINUE = _CONTINUE
cdef Py_ssize_t CHUNKED = _CHUNKED
cdef object HTTP11 = intern("HTTP/1.1"), EMPTY = "", NOTHING = b"", OK = 200
cdef object _status = "status", _headers = "headers", _body = "body"
cdef object _pyRead = Request.read, _pyCall = type.__call__
cdef Watch _watch = Watch(WasiResponse)


cdef inline bint _isA(PyObject* o, type kind):
    return o != NULL and Py_IS_TYPE(o, kind)


# The body of a request


def read(self, maxBytes=None):
    """
    C{Request.read}.
    """
    cdef Reading made
    # Whether it may be read is asked when it is awaited, as a coroutine does.
    if type(self) is Request and _isA(SLOT(<PyObject*>self, BODY), bytes):
        made = Reading.__new__(Reading)
        made.request = self
        made.most = maxBytes
        return made
    return _pyRead(self, maxBytes)


cdef PyObject* _bodyOf(object request, object maxBytes) except? NULL:
    """
    @return: the body, borrowed, if C{Request.read} would give just that.
    """
    cdef PyObject* of = <PyObject*>request
    cdef PyObject* body = SLOT(of, BODY)
    cdef PyObject* most = <PyObject*>maxBytes
    cdef int overflow = 0
    if not (
        _isA(body, bytes)
        and SLOT(of, BEGUN) == Py_False
        and _isA(SLOT(of, ASKS), int)
        and _isA(SLOT(of, LENGTH), int)
    ):
        return NULL
    if maxBytes is None:
        most = _mostOf(SLOT(of, PROTOCOL))
    if (
        not _isA(most, int)
        or PyBytes_GET_SIZE(<bytes>body) > PyLong_AsLongLongAndOverflow(<object>most, &overflow)
        or overflow
        or <long><object>SLOT(of, ASKS) & CONTINUE
        or PyLong_AsLongLongAndOverflow(<object>SLOT(of, LENGTH), &overflow) == CHUNKED
    ):
        return NULL
    return body


cdef PyObject* _mostOf(PyObject* protocol):
    """
    @return: C{protocol.server.limits.message.body}, borrowed; or NULL.
    """
    cdef PyObject* found = protocol
    if not _isA(found, HttpProtocol):
        return NULL
    found = SLOT(found, SERVER)
    if not _isA(found, HttpServer):
        return NULL
    found = SLOT(found, SERVER_LIMITS)
    if not _isA(found, ServerLimits):
        return NULL
    found = SLOT(found, MESSAGE)
    return SLOT(found, MOST_BODY) if _isA(found, Limits) else NULL


@cython.final
@cython.freelist(16)
@cython.auto_pickle(False)
cdef class Reading:
    """
    C{request.read()} of a body that is there.
    """

    # Of the request whose body it gives; None once it has ended, or gone over to the coroutine.
    cdef object request
    cdef object most
    # A real coroutine, once it is needed.
    cdef object coroutine
    cdef object __weakref__

    def __await__(self):
        if self.coroutine is not None and self.coroutine.cr_await is not None:
            raise RuntimeError("coroutine is being awaited already")
        return self

    def __next__(self):
        # What awaits looks for this, or for am_send. It is not iterable, as a coroutine isn't.
        return self.send(None)

    def send(self, value):
        cdef PyObject* result = NULL
        how = _send(<PyObject*>self, <PyObject*>value, &result)
        given = <object>result
        _release(given)
        if how == PYGEN_RETURN:
            raise StopIteration(given)
        return given

    def throw(self, *error):
        return self._asCoroutine().throw(*error)

    def close(self):
        if self.coroutine is None:
            self.request = None
        else:
            self.coroutine.close()

    def __getattr__(self, name):
        # cr_frame and its like, __name__.
        return getattr(self._asCoroutine(), name)

    def __repr__(self):
        return f"<coroutine object {_pyRead.__qualname__} at {<size_t><PyObject*>self:#x}>"

    def __reduce__(self):
        raise TypeError("cannot pickle 'coroutine' object")

    cdef object _asCoroutine(self):
        if self.coroutine is None:
            ended = self.request is None
            self.coroutine = _pyRead(self.request, self.most)
            self.request = None
            if ended:
                self.coroutine.close()
        return self.coroutine

    def __dealloc__(self):
        if self.request is not None:
            # Python's own coroutines say the same of themselves.
            warn_or_tell(_NEVER, _pyRead)


cdef extern from *:
    """
    #define release(o) Py_DECREF(o)
    """
    # Gives up a reference that C has counted.
    void _release "release" (object o)

cdef bytes _never = f"coroutine '{_pyRead.__qualname__}' was never awaited".encode("ascii")
cdef const char* _NEVER = _never


cdef int _send(PyObject* o, PyObject* value, PyObject** result) except -1:
    """
    C{coroutine.send}: what C{await} calls.
    """
    cdef Reading self = <Reading>o
    cdef PyObject* body
    result[0] = NULL
    if self.coroutine is None:
        if self.request is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if value != Py_None:
            raise TypeError("can't send non-None value to a just-started coroutine")
        body = _bodyOf(self.request, self.most)
        if body != NULL:
            slot_set(self.request, BEGUN, True)
            Py_INCREF(<object>body)
            result[0] = body
            self.request = None
            return PYGEN_RETURN
    return _sendOn(self._asCoroutine(), <object>value, result)


cdef inline int _sendOn(object coroutine, object value, PyObject** result) except -1:
    # PYGEN_ERROR is -1.
    return PyIter_Send(coroutine, value, result)


# Before anybody has seen the class: errors name it, and it is to a reader what a coroutine is.
(<PyTypeObject*><PyObject*>Reading).tp_name = "wasinet_twisted.coroutine"
(<PyTypeObject*><PyObject*>Reading).tp_as_async.am_send = <sendfunc>_send
collections.abc.Coroutine.register(Reading)


# A response


cdef PyObject* _makeResponse(PyObject* kind, PyObject** given, size_t flags, PyObject* names) except NULL:
    """
    C{WasiResponse(status, headers, body)}, by position or by name: of an int, a dict of str, and bytes.
    """
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags), named = 0, i
    cdef PyObject* status = NULL
    cdef PyObject* headers = NULL
    cdef PyObject* body = NULL
    cdef bint plain = kind == <PyObject*>WasiResponse and count <= 3 and _watch.unchanged()
    if names != NULL:
        named = PyTuple_GET_SIZE(<tuple>names)
    if plain:
        if count > 0:
            status = given[0]
        if count > 1:
            headers = given[1]
        if count > 2:
            body = given[2]
        for i in range(named):
            # The names of a call are nearly always interned, as these are.
            name = <PyObject*>PyTuple_GET_ITEM(<tuple>names, i)
            if name == <PyObject*>_headers and headers == NULL:
                headers = given[count + i]
            elif name == <PyObject*>_body and body == NULL:
                body = given[count + i]
            elif name == <PyObject*>_status and status == NULL:
                status = given[count + i]
            else:
                plain = False
    plain = (
        plain
        and (status == NULL or _isA(status, int))
        and (headers == NULL or _isA(headers, dict))
        and (body == NULL or _isA(body, bytes))
    )
    if plain:
        pairs = _pairsOf(headers)
        if pairs is not None:
            made = _setResponse(status, pairs, body)
            Py_INCREF(made)
            return <PyObject*>made
    made = _pyCall(
        <object>kind,
        *[<object>given[i] for i in range(count)],
        **{<object>PyTuple_GET_ITEM(<tuple>names, i): <object>given[count + i] for i in range(named)},
    )
    Py_INCREF(made)
    return <PyObject*>made


cdef object _setResponse(PyObject* status, list pairs, PyObject* body):
    """
    C{WasiResponse.__init__}.
    """
    cdef object made = object_new(WasiResponse, ())
    cdef object code = OK if status == NULL else <object>status
    cdef PyObject* reason = PyDict_GetItem(_messages.REASONS, code)
    slot_set(made, STATUS, code)
    slot_set(made, REASON, EMPTY if reason == NULL else <object>reason)
    slot_set(made, VERSION, HTTP11)
    slot_set(made, HEADERS, None)
    slot_set(made, PAIRS, pairs)
    slot_set(made, BODY, NOTHING if body == NULL else <object>body)
    slot_set(made, TRAILERS, None)
    return made


cdef list _pairsOf(PyObject* headers):
    """
    C{_Message._set}, of fields in a dict.

    @return: None: not all of them are str.
    """
    cdef list pairs
    cdef PyObject* pair
    cdef Py_ssize_t i
    if headers == NULL:
        return []
    # All at once: what is made may call for the garbage collector, and whatever that ends may change the dict.
    pairs = PyDict_Items(<dict>headers)
    for i in range(len(pairs)):
        pair = PyList_GET_ITEM(pairs, i)
        if not (_isA(PyTuple_GET_ITEM(<tuple>pair, 0), str) and _isA(PyTuple_GET_ITEM(<tuple>pair, 1), str)):
            return None
    return pairs


def install():
    """
    Put these in the place of the Python's.
    """
    # To a reader it is what it stands for. CPython 3.11 has no way to say that it gives a coroutine.
    for name in ("__doc__", "__qualname__", "__module__", "__annotations__"):
        setattr(read, name, getattr(_pyRead, name))
    getattr(inspect, "markcoroutinefunction", id)(read)
    Request.read = read
    (<PyTypeObject*><PyObject*>WasiResponse).tp_vectorcall = <vectorcallfunc>_makeResponse
