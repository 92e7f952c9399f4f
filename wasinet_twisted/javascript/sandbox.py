"""
L{Sandbox}: the guest as WebAssembly, under wasmtime.

Whatever a script does stays in the guest's memory. A trap ends the guest, not us.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..errors import GuestEnded
from .guestinterface import DEFAULT_GUEST_LIMITS, Given, GuestLimits, Host, Sign, Value
from .wasm import RESERVE, TICK, Compiled, compiled, lastLine

# guest.c has the same.
UNDEFINED, NULL, NUMBER, STRING, BYTES, ERROR, TRUE, FALSE, LEAVE, PAIR = range(10)
_LOAD, _RESOLVE, _REJECTED, _HANDLED, _UNCAUGHT, _PRINTED, _DROPPED = range(-1, -8, -1)
_STAGE = 65536
_TEXT, _DROPS = 16384, 1024

# What the C API's functions are called by; the others only when the guest is set up.
_ENTRIES = ("evaluate", "settle", "jobs", "bigBox", "collect")
# While the guest is set up, no script runs that would have to be interrupted.
_PLENTY = 10**6


class Sandbox:
    """
    A L{Guest<wasinet_twisted.javascript.guestinterface.Guest>}. For one thread only.
    """

    __slots__ = (
        "__weakref__",
        "_arguments",
        "_base",
        "_box",
        "_called",
        "_context",
        "_ended",
        "_exports",
        "_ffi",
        "_functions",
        "_host",
        "_lib",
        "_linker",
        "_memory",
        "_result",
        "_size",
        "_stage",
        "_store",
        "_textOf",
        "_ticks",
        "_trap",
    )

    def __init__(self, host: Host, limits: GuestLimits = DEFAULT_GUEST_LIMITS) -> None:
        """
        @raise NotSupported: wasmtime, cffi or the engine's binary is missing.
        @raise GuestEnded: there is not enough memory for it.
        """
        # This says what is missing.
        shared = compiled(limits.memory + RESERVE)
        import wasmtime

        self._host = host
        self._ended: str | None = None
        self._ffi, self._lib, self._textOf = shared.ffi, shared.lib, shared.textOf
        self._store = store = wasmtime.Store(shared.engine)
        store.set_limits(memory_size=limits.memory + RESERVE)
        # No files, no environment, no arguments, no standard streams.
        store.set_wasi(wasmtime.WasiConfig())
        self._linker = linker = wasmtime.Linker(shared.engine)
        linker.define_wasi()
        self._define(shared)
        store.set_epoch_deadline(_PLENTY)
        try:
            exports: Any = linker.instantiate(store, shared.module).exports(store)
            self._exports = exports
            self._call("_initialize")
            self._context = shared.contextOf(store)
            self._memory = exports["memory"]
            # All the addresses that it may take are set aside from the beginning: it never moves.
            self._size = self._memory.data_len(store)
            self._base: Any = self._ffi.cast("uint8_t *", shared.pointer(self._memory.data_ptr(store)))
            self._box: Any = self._ffi.cast("Box *", self._base + self._call("theBox"))
            # What small values are written to.
            self._stage: Any = self._ffi.buffer(self._box.data, _STAGE)
            refused = self._call("start", float(limits.memory), float(shared.scriptStack), float(limits.turn))
        except wasmtime.WasmtimeError as error:
            raise GuestEnded(f"the engine can't be started: {lastLine(str(error))}") from error
        if refused:
            raise GuestEnded("the engine can't be started: its memory is full")
        # One argument is 16 bytes.
        self._arguments: Any = self._ffi.new("int64_t[16]")
        self._result: Any = self._ffi.cast("int32_t *", self._arguments)
        self._trap: Any = self._ffi.new("void **")
        self._ticks = int(2 * limits.turn / TICK) + 2
        self._functions = {name: shared.functionOf(exports[name]) for name in _ENTRIES}

    def _define(self, shared: Compiled) -> None:
        """
        Let the guest call us.
        """
        ffi, me = self._ffi, weakref.ref(self)

        def called(environment: Any, caller: Any, call: Any, count: int) -> Any:
            sandbox = me()
            assert sandbox is not None
            call.operation = sandbox._answerTo(call)
            return ffi.NULL

        # It has to be there as long as the guest is.
        self._called = ffi.callback("void *(void *, void *, HostCall *, size_t)", called, error=ffi.NULL)
        shared.define(self._linker, self._called)

    def _call(self, name: str, *arguments: float) -> Any:
        return self._exports[name](self._store, *arguments)

    def evaluate(self, name: str, source: str, module: bool = True) -> bool:
        """
        Run a source.
        """
        code = source.encode("utf-8", "surrogatepass")
        self._putBig(code + b"\0", len(code) + 1)
        named = name.encode("utf-8", "replace")[: _STAGE - 1] + b"\0"
        self._ffi.memmove(self._box.data, named, len(named))
        return self._enter("evaluate", len(code), int(module))

    def settle(self, number: int, value: Value) -> bool:
        """
        Hand a value to the script's hook.
        """
        if self._ended is not None:
            raise GuestEnded(self._ended)
        try:
            kind = self._put(value)
        except MemoryError as error:
            kind = self._put(error)
        return self._enter("settle", number, kind)

    def jobs(self) -> bool:
        """
        Go on with the jobs that are left.
        """
        return self._enter("jobs")

    def collect(self) -> bool:
        """
        Run the garbage collector.
        """
        return self._enter("collect")

    def flush(self) -> None:
        """
        Tell the host what the script has printed so far.
        """
        if self._ended != _CLOSED and self._box.printed:
            self._takePrinted()

    def usage(self) -> int:
        """
        Return how many bytes the script's objects take.
        """
        self._check()
        return int(self._call("usage"))

    def memory(self) -> int:
        """
        Return how many bytes the guest holds.
        """
        self._check()
        return int(self._memory.data_len(self._store))

    def close(self) -> None:
        """
        Give back all it holds.
        """
        if self._ended != _CLOSED:
            self._ended = _CLOSED
            self._store.close()

    def _check(self) -> None:
        if self._ended is not None:
            raise GuestEnded(self._ended)

    # Into the guest

    def _enter(self, name: str, a: int = 0, b: int = 0) -> bool:
        if self._ended is not None:
            raise GuestEnded(self._ended)
        arguments, lib = self._arguments, self._lib
        arguments[0], arguments[2] = a, b
        lib.wasmtime_context_set_epoch_deadline(self._context, self._ticks)
        error = lib.wasmtime_func_call_unchecked(self._context, self._functions[name], arguments, 4, self._trap)
        box = self._box
        if box.printed or box.dropped:
            self._takeLeft()
        if error or self._trap[0]:
            self._trapped(error)
        # It may have done what ends it.
        if self._ended is not None:
            raise GuestEnded(self._ended)
        return bool(self._result[0])

    def _takeLeft(self) -> None:
        """
        Tell the host what an entry has left: what the script has printed, and the handles that are gone.
        """
        box = self._box
        if box.printed:
            self._takePrinted()
        if box.dropped:
            self._tellDropped()

    def _takePrinted(self) -> None:
        box = self._box
        data = self._ffi.buffer(box.text, min(box.printed, _TEXT))[:]
        box.printed = 0
        self._host.printed(_printable(data))

    def _tellDropped(self) -> None:
        box = self._box
        numbers = self._ffi.unpack(box.handles, min(box.dropped, _DROPS))
        box.dropped = 0
        self._host.dropped(numbers)

    def _trapped(self, error: Any) -> None:
        """
        @raise GuestEnded: always.
        """
        text = lastLine(self._textOf(error, self._trap[0]))
        self._trap[0] = self._ffi.NULL
        self._ended = f"it took more than twice the time of a turn: {text}" if "interrupt" in text else text
        raise GuestEnded(self._ended)

    def _put(self, value: Value) -> int:
        """
        Lay a value where the guest finds it.

        @return: its kind.
        """
        if value is None:
            return UNDEFINED
        kind = value.__class__
        if kind is bytes:
            assert isinstance(value, bytes)
            self._putBytes(value)
            return BYTES
        if kind is int or kind is float:
            self._box.number = value
            return NUMBER
        if kind is bool:
            return TRUE if value else FALSE
        if kind is str:
            assert isinstance(value, str)
            self._putBytes(value.encode("utf-8", "surrogatepass"))
            return STRING
        if isinstance(value, BaseException):
            self._putBytes(self._host.messageOf(value).encode("utf-8", "replace"))
            return ERROR
        if kind is tuple:
            assert isinstance(value, tuple)
            text, data = value
            self._putBytes(b"%b\0%b" % (text, data))
            self._box.number = len(text)
            return PAIR
        if isinstance(value, Sign):
            return LEAVE if value is Sign.LEAVE else NULL
        self._box.number = value
        return NUMBER

    def _putBytes(self, data: bytes) -> None:
        size = len(data)
        if size > _STAGE:
            self._putBig(data, size)
        else:
            self._stage[:size] = data
        self._box.size = size

    def _putBig(self, data: bytes, size: int) -> None:
        self._check()
        # Of its own: this may be a call inside of a call.
        arguments = self._ffi.new("int64_t[4]", [size])
        function = self._functions["bigBox"]
        error = self._lib.wasmtime_func_call_unchecked(self._context, function, arguments, 2, self._trap)
        if error or self._trap[0]:
            self._trapped(error)
        at = self._ffi.cast("uint32_t *", arguments)[0]
        if not at:
            raise MemoryError(f"out of memory: there is no room for {size} bytes in the script's")
        self._checkInside(at, size)
        self._ffi.memmove(self._base + at, data, size)

    def _checkInside(self, at: int, size: int) -> None:
        """
        Whatever has become of the guest's own code: nothing outside of its memory is read or written.

        @raise GuestEnded: these bytes aren't in it.
        """
        # It only grows, and to ask for its size takes long.
        if at + size > self._size:
            self._size = self._memory.data_len(self._store)
        if at + size > self._size:
            self._ended = f"it named {size} bytes at {at}, where its memory has {self._size}"
            raise GuestEnded(self._ended)

    # Out of the guest

    def _bytesAt(self, at: int, size: int) -> bytes:
        if at + size > self._size:
            self._checkInside(at, size)
        return self._ffi.buffer(self._base + at, size)[:]  # type: ignore[no-any-return]

    def _answerTo(self, call: Any) -> int:
        try:
            data: Given = None
            kind = call.kind
            if kind != UNDEFINED:
                data = self._bytesAt(call.data, call.size)
                if kind != BYTES:
                    data = str(data, "utf-8", "surrogatepass")
                    if kind == PAIR:
                        data = (data, self._bytesAt(call.more, call.moreSize))
            operation = call.operation
            if operation >= 0:
                answer = self._host.call(operation, call.a, call.b, data)
                return UNDEFINED if answer is None else self._put(answer)
            return self._put(self._tell(operation, call.a, data if isinstance(data, str) else ""))
        except Exception as error:
            # Nothing of ours may go into the guest's calls but an answer.
            if self._ended is not None:
                return LEAVE
            try:
                return self._put(error)
            except Exception:
                return LEAVE

    def _tell(self, operation: int, a: float, text: str) -> Value:
        host = self._host
        if operation == _LOAD:
            return host.load(text)
        if operation == _RESOLVE:
            base = text.encode("utf-8", "surrogatepass")
            size = int(a)
            return host.resolve(base[:size].decode("utf-8", "replace"), base[size:].decode("utf-8", "replace"))
        if operation == _REJECTED:
            host.rejected(a, text)
        elif operation == _HANDLED:
            host.handled(a)
        elif operation == _UNCAUGHT:
            host.uncaught(text, bool(a))
        elif operation == _PRINTED:
            host.printed(_printable(text.encode("utf-8", "surrogatepass")))
        elif operation == _DROPPED:
            self._tellDropped()
        return None


def _printable(data: bytes) -> str:
    """
    Return a text of the guest's; what has no UTF-8 in it, half a character, becomes U+FFFD.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_CLOSED = "the program has ended"
