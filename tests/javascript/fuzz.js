// Asks the host for anything, by a generator of its own whose seed is known.
import { ask, handle, host, promised, say } from 'wasinet:bridge'

let state = SEED
const random = n => (state = (state * 1103515245 + 12345) & 0x7fffffff, state >>> 8) % n
const pick = of => of[random(of.length)]
const detached = new ArrayBuffer(8)
detached.transfer()
const shrunk = new ArrayBuffer(64, { maxByteLength: 128 })
const view = new Uint8Array(shrunk, 32)
shrunk.resize(16)
const grown = new ArrayBuffer(4, { maxByteLength: 1 << 20 })
const resizing = () => { grown.resize(random(1 << 20)); return 3 }
const numbers = [0, -0, 1, 2, 3, 4, 5, 6, 7, 8, 80, 443, -1, 0.5, NaN, Infinity, -Infinity, 1e308, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 40)]
const texts = ['', '0', '1000', '-1', '1e3', '99999999999', '127.0.0.1:80', '[::1]:80', 'x', 'x\0y', '\ud800', 'é'.repeat(100),
               'x'.repeat(70000), '[]', '{}', 'null', '["a","b"]', '["GET","/","HTTP/1.1",[]]', '["GET","/","HTTP/1.0",[["a","b"]]]',
               '[200,"OK","HTTP/1.1",[["A","b"],["Content-Length","3"]]]', '[1,2,3,4]', '[1e999,"","",[]]', '[[],{},"",[["a",1]]]',
               '['.repeat(3000), '["' + 'x'.repeat(3000) + '","http"]', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n']
const buffers = [new ArrayBuffer(0), new ArrayBuffer(9), new ArrayBuffer(70000), new Uint8Array(5), new Float64Array(3), new DataView(new ArrayBuffer(3)),
                 detached, view, shrunk, grown, new Uint8Array(grown), new Uint8Array([71, 69, 84, 32, 47, 32, 72, 84, 84, 80, 47, 49, 46, 49, 13, 10, 13, 10])]
const odd = [undefined, null, true, false, {}, [], () => 1, Symbol('s'), 3n, new Error('e'), new Proxy({}, { get() { throw 1 } }),
             { valueOf() { throw new Error('valueOf') } }, { valueOf: resizing }, { toString() { return host(0) } },
             { valueOf() { return host(1 + random(40)) } }, Object.create(null), new Map(), /x/]
const anything = () => pick(pick([numbers, numbers, texts, buffers, odd]))
let rounds = 0
const counts = { value: 0, error: 0 }
globalThis.fuzz = times => {
    for (let i = 0; i < times; i++) {
        const number = random(30) ? random(40) : anything()
        const data = random(3) ? pick(random(2) ? texts : buffers) : anything()
        const given = [number, random(3) ? pick(numbers) : anything(), random(3) ? i + 1e6 * ++rounds : anything(), data]
        try {
            const how = random(5)
            if (random(4) === 0) given[1] = handle(given[1])
            if (how === 0) say(anything())
            else if (how < 3) host(...given, anything())
            else {
                const make = random(2) ? undefined : pick([anything(), () => { throw new Error('made') }, value => value.x, () => host(0)])
                const asks = random(2) ? ask : promised
                const result = asks(given[0], given[1], data, make, anything())
                if (result instanceof Promise) result.catch(() => {})
            }
            host(...given.slice(0, 1 + random(4)))
            counts.value++
        } catch (e) {
            if (!(e instanceof Error) && e !== 1) throw new Error(`host() threw ${String(e)}`)
            if (/Traceback|object has no attribute|File "/.test(e.message)) throw e
            counts.error++
        }
    }
    print(JSON.stringify(counts))
}
