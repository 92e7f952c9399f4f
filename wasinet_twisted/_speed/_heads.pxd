# A whole head that begins at start in data; None: it isn't known, and nothing has been done. *end: where its body begins.
cdef object readRequestHead(bytes data, Py_ssize_t start, object limits, object kind, Py_ssize_t* end)
cdef object readResponseHead(
    bytes data, Py_ssize_t start, object limits, object kind, object method, Py_ssize_t* end
)
