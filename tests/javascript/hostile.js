// A server whose handlers do what its limits are for. Each is one connection's affair.
import * as net from 'wasi_net'
import * as http from 'wasi_http'

const kept = []
const bodies = {
    async '/loop'() { for (;;); },
    async '/catch'() { for (;;) try { for (;;); } catch {} finally { continue } },
    async '/regexp'() { return /^(a+)+$/.test('a'.repeat(40) + 'b') },
    async '/await'() { for (;;) await null },
    async '/jobs'() { (function again() { Promise.resolve().then(again) })() },
    async '/ticks'() { await (async function again() { queueMicrotask(again) })(); await new Promise(() => {}) },
    async '/recursion'() { return (function again() { return again() + 1 })() },
    async '/parse'(body) { return JSON.parse(body) },
    async '/echo'(body) { return JSON.stringify(JSON.parse(body)) },
    async '/parentheses'() { return eval('('.repeat(100000) + '1' + ')'.repeat(100000)) },
    async '/proxies'() { let p = {}; for (let i = 0; i < 2e4; i++) p = new Proxy(p, {}); return p.x },
    async '/join'() { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return '' + a },
    async '/arrays'() { const a = []; for (const one = new Array(1000).fill(1); ; ) a.push(one.slice()) },
    async '/strings'() { const a = []; for (let s = 'x'; ; s += s) a.push(s.split('').join('y')) },
    async '/buffers'() { const b = []; for (;;) b.push(new ArrayBuffer(1 << 20)) },
    async '/promises'() { const p = []; for (;;) { p.push(new Promise(() => {}).then(() => 1)); if (p.length % 1000 === 0) await null } },
    async '/large'() { return new ArrayBuffer(2 ** 31 - 1) },
    async '/native'() { const q = 'a'.repeat(2 ** 20); for (let i = 0; ; i++) (q + i).indexOf('b') },
    async '/throws'() { throw new TypeError('no') },
}

async function serve(cs) {
    const buffer = new http.Buffer()
    let request
    while (request === undefined) {
        const data = await cs.read()
        if (data.byteLength === 0) return
        buffer.append(data)
        request = buffer.parseRequest()
    }
    const response = new http.WasiResponse()
    const body = bodies[request.uri]
    try {
        response.body = `${body === undefined ? 'fine' : await body(newStringFromUTF8(request.body))}`
    } catch (e) {
        response.body = `caught ${e}`
    }
    await cs.write(response.encode())
}

const server = new net.WasiTcpServer(8000)
for (;;) serve(await server.accept()).catch(print)
