from cpython.object cimport PyObject

cdef enum:
    MOST = 16

cdef class Watch:
    cdef tuple kinds
    cdef list seen
    # The same, borrowed.
    cdef PyObject* pointers[MOST]
    cdef int count
    cdef bint same
    cdef unsigned int tags[MOST]
    cdef bint unchanged(self) except -1
    cdef bint _look(self) except -1
