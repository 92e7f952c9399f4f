# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Compiled twins of C{http/fasthead.py}: a head that has come whole.

They know no more of HTTP than that module does: request lines of the plainest
kind, status lines, and the field lines that C{_fields.pyx} knows. Other request
lines are judged by C{head.parseRequestLine}, in Python. What that refuses, and
what isn't a whole head, is L{None}: the slow path decides.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.string cimport memcmp

from wasinet_twisted._speed._fields cimport Section, beginSection, chars, forgetFields, isWhole, readFields
from wasinet_twisted._speed.slots cimport SLOT, slot_give, slot_offset, slot_set

cdef extern from "heads.h":
    bint all_printable(chars at, Py_ssize_t size)
    bint all_target(chars at, Py_ssize_t size)
    chars line_end(chars at, chars stop)
    object ascii_str(chars at, Py_ssize_t size)
    PyObject* new_ascii_str "ascii_str" (chars at, Py_ssize_t size) except NULL
    bint is_subclass(object kind, object base)
    unsigned int class_version(object kind)
    bint sets_plainly(object kind)
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    Py_ssize_t PyLong_AsSsize_t(object number) except? -1

cdef enum:
    # Classes that are remembered.
    KINDS = 8
    # With larger bounds the Python counts.
    LARGE = 1 << 30

cdef struct Kind:
    PyObject* kind  # not held: its version is never another class's
    unsigned int version

cdef Kind _kinds[KINDS]

cdef struct Head:
    Section section
    # Limits.requestLine
    Py_ssize_t mostLine


def fastRequestHead(data, start, limits, kind):
    """
    See C{http.fasthead.fastRequestHead}.
    """
    cdef Head head
    if not _begin(data, start, limits, &head) or not _isPlain(kind, _RequestHead, _requestSlots):
        return _paths["http.requestHead"].python(data, start, limits, kind)
    request = _request(&head, kind)
    if request is None:
        return None
    return request, head.section.end + 2 - <chars>PyBytes_AS_STRING(data)


def fastResponseHead(data, start, limits, kind, method):
    """
    See C{http.fasthead.fastResponseHead}.
    """
    cdef Head head
    if (
        type(method) is not str
        or not _begin(data, start, limits, &head)
        or not _isPlain(kind, _ResponseHead, _responseSlots)
    ):
        return _paths["http.responseHead"].python(data, start, limits, kind, method)
    response = _response(&head, kind, <str>method)
    if response is None:
        return None
    return response, head.section.end + 2 - <chars>PyBytes_AS_STRING(data)


cdef object readRequestHead(bytes data, Py_ssize_t start, object limits, object kind, Py_ssize_t* end):
    cdef Head head
    if not _beginAt(data, start, limits, &head) or not _isPlain(kind, _RequestHead, _requestSlots):
        return None
    request = _request(&head, kind)
    if request is not None:
        end[0] = head.section.end + 2 - <chars>PyBytes_AS_STRING(data)
    return request


cdef object readResponseHead(
    bytes data, Py_ssize_t start, object limits, object kind, object method, Py_ssize_t* end
):
    cdef Head head
    if (
        type(method) is not str
        or not _beginAt(data, start, limits, &head)
        or not _isPlain(kind, _ResponseHead, _responseSlots)
    ):
        return None
    response = _response(&head, kind, <str>method)
    if response is not None:
        end[0] = head.section.end + 2 - <chars>PyBytes_AS_STRING(data)
    return response


def forget():
    """
    Forget all classes, lines and names, for tests.
    """
    cdef int i
    for i in range(KINDS):
        _kinds[i].kind = NULL
    forgetFields()


# What is given: is it what the Python is nearly always given? If not, the Python deals with it.

cdef bint _begin(object data, object start, object limits, Head* head) except -1:
    cdef Py_ssize_t at = 0
    return type(data) is bytes and _number(<PyObject*>start, &at) and _beginAt(<bytes>data, at, limits, head)


cdef bint _beginAt(bytes data, Py_ssize_t start, object limits, Head* head) except -1:
    cdef Py_ssize_t most = 0, fields = 0, left
    cdef chars first
    if not 0 <= start <= PyBytes_GET_SIZE(data) or type(limits) is not _Limits:
        return False
    if (
        not _number(SLOT(limits, _HEAD), &most)
        or not _number(SLOT(limits, _REQUEST_LINE), &head.mostLine)
        or not _number(SLOT(limits, _FIELDS), &fields)
    ):
        return False
    first = <chars>PyBytes_AS_STRING(data) + start
    left = PyBytes_GET_SIZE(data) - start
    # The empty line must begin within the bound.
    beginSection(&head.section, first, first + (left if left - 2 < most else most + 2), fields)
    return True


cdef bint _number(PyObject* given, Py_ssize_t* number) except -1:
    """
    Is this a whole number of at least 0 that any message comes near?
    """
    if given == NULL or not PyLong_CheckExact(<object>given):
        return False
    try:
        number[0] = PyLong_AsSsize_t(<object>given)
    except OverflowError:
        return False
    return 0 <= number[0] < LARGE


cdef bint _isPlain(object kind, object base, tuple slots) except -1:
    """
    Do the slots of a subclass of C{base} stand where they stand in it, with nothing of the class's own before them?
    """
    cdef unsigned int version
    cdef Kind* known = &_kinds[(<size_t><PyObject*>kind >> 4) % KINDS]
    # No class inherits from both bases: their layouts exclude each other.
    if not isinstance(kind, type) or not is_subclass(kind, base):
        return False
    version = class_version(kind)
    if version != 0 and known.kind == <PyObject*>kind and known.version == version:
        return True
    if not sets_plainly(kind):
        return False
    for name, descriptor in slots:
        if getattr(kind, name) is not descriptor:
            return False
    known.kind = <PyObject*>kind
    known.version = class_version(kind)
    return True


# The heads.

cdef object _request(Head* head, object kind):
    cdef Section* section = &head.section
    cdef chars at = section.first
    cdef chars cr = line_end(at, section.stop)
    cdef chars target = NULL
    cdef chars end
    cdef PyObject* version = NULL
    cdef PyObject* plain
    cdef list pairs
    cdef bint connects = False
    if cr == NULL or cr - at > head.mostLine:
        return None
    method = uri = None
    plain = _methodOf(at, cr - at, &target)
    if plain != NULL and memcmp(cr - 9, b" HTTP/1.", 8) == 0:
        end = cr - 9
        version = <PyObject*>_HTTP11 if (cr - 1)[0] == c"1" else <PyObject*>_HTTP10 if (cr - 1)[0] == c"0" else NULL
        if version != NULL and target < end and target[0] == c"/" and all_target(target, end - target):
            method = <object>plain
            uri = ascii_str(target, end - target)
    if method is None:
        if not isWhole(section, at):
            return None
        try:
            method, uri, found = _parseRequestLine(PyBytes_FromStringAndSize(<char*>at, cr - at))
        except _RemoteProtocolError:
            return None
        version = <PyObject*>found
        connects = method == "CONNECT"
    pairs = readFields(section, cr + 2)
    if pairs is None:
        return None
    # RFC 9112 section 3.2
    if section.hosts != 1 and (section.hosts or <str>version != _HTTP10):
        return None
    length = _NOTHING
    if section.framing == _PLAIN:
        if connects:
            length = _TUNNEL
    elif connects:
        return None
    elif section.framing == _CONTENT_LENGTH:
        length = section.length
    elif <str>version == _HTTP10:
        return None
    else:
        length = _CHUNKED
    request = new_object(kind, ())
    slot_set(request, _METHOD, method)
    slot_set(request, _URI, uri)
    slot_set(request, _VERSION, <object>version)
    slot_set(request, _PAIRS, pairs)
    slot_set(request, _HEADERS, None)
    slot_set(request, _TRAILERS, None)
    slot_set(request, _LENGTH, length)
    slot_set(request, _ASKS, section.asks)
    return request


cdef PyObject* _methodOf(chars at, Py_ssize_t size, chars* after) noexcept:
    """
    The method of a request line that is one of the usual, and where its target begins.
    """
    cdef int which
    # "GET / HTTP/1.1": so the bytes below are there.
    if size < 14:
        return NULL
    if memcmp(at, b"GET ", 4) == 0:
        which, after[0] = 0, at + 4
    elif memcmp(at, b"POST ", 5) == 0:
        which, after[0] = 1, at + 5
    elif memcmp(at, b"HEAD ", 5) == 0:
        which, after[0] = 2, at + 5
    elif memcmp(at, b"PUT ", 4) == 0:
        which, after[0] = 3, at + 4
    elif memcmp(at, b"DELETE ", 7) == 0:
        which, after[0] = 4, at + 7
    elif memcmp(at, b"PATCH ", 6) == 0:
        which, after[0] = 5, at + 6
    elif memcmp(at, b"OPTIONS ", 8) == 0:
        which, after[0] = 6, at + 8
    else:
        return NULL
    return <PyObject*>_methods[which]


cdef object _response(Head* head, object kind, str method):
    cdef Section* section = &head.section
    cdef chars at = section.first
    cdef chars cr = line_end(at, section.stop)
    cdef chars i
    cdef int status
    cdef list pairs
    # "HTTP/1.1 200 " and a reason, which may be empty.
    if cr == NULL or cr - at < 13 or memcmp(at, b"HTTP/1.1 ", 9) != 0 or at[12] != c" ":
        return None
    if not (c"2" <= at[9] <= c"5" and c"0" <= at[10] <= c"9" and c"0" <= at[11] <= c"9"):
        return None
    status = (at[9] - c"0") * 100 + (at[10] - c"0") * 10 + at[11] - c"0"
    at += 13
    if not all_printable(at, cr - at):
        i = at
        while i < cr:
            if (i[0] < 0x20 or i[0] > 0x7e) and i[0] != c"\t":
                return None
            i += 1
    pairs = readFields(section, cr + 2)
    if pairs is None:
        return None
    length = _UNTIL_CLOSE
    if method == "HEAD" or method == "CONNECT" or status == 204 or status == 304:
        # The few whose fields may not say how long the body is.
        length = None if _hasBody(status, method) else _TUNNEL if _isTunnel(status, method) else _NOTHING
    if length is None or length is _UNTIL_CLOSE:
        if section.framing == _CONTENT_LENGTH:
            length = section.length
        else:
            length = _UNTIL_CLOSE if section.framing == _PLAIN else _CHUNKED
    response = new_object(kind, ())
    slot_set(response, _STATUS, status)
    slot_give(response, _REASON, new_ascii_str(at, cr - at))
    slot_set(response, _VERSION, _HTTP11)
    slot_set(response, _PAIRS, pairs)
    slot_set(response, _HEADERS, None)
    slot_set(response, _TRAILERS, None)
    slot_set(response, _LENGTH, length)
    slot_set(response, _ASKS, section.asks)
    return response


# These stand at the end: what registers the fast path imports this one, whichever of the two comes first, and what it
# looks for has to be here by then.
from wasinet_twisted import errors
from wasinet_twisted._fast import paths
from wasinet_twisted.http import events, framing, limits
from wasinet_twisted.http import head as headModule

cdef object _RemoteProtocolError = errors.RemoteProtocolError
cdef dict _paths = paths
cdef object _parseRequestLine = headModule.parseRequestLine
cdef object _hasBody = framing.hasBody
cdef object _isTunnel = framing.isTunnel
cdef object _Limits = limits.Limits
cdef object _RequestHead = events.RequestHead
cdef object _ResponseHead = events.ResponseHead

cdef int _PLAIN = framing.PLAIN
cdef int _CONTENT_LENGTH = framing.CONTENT_LENGTH
cdef object _CHUNKED = framing.CHUNKED
cdef object _UNTIL_CLOSE = framing.UNTIL_CLOSE
cdef object _TUNNEL = framing.TUNNEL
cdef object _NOTHING = 0
cdef str _HTTP10 = "HTTP/1.0"
cdef str _HTTP11 = "HTTP/1.1"
cdef tuple _methods = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")

# The slots of a head, by their offset: those of its subclasses are the same.
cdef Py_ssize_t _VERSION = slot_offset(events.Head, "version")
cdef Py_ssize_t _PAIRS = slot_offset(events.Head, "_pairs")
cdef Py_ssize_t _HEADERS = slot_offset(events.Head, "_headers")
cdef Py_ssize_t _TRAILERS = slot_offset(events.Head, "_trailers")
cdef Py_ssize_t _LENGTH = slot_offset(events.Head, "_length")
cdef Py_ssize_t _ASKS = slot_offset(events.Head, "_asks")
cdef Py_ssize_t _METHOD = slot_offset(_RequestHead, "method")
cdef Py_ssize_t _URI = slot_offset(_RequestHead, "uri")
cdef Py_ssize_t _STATUS = slot_offset(_ResponseHead, "status")
cdef Py_ssize_t _REASON = slot_offset(_ResponseHead, "reason")
cdef Py_ssize_t _HEAD = slot_offset(_Limits, "head")
cdef Py_ssize_t _REQUEST_LINE = slot_offset(_Limits, "requestLine")
cdef Py_ssize_t _FIELDS = slot_offset(_Limits, "fields")

cdef list _common = ["version", "_pairs", "_headers", "_trailers", "_length", "_asks"]
cdef tuple _requestSlots = tuple([(name, getattr(_RequestHead, name)) for name in [*_common, "method", "uri"]])
cdef tuple _responseSlots = tuple([(name, getattr(_ResponseHead, name)) for name in [*_common, "status", "reason"]])
