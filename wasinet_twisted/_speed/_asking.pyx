# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of what the client makes of nearly every request: a URL taken apart, and the bytes of it all.

    targetOf    urls.parseUrl, of a URL to an origin that has been seen before
    encode      Hop.request, WasiRequest.encode and ClientConnection.request

C{_fetching} says what is true of them.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

from wasinet_twisted._speed.slots cimport SLOT, slot_offset, slot_set

from wasinet_twisted.client import planning as _planning, urls as _urls
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import outgoing as _outgoing

cdef extern from "heads.h":
    ctypedef const unsigned char* chars
    bint all_printable(chars at, Py_ssize_t size)
    object ascii_str(chars at, Py_ssize_t size)
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(dict where, object key) except? NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    # A request with more fields is encoded in Python.
    MOST_FIELDS = 32
    # So many names of fields are remembered; then all are forgotten.
    MOST_REMEMBERED = 256
    LONGEST_NAME = 64

cdef type Target = _urls.Target
cdef Py_ssize_t ORIGIN = slot_offset(Target, "origin"), PATH = slot_offset(Target, "path")
cdef Py_ssize_t HOST = slot_offset(Target, "host"), FRAGMENT = slot_offset(Target, "fragment")
cdef Py_ssize_t USERINFO = slot_offset(Target, "userinfo"), DEFAULTS = slot_offset(_planning.Plan, "defaults")

# What these fields mean to a connection or to a default is for the Python to find out.
cdef frozenset SPECIAL = frozenset((
    "host", "connection", "content-length", "transfer-encoding", "expect", "te", "upgrade", "trailer",
    "range",
))
cdef dict AUTHORITIES = _urls._authorities
# Which characters a path and a query may have as they are; "%" is one of them, and is looked at.
cdef unsigned char PLAIN[256]
cdef int _code
for _code in range(256):
    PLAIN[_code] = _code < 128 and _urls._valid("/" + chr(_code)) is not None

# By the names of fields that are tokens, and none of the special ones, what their lines begin with.
cdef dict _prefixes = {}
# Of those names, the ones that stand instead of a default, and their names in lower case.
cdef dict _replacing = {}
# The lines of a plan's defaults, by their names in lower case; all of them together; and of which plan.
cdef dict _linesOfDefaults = {}
cdef bytes _defaultLines = b""
cdef object _defaults = None


cdef object targetOf(str url):
    cdef chars text
    cdef Py_ssize_t size, at, i
    cdef PyObject* known
    if not PyUnicode_IS_COMPACT_ASCII(url):
        return None
    text = <chars>PyUnicode_1BYTE_DATA(url)
    size = PyUnicode_GET_LENGTH(url)
    at = 8
    while at < size and text[at] != c"/":
        at += 1
    if at >= size:
        return None
    known = PyDict_GetItemWithError(AUTHORITIES, ascii_str(text, at))
    if known is NULL:
        return None
    i = at
    while i < size:
        if not PLAIN[text[i]]:
            if text[i] != c"%" or i + 2 >= size or not _isHex(text[i + 1]) or not _isHex(text[i + 2]):
                return None
            i += 2
        elif text[i] == c"." and text[i - 1] == c"/":
            return None
        i += 1
    origin, host = <object>known
    target = new_object(Target, ())
    slot_set(target, ORIGIN, origin)
    slot_set(target, HOST, host)
    slot_set(target, PATH, ascii_str(text + at, size - at))
    slot_set(target, FRAGMENT, None)
    slot_set(target, USERINFO, None)
    return target


cdef inline bint _isHex(unsigned char c) noexcept:
    return c"0" <= c <= c"9" or c"a" <= (c | 0x20) <= c"f"


cdef object encode(object plan, object target, str method, list fields, bytes body):
    """
    @param fields: pairs that nobody else has.
    @param body: whose length is told; L{None}: there is none, nor is anything said of it.
    @return: the request as bytes; L{None}: the Python makes it, and may refuse it.
    """
    cdef list lines = []
    cdef Py_ssize_t size
    cdef str path = <str>SLOT(target, PATH), host = <str>SLOT(target, HOST)
    cdef bytes defaults, length = b""
    cdef dict table
    cdef list replaced = None
    cdef char* to
    cdef PyObject* given = SLOT(plan, DEFAULTS)
    cdef PyObject* known
    if given is NULL or type(<object>given) is not tuple or PyList_GET_SIZE(fields) > MOST_FIELDS:
        return None
    # Held: what is learnt of other defaults meanwhile is longer, perhaps.
    table = _linesOfDefaults if given is <PyObject*>_defaults else _learnDefaults(<object>given)
    for name, value in fields:
        line = _lineOf(name, value)
        if line is None:
            return None
        lines.append(line)
        known = PyDict_GetItemWithError(_replacing, name)
        if known is not NULL:
            if replaced is None:
                replaced = []
            replaced.append(<object>known)
    defaults = _defaultLines if replaced is None and table is _linesOfDefaults else _defaultsBut(table, replaced)
    if body is not None:
        length = b"Content-Length: %d\r\n" % PyBytes_GET_SIZE(body)
    size = PyBytes_GET_SIZE(defaults) + PyBytes_GET_SIZE(length) + 22
    for line in lines:
        size += PyBytes_GET_SIZE(<bytes>line)
    size += PyUnicode_GET_LENGTH(method) + PyUnicode_GET_LENGTH(path) + PyUnicode_GET_LENGTH(host)
    if body is not None:
        size += PyBytes_GET_SIZE(body)
    encoded = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(encoded)
    to = _putText(to, method)
    to = _put(to, b" ", 1)
    to = _putText(to, path)
    to = _put(to, b" HTTP/1.1\r\nHost: ", 17)
    to = _putText(to, host)
    to = _put(to, b"\r\n", 2)
    for line in lines:
        to = _putBytes(to, <bytes>line)
    to = _putBytes(to, defaults)
    to = _putBytes(to, length)
    to = _put(to, b"\r\n", 2)
    if body is not None:
        _putBytes(to, body)
    return encoded


cdef dict _learnDefaults(tuple defaults):
    global _defaults, _defaultLines, _linesOfDefaults
    cdef dict table = {name: _outgoing.encodeField(*pair) for name, pair in defaults}
    _defaultLines = b"".join(table.values())
    _linesOfDefaults = table
    _defaults = defaults
    return table


cdef bytes _defaultsBut(dict table, list replaced):
    """
    The lines of the defaults that the caller's fields don't replace.
    """
    return b"".join([line for name, line in table.items() if replaced is None or name not in replaced])


cdef object _lineOf(object name, object value):
    """
    @return: the line of a field that is none of the special ones; L{None}: the Python judges it.
    """
    cdef PyObject* prefix
    cdef chars text
    cdef Py_ssize_t size
    cdef char* to
    if type(name) is not str or type(value) is not str or not PyUnicode_IS_COMPACT_ASCII(value):
        return None
    prefix = PyDict_GetItemWithError(_prefixes, name)
    if prefix is NULL:
        if len(<str>name) > LONGEST_NAME or (<str>name).lower() in SPECIAL:
            return None
        try:
            line = _outgoing.encodeField(name, value)
        except LocalProtocolError:
            return None
        if len(_prefixes) >= MOST_REMEMBERED:
            forget()
        _prefixes[name] = (<bytes>line)[: len(<str>name) + 2]
        if (<str>name).lower() in _linesOfDefaults:
            _replacing[name] = (<str>name).lower()
        return line
    text = <chars>PyUnicode_1BYTE_DATA(value)
    size = PyUnicode_GET_LENGTH(value)
    if not all_printable(text, size) or (size and (text[0] == c" " or text[size - 1] == c" ")):
        return None
    line = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(<bytes>prefix) + size + 2)
    to = _put(PyBytes_AS_STRING(line), PyBytes_AS_STRING(<bytes>prefix), PyBytes_GET_SIZE(<bytes>prefix))
    to = _put(to, <char*>text, size)
    _put(to, b"\r\n", 2)
    return line


cdef inline char* _put(char* to, const char* what, Py_ssize_t size) noexcept:
    memcpy(to, what, size)
    return to + size


cdef inline char* _putBytes(char* to, bytes what) noexcept:
    return _put(to, PyBytes_AS_STRING(what), PyBytes_GET_SIZE(what))


cdef inline char* _putText(char* to, str text):
    # ASCII, all of it: methods, and what a Target has.
    return _put(to, <char*>PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text))


def forget():
    """
    Forget all names, for tests.
    """
    _prefixes.clear()
    _replacing.clear()
