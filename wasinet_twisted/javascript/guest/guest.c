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
hostCall(int32_t operation, double a, double b, int32_t kind, const uint8_t *data, uint32_t size);

/* What a value is, as guestinterface.py and sandbox.py have it. LEAVE: the script is to end here. */
enum { UNDEFINED, NONE, NUMBER, STRING, BYTES, ERROR, TRUE, FALSE, LEAVE };
/* What the guest itself asks for; a script's operations begin at 0. */
enum { OP_LOAD = -1, OP_RESOLVE = -2, OP_REJECTED = -3, OP_HANDLED = -4, OP_UNCAUGHT = -5 };

#define STAGE 65536
/* Seconds for which jobs run, before the host has its turn. */
#define SLICE 0.01

/* What the host answers or hands in: small values here, bigger ones in a buffer of their own. */
static struct { double number; uint32_t size; uint32_t unused; uint8_t data[STAGE]; } box;
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

/* host(operation, a, b, data): what a script can ask for. */
static JSValue host(JSContext *c, JSValueConst this, int argc, JSValueConst *argv)
{
    int32_t operation = 0;
    double a = 0, b = 0;
    if (argc > 0 && JS_ToInt32(c, &operation, argv[0])) return JS_EXCEPTION;
    if (argc > 1 && JS_ToFloat64(c, &a, argv[1])) return JS_EXCEPTION;
    if (argc > 2 && JS_ToFloat64(c, &b, argv[2])) return JS_EXCEPTION;
    if (operation < 0) return JS_ThrowRangeError(c, "there is no operation %d", operation);
    int32_t kind;
    size_t size;
    if (argc < 4 || JS_IsUndefined(argv[3])) {
        kind = hostCall(operation, a, b, UNDEFINED, NULL, 0);
    } else if (JS_IsString(argv[3])) {
        const char *text = JS_ToCStringLen(c, &size, argv[3]);
        if (!text) return JS_EXCEPTION;
        kind = hostCall(operation, a, b, STRING, (const uint8_t *)text, size);
        JS_FreeCString(c, text);
    } else {
        JSValue holder;
        uint8_t *data = bytesOf(c, argv[3], &size, &holder);
        if (!data) return JS_EXCEPTION;
        kind = hostCall(operation, a, b, BYTES, data, size);
        JS_FreeValue(c, holder);
    }
    return thrown(c, kind);
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
        hostCall(operation, a, 0, STRING, (const uint8_t *)whole, size + 1 + (stack ? more : 0));
    } else {
        hostCall(operation, a, 0, STRING, (const uint8_t *)none, sizeof none - 1);
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
    if (handled) hostCall(OP_HANDLED, which, 0, UNDEFINED, NULL, 0);
    else describe(OP_REJECTED, which, reason);
}

/* What the host answers to a question of the guest's own, as C's string: the host decides what import finds. */
static char *asked(JSContext *c, int32_t operation, double a, const char *data, size_t size)
{
    int32_t kind = hostCall(operation, a, 0, STRING, (const uint8_t *)data, size);
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

/* Hand a value to the hook, and run the jobs that come of it. */
int32_t EXPORT(settle)(int32_t number, int32_t kind)
{
    begin();
    JSValue arguments[3] = { JS_NewInt32(ctx, number), kind == ERROR ? JS_TRUE : JS_FALSE, taken(kind) };
    if (JS_IsException(arguments[2])) {
        /* The memory is full: that is what the script is told. */
        arguments[1] = JS_TRUE;
        arguments[2] = JS_GetException(ctx);
    }
    JSValue value = JS_Call(ctx, hook, JS_UNDEFINED, 3, arguments);
    if (JS_IsException(value)) uncaught();
    JS_FreeValue(ctx, value);
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
