// What all modules here are built on. One function reaches out of the guest: host(operation, a, b, data) gives a value,
// or undefined for one that comes later. A handle is what the host has for a script: when nothing refers to it any more, the
// host is told.
//
// ask(operation, a, data, make, more) gives what the host gives, through make() if there is one: now, or as a promise; promised()
// always as one. In all of them a may be a handle, which stays until the promise is settled.
const {
    __host: host, __hook: hook, __ask: ask, __promised: promised, __handle: handle, __say: say, __toUTF8: toUTF8,
    newStringFromUTF8: fromUTF8,
} = globalThis
for (const name of ['host', 'hook', 'ask', 'promised', 'handle', 'say', 'toUTF8']) delete globalThis['__' + name]

// Operations are known by name; Python numbers them.
const numbers = JSON.parse(host(0))
function operation(name) {
    const number = numbers[name]
    if (number === undefined) throw new Error(`there is no operation ${name}`)
    return number
}

// A timer's call, or a server's, by number. The numbers below are those of promises.
const waiting = new Map()
const FIRST = 1 << 20
let count = FIRST

function nextNumber() {
    do count = count < 0x3fffffff ? count + 1 : FIRST
    while (waiting.has(count))
    return count
}

hook((number, failed, value) => {
    const it = waiting.get(number)
    if (it === undefined) return
    // A server's requests come to it again and again.
    if (it.serve !== undefined) {
        if (!failed) it.serve(value)
        return
    }
    if (!it.repeats) waiting.delete(number)
    it.call()
})

// Bytes as they are, text, and of everything else its text; a lone surrogate has no UTF-8.
function sendable(data) {
    if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data
    const text = typeof data === 'string' ? data : String(data)
    return text.isWellFormed() ? text : text.toWellFormed()
}

// A number of milliseconds, or -1 for none.
function milliseconds(ms) {
    if (ms === undefined) return -1
    if (!Number.isInteger(ms) || ms < 0) throw new TypeError('a timeout is a whole number of milliseconds')
    return ms
}

export { ask, fromUTF8, handle, host, milliseconds, nextNumber, operation, promised, say, sendable, toUTF8, waiting }
