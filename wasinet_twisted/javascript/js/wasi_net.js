// Sockets, as the article has them.
import { ask, host, milliseconds, operation, owns, sendable } from 'wasinet:bridge'

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
    constructor(id) { this.#id = owns(this, id) }
    static async connect(host, port, ms) {
        return port === undefined ? connect(host) : connect(addressOf(host, port), ms)
    }
    async read(ms) { return ask(READ, this.#id, ms === undefined ? undefined : String(milliseconds(ms)), this) }
    // true, or, while the peer doesn't take it, a promise of that: to await it is flow control
    write(data) {
        let written = ask(WRITE, this.#id, sendable(data), this)
        if (written === true) return true
        // Why it has failed already, which only those are told who await it.
        if (typeof written === 'string') written = Promise.reject(new Error(written))
        written.catch(ignore)
        return written
    }
    // It writes, and doesn't close.
    end(data) { return data === undefined ? true : this.write(data) }
    async close() { await ask(CLOSE, this.#id, undefined, this) }
    local() { return host(LOCAL, this.#id) }
    peer() { return host(PEER, this.#id) }
}

// By TLS, to a server whose certificate is verified.
class WasiTlsConn extends WasiTcpConn {
    static async connect(host, port, ms) {
        return new WasiTlsConn(await ask(CONNECT_TLS, milliseconds(ms), addressOf(host, port)))
    }
}

class WasiTcpServer {
    #id
    constructor(port) {
        if (!Number.isInteger(+port)) throw new TypeError('a port is a whole number')
        this.#id = owns(this, host(LISTEN, port))
    }
    async accept(ms) {
        const timeout = ms === undefined ? undefined : String(milliseconds(ms))
        return new WasiTcpConn(await ask(ACCEPT, this.#id, timeout, this))
    }
    local() { return host(LOCAL, this.#id) }
    async close() { await ask(CLOSE, this.#id, undefined, this) }
}

async function connect(address, ms) {
    return new WasiTcpConn(await ask(CONNECT, milliseconds(ms), String(address)))
}

// The addresses of a name, as "ip:port". The article's spelling is kept.
async function nsloopup(node, service) {
    return JSON.parse(await ask(LOOKUP, 0, JSON.stringify([String(node), String(service)])))
}

export { WasiTcpConn, WasiTcpServer, WasiTlsConn, connect, nsloopup }
