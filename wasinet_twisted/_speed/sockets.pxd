from cpython.object cimport PyObject

# A socket's descriptor, without a call. It stands before its family, which has a member descriptor; checkSockets() says
# whether it does in this Python. Python sets it to -1 when it closes the socket: so whoever has closed a transport's
# socket beneath it can't have us write to a file that has got the same number since. A copy of the number in a slot, or
# the one that epoll tells, would be less of CPython's, and less safe.
cdef extern from *:
    """
    #ifndef WASINET_SOCKETS
    #define WASINET_SOCKETS
    #include <structmember.h>

    static inline Py_ssize_t wasinet_before_family(PyObject *descriptor)
    {
        PyMemberDescrObject *member = (PyMemberDescrObject *)descriptor;
        if (Py_TYPE(descriptor) != &PyMemberDescr_Type || member->d_member->type != T_INT) {
            PyErr_SetString(PyExc_ImportError, "a socket's family is no int in its struct");
            return -1;
        }
        return member->d_member->offset - (Py_ssize_t)sizeof(int);
    }
    #define wasinet_fd(socket, offset) (*(int *)((char *)(socket) + (offset)))
    #endif
    """
    Py_ssize_t wasinet_before_family(object) except -1
    int wasinet_fd(PyObject*, Py_ssize_t)
