// What all modules here are built on. One function reaches out of the guest: host(operation, a, b, data) gives a value,
// or undefined for one that comes later, by the hook, to the promise of the number that was b.
const { __host: host, __hook: hook, __toUTF8: toUTF8, newStringFromUTF8: fromUTF8 } = globalThis
delete globalThis.__host
delete globalThis.__hook
delete globalThis.__toUTF8

// Operations are known by name; Python numbers them.
const numbers = JSON.parse(host(0))
function operation(name) {
    const number = numbers[name]
    if (number === undefined) throw new Error(`there is no operation ${name}`)
    return number
}

// Who waits for what: a promise's resolve and reject, a timer's call, or a server's.
const waiting = new Map()
let count = 0

function nextNumber() {
    do count = (count + 1) & 0x3fffffff
    while (waiting.has(count) || count === 0)
    return count
}

// What the operation gives: now, or as a promise. As long as that isn't settled, what it is asked of stays.
function ask(operation, a, data, owner) {
    const number = nextNumber()
    const now = host(operation, a, number, data)
    if (now !== undefined) return now
    return new Promise((resolve, reject) => { waiting.set(number, { resolve, reject, owner }) })
}

hook((number, failed, value) => {
    const it = waiting.get(number)
    if (it === undefined) return
    // A server's requests come to it again and again.
    if (it.serve !== undefined) {
        if (!failed) it.serve(value)
        return
    }
    if (it.call !== undefined) {
        if (!it.repeats) waiting.delete(number)
        it.call()
        return
    }
    waiting.delete(number)
    if (failed) it.reject(value)
    else it.resolve(value)
})

// A handle of the host's goes when the object that has it does.
const DROP = operation('drop')
const dropped = new FinalizationRegistry(id => { host(DROP, id) })
function owns(object, id) {
    dropped.register(object, id)
    return id
}

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

export { ask, fromUTF8, host, milliseconds, nextNumber, operation, owns, sendable, toUTF8, waiting }
