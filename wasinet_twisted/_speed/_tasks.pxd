# A new one, as its class makes it; the last one that nobody else has, or a new one.
cdef object newAwaited()
cdef object takeSpare()
cdef bint putSpare(object reader, type canceller) except -1
# Task.resume
cdef int goOn(object self, object value) except -1
