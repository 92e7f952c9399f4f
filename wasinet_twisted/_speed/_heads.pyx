# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Compiled twins of C{http/fasthead.py}: a head that has come whole.

They know no more of HTTP than that module does: the plainest request line, field
lines that have been seen before, and lines whose name has been seen and whose
value is printable ASCII, or for Content-Length digits. Every other line is judged
by C{fields.parseFieldLine} or C{head.parseRequestLine}, in Python. What those
refuse, and what isn't a whole head, is L{None}: the slow path decides.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_DECREF, Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp

from wasinet_twisted._speed.slots cimport SLOT, slot_offset

cdef extern from "slots.h":
    void slot_give(object o, Py_ssize_t offset, PyObject* value)
    void slot_set(object o, Py_ssize_t offset, object value)

cdef extern from "heads.h":
    ctypedef const unsigned char* chars
    bint all_printable(chars at, Py_ssize_t size)
    bint all_target(chars at, Py_ssize_t size)
    bint all_digits(chars at, Py_ssize_t size, uint64_t* number)
    chars line_end(chars at, chars stop)
    bint has_empty_line(chars at, chars stop)
    uint64_t line_hash(chars at, Py_ssize_t size)
    object ascii_str(chars at, Py_ssize_t size)
    PyObject* new_ascii_str "ascii_str" (chars at, Py_ssize_t size) except NULL
    bint str_is(PyObject* text, chars at, Py_ssize_t size)
    bint bytes_are(PyObject* line, chars at, Py_ssize_t size)
    PyObject* pair_of(PyObject* name, PyObject* value) except NULL
    list list_of(PyObject** pairs, Py_ssize_t count)
    bint is_subclass(object kind, object base)
    unsigned int class_version(object kind)
    bint sets_plainly(object kind)
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    Py_ssize_t clipped "PyNumber_AsSsize_t" (object number, PyObject* error) except? -1
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    ctypedef struct PyTypeObject

cdef enum:
    # Slots of the caches; both are bounded, and what is driven out is judged anew.
    LINES = 1 << 10
    LINES_SHIFT = 64 - 10
    NAMES = 1 << 9
    NAMES_SHIFT = 64 - 9
    KINDS = 8
    # More fields than Limits.fields allows by default; heads with still more take the slow path.
    MOST_FIELDS = 128
    # With larger bounds, which no message comes near, the Python counts.
    MOST_BOUND = 1 << 30
    # Longer lines and names are not looked up. Not below fields.CACHED_LINE, which says what is kept.
    LONGEST = 128

cdef struct Line:
    uint64_t hash
    uint64_t meaning
    PyObject* line  # bytes
    PyObject* pair
    int kind

cdef struct Name:
    uint64_t hash
    PyObject* name  # str of ASCII
    int kind
    bint cacheable

cdef struct Kind:
    PyObject* kind  # not held: its version is never another class's
    unsigned int version

# A line or a name stands at its hash or beside it; the older of two gives way. No entry is looked at after anything
# has been called that may run Python: that may change them.
cdef Line _lines[LINES]
cdef Name _names[NAMES]
cdef Kind _kinds[KINDS]

cdef struct Head:
    # What is read, and where the last byte may be that belongs to the head.
    chars first
    chars stop
    # Limits.requestLine and Limits.fields
    Py_ssize_t mostLine
    Py_ssize_t mostFields
    # Is the empty line known to be there? Only then is anything judged in Python.
    bint whole
    # What the fields have said: PLAIN, CONTENT_LENGTH or TRANSFER_ENCODING, and the length.
    int framing
    uint64_t length
    int hosts
    int asks
    # The CR of the empty line.
    chars end

cdef struct Field:
    PyObject* pair  # a reference of its own
    uint64_t meaning
    int kind


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
    return request, head.end + 2 - <chars>PyBytes_AS_STRING(data)


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
    return response, head.end + 2 - <chars>PyBytes_AS_STRING(data)


cdef object readRequestHead(bytes data, Py_ssize_t start, object limits, object kind, Py_ssize_t* end):
    cdef Head head
    if not _beginAt(data, start, limits, &head) or not _isPlain(kind, _RequestHead, _requestSlots):
        return None
    request = _request(&head, kind)
    if request is not None:
        end[0] = head.end + 2 - <chars>PyBytes_AS_STRING(data)
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
        end[0] = head.end + 2 - <chars>PyBytes_AS_STRING(data)
    return response


def forget():
    """
    Forget all lines, names and classes, for tests.
    """
    cdef int i
    for i in range(LINES):
        _forgetLine(&_lines[i])
    for i in range(NAMES):
        Py_XDECREF(_names[i].name)
        _names[i].name = NULL
    for i in range(KINDS):
        _kinds[i].kind = NULL


def remembered():
    """
    Return the lines and the names that are remembered, for tests.
    """
    return (
        [<object>line.line for line in _lines if line.line != NULL],
        [<object>name.name for name in _names if name.name != NULL],
    )


# What is given: is it what the Python is nearly always given? If not, the Python deals with it.

cdef bint _begin(object data, object start, object limits, Head* head) except -1:
    return (
        type(data) is bytes
        and type(start) is int
        and _beginAt(<bytes>data, clipped(start, NULL), limits, head)
    )


cdef bint _beginAt(bytes data, Py_ssize_t start, object limits, Head* head) except -1:
    cdef Py_ssize_t most = 0, left
    if start < 0 or start > PyBytes_GET_SIZE(data) or type(limits) is not _Limits:
        return False
    if (
        not _bound(SLOT(limits, _HEAD), &most)
        or not _bound(SLOT(limits, _REQUEST_LINE), &head.mostLine)
        or not _bound(SLOT(limits, _FIELDS), &head.mostFields)
    ):
        return False
    head.first = <chars>PyBytes_AS_STRING(data) + start
    left = PyBytes_GET_SIZE(data) - start
    # The empty line must begin within the bound.
    head.stop = head.first + (left if left - 2 < most else most + 2)
    if head.mostFields > MOST_FIELDS:
        head.mostFields = MOST_FIELDS
    head.whole = False
    head.framing = _PLAIN
    head.length = 0
    head.hosts = head.asks = 0
    return True


cdef bint _bound(PyObject* given, Py_ssize_t* bound) except -1:
    if given == NULL or not PyLong_CheckExact(<object>given):
        return False
    bound[0] = clipped(<object>given, NULL)
    return 0 <= bound[0] < MOST_BOUND


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
    cdef chars at = head.first
    cdef chars cr = line_end(at, head.stop)
    cdef chars target = NULL
    cdef chars end
    cdef PyObject* version = NULL
    cdef PyObject* plain
    cdef list pairs
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
        if not _isWhole(head, at):
            return None
        try:
            method, uri, found = _parseRequestLine(PyBytes_FromStringAndSize(<char*>at, cr - at))
        except _RemoteProtocolError:
            return None
        version = <PyObject*>found
    pairs = _readFields(head, cr + 2)
    if pairs is None:
        return None
    # RFC 9112 section 3.2
    if head.hosts != 1 and (head.hosts or <str>version != _HTTP10):
        return None
    length = _NOTHING
    if head.framing == _PLAIN:
        if <str>method == "CONNECT":
            length = _TUNNEL
    elif <str>method == "CONNECT":
        return None
    elif head.framing == _CONTENT_LENGTH:
        length = head.length
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
    slot_set(request, _ASKS, head.asks)
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
    cdef chars at = head.first
    cdef chars cr = line_end(at, head.stop)
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
    pairs = _readFields(head, cr + 2)
    if pairs is None:
        return None
    length = _UNTIL_CLOSE
    if method == "HEAD" or method == "CONNECT" or status == 204 or status == 304:
        # The few whose fields may not say how long the body is.
        length = None if _hasBody(status, method) else _TUNNEL if _isTunnel(status, method) else _NOTHING
    if length is None or length is _UNTIL_CLOSE:
        if head.framing == _CONTENT_LENGTH:
            length = head.length
        else:
            length = _UNTIL_CLOSE if head.framing == _PLAIN else _CHUNKED
    response = new_object(kind, ())
    slot_set(response, _STATUS, status)
    slot_give(response, _REASON, new_ascii_str(at, cr - at))
    slot_set(response, _VERSION, _HTTP11)
    slot_set(response, _PAIRS, pairs)
    slot_set(response, _HEADERS, None)
    slot_set(response, _TRAILERS, None)
    slot_set(response, _LENGTH, length)
    slot_set(response, _ASKS, head.asks)
    return response


# Their fields.

cdef list _readFields(Head* head, chars at):
    """
    Read field lines, up to the empty one; what they say goes to C{head}.

    @return: the pairs; L{None}: not known.
    """
    cdef PyObject* found[MOST_FIELDS]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    cdef Field field
    cdef chars cr = NULL
    cdef list pairs = None
    try:
        while True:
            cr = line_end(at, head.stop)
            if cr == NULL:
                return None
            if cr == at:
                break
            if count >= head.mostFields or not _readField(head, at, cr - at, &field):
                return None
            found[count] = field.pair
            count += 1
            at = cr + 2
            if field.kind == _PLAIN:
                continue
            if field.kind == _HOST:
                # An invalid one counts for two.
                head.hosts += 2 - <int>field.meaning
            elif field.kind > _TRANSFER_ENCODING:
                # asks.added()
                head.asks |= <int>field.meaning | (head.asks & <int>field.meaning & _CONTINUE) << 1
            elif head.framing != _PLAIN:
                return None
            else:
                head.framing = field.kind
                head.length = field.meaning
        head.end = cr
        pairs = list_of(found, count)
        return pairs
    finally:
        if pairs is None:
            for i in range(count):
                Py_DECREF(<object>found[i])


cdef bint _readField(Head* head, chars at, Py_ssize_t size, Field* field) except -1:
    """
    Read one field line.

    @return: is it valid?
    """
    cdef uint64_t h = 0
    cdef Line* line
    if size <= LONGEST:
        h = line_hash(at, size)
        line = &_lines[h >> LINES_SHIFT]
        if line.hash != h:
            line = &_lines[h >> LINES_SHIFT ^ 1]
        if line.hash == h and line.line != NULL and bytes_are(line.line, at, size):
            field.pair = line.pair
            field.kind = line.kind
            field.meaning = line.meaning
            Py_INCREF(<object>field.pair)
            return True
    return _judge(at, size, h, field) or (_isWhole(head, at) and _judgeInPython(at, size, h, field))


cdef bint _judge(chars at, Py_ssize_t size, uint64_t h, Field* field) except -1:
    """
    Judge a line whose name has been seen before, and whose value is plain. What C{fields.parseFieldLine} does first.
    """
    cdef chars colon = <chars>memchr(at, c":", size)
    cdef chars end = at + size
    cdef chars value
    cdef Name* known
    cdef PyObject* name
    cdef bint cacheable
    if colon == NULL:
        return False
    known = _nameOf(at, colon - at)
    if known == NULL:
        return False
    value = colon + 1
    if not all_printable(value, end - value):
        return False
    while value < end and value[0] == c" ":
        value += 1
    while end > value and (end - 1)[0] == c" ":
        end -= 1
    field.meaning = 0
    if known.kind != _PLAIN and not (
        known.kind == _CONTENT_LENGTH and all_digits(value, end - value, &field.meaning)
    ):
        return False
    field.kind = known.kind
    cacheable = known.cacheable
    name = known.name
    Py_INCREF(<object>name)
    field.pair = pair_of(name, new_ascii_str(value, end - value))
    if cacheable:
        _remember(at, size, h, field)
    return True


cdef bint _judgeInPython(chars at, Py_ssize_t size, uint64_t h, Field* field) except -1:
    line = PyBytes_FromStringAndSize(<char*>at, size)
    found = _cache.get(line)
    if found is None:
        try:
            found = _parseFieldLine(line)
        except _RemoteProtocolError:
            return False
    pair, field.kind, field.meaning = found
    name = pair[0]
    # What the Python remembers of the name, if it does.
    known = _knownNames.get(name)
    Py_INCREF(pair)
    field.pair = <PyObject*>pair
    if known is not None:
        _rememberName(name, known[0], known[1])
        if known[1]:
            _remember(at, size, h, field)
    return True


cdef bint _isWhole(Head* head, chars at) noexcept:
    if not head.whole:
        head.whole = has_empty_line(at, head.stop)
    return head.whole


# The caches.

cdef Name* _nameOf(chars at, Py_ssize_t size) noexcept:
    cdef uint64_t h
    cdef Name* known
    if size > LONGEST:
        return NULL
    h = line_hash(at, size)
    known = &_names[h >> NAMES_SHIFT]
    if known.hash != h:
        known = &_names[h >> NAMES_SHIFT ^ 1]
    return known if known.hash == h and known.name != NULL and str_is(known.name, at, size) else NULL


cdef int _rememberName(str name, int kind, bint cacheable) except -1:
    cdef Py_ssize_t size = 0
    cdef chars at = <chars>PyUnicode_AsUTF8AndSize(name, &size)
    cdef uint64_t h
    cdef Name* entry
    cdef Name* beside
    cdef PyObject* old
    # A token is ASCII.
    if size > LONGEST or _nameOf(at, size) != NULL:
        return 0
    h = line_hash(at, size)
    entry = &_names[h >> NAMES_SHIFT]
    beside = &_names[h >> NAMES_SHIFT ^ 1]
    old = beside.name
    beside[0] = entry[0]
    Py_INCREF(name)
    entry.name = <PyObject*>name
    entry.hash = h
    entry.kind = kind
    entry.cacheable = cacheable
    Py_XDECREF(old)
    return 0


cdef int _remember(chars at, Py_ssize_t size, uint64_t h, Field* field) except -1:
    cdef Line* entry
    cdef Line* beside
    cdef Line old
    if size > LONGEST or size > <Py_ssize_t>_fields.CACHED_LINE:
        return 0
    line = PyBytes_FromStringAndSize(<char*>at, size)
    entry = &_lines[h >> LINES_SHIFT]
    beside = &_lines[h >> LINES_SHIFT ^ 1]
    old = beside[0]
    beside[0] = entry[0]
    Py_INCREF(line)
    Py_INCREF(<object>field.pair)
    entry.line = <PyObject*>line
    entry.pair = field.pair
    entry.hash = h
    entry.kind = field.kind
    entry.meaning = field.meaning
    _forgetLine(&old)
    return 0


cdef int _forgetLine(Line* entry) except -1:
    cdef PyObject* line = entry.line
    cdef PyObject* pair = entry.pair
    entry.line = entry.pair = NULL
    Py_XDECREF(line)
    Py_XDECREF(pair)
    return 0


# These stand at the end: the module that registers the fast path imports this one, whichever of the two comes first,
# and what it looks for has to be here by then.
from sys import intern

from wasinet_twisted import errors
from wasinet_twisted._fast import paths
from wasinet_twisted.http import asks, events, fields, framing, limits
from wasinet_twisted.http import head as headModule

cdef object _RemoteProtocolError = errors.RemoteProtocolError
cdef dict _paths = paths
cdef object _fields = fields
cdef object _parseFieldLine = fields.parseFieldLine
cdef dict _cache = fields.cache
cdef dict _knownNames = fields._names
cdef object _parseRequestLine = headModule.parseRequestLine
cdef object _hasBody = framing.hasBody
cdef object _isTunnel = framing.isTunnel
cdef object _Limits = limits.Limits
cdef object _RequestHead = events.RequestHead
cdef object _ResponseHead = events.ResponseHead

cdef int _PLAIN = framing.PLAIN
cdef int _HOST = framing.HOST
cdef int _CONTENT_LENGTH = framing.CONTENT_LENGTH
cdef int _TRANSFER_ENCODING = framing.TRANSFER_ENCODING
cdef int _CONTINUE = asks.CONTINUE
cdef object _CHUNKED = framing.CHUNKED
cdef object _UNTIL_CLOSE = framing.UNTIL_CLOSE
cdef object _TUNNEL = framing.TUNNEL
cdef object _NOTHING = 0
cdef str _HTTP10 = "HTTP/1.0"
# One object for all twins: who compares it finds that at once.
cdef str _HTTP11 = intern("HTTP/1.1")
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
