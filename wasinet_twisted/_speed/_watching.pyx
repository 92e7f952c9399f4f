# cython: language_level=3
"""
Has somebody replaced a method of the classes that a twin stands for?

A twin that calls no method of Python's would pass by a replaced one: a test's, or
a user's. So each twin looks first whether the classes are as they were. CPython
gives a class another version tag with each change of it or of its bases; comparing
a dozen tags costs as much as one look-up of a method. What a tag says is checked
by name when it has changed: a change that is taken back counts as none.
"""
from cpython.dict cimport PyDict_Next

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned int tp_version_tag

# Of the names with two underscores, those that decide how attributes and objects behave. Others come by themselves:
# zope.interface keeps its records in the classes.
_WATCHED = frozenset(("__init__", "__new__", "__getattribute__", "__setattr__", "__delattr__", "__len__", "__slots__"))


cdef class Watch:
    """
    Some classes, as they are when this is made.
    """

    def __init__(self, *kinds):
        assert len(kinds) <= MOST
        self.kinds = kinds
        self.count = 0
        for kind in kinds:
            self.pointers[self.count] = <PyObject*>kind
            self.count += 1
        self.seen = [_namesOf(kind) for kind in kinds]
        self._look()

    cdef bint unchanged(self) except -1:
        """
        Is each class as it was?
        """
        cdef int i
        for i in range(self.count):
            if (<PyTypeObject*>self.pointers[i]).tp_version_tag != self.tags[i]:
                return self._look()
        return self.same

    cdef bint _look(self) except -1:
        cdef int i
        self.same = True
        for i, kind in enumerate(self.kinds):
            if _namesOf(kind) != self.seen[i]:
                self.same = False
            # A look-up gives it a tag, if there is one left: a class that is changed a thousand times may get no more.
            getattr(kind, "__init__")
            self.tags[i] = (<PyTypeObject*><PyObject*>kind).tp_version_tag
            if self.tags[i] == 0:
                self.same = False
        return self.same


def _namesOf(kind):
    found = {}
    for each in reversed(kind.__mro__):
        found.update({name: value for name, value in vars(each).items() if name[:2] != "__" or name in _WATCHED})
    return found


# The modules, names and functions that are watched: a Named borrows from here.
cdef list _watched = []


cdef int watchName(Named* named, object module, str name, object function) except -1:
    """
    @param function: what stands there, or is about to.
    """
    names = vars(module)
    _watched.append((names, name, function))
    named.names = <PyObject*>names
    named.name = <PyObject*>name
    named.function = <PyObject*>function
    named.at = 0
    return 0


cdef bint lookFor(Named* named) except -1:
    cdef Py_ssize_t at = 0
    cdef PyObject* name
    cdef PyObject* function
    named.at = at
    while PyDict_Next(<object>named.names, &at, &name, &function):
        if name == named.name:
            return function == named.function
        named.at = at
    # Deleted: whoever calls it gets the error.
    return False
