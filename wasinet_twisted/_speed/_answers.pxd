# The bytes of a response; None: it isn't known, and nothing has been done.
cdef bytes encodeResponse(object response, object method, bytes date, bytes persistence)
