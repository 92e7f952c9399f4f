# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
The compiled twin of C{http/outgoing.fastResponse}: a response whose body is there and whose fields are known.

The field lines and status lines are those that C{http/outgoing.py} remembers. A field whose name has been sent before
and whose value is printable ASCII needs no more; every other one is judged and remembered there, in Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy

from wasinet_twisted._speed.slots cimport SLOT, slot_offset

cdef extern from "heads.h":
    ctypedef const unsigned char* chars
    bint all_printable(chars at, Py_ssize_t size)

cdef extern from *:
    """
    /* Writes the digits of a number so that they end before `end`; returns where they begin. */
    static inline char *digits_before(char *end, Py_ssize_t number)
    {
        do {
            *--end = (char)('0' + number % 10);
            number /= 10;
        } while (number);
        return end;
    }
    """
    char* digits_before(char* end, Py_ssize_t number)

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    PyObject* PyDict_GetItemWithError(dict where, object key) except? NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    # A response with more fields is encoded in Python.
    MOST_FIELDS = 64
    # Enough for any Py_ssize_t.
    MOST_DIGITS = 20
    # So many names are known, of so many characters at most.
    MOST_NAMES = 256
    LONGEST = 128

# Field lines as they are sent, with a reference to each; and their length.
cdef struct Lines:
    PyObject* found[MOST_FIELDS]
    Py_ssize_t count
    Py_ssize_t size


def forget():
    """
    Forget all names, for tests.
    """
    _prefixes.clear()


def remembered():
    """
    Return the names that are remembered, for tests.
    """
    return list(_prefixes)


def fastResponse(response, method, date, persistence):
    """
    See C{http.outgoing.fastResponse}.
    """
    if type(date) is bytes and type(persistence) is bytes:
        encoded = encodeResponse(response, method, <bytes>date, <bytes>persistence)
        if encoded is not None:
            return encoded
    return _paths["http.response"].python(response, method, date, persistence)


cdef bytes encodeResponse(object response, object method, bytes date, bytes persistence):
    if _WasiResponse is None:
        _resolve()
    if type(response) is not _WasiResponse or type(method) is not str or date is None or persistence is None:
        return None
    if <str>method == "HEAD" or <str>method == "CONNECT":
        return None
    cdef PyObject* status = SLOT(response, _STATUS)
    cdef PyObject* reason = SLOT(response, _REASON)
    cdef PyObject* given = SLOT(response, _BODY)
    cdef PyObject* version = SLOT(response, _VERSION)
    cdef PyObject* trailers = SLOT(response, _TRAILERS)
    # Those that users have deleted are NULL. 200.0 would be found among the status lines, but is none.
    if status == NULL or not PyLong_CheckExact(<object>status) or given == NULL or type(<object>given) is not bytes:
        return None
    if version == NULL or (version != <PyObject*>_HTTP11 and not _equals(<object>version, _HTTP11)):
        return None
    if trailers != <PyObject*>None and (trailers == NULL or <object>trailers):
        return None
    cdef PyObject* known = PyDict_GetItemWithError(_statusLines, <object>status)
    if known == NULL or reason == NULL:
        return None
    # Held, because a field's name may be an object whose comparison runs anything.
    cdef tuple statusLine = <tuple>known
    cdef bytes body = <bytes>given
    if reason != <PyObject*>statusLine[0] and not _equals(<object>reason, statusLine[0]):
        return None
    cdef Lines lines
    lines.count = lines.size = 0
    try:
        if not _collect(response, &lines):
            return None
        return _join(statusLine[1], date, &lines, persistence, body)
    finally:
        while lines.count:
            lines.count -= 1
            Py_DECREF(<object>lines.found[lines.count])


cdef bint _equals(object given, str wanted):
    """
    Is this exactly a str, and the same? A subclass may have its own idea of that.
    """
    return type(given) is str and <str>given == wanted


cdef bint _collect(object response, Lines* lines) except -1:
    """
    Find the line of each field.

    @return: are they all known?
    """
    cdef PyObject* given = SLOT(response, _HEADERS)
    cdef list pairs
    cdef Py_ssize_t i = 0
    if given == NULL:
        return False
    if given != <PyObject*>None:
        if type(<object>given) is not _CIMultiDict:
            return False
        for pair in (<object>given).items():
            if not _add(lines, pair):
                return False
        return True
    given = SLOT(response, _PAIRS)
    if given == NULL or type(<object>given) is not list:
        return False
    pairs = <list>given
    while i < len(pairs):
        if not _add(lines, pairs[i]):
            return False
        i += 1
    return True


cdef bint _add(Lines* lines, object pair) except -1:
    cdef PyObject* known
    if lines.count == MOST_FIELDS:
        return False
    try:
        known = PyDict_GetItemWithError(_lines, pair)
    except TypeError:
        # It can't be looked up, nor sent.
        return False
    line = <object>known if known != NULL else _plainLine(pair)
    if line is None:
        line = _learnCommon(pair)
        if type(line) is not bytes:
            return False
        if type(pair) is tuple:
            _rememberName(<tuple>pair, <bytes>line)
    Py_INCREF(line)
    lines.found[lines.count] = <PyObject*>line
    lines.count += 1
    lines.size += PyBytes_GET_SIZE(<bytes>line)
    return True


cdef object _plainLine(object pair):
    """
    Make the line of a field whose value is another one each time: whose name is known, and whose value is printable
    ASCII, with no white space around it.

    @return: L{None}: the Python judges it.
    """
    cdef PyObject* prefix
    cdef chars text
    cdef Py_ssize_t size
    cdef char* at
    if type(pair) is not tuple or len(<tuple>pair) != 2:
        return None
    name, value = <tuple>pair
    if type(name) is not str or type(value) is not str or not PyUnicode_IS_COMPACT_ASCII(value):
        return None
    prefix = PyDict_GetItemWithError(_prefixes, name)
    if prefix == NULL:
        return None
    text = <chars>PyUnicode_1BYTE_DATA(value)
    size = PyUnicode_GET_LENGTH(value)
    if not all_printable(text, size) or (size and (text[0] == c" " or text[size - 1] == c" ")):
        return None
    line = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(<bytes>prefix) + size + 2)
    at = _put(PyBytes_AS_STRING(line), PyBytes_AS_STRING(<bytes>prefix), PyBytes_GET_SIZE(<bytes>prefix))
    at = _put(at, <char*>text, size)
    _put(at, b"\r\n", 2)
    return line


cdef int _rememberName(tuple pair, bytes line) except -1:
    """
    The Python has made a line: then the name is a token, and none that frames the body or ends the connection.
    """
    name = pair[0]
    if type(name) is str and len(<str>name) <= LONGEST:
        if len(_prefixes) >= MOST_NAMES:
            _prefixes.clear()
        _prefixes[name] = line[: len(<str>name) + 2]
    return 0


cdef bytes _join(bytes statusLine, bytes date, Lines* lines, bytes persistence, bytes body):
    """
    What the Python writes as C{b"%b%b%bContent-Length: %d\\r\\n%b\\r\\n%b"}.
    """
    cdef char digits[MOST_DIGITS]
    cdef char* end = digits + MOST_DIGITS
    cdef char* number = digits_before(end, PyBytes_GET_SIZE(body))
    cdef Py_ssize_t i
    cdef bytes encoded = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(statusLine) + PyBytes_GET_SIZE(date) + lines.size + 16 + (end - number) + 2
        + PyBytes_GET_SIZE(persistence) + 2 + PyBytes_GET_SIZE(body),
    )
    cdef char* at = PyBytes_AS_STRING(encoded)
    at = _put(at, PyBytes_AS_STRING(statusLine), PyBytes_GET_SIZE(statusLine))
    at = _put(at, PyBytes_AS_STRING(date), PyBytes_GET_SIZE(date))
    for i in range(lines.count):
        at = _put(at, PyBytes_AS_STRING(<bytes>lines.found[i]), PyBytes_GET_SIZE(<bytes>lines.found[i]))
    at = _put(at, b"Content-Length: ", 16)
    at = _put(at, number, end - number)
    at = _put(at, b"\r\n", 2)
    at = _put(at, PyBytes_AS_STRING(persistence), PyBytes_GET_SIZE(persistence))
    at = _put(at, b"\r\n", 2)
    _put(at, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    return encoded


cdef inline char* _put(char* at, const char* what, Py_ssize_t size) noexcept:
    memcpy(at, what, size)
    return at + size


cdef int _resolve() except -1:
    """
    Look for what stands in C{http/outgoing.py} after the fast path, or in modules that import that.
    """
    global _WasiResponse, _learnCommon
    from wasinet_twisted.http import messages, outgoing

    _learnCommon = outgoing._learnCommon
    _WasiResponse = messages.WasiResponse
    return 0


cdef object _WasiResponse = None
cdef object _learnCommon = None

# These stand at the end: the module that registers the fast path imports this one, whichever of the two comes first.
from sys import intern

from multidict import CIMultiDict
from wasinet_twisted._fast import paths
from wasinet_twisted.http import events, outgoing

cdef dict _paths = paths
# The names of fields that have been sent, and what their lines begin with.
cdef dict _prefixes = {}
cdef dict _lines = outgoing.lines
cdef dict _statusLines = outgoing._statusLines
cdef object _CIMultiDict = CIMultiDict
cdef str _HTTP11 = intern("HTTP/1.1")

# The slots of a response, by their offset.
cdef Py_ssize_t _VERSION = slot_offset(events.Head, "version")
cdef Py_ssize_t _PAIRS = slot_offset(events.Head, "_pairs")
cdef Py_ssize_t _HEADERS = slot_offset(events.Head, "_headers")
cdef Py_ssize_t _TRAILERS = slot_offset(events.Head, "_trailers")
cdef Py_ssize_t _BODY = slot_offset(events.Head, "_body")
cdef Py_ssize_t _STATUS = slot_offset(events.ResponseHead, "status")
cdef Py_ssize_t _REASON = slot_offset(events.ResponseHead, "reason")
