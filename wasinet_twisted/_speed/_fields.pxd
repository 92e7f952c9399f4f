from libc.stdint cimport uint64_t

cdef extern from "heads.h":
    ctypedef const unsigned char* chars

cdef struct Section:
    # Where what is read begins, and before what its empty line has to end.
    chars first
    chars stop
    # Limits.fields
    Py_ssize_t most
    # Is the empty line known to be there? Only then is anything judged in Python.
    bint whole
    # What the fields have said: framing.PLAIN, CONTENT_LENGTH or TRANSFER_ENCODING, and the length;
    # how many Hosts there are; what is asked of the connection.
    int framing
    uint64_t length
    int hosts
    int asks
    # The CR of the empty line.
    chars end

# More fields than Limits.fields allows by default; sections with still more take the slow path.
cdef enum:
    MOST_FIELDS = 128

cdef void beginSection(Section* section, chars first, chars stop, Py_ssize_t most) noexcept
# The pairs of the field lines that begin at some place, up to the empty one; None: not known.
cdef list readFields(Section* section, chars at)
# Is the empty line there?
cdef bint isWhole(Section* section, chars at) noexcept
cdef int forgetFields() except -1
