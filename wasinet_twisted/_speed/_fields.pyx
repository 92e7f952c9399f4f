# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Field lines: known ones recognised, all others judged in Python. What C{http/fasthead._fields} does.

Known are lines that have been seen before, and lines whose name has been seen and
whose value is printable ASCII, or for Content-Length digits. Every other line is
judged by C{fields.parseFieldLine}; what that refuses is left to the slow path.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memchr

cdef extern from "heads.h":
    bint all_printable(chars at, Py_ssize_t size)
    bint all_digits(chars at, Py_ssize_t size, uint64_t* number)
    chars line_end(chars at, chars stop)
    bint has_empty_line(chars at, chars stop)
    uint64_t line_hash(chars at, Py_ssize_t size)
    # NULL where it fails, which pair_of() hands on.
    PyObject* new_value "ascii_str" (chars at, Py_ssize_t size)
    bint str_is(PyObject* text, chars at, Py_ssize_t size)
    bint bytes_are(PyObject* line, chars at, Py_ssize_t size)
    PyObject* pair_of(PyObject* name, PyObject* value) except NULL
    list list_of(PyObject** pairs, Py_ssize_t count)

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    # Slots of the caches; both are bounded, and what is driven out is judged anew.
    LINES = 1 << 10
    LINES_SHIFT = 64 - 10
    NAMES = 1 << 9
    NAMES_SHIFT = 64 - 9
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

cdef struct Field:
    PyObject* pair  # a reference of its own
    uint64_t meaning
    int kind

# A line or a name stands at its hash or beside it; the older of two gives way. No entry is looked at after anything
# has been called that may run Python: that may change them.
cdef Line _lines[LINES]
cdef Name _names[NAMES]


def remembered():
    """
    Return the lines and the names that are remembered, for tests.
    """
    return (
        [<object>line.line for line in _lines if line.line != NULL],
        [<object>name.name for name in _names if name.name != NULL],
    )


cdef int forgetFields() except -1:
    """
    Forget all lines and names.
    """
    cdef int i
    for i in range(LINES):
        _forgetLine(&_lines[i])
    for i in range(NAMES):
        Py_XDECREF(_names[i].name)
        _names[i].name = NULL
    return 0


cdef void beginSection(Section* section, chars first, chars stop, Py_ssize_t most) noexcept:
    section.first = first
    section.stop = stop
    section.most = most if most < MOST_FIELDS else MOST_FIELDS
    section.whole = False
    section.framing = _PLAIN
    section.length = 0
    section.hosts = section.asks = 0


cdef list readFields(Section* section, chars at):
    """
    Read field lines, up to the empty one; what they say goes to C{section}.

    @return: the pairs; L{None}: not known.
    """
    cdef PyObject* found[MOST_FIELDS]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    cdef Field field
    cdef chars cr = NULL
    cdef list pairs = None
    field.pair = NULL
    try:
        while True:
            cr = line_end(at, section.stop)
            if cr == NULL:
                return None
            if cr == at:
                break
            if count >= section.most or not _readField(section, at, cr - at, &field):
                return None
            found[count] = field.pair
            field.pair = NULL
            count += 1
            at = cr + 2
            if field.kind == _PLAIN:
                continue
            if field.kind == _HOST:
                # An invalid one counts for two.
                section.hosts += 2 - <int>field.meaning
            elif field.kind > _TRANSFER_ENCODING:
                # asks.added()
                section.asks |= <int>field.meaning | (section.asks & <int>field.meaning & _CONTINUE) << 1
            elif section.framing != _PLAIN:
                return None
            else:
                section.framing = field.kind
                section.length = field.meaning
        section.end = cr
        pairs = list_of(found, count)
        return pairs
    finally:
        if pairs is None:
            for i in range(count):
                Py_DECREF(<object>found[i])
            # One that had been read when its line could not be remembered.
            Py_XDECREF(field.pair)


cdef bint _readField(Section* section, chars at, Py_ssize_t size, Field* field) except -1:
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
    return _judge(at, size, h, field) or (isWhole(section, at) and _judgeInPython(at, size, h, field))


cdef bint _judge(chars at, Py_ssize_t size, uint64_t h, Field* field) except -1:
    """
    Judge a line whose name has been seen before, and whose value is plain. What C{fields.parseFieldLine} does first.
    """
    cdef chars colon = <chars>memchr(at, c":", size)
    cdef chars end = at + size
    cdef chars value
    cdef Name* known
    cdef PyObject* name
    cdef PyObject* text
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
    text = new_value(value, end - value)
    field.pair = pair_of(name, text)
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


cdef bint isWhole(Section* section, chars at) noexcept:
    if not section.whole:
        section.whole = has_empty_line(at, section.stop)
    return section.whole


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


# These stand at the end: what registers the fast path imports this one, whichever of the two comes first.
from wasinet_twisted import errors
from wasinet_twisted.http import asks, fields, framing

cdef object _RemoteProtocolError = errors.RemoteProtocolError
cdef object _fields = fields
cdef object _parseFieldLine = fields.parseFieldLine
cdef dict _cache = fields.cache
cdef dict _knownNames = fields._names

cdef int _PLAIN = framing.PLAIN
cdef int _HOST = framing.HOST
cdef int _CONTENT_LENGTH = framing.CONTENT_LENGTH
cdef int _TRANSFER_ENCODING = framing.TRANSFER_ENCODING
cdef int _CONTINUE = asks.CONTINUE
