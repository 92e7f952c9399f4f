// Sockets, as the article has them.
import { ask, handle, host, milliseconds, operation, promised, sendable } from 'wasinet:bridge'

const LISTEN = operation('listen'), ACCEPT = operation('accept'), CONNECT = operation('connect')
const READ = operation('read'), WRITE = operation('write'), CLOSE = operation('close')
const CONNECT_TLS = operation('connectTls')
const LOCAL = operation('local'), PEER = operation('peer'), LOOKUP = operation('lookUp')

// Who doesn't await a write is told by the next read that the peer has gone.
function ignore() {}

function addressOf(host, port) {
    host = String(host)
    return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`
}

class WasiTcpConn {
    #id
    constructor(id) { this.#id = handle(id) }
    static async connect(host, port, ms) {
        return port === undefined ? connect(host) : connect(addressOf(host, port), ms)
    }
    read(ms) { return ms === undefined ? promised(READ, this.#id) : this.#readWithin(ms) }
    async #readWithin(ms) { return ask(READ, this.#id, String(milliseconds(ms))) }
    // true, or, while the peer doesn't take it, a promise of that: to await it is flow control
    write(data) {
        let written = ask(WRITE, this.#id, sendable(data))
        if (written === true) return true
        // Why it has failed already, which only those are told who await it.
        if (typeof written === 'string') written = Promise.reject(new Error(written))
        written.catch(ignore)
        return written
    }
    // It writes, and doesn't close.
    end(data) { return data === undefined ? true : this.write(data) }
    async close() { await ask(CLOSE, this.#id) }
    local() { return host(LOCAL, this.#id) }
    peer() { return host(PEER, this.#id) }
}

// By TLS, to a server whose certificate is verified.
class WasiTlsConn extends WasiTcpConn {
    static async connect(host, port, ms) {
        return new WasiTlsConn(await ask(CONNECT_TLS, milliseconds(ms), addressOf(host, port)))
    }
}

const accepted = id => new WasiTcpConn(id)

class WasiTcpServer {
    #id
    constructor(port) {
        if (!Number.isInteger(+port)) throw new TypeError('a port is a whole number')
        this.#id = handle(host(LISTEN, port))
    }
    accept(ms) { return ms === undefined ? promised(ACCEPT, this.#id, undefined, accepted) : this.#acceptWithin(ms) }
    async #acceptWithin(ms) { return ask(ACCEPT, this.#id, String(milliseconds(ms)), accepted) }
    local() { return host(LOCAL, this.#id) }
    async close() { await ask(CLOSE, this.#id) }
}

async function connect(address, ms) {
    return new WasiTcpConn(await ask(CONNECT, milliseconds(ms), String(address)))
}

// The addresses of a name, as "ip:port". The article's spelling is kept.
async function nsloopup(node, service) {
    return JSON.parse(await ask(LOOKUP, 0, JSON.stringify([String(node), String(service)])))
}

export { WasiTcpConn, WasiTcpServer, WasiTlsConn, connect, nsloopup }
