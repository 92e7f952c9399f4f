/*
 * The C{send} of a Once, from CPython 3.12 on what an await calls at its end. The result is an exception there; Cython
 * would give it a traceback, at twice the cost of all the rest.
 */
#ifndef WASINET_ONCE_H
#define WASINET_ONCE_H
#include <Python.h>

/* The type's own am_send does it. */
static PyObject *once_send(PyObject *self, PyObject *value)
{
    PyObject *result = NULL, *stop;
    PySendResult how = Py_TYPE(self)->tp_as_async->am_send(self, value, &result);
    if (how != PYGEN_RETURN)
        return result;
    /* Made here: PyErr_SetObject would take a tuple for its arguments. */
    stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL);
    Py_DECREF(result);
    if (stop) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyObject *once_next(PyObject *self)
{
    return once_send(self, Py_None);
}

static PyMethodDef once_send_method = {"send", once_send, METH_O, "See C{Generator.send}."};

static inline int once_ready(PyTypeObject *type, void *send)
{
    PyObject *method = PyDescr_NewMethod(type, &once_send_method);
    int failed = !method || PyDict_SetItemString(type->tp_dict, "send", method);
    Py_XDECREF(method);
    type->tp_as_async->am_send = (sendfunc)send;
    type->tp_iternext = once_next;
    PyType_Modified(type);
    return failed ? -1 : 0;
}
#endif
