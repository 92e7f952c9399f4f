// createServer(): requests come from the host one by one, each with a number, by which it is answered.
import { ask, handle, host, nextNumber, operation, sendable, waiting } from 'wasinet:bridge'
import { Body } from 'wasinet:bodies'
import { Emitter } from 'wasinet:emitter'
import { pairs } from 'wasinet:fields'

const SERVE = operation('serve'), CLOSE = operation('closeServer'), ADDRESS = operation('serverAddress')
const TAKE = operation('takeRequest'), ALL = operation('requestBody'), PIECE = operation('requestPiece')
const RESPOND = operation('respond'), BEGIN = operation('beginAnswer')
const DATA = operation('answerPiece'), END = operation('endAnswer'), GONE = operation('clientGone')
const LEAVE = operation('leaveRequest'), FAIL = operation('failRequest')

function ignore() {}

// What goes wrong with a client, and is nobody's fault here: one that nobody catches doesn't end the program.
class ClientError extends Error {}
Object.defineProperty(ClientError.prototype, 'name', { value: 'ClientError', configurable: true, writable: true })

// What both the request and the response refer to. When nobody refers to it any more, nobody can answer.
class Exchange {
    #watched = false
    #watchers = []
    constructor(id) { this.id = handle(id) }
    // Tell when the client ends its direction, or goes, before it is answered.
    watch(emitter) {
        this.#watchers.push(emitter)
        if (!this.#watched) {
            this.#watched = true
            this.#wait()
        }
    }
    async #wait() {
        try {
            if (await ask(GONE, this.id)) for (const each of this.#watchers) each.emit('close')
        } catch (error) {
            this.failed(error)
        } finally {
            this.#watchers = []
        }
    }
    // A handler has thrown something.
    failed(error) { failed(this.id, error) }
}

function failed(id, error) {
    try {
        host(FAIL, id, 0, error instanceof ClientError ? undefined : described(error))
    } catch {
        host(FAIL, id)
    }
}

function described(error) {
    const text = error instanceof Error && error.stack ? `${error}\n${error.stack.trimEnd()}` : String(error)
    return sendable(text)
}

class IncomingMessage extends Body {
    #exchange
    constructor(exchange, head, whole) {
        super(head[5], whole)
        this.#exchange = exchange
        this.method = head[0]
        this.url = head[1]
        this.version = head[2]
        this.peer = head[3]
    }
    get uri() { return this.url }
    get httpVersion() { return this.version.slice(5) }
    async pull() { return this.#ask(PIECE) }
    async pullAll() { return this.#ask(ALL) }
    async #ask(what) {
        try {
            return await ask(what, this.#exchange.id)
        } catch (error) {
            throw new ClientError(error.message)
        }
    }
    on(event, call) {
        super.on(event, call)
        if (event === 'close') this.#exchange.watch(this)
        return this
    }
    caught(error) {
        if (error instanceof ClientError && this.emit('error', error)) return
        this.#exchange.failed(error)
    }
}

class ServerResponse extends Emitter {
    #exchange
    // By names in lower case: the name as it was given, and the value.
    #fields = new Map()
    #ended = false
    constructor(exchange) {
        super()
        this.#exchange = exchange
        this.statusCode = 200
        this.statusMessage = undefined
        this.headersSent = false
    }
    get writableEnded() { return this.#ended }
    get finished() { return this.#ended }

    setHeader(name, value) {
        this.#notSent()
        this.#fields.set(String(name).toLowerCase(), [String(name), value])
        return this
    }
    getHeader(name) { return this.#fields.get(String(name).toLowerCase())?.[1] }
    hasHeader(name) { return this.#fields.has(String(name).toLowerCase()) }
    removeHeader(name) {
        this.#notSent()
        this.#fields.delete(String(name).toLowerCase())
    }
    getHeaderNames() { return [...this.#fields.keys()] }
    getHeaders() { return Object.fromEntries([...this.#fields].map(([name, [, value]]) => [name, value])) }
    // writeHead(status[, reason][, headers])
    writeHead(status, reason, headers) {
        this.#notSent()
        if (typeof reason === 'object' && reason !== null) headers = reason
        else this.statusMessage = reason
        this.statusCode = status
        const given = pairs(headers)
        for (const [name] of given) this.#fields.delete(name.toLowerCase())
        for (const [name, value] of given) {
            const before = this.getHeader(name)
            this.setHeader(name, before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value])
        }
        return this
    }
    flushHeaders() { if (!this.headersSent) this.write('') }

    // Both give true or, while the client doesn't take it, a promise: to await it is flow control. Once the client has
    // gone, the promise is rejected.
    write(data) {
        if (this.#ended) throw new Error('write() after end()')
        const piece = sendable(data)
        return this.headersSent ? this.#sent(ask(DATA, this.#exchange.id, piece)) : this.#head(BEGIN, piece)
    }
    end(data) {
        if (this.#ended) throw new Error('end() after end()')
        const piece = data === undefined || data === null ? '' : sendable(data)
        let sent
        if (this.headersSent) {
            this.#ended = true
            sent = this.#sent(ask(END, this.#exchange.id, piece))
        } else {
            sent = this.#head(RESPOND, piece)
            this.#ended = true
        }
        this.emit('finish')
        return sent
    }
    #notSent() {
        if (this.headersSent) throw new Error('the head has been sent')
    }
    #head(how, body) {
        const given = []
        for (const [name, value] of this.#fields.values()) {
            if (Array.isArray(value)) for (const each of value) given.push([name, String(each)])
            else given.push([name, String(value)])
        }
        const head = JSON.stringify([Number(this.statusCode), this.statusMessage ?? null, given])
        const sent = ask(how, this.#exchange.id, head, undefined, body)
        this.headersSent = true
        return this.#sent(sent)
    }
    #sent(result) {
        if (result === true) return true
        const sent = (result === null ? Promise.reject(new Error('the client has gone')) : result)
            .catch(error => { throw new ClientError(error.message) })
        // Who doesn't await it isn't told.
        sent.catch(ignore)
        return sent
    }
    on(event, call) {
        super.on(event, call)
        if (event === 'close') this.#exchange.watch(this)
        return this
    }
}

function receive(server, id) {
    let exchange
    try {
        exchange = new Exchange(id)
        const head = host(TAKE, id)
        const message = new IncomingMessage(exchange, head, head[4] ? head[6] : undefined)
        const response = new ServerResponse(exchange)
        for (const handler of server.listeners('request')) {
            const result = handler(message, response)
            if (typeof result?.then === 'function') whenDone(result, exchange, response)
        }
    } catch (error) {
        failed(id, error)
    }
}

async function whenDone(result, exchange, response) {
    try {
        await result
    } catch (error) {
        exchange.failed(error)
        return
    }
    if (!response.writableEnded) host(LEAVE, exchange.id)
}

class Server extends Emitter {
    #id
    #number
    constructor(handler) {
        super()
        if (handler !== undefined) this.on('request', handler)
    }
    // listen(port[, address][, call])
    listen(port, ...rest) {
        if (this.#id !== undefined) throw new Error('this server listens already')
        if (typeof port === 'object' && port !== null) {
            rest = [port.host, ...rest]
            port = port.port
        }
        const address = rest.find(each => typeof each === 'string')
        const call = rest.find(each => typeof each === 'function')
        if (!Number.isInteger(+port)) throw new TypeError('a port is a whole number')
        const number = nextNumber()
        waiting.set(number, { serve: id => { receive(this, id) } })
        try {
            this.#id = handle(host(SERVE, port, number, address))
        } catch (error) {
            waiting.delete(number)
            throw error
        }
        this.#number = number
        if (call !== undefined) this.once('listening', call)
        queueMicrotask(() => { this.emit('listening') })
        return this
    }
    get listening() { return this.#id !== undefined }
    address() {
        if (this.#id === undefined) return null
        const text = host(ADDRESS, this.#id)
        const at = text.lastIndexOf(':')
        return { address: text.slice(0, at), port: Number(text.slice(at + 1)) }
    }
    // Stop listening; what is in flight is answered first.
    async close(call) {
        const id = this.#id
        if (id === undefined) throw new Error("this server doesn't listen")
        this.#id = undefined
        await ask(CLOSE, id)
        waiting.delete(this.#number)
        if (call !== undefined) call()
        this.emit('close')
    }
}

function createServer(...given) { return new Server(given.find(each => typeof each === 'function')) }

export { IncomingMessage, Server, ServerResponse, createServer }
