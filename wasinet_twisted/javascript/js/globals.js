// What every program has without importing it, beside newStringFromUTF8, which is the guest's own.
import { host, operation, nextNumber, say, sendable, waiting } from 'wasinet:bridge'

const COMPLAIN = operation('complain')
const TIMER = operation('timer'), CANCEL = operation('cancelTimer')
// As many milliseconds as browsers' timers take.
const LONGEST = 2 ** 31 - 1

function print(...things) {
    let text = ''
    for (let i = 0; i < things.length; i++) {
        if (i) text += ' '
        text += typeof things[i] === 'string' ? things[i] : String(things[i])
    }
    say(text)
}

function shown(thing) {
    if (typeof thing === 'string') return thing
    if (thing instanceof Error) return thing.stack ? `${thing}\n${thing.stack.trimEnd()}` : String(thing)
    if (typeof thing !== 'object' || thing === null) return typeof thing === 'bigint' ? `${thing}n` : String(thing)
    if (thing instanceof ArrayBuffer) return `ArrayBuffer(${thing.byteLength})`
    try {
        return JSON.stringify(thing) ?? String(thing)
    } catch {
        return Object.prototype.toString.call(thing)
    }
}

const line = things => things.map(shown).join(' ')
const log = (...things) => { say(line(things)) }
const warn = (...things) => { host(COMPLAIN, 0, 0, sendable(line(things))) }

function timer(repeats, call, ms, values) {
    if (typeof call !== 'function') throw new TypeError('a timer calls a function')
    const least = repeats ? 1 : 0
    ms = Math.min(LONGEST, Math.max(least, +ms || 0))
    const number = nextNumber()
    host(TIMER, ms, repeats ? -number : number)
    waiting.set(number, { call: values.length ? () => call(...values) : call, repeats })
    return number
}

function clearTimer(number) {
    if (waiting.get(number)?.call !== undefined) {
        waiting.delete(number)
        host(CANCEL, 0, number)
    }
}

Object.assign(globalThis, {
    print,
    console: { log, info: log, debug: log, warn, error: warn, trace: warn },
    setTimeout: (call, ms, ...values) => timer(false, call, ms, values),
    setInterval: (call, ms, ...values) => timer(true, call, ms, values),
    setImmediate: (call, ...values) => timer(false, call, 0, values),
    clearTimeout: clearTimer,
    clearInterval: clearTimer,
    clearImmediate: clearTimer,
})
