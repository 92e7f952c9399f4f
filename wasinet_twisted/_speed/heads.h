/*
 * Bytes as they stand in a head: found, looked at, hashed, made objects of. What they mean is decided elsewhere.
 */
#ifndef WASINET_HEADS_H
#define WASINET_HEADS_H
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef const unsigned char *chars;

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t word(chars at)
{
    uint64_t w;
    memcpy(&w, at, 8);
    return w;
}

/* The high bit of each byte of the word that is printable ASCII, SP included. */
static inline uint64_t printable(uint64_t w)
{
    return ((w | EACH(0x80)) - EACH(0x20)) & ~(w + EACH(0x01)) & ~w & EACH(0x80);
}

/* The high bit of each byte of a word of ASCII that is not the given one. */
static inline uint64_t others(uint64_t w, unsigned char byte)
{
    return ((w ^ EACH(byte)) + EACH(0x7f)) & EACH(0x80);
}

/* Are these all printable ASCII, SP included? Eight bytes at a time; the last eight may overlap those before. */
static inline int all_printable(chars at, Py_ssize_t size)
{
    uint64_t good = EACH(0x80);
    if (size < 8) {
        for (Py_ssize_t i = 0; i < size; i++)
            if (at[i] < 0x20 || at[i] > 0x7e)
                return 0;
        return 1;
    }
    for (Py_ssize_t i = 0; i + 8 < size; i += 8)
        good &= printable(word(at + i));
    return (good & printable(word(at + size - 8))) == EACH(0x80);
}

/* The same, for what may stand in a request target: neither SP nor "#". */
static inline uint64_t target_word(uint64_t w)
{
    return printable(w) & others(w, ' ') & others(w, '#');
}

static inline int all_target(chars at, Py_ssize_t size)
{
    uint64_t good = EACH(0x80);
    if (size < 8) {
        for (Py_ssize_t i = 0; i < size; i++)
            if (at[i] <= 0x20 || at[i] > 0x7e || at[i] == '#')
                return 0;
        return 1;
    }
    for (Py_ssize_t i = 0; i + 8 < size; i += 8)
        good &= target_word(word(at + i));
    return (good & target_word(word(at + size - 8))) == EACH(0x80);
}

/* The number that these bytes are, if they are 1 to 19 digits: those fit. */
static inline int all_digits(chars at, Py_ssize_t size, uint64_t *number)
{
    uint64_t n = 0;
    if (size < 1 || size > 19)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        n = n * 10 + (at[i] - '0');
    }
    *number = n;
    return 1;
}

/* The CR of the next CRLF; NULL: there is none, or a CR that stands alone, which no head may have, comes first. */
static inline chars line_end(chars at, chars stop)
{
    chars cr = memchr(at, '\r', stop - at);
    return cr && stop - cr > 1 && cr[1] == '\n' ? cr : NULL;
}

/* Is there an empty line before stop? The same few steps a byte, whatever they are. */
static inline int has_empty_line(chars at, chars stop)
{
    uint32_t last = 0;
    while (at < stop) {
        last = last << 8 | *at++;
        if (last == 0x0d0a0d0a)
            return 1;
    }
    return 0;
}

/*
 * Any hash does: what it finds is compared, and what has the same one is forgotten for the other. Somebody who makes
 * lines of one hash makes each of them be judged anew, as unknown ones are. Only its high bits depend on all bytes.
 */
static inline uint64_t line_hash(chars at, Py_ssize_t size)
{
    const uint64_t much = UINT64_C(0x9FB21C651E98DF25);
    uint64_t h = (uint64_t)size * UINT64_C(0x9E3779B97F4A7C15);
    if (size < 8) {
        for (Py_ssize_t i = 0; i < size; i++)
            h = (h ^ at[i]) * much;
        return h;
    }
    for (Py_ssize_t i = 0; i + 8 < size; i += 8) {
        h = (h ^ word(at + i)) * much;
        h ^= h >> 29;
    }
    return (h ^ word(at + size - 8)) * much;
}

/* str of ASCII. */
static inline PyObject *ascii_str(chars at, Py_ssize_t size)
{
    PyObject *made = PyUnicode_New(size, 127);
    if (made && size)
        memcpy(PyUnicode_1BYTE_DATA(made), at, size);
    return made;
}

/* Is the str that is ASCII these bytes? */
static inline int str_is(PyObject *text, chars at, Py_ssize_t size)
{
    return PyUnicode_GET_LENGTH(text) == size && memcmp(PyUnicode_1BYTE_DATA(text), at, size) == 0;
}

static inline int bytes_are(PyObject *line, chars at, Py_ssize_t size)
{
    return PyBytes_GET_SIZE(line) == size && memcmp(PyBytes_AS_STRING(line), at, size) == 0;
}

/* (name, value); both references are taken, also where it fails. */
static inline PyObject *pair_of(PyObject *name, PyObject *value)
{
    PyObject *pair = name && value ? PyTuple_New(2) : NULL;
    if (!pair) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

/* A list of pairs, whose references it takes unless it fails. */
static inline PyObject *list_of(PyObject **pairs, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    if (list)
        for (Py_ssize_t i = 0; i < count; i++)
            PyList_SET_ITEM(list, i, pairs[i]);
    return list;
}

static inline int is_subclass(PyObject *kind, PyObject *base)
{
    return PyType_IsSubtype((PyTypeObject *)kind, (PyTypeObject *)base);
}

/* A number that changes when a class is changed, and is never given to another class; 0: there is none now. */
static inline unsigned int class_version(PyObject *kind)
{
    return ((PyTypeObject *)kind)->tp_version_tag;
}

/* Does setting an attribute run nothing of the class's own? */
static inline int sets_plainly(PyObject *kind)
{
    return ((PyTypeObject *)kind)->tp_setattro == PyObject_GenericSetAttr;
}

/* object.__new__(kind), which is right for subclasses with a dict on all versions. */
static inline PyObject *new_object(PyObject *kind, PyObject *nothing)
{
    return PyBaseObject_Type.tp_new((PyTypeObject *)kind, nothing, NULL);
}
#endif
