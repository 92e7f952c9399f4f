# What a URL means; None: it isn't known, and nothing has been done.
cdef object targetOf(str url)
# The bytes of a request; None: the Python makes them, and may refuse it.
cdef object encode(object plan, object target, str method, list fields, bytes body)
