ctypedef int (*Following)(object self) except -1

# handling.handle, of a connection and a request.
cdef int handle(object self, object request) except -1
cdef bint asWritten() except -1
cdef int keepAsWritten() except -1
# Says what HttpProtocol.follow's twin is.
cdef int thenFollow(Following follow) except -1
