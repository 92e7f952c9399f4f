/*
 * Python's __slots__, read and written by their offset: what a member descriptor does, without looking it up each time.
 *
 * The one place that knows how CPython lays them out. The offset is asked of the descriptor itself when a module is
 * imported, and whatever is not a plain slot is an ImportError there: then the Python runs. A class's slots stand at the
 * same offset in all its subclasses. A slot that was never set, or was deleted, is NULL: whoever reads an object that
 * users may have made or changed looks first.
 */
#ifndef WASINET_SLOTS_H
#define WASINET_SLOTS_H
#include <Python.h>
#include <structmember.h>

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* The offset of the slot that a class itself has. */
static inline Py_ssize_t slot_offset(PyObject *kind, PyObject *name)
{
    Py_ssize_t offset = -1;
    PyObject *descriptor = PyObject_GetAttr(kind, name);
    if (!descriptor)
        return -1;
    if (Py_TYPE(descriptor) == &PyMemberDescr_Type && ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX)
        offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_ImportError, "%R of %R is no slot", name, kind);
    Py_DECREF(descriptor);
    return offset;
}

/* value: a new reference, which the slot takes. What was there goes last: it may run code that looks here. */
static inline void slot_give(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    PyObject *old = SLOT(object, offset);
    SLOT(object, offset) = value;
    Py_XDECREF(old);
}

static inline void slot_set(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    Py_INCREF(value);
    slot_give(object, offset, value);
}
#endif
