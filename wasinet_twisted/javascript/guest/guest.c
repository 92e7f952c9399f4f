/* QuickJS-ng behind a few functions, compiled for wasm32-wasi.

   The host hands in one number and one value, and is called with an operation's number, two doubles, and one string or
   buffer. Whatever goes wrong in here stays in this memory: the host takes nothing for granted of what it is given. */
#include "quickjs.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
__attribute__((import_module("host"), import_name("call"))) extern int32_t
hostCall(int32_t operation, double a, double b, int32_t kind, const uint8_t *data, uint32_t size,
         const uint8_t *more, uint32_t moreSize);

/* What a value is, as guestinterface.py and sandbox.py have it. LEAVE: the script is to end here. PAIR: a text and bytes. */
enum { UNDEFINED, NONE, NUMBER, STRING, BYTES, ERROR, TRUE, FALSE, LEAVE, PAIR };
/* What the guest itself asks for; a script's operations begin at 0. */
enum { OP_LOAD = -1, OP_RESOLVE = -2, OP_REJECTED = -3, OP_HANDLED = -4, OP_UNCAUGHT = -5,
       OP_PRINTED = -6, OP_DROPPED = -7 };

#define STAGE 65536
/* Seconds for which jobs run, before the host has its turn. */
#define SLICE 0.01

/* How many bytes of printed lines are gathered. */
#define TEXT 16384
/* How many handles may be dropped before the host is told. */
#define DROPS 1024

/* What the host answers or hands in: small values here, bigger ones in a buffer of their own. And what the host takes
   after each entry, also after one that a trap has ended: what the script has printed, and which handles are gone. */
static struct {
    double number;
    uint32_t size, printed, dropped, unused;
    uint8_t data[STAGE];
    uint8_t text[TEXT];
    double handles[DROPS];
} box;
static uint8_t *big;

static JSRuntime *runtime;
static JSContext *ctx;
static JSValue hook;
/* Seconds: how long a script may run in one turn, when this entry began, and until when what runs now may run. */
static double turn, begun, deadline;
static double memoryLimit;
/* Has what runs now taken long enough for QuickJS to ask whether it is to be interrupted? */
static bool slow;
static bool collectSoon;
/* The error that was told last of an interrupted module. */
static JSValue told;
static bool leaving;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int interrupted(JSRuntime *rt, void *opaque)
{
    slow = true;
    return now() > deadline;
}

/* The script's memory: what takes more than memoryLimit is refused. That becomes an error, which takes some, too: without
   it the script would catch null. So a few small pieces may pass the limit after each refusal, up to SPARE bytes; and
   what is told to the host, by as many as are in extra. */
enum { SPARE = 1 << 20, PARDONED = 32, SMALL = 8192 };
static size_t used, extra;
static int pardoned;

static bool fits(size_t size, size_t limit) { return used <= limit && size <= limit - used; }

static bool refused(size_t size)
{
    size_t limit = (size_t)memoryLimit + extra;
    if (fits(size, limit)) return false;
    if (pardoned > 0 && size <= SMALL && fits(size, limit + SPARE)) {
        pardoned--;
        return false;
    }
    pardoned = PARDONED;
    return true;
}

static void *counted(void *pointer)
{
    if (pointer) used += malloc_usable_size(pointer);
    return pointer;
}

static void *takeMemory(void *opaque, size_t size) { return refused(size) ? NULL : counted(malloc(size)); }

static void *takeZeros(void *opaque, size_t count, size_t size)
{
    return refused(count * size) ? NULL : counted(calloc(count, size));
}

static void giveBack(void *opaque, void *pointer)
{
    if (pointer) used -= malloc_usable_size(pointer);
    free(pointer);
}

static void *resize(void *opaque, void *pointer, size_t size)
{
    size_t before = pointer ? malloc_usable_size(pointer) : 0;
    if (size > before && refused(size - before)) return NULL;
    void *moved = realloc(pointer, size);
    if (moved) used += malloc_usable_size(moved) - before;
    return moved;
}

static size_t sizeOf(const void *pointer) { return malloc_usable_size((void *)pointer); }

static const JSMallocFunctions MEMORY = { takeZeros, takeMemory, giveBack, resize, sizeOf };

void *EXPORT(theBox)(void) { return &box; }

/* Room for a value that the box is too small for; NULL if there is none. */
uint8_t *EXPORT(bigBox)(uint32_t size)
{
    free(big);
    return big = malloc(size);
}

static void emptyBigBox(void)
{
    free(big);
    big = NULL;
}

/* A message of the host's: JSON of an array, as long as the box's number says, a NUL, and bytes, which become the array's
   last element. */
static JSValue parsedPair(const char *data)
{
    size_t size = (size_t)box.number;
    JSValue head = JS_ParseJSON(ctx, data, size, "<host>");
    if (JS_IsException(head)) return head;
    int64_t length;
    JSValue bytes = JS_NewArrayBufferCopy(ctx, (const uint8_t *)data + size + 1, box.size - size - 1);
    if (JS_IsException(bytes) || JS_GetLength(ctx, head, &length) ||
        JS_DefinePropertyValueUint32(ctx, head, (uint32_t)length, bytes, JS_PROP_C_W_E) < 0) {
        JS_FreeValue(ctx, head);
        return JS_EXCEPTION;
    }
    return head;
}

/* The value that the host has put into the box. */
static JSValue taken(int32_t kind)
{
    const uint8_t *data = big ? big : box.data;
    JSValue value = JS_UNDEFINED;
    switch (kind) {
    case NONE: value = JS_NULL; break;
    case NUMBER: value = JS_NewNumber(ctx, box.number); break;
    case STRING: value = JS_NewStringLen(ctx, (const char *)data, box.size); break;
    case BYTES: value = JS_NewArrayBufferCopy(ctx, data, box.size); break;
    case PAIR: value = parsedPair((const char *)data); break;
    case TRUE: value = JS_TRUE; break;
    case FALSE: value = JS_FALSE; break;
    case ERROR:
        value = JS_NewError(ctx);
        if (JS_IsException(value)) break;
        JS_DefinePropertyValueStr(ctx, value, "message", JS_NewStringLen(ctx, (const char *)data, box.size),
                                  JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
        break;
    }
    emptyBigBox();
    return value;
}

static JSValue thrown(JSContext *c, int32_t kind)
{
    JSValue value = taken(kind);
    if (kind == ERROR && !JS_IsException(value)) return JS_Throw(c, value);
    if (kind != LEAVE) return value;
    leaving = true;
    JS_ThrowInternalError(c, "the program ends");
    value = JS_GetException(c);
    JS_SetUncatchableError(c, value);
    return JS_Throw(c, value);
}

/* The bytes of an ArrayBuffer or of a view of one; NULL and an exception if it is neither, or detached. What holds them
   is to be freed. */
static uint8_t *bytesOf(JSContext *c, JSValueConst given, size_t *size, JSValue *holder)
{
    size_t offset = 0, length = 0, each;
    bool whole = JS_IsArrayBuffer(given);
    *holder = whole ? JS_DupValue(c, given) : JS_GetTypedArrayBuffer(c, given, &offset, &length, &each);
    if (JS_IsException(*holder)) return NULL;
    uint8_t *data = JS_GetArrayBuffer(c, size, *holder);
    if (data && !whole) {
        if (offset > *size || length > *size - offset) {
            JS_ThrowRangeError(c, "the view is larger than its buffer");
            data = NULL;
        } else {
            data += offset;
            *size = length;
        }
    }
    if (!data) {
        if (!JS_HasException(c)) {
            /* An empty one may have no memory. */
            *size = 0;
            return box.data;
        }
        JS_FreeValue(c, *holder);
    }
    return data;
}

/* Handles: what the host has for the script, by number. When an object of this class goes, the host is told. */
static JSClassID handleClass;

static void tellDropped(void)
{
    if (box.dropped) hostCall(OP_DROPPED, 0, 0, UNDEFINED, NULL, 0, NULL, 0);
    box.dropped = 0;
}

static void handleGone(JSRuntime *rt, JSValueConst handle)
{
    double *number = JS_GetOpaque(handle, handleClass);
    if (!number) return;
    if (box.dropped == DROPS) tellDropped();
    box.handles[box.dropped++] = *number;
    js_free_rt(rt, number);
}

static const JSClassDef handleDefinition = { "Handle", .finalizer = handleGone };

/* handle(number) */
static JSValue newHandle(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    double number, *kept;
    if (JS_ToFloat64(c, &number, argv[0])) return JS_EXCEPTION;
    JSValue handle = JS_NewObjectClass(c, handleClass);
    if (JS_IsException(handle)) return handle;
    if (!(kept = js_malloc(c, sizeof *kept))) {
        JS_FreeValue(c, handle);
        return JS_EXCEPTION;
    }
    *kept = number;
    JS_SetOpaque(handle, kept);
    return handle;
}

static int toNumber(JSContext *c, double *number, JSValueConst given)
{
    double *kept = JS_GetOpaque(given, handleClass);
    if (!kept) return JS_ToFloat64(c, number, given);
    *number = *kept;
    return 0;
}

/* Ask the host. FAILED: there is an exception. */
enum { FAILED = -1 };

static int32_t call(JSContext *c, int32_t operation, double a, double b, JSValueConst data, JSValueConst more)
{
    int32_t kind;
    size_t size, moreSize;
    JSValue holder;
    /* What the script has let go of is gone before it asks for more. */
    if (box.dropped) tellDropped();
    if (JS_IsUndefined(data)) return hostCall(operation, a, b, UNDEFINED, NULL, 0, NULL, 0);
    if (!JS_IsString(data)) {
        uint8_t *bytes = bytesOf(c, data, &size, &holder);
        if (!bytes) return FAILED;
        kind = hostCall(operation, a, b, BYTES, bytes, size, NULL, 0);
        JS_FreeValue(c, holder);
        return kind;
    }
    const char *text = JS_ToCStringLen(c, &size, data), *second = NULL;
    if (!text) return FAILED;
    if (JS_IsUndefined(more)) {
        kind = hostCall(operation, a, b, STRING, (const uint8_t *)text, size, NULL, 0);
    } else if (JS_IsString(more)) {
        second = JS_ToCStringLen(c, &moreSize, more);
        kind = second ? hostCall(operation, a, b, PAIR, (const uint8_t *)text, size, (const uint8_t *)second, moreSize)
                      : FAILED;
        if (second) JS_FreeCString(c, second);
    } else {
        uint8_t *bytes = bytesOf(c, more, &moreSize, &holder);
        kind = bytes ? hostCall(operation, a, b, PAIR, (const uint8_t *)text, size, bytes, moreSize) : FAILED;
        if (bytes) JS_FreeValue(c, holder);
    }
    JS_FreeCString(c, text);
    return kind;
}

/* host(operation, a, b, data, more): what a script can ask for. a may be a handle; beside a text there may be more, which
   is bytes or a text, too. */
static JSValue host(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    int32_t operation = 0;
    double a = 0, b = 0;
    if (argc > 0 && JS_ToInt32(c, &operation, argv[0])) return JS_EXCEPTION;
    if (argc > 1 && toNumber(c, &a, argv[1])) return JS_EXCEPTION;
    if (argc > 2 && JS_ToFloat64(c, &b, argv[2])) return JS_EXCEPTION;
    if (operation < 0) return JS_ThrowRangeError(c, "there is no operation %d", operation);
    int32_t kind = call(c, operation, a, b, argc > 3 ? argv[3] : JS_UNDEFINED, argc > 4 ? argv[4] : JS_UNDEFINED);
    return kind == FAILED ? JS_EXCEPTION : thrown(c, kind);
}

/* Promises that the host settles, by number, from 1 on; the script's own numbers begin at WAITS. As long as one isn't
   settled, the handle that was asked stays. next: of those that are free, the one after this; -1: it isn't free. */
#define WAITS (1 << 20)
struct wait { JSValue resolve, reject, asked, make; int32_t next; };
static struct wait *waits;
static int32_t waitCount, firstFree;

static int32_t takeWait(JSContext *c)
{
    if (!firstFree) {
        int32_t more = waitCount ? 2 * waitCount : 64;
        struct wait *grown = more <= WAITS ? js_realloc(c, waits, more * sizeof *waits) : NULL;
        if (!grown) {
            if (!JS_HasException(c)) JS_ThrowOutOfMemory(c);
            return 0;
        }
        waits = grown;
        for (int32_t at = more - 1; at >= waitCount; at--) {
            /* 0 is nobody's number. */
            if (!at) break;
            waits[at].next = firstFree;
            firstFree = at;
        }
        waitCount = more;
    }
    int32_t number = firstFree;
    firstFree = waits[number].next;
    waits[number].next = -1;
    waits[number].resolve = waits[number].reject = waits[number].asked = waits[number].make = JS_UNDEFINED;
    return number;
}

/* What is freed here may run a finalizer, which asks for nothing. */
static void freeWait(JSContext *c, int32_t number)
{
    struct wait it = waits[number];
    waits[number].next = firstFree;
    firstFree = number;
    JS_FreeValue(c, it.resolve);
    JS_FreeValue(c, it.reject);
    JS_FreeValue(c, it.asked);
    JS_FreeValue(c, it.make);
}

/* What make() makes of a value, which is freed. */
static JSValue made(JSContext *c, JSValueConst make, JSValue value)
{
    if (JS_IsUndefined(make) || JS_IsException(value)) return value;
    JSValue result = JS_Call(c, make, JS_UNDEFINED, 1, &value);
    JS_FreeValue(c, value);
    return result;
}

/* Reject with the exception, or resolve with the value, which is freed. */
static void settleWith(JSContext *c, JSValueConst resolve, JSValueConst reject, JSValue value)
{
    bool failed = JS_IsException(value);
    if (failed) value = JS_GetException(c);
    JS_FreeValue(c, JS_Call(c, failed ? reject : resolve, JS_UNDEFINED, 1, &value));
    JS_FreeValue(c, value);
}

/* ask(operation, a, data, make, more): what the host gives now, or a promise. promised() gives a promise always. What comes goes
   through make(), if there is one. */
static JSValue ask(JSContext *c, JSValueConst this, int argc, JSValueConst *argv, int always)
{
    int32_t operation = 0;
    double a = 0;
    JSValue functions[2], promise, value = JS_EXCEPTION;
    JSValueConst make = argc > 3 ? argv[3] : JS_UNDEFINED;
    if (JS_ToInt32(c, &operation, argv[0]) || toNumber(c, &a, argv[1])) return JS_EXCEPTION;
    if (operation < 0) return JS_ThrowRangeError(c, "there is no operation %d", operation);
    int32_t number = takeWait(c);
    if (!number) return JS_EXCEPTION;
    int32_t kind = call(c, operation, a, number, argc > 2 ? argv[2] : JS_UNDEFINED, argc > 4 ? argv[4] : JS_UNDEFINED);
    if (kind == UNDEFINED) {
        promise = JS_NewPromiseCapability(c, functions);
        /* If there is no memory for it, the number isn't free all the same until the host has settled it. */
        if (JS_IsException(promise)) return promise;
        struct wait *it = &waits[number];
        it->resolve = functions[0];
        it->reject = functions[1];
        it->asked = JS_DupValue(c, argv[1]);
        it->make = JS_DupValue(c, make);
        return promise;
    }
    freeWait(c, number);
    if (kind != FAILED) value = made(c, make, thrown(c, kind));
    if (!always || leaving) return value;
    /* Without this, the exception would be in the way of what makes the promise. */
    JSValue error = JS_IsException(value) ? JS_GetException(c) : JS_UNDEFINED;
    promise = JS_NewPromiseCapability(c, functions);
    if (JS_IsException(promise)) {
        JS_FreeValue(c, value);
        JS_FreeValue(c, error);
        return promise;
    }
    settleWith(c, functions[0], functions[1], JS_IsException(value) ? JS_Throw(c, error) : value);
    JS_FreeValue(c, functions[0]);
    JS_FreeValue(c, functions[1]);
    return promise;
}

/* print a line */
static void tellPrinted(void)
{
    if (box.printed) hostCall(OP_PRINTED, 0, 0, STRING, box.text, box.printed, NULL, 0);
    box.printed = 0;
}

static JSValue say(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t size;
    const char *text = JS_ToCStringLen(c, &size, argv[0]);
    if (!text) return JS_EXCEPTION;
    if (size >= TEXT - box.printed) tellPrinted();
    if (size >= TEXT) {
        hostCall(OP_PRINTED, 0, 0, STRING, (const uint8_t *)text, size, NULL, 0);
    } else {
        memcpy(box.text + box.printed, text, size);
        box.printed += size;
    }
    box.text[box.printed++] = '\n';
    JS_FreeCString(c, text);
    return JS_UNDEFINED;
}

/* hook(function): what settle() calls. */
static JSValue setHook(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    JS_FreeValue(c, hook);
    hook = JS_DupValue(c, argv[0]);
    return JS_UNDEFINED;
}

/* The text of UTF-8 in a buffer or a view. Malformed bytes become U+FFFD. */
static JSValue fromUTF8(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t size;
    JSValue holder;
    uint8_t *data = bytesOf(c, argv[0], &size, &holder);
    if (!data) return JS_EXCEPTION;
    JSValue text = JS_NewStringLen(c, (const char *)data, size);
    JS_FreeValue(c, holder);
    return text;
}

static JSValue toUTF8(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t size;
    const char *text = JS_ToCStringLen(c, &size, argv[0]);
    if (!text) return JS_EXCEPTION;
    JSValue buffer = JS_NewArrayBufferCopy(c, (const uint8_t *)text, size);
    JS_FreeCString(c, text);
    return buffer;
}

/* How deep JSON may be nested. JSON.stringify takes the square of that, in one call that can't be interrupted: without a
   bound, brackets that a peer has sent could end a program that only sends them back. */
#define NESTED 5000

static bool isNestedTooDeep(const char *text, size_t size)
{
    bool quoted = false;
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > NESTED) return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

/* JSON.parse, with a bound. */
static JSValue parse(JSContext *c, JSValueConst this, int argc, JSValueConst *argv, int magic, JSValue *data)
{
    size_t size;
    const char *text = JS_ToCStringLen(c, &size, argv[0]);
    if (!text) return JS_EXCEPTION;
    JSValue value;
    if (isNestedTooDeep(text, size)) {
        value = JS_ThrowRangeError(c, "JSON is nested deeper than %d", NESTED);
    } else if (argc > 1 && JS_IsFunction(c, argv[1])) {
        /* What was looked at is what is parsed: an object's text may be another one the next time. */
        JSValue arguments[2] = { JS_NewStringLen(c, text, size), JS_DupValue(c, argv[1]) };
        value = JS_IsException(arguments[0]) ? JS_EXCEPTION : JS_Call(c, data[0], this, 2, arguments);
        JS_FreeValue(c, arguments[0]);
        JS_FreeValue(c, arguments[1]);
    } else {
        value = JS_ParseJSON(c, text, size, "<input>");
    }
    JS_FreeCString(c, text);
    return value;
}

static void boundJSON(JSValueConst global)
{
    JSValue json = JS_GetPropertyStr(ctx, global, "JSON");
    JSValue original = JS_GetPropertyStr(ctx, json, "parse");
    JSValue bounded = JS_NewCFunctionData(ctx, parse, 2, 0, 1, &original);
    JS_DefinePropertyValueStr(ctx, bounded, "name", JS_NewString(ctx, "parse"), JS_PROP_CONFIGURABLE);
    JS_DefinePropertyValueStr(ctx, json, "parse", bounded, JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
    JS_FreeValue(ctx, original);
    JS_FreeValue(ctx, json);
}

/* Tell the host of an error: its text, a line end, its stack. */
static void describe(int32_t operation, double a, JSValueConst error)
{
    static const char none[] = "an error that has no text";
    size_t size, more = 0;
    /* Where the memory is full, there has to be some to say so. */
    extra = STAGE;
    const char *stack = NULL, *text = JS_ToCStringLen(ctx, &size, error);
    if (!text) JS_FreeValue(ctx, JS_GetException(ctx));
    if (JS_IsError(error)) {
        JSValue property = JS_GetPropertyStr(ctx, error, "stack");
        if (JS_IsException(property)) JS_FreeValue(ctx, JS_GetException(ctx));
        else if (JS_IsString(property)) stack = JS_ToCStringLen(ctx, &more, property);
        JS_FreeValue(ctx, property);
    }
    char *whole = text ? malloc(size + more + 1) : NULL;
    if (whole) {
        memcpy(whole, text, size);
        whole[size] = '\n';
        if (stack) memcpy(whole + size + 1, stack, more);
        hostCall(operation, a, 0, STRING, (const uint8_t *)whole, size + 1 + (stack ? more : 0), NULL, 0);
    } else {
        hostCall(operation, a, 0, STRING, (const uint8_t *)none, sizeof none - 1, NULL, 0);
    }
    free(whole);
    JS_FreeCString(ctx, stack);
    JS_FreeCString(ctx, text);
    extra = 0;
}

static void rejection(JSContext *c, JSValueConst promise, JSValueConst reason, bool handled, void *opaque)
{
    double which = (double)(uintptr_t)JS_VALUE_GET_PTR(promise);
    if (!handled && JS_IsUncatchableError(reason)) {
        /* A module was interrupted: its promise is rejected all the same, and those that wait for it. It is told once. */
        if (!leaving && !JS_IsStrictEqual(c, told, reason)) describe(OP_UNCAUGHT, true, reason);
        JS_FreeValue(c, told);
        told = JS_DupValue(c, reason);
        collectSoon = true;
        return;
    }
    if (handled) hostCall(OP_HANDLED, which, 0, UNDEFINED, NULL, 0, NULL, 0);
    else describe(OP_REJECTED, which, reason);
}

/* What the host answers to a question of the guest's own, as C's string: the host decides what import finds. */
static char *asked(JSContext *c, int32_t operation, double a, const char *data, size_t size)
{
    int32_t kind = hostCall(operation, a, 0, STRING, (const uint8_t *)data, size, NULL, 0);
    if (kind != STRING) {
        JSValue error = taken(kind == ERROR ? ERROR : UNDEFINED);
        if (JS_IsException(error)) return NULL;
        if (kind == ERROR) JS_Throw(c, error);
        else JS_ThrowInternalError(c, "the host has no answer");
        return NULL;
    }
    char *answer = js_malloc(c, (size_t)box.size + 1);
    if (answer) {
        memcpy(answer, big ? big : box.data, box.size);
        answer[box.size] = 0;
    }
    emptyBigBox();
    return answer;
}

static char *resolve(JSContext *c, const char *base, const char *name, void *opaque)
{
    size_t first = strlen(base), second = strlen(name);
    char *both = js_malloc(c, first + second + 1);
    if (!both) return NULL;
    memcpy(both, base, first);
    memcpy(both + first, name, second);
    char *found = asked(c, OP_RESOLVE, first, both, first + second);
    js_free(c, both);
    return found;
}

static JSModuleDef *load(JSContext *c, const char *name, void *opaque)
{
    char *source = asked(c, OP_LOAD, 0, name, strlen(name));
    if (!source) return NULL;
    JSValue module = JS_Eval(c, source, box.size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    js_free(c, source);
    if (JS_IsException(module)) return NULL;
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JS_FreeValue(c, module);
    return definition;
}

/* An exception has left the script. One that nobody can catch has interrupted it: what it held, only the collector finds. */
static void uncaught(void)
{
    JSValue error = JS_GetException(ctx);
    bool uncatchable = JS_IsUncatchableError(error);
    if (!leaving) {
        deadline = now() + turn;
        describe(OP_UNCAUGHT, uncatchable, error);
    }
    JS_FreeValue(ctx, error);
    if (uncatchable) collectSoon = true;
}

static void collectIfDue(void)
{
    if (!collectSoon) return;
    collectSoon = false;
    JS_RunGC(runtime);
}

/* Run jobs for a slice of time: true while there are more. */
static int32_t drain(void)
{
    JSContext *c;
    int done = 0;
    double until = begun + SLICE;
    collectIfDue();
    if (slow && now() > until) return !leaving && JS_IsJobPending(runtime);
    for (int jobs = 1; !leaving; jobs++) {
        slow = false;
        done = JS_ExecutePendingJob(runtime, &c);
        if (done < 0) uncaught();
        collectIfDue();
        if (!done) break;
        if (slow || (jobs & 31) == 0) {
            double t = now();
            if (t > until) return !leaving && JS_IsJobPending(runtime);
            deadline = t + turn;
        }
    }
    return 0;
}

static void begin(void)
{
    begun = now();
    deadline = begun + turn;
    slow = false;
    JS_UpdateStackTop(runtime);
}

/* memory and stack in bytes, the turn in seconds. Not 0: there is no memory. */
int32_t EXPORT(start)(double memory, double stack, double turnSeconds)
{
    memoryLimit = memory;
    runtime = JS_NewRuntime2(&MEMORY, NULL);
    if (!runtime) return -1;
    JS_SetMaxStackSize(runtime, (size_t)stack);
    JS_SetInterruptHandler(runtime, interrupted, NULL);
    JS_SetHostPromiseRejectionTracker(runtime, rejection, NULL);
    JS_SetModuleLoaderFunc(runtime, resolve, load, NULL);
    turn = turnSeconds;
    ctx = JS_NewContext(runtime);
    if (!ctx) return -1;
    hook = told = JS_UNDEFINED;
    JSValue global = JS_GetGlobalObject(ctx);
    JS_SetPropertyStr(ctx, global, "__host", JS_NewCFunction(ctx, host, "host", 4));
    JS_SetPropertyStr(ctx, global, "__hook", JS_NewCFunction(ctx, setHook, "hook", 1));
    JS_NewClassID(runtime, &handleClass);
    if (JS_NewClass(runtime, handleClass, &handleDefinition)) return -1;
    JS_SetPropertyStr(ctx, global, "__ask", JS_NewCFunctionMagic(ctx, ask, "ask", 4, JS_CFUNC_generic_magic, false));
    JS_SetPropertyStr(ctx, global, "__promised", JS_NewCFunctionMagic(ctx, ask, "promised", 4, JS_CFUNC_generic_magic, true));
    JS_SetPropertyStr(ctx, global, "__handle", JS_NewCFunction(ctx, newHandle, "handle", 1));
    JS_SetPropertyStr(ctx, global, "__say", JS_NewCFunction(ctx, say, "say", 1));
    JS_SetPropertyStr(ctx, global, "__toUTF8", JS_NewCFunction(ctx, toUTF8, "toUTF8", 1));
    JS_SetPropertyStr(ctx, global, "newStringFromUTF8", JS_NewCFunction(ctx, fromUTF8, "newStringFromUTF8", 1));
    boundJSON(global);
    JS_FreeValue(ctx, global);
    return 0;
}

/* Run the source in the big box, which ends with a NUL that size doesn't count; its name is in the box and ends so, too.
   module: 0 a script, 1 a module. True: jobs are left, call jobs() soon. */
int32_t EXPORT(evaluate)(uint32_t size, int32_t module)
{
    begin();
    uint8_t *source = big;
    big = NULL;
    JSValue value = JS_Eval(ctx, (const char *)source, size, (const char *)box.data,
                            module ? JS_EVAL_TYPE_MODULE : JS_EVAL_TYPE_GLOBAL);
    free(source);
    if (JS_IsException(value)) uncaught();
    JS_FreeValue(ctx, value);
    return drain();
}

/* Hand a value to the promise of that number, or else to the hook, and run the jobs that come of it. */
int32_t EXPORT(settle)(int32_t number, int32_t kind)
{
    begin();
    JSValue value = taken(kind);
    if (kind == ERROR && !JS_IsException(value)) value = JS_Throw(ctx, value);
    if (number > 0 && number < waitCount && waits[number].next < 0) {
        JSValue make = JS_DupValue(ctx, waits[number].make);
        JSValue resolve = JS_DupValue(ctx, waits[number].resolve), reject = JS_DupValue(ctx, waits[number].reject);
        freeWait(ctx, number);
        value = made(ctx, make, value);
        if (JS_IsUndefined(resolve)) JS_FreeValue(ctx, JS_IsException(value) ? JS_GetException(ctx) : value);
        else settleWith(ctx, resolve, reject, value);
        JS_FreeValue(ctx, make);
        JS_FreeValue(ctx, resolve);
        JS_FreeValue(ctx, reject);
        return drain();
    }
    /* If the memory is full, that is what the script is told. */
    bool failed = JS_IsException(value);
    JSValue arguments[3] = { JS_NewInt32(ctx, number), failed ? JS_TRUE : JS_FALSE,
                             failed ? JS_GetException(ctx) : value };
    JSValue done = JS_Call(ctx, hook, JS_UNDEFINED, 3, arguments);
    if (JS_IsException(done)) uncaught();
    JS_FreeValue(ctx, done);
    JS_FreeValue(ctx, arguments[2]);
    return drain();
}

/* Go on with the jobs that are left. */
int32_t EXPORT(jobs)(void)
{
    begin();
    return drain();
}

int32_t EXPORT(collect)(void)
{
    begin();
    collectSoon = true;
    return drain();
}

/* Bytes that the engine has allocated. */
double EXPORT(usage)(void)
{
    JSMemoryUsage u;
    JS_ComputeMemoryUsage(runtime, &u);
    return (double)u.malloc_size;
}
