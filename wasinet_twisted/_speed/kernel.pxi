# What the kernel has: events, bytes of sockets, and the time.

from posix.time cimport clock_gettime, timespec

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_wait(int, epoll_event*, int, int)
    unsigned int EPOLLIN

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void*, size_t, int)
    ssize_t send(int, const void*, size_t, int)
    int MSG_DONTWAIT

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC_COARSE


cdef inline double coarse() noexcept:
    """
    The seconds of a clock that moves once in some milliseconds, and costs the least.
    """
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return now.tv_sec + now.tv_nsec * 1e-9
