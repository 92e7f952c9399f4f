from cpython.object cimport PyObject

cdef extern from "slots.h":
    Py_ssize_t slot_offset(object kind, object name) except -1
    # value: a new reference, which the slot takes.
    void slot_give(object o, Py_ssize_t offset, PyObject* value)
    void slot_set(object o, Py_ssize_t offset, object value)
    # A borrowed reference, or NULL.
    PyObject* SLOT(object o, Py_ssize_t offset)
