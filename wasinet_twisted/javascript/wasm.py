"""
What all guests of a process share: the compiled module, and the clock that ends a call which nothing else can.

wasmtime's package for Python takes 30 to 100 us a call (https://github.com/bytecodealliance/wasmtime-py, issues 96 and
140), so that a guest is set up with it, and called by three functions of wasmtime's C API directly, by cffi. For that,
this module leans on names that the package keeps to itself. No other module does; C{tests/javascript/test_wasm.py} says
which of them has moved.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import threading
import time
from contextlib import suppress
from typing import Any

from ..errors import NotSupported
from .guest import read

# Beside a script's objects, in bytes: the engine's own, and the values on their way.
RESERVE = 8 << 20
# Seconds between two looks at whether a call has taken too long.
TICK = 0.05
# How far the main thread's stack is let grow, in bytes.
_STACK = 64 << 20
# What other threads have.
_THREAD_STACK = 8 << 20
# QuickJS counts the part of its frames that is in the guest's memory: at least a twentieth of what they take in all. By
# that, deep nesting is a RangeError, and not a trap, which would end the guest.
_PART = 20
# The guest has 2 MiB of stack in its own memory.
_MOST_SCRIPT_STACK = 1600 << 10
_PAGE = 64 << 10

_DECLARATIONS = """
typedef struct {
    double number; uint32_t size, printed, dropped, unused; uint8_t data[65536]; uint8_t text[16384];
    double handles[1024];
} Box;
typedef struct {
    int32_t operation; int32_t pad[3]; double a; double pad2; double b; double pad3; int32_t kind; int32_t pad4[3];
    uint32_t data; int32_t pad5[3]; uint32_t size; int32_t pad6[3]; uint32_t more; int32_t pad7[3];
    uint32_t moreSize; int32_t pad8[3];
} HostCall;
void *wasmtime_func_call_unchecked(void *context, const void *function, void *arguments, size_t count, void **trap);
void wasmtime_context_set_epoch_deadline(void *context, uint64_t ticks);
void *wasmtime_linker_define_func_unchecked(void *linker, const char *module, size_t moduleSize, const char *name,
    size_t nameSize, const void *type, void *(*callback)(void *, void *, HostCall *, size_t), void *environment,
    void *finalizer);
"""

_PLACE = re.compile(r"[0-9]+: \S*::|at |Stack backtrace:")

NEEDS_JS = "JavaScript needs the extra: pip install 'wasinet_twisted[js]'"


def raiseStack() -> None:
    """
    Let the main thread's stack grow to 64 MiB, where that is allowed: a script then has some 5,000 calls in one
    another instead of 1,000. To be called before the first L{compiled}.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = _STACK if hard == resource.RLIM_INFINITY else min(_STACK, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


def _stack() -> int:
    """
    Return how many bytes of this thread's stack a guest may take: three quarters.
    """
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if threading.current_thread() is not threading.main_thread():
        soft = _THREAD_STACK if soft == resource.RLIM_INFINITY else min(soft, _THREAD_STACK)
    return (_STACK if soft == resource.RLIM_INFINITY else min(soft, _STACK)) * 3 // 4


class Compiled:
    """
    The module, compiled for this machine, and wasmtime's C API.

    @ivar scriptStack: bytes of the guest's own stack that scripts may take.
    """

    def __init__(self, reserved: int) -> None:
        """
        @param reserved: how many bytes a guest's memory may take, where addresses are scarce; 0: all that WebAssembly
            can address are set aside, which spares the guest a check at each access.
        @raise NotSupported: something is missing.
        """
        try:
            import wasmtime
            from cffi import FFI
            from wasmtime import _ffi
        except ImportError as error:
            raise NotSupported(NEEDS_JS) from error

        binary = read()
        stack = _stack()
        self.scriptStack = min(stack // _PART, _MOST_SCRIPT_STACK)
        self.ffi: Any = FFI()
        self.ffi.cdef(_DECLARATIONS)
        self.lib: Any = self.ffi.dlopen(str(_ffi.filename))
        config = wasmtime.Config()
        config.epoch_interruption = True
        # wasmtime wants it to be larger than the other one, and has no name for it in Python.
        _ffi.dll.wasmtime_config_async_stack_size_set(config.ptr(), ctypes.c_size_t(stack))
        config.max_wasm_stack = stack
        if reserved:
            config.memory_reservation = -(-reserved // _PAGE) * _PAGE
            config.memory_may_move = False
            config.memory_guard_size = _PAGE
        # There may be no place for it.
        with suppress(wasmtime.WasmtimeError):
            # In the user's cache: to compile takes seconds.
            config.cache = True
        self.engine = wasmtime.Engine(config)
        self.module = wasmtime.Module(self.engine, binary)
        i32, f64 = wasmtime.ValType.i32, wasmtime.ValType.f64
        self._type = wasmtime.FuncType([i32(), f64(), f64(), i32(), i32(), i32(), i32(), i32()], [i32()])
        threading.Thread(target=self._tick, name="wasinet javascript clock", daemon=True).start()

    def pointer(self, given: Any) -> Any:
        """
        Return a pointer of ctypes as one of cffi.
        """
        return self.ffi.cast("void *", ctypes.cast(given, ctypes.c_void_p).value)

    def contextOf(self, store: Any) -> Any:
        """
        Return what the C API knows a store by.
        """
        return self.pointer(store._context())

    def functionOf(self, export: Any) -> Any:
        """
        Return a guest's function, as the C API calls it. It is good for as long as C{export} is there.
        """
        return self.ffi.cast("void *", ctypes.addressof(export._func))

    def textOf(self, error: Any, trap: Any) -> str:
        """
        Return what wasmtime says of a call that has failed, and free that.

        @param error: what the call has returned.
        @param trap: what it has set, where C{error} is NULL.
        """
        from wasmtime import Trap, WasmtimeError, _ffi

        kind: Any = WasmtimeError if error else Trap
        foreign: Any = _ffi.wasmtime_error_t if error else _ffi.wasm_trap_t
        at = error or trap
        address = int(self.ffi.cast("intptr_t", at))
        return str(kind._from_ptr(ctypes.cast(address, ctypes.POINTER(foreign))))

    def define(self, linker: Any, callback: Any) -> None:
        """
        Let a guest's import C{host.call} be C{callback}, which has to outlive it.
        """
        null = self.ffi.NULL
        self.lib.wasmtime_linker_define_func_unchecked(
            self.pointer(linker.ptr()), b"host", 4, b"call", 4, self.pointer(self._type.ptr()), callback, null, null
        )

    def _tick(self) -> None:
        while True:
            time.sleep(TICK)
            self.engine.increment_epoch()


_compiled: dict[int, Compiled] = {}


def compiled(reserved: int) -> Compiled:
    """
    Return what guests share; made once, and anew after a fork, which the clock's thread doesn't survive.

    @param reserved: how many bytes a guest's memory may take.
    @raise NotSupported: something is missing.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        reserved = 0
    found = _compiled.get(reserved)
    if found is None:
        found = _compiled[reserved] = Compiled(reserved)
    return found


os.register_at_fork(after_in_child=_compiled.clear)


def lastLine(text: str) -> str:
    """
    Of what wasmtime says, the line that tells why: the one about the trap, else the last one. With RUST_BACKTRACE, it
    also says where in wasmtime an error was made, in numbered lines.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    traps = [line for line in lines if "wasm trap:" in line]
    others = [line for line in lines if not _PLACE.match(line)]
    return (traps or others or ["an unknown error"])[-1][:300].removeprefix("1: ")
