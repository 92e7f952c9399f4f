// Requests: fetch(), and Node's request() and get() on it.
import { ask, handle, host, milliseconds, operation, sendable, toUTF8 } from 'wasinet:bridge'
import { Body, joined } from 'wasinet:bodies'
import { Emitter } from 'wasinet:emitter'
import { found, pairs } from 'wasinet:fields'

const FETCH = operation('fetch'), PIECE = operation('responsePiece')
const VERSIONS = ['HTTP/1.0', 'HTTP/1.1']

class Response extends Body {
    #id
    constructor(head) {
        super(head[6])
        this.#id = handle(head[0])
        this.status = head[1]
        this.statusText = head[2]
        this.version = head[3]
        this.url = head[4]
        this.redirected = head[5]
    }
    get ok() { return this.status >= 200 && this.status < 300 }
    async pull() { return ask(PIECE, this.#id) }
    // Node's names.
    get statusCode() { return this.status }
    get statusMessage() { return this.statusText }
    get httpVersion() { return this.version.slice(5) }
    caught(error) {
        if (!this.emit('error', error)) throw error
    }
}

// Of a body its bytes or its text; a Buffer of wasi_http's has its bytes in .buffer.
function toSend(body) {
    if (body === undefined || body === null) return ''
    if (typeof body === 'object' && !ArrayBuffer.isView(body) && body.buffer instanceof ArrayBuffer) return body.buffer
    return sendable(body)
}

async function fetch(url, { method = 'GET', headers, body, version, redirect = 'follow', timeout } = {}) {
    if (version !== undefined && !VERSIONS.includes(version)) {
        throw new TypeError(`a request's version is one of ${VERSIONS.join(' and ')}, not ${String(version)}`)
    }
    if (redirect !== 'follow' && redirect !== 'manual') throw new TypeError("redirect is 'follow' or 'manual'")
    const fields = pairs(headers)
    const sent = toSend(body)
    if (typeof sent === 'string' && sent && !fields.some(([name]) => name.toLowerCase() === 'content-type')) {
        fields.push(['Content-Type', 'text/plain;charset=UTF-8'])
    }
    const target = typeof url === 'string' ? url : String(url?.href ?? url)
    const given = JSON.stringify([target, String(method).toUpperCase(), fields, redirect === 'follow'])
    return new Response(JSON.parse(await ask(FETCH, milliseconds(timeout), given, undefined, sent)))
}

function urlOf(options) {
    if (options.href !== undefined) return String(options.href)
    const name = String(options.hostname ?? options.host ?? 'localhost')
    const host = name.includes(':') && !name.startsWith('[') ? `[${name}]` : name
    const scheme = String(options.protocol ?? 'http:').replace(/:$/, '')
    const auth = options.auth === undefined ? '' : `${String(options.auth).split(':').map(encodeURIComponent).join(':')}@`
    const port = options.port === undefined || options.port === '' ? '' : `:${Number(options.port)}`
    return `${scheme}://${auth}${host}${port}${options.path ?? '/'}`
}

// A request whose body is gathered by write(); end() sends it.
class ClientRequest extends Emitter {
    #url
    #options
    #headers
    #parts = []
    #sent = false
    constructor(url, options, call) {
        super()
        this.#url = url
        this.#options = options
        this.#headers = Object.fromEntries(pairs(options.headers))
        if (call !== undefined) this.once('response', call)
    }
    setHeader(name, value) {
        this.#headers[found(this.#headers, name) ?? name] = value
        return this
    }
    getHeader(name) { return this.#headers[found(this.#headers, name)] }
    write(data) {
        if (this.#sent) throw new Error('write() after end()')
        const part = toSend(data)
        this.#parts.push(typeof part === 'string' ? toUTF8(part) : ArrayBuffer.isView(part) ? new Uint8Array(
            part.buffer, part.byteOffset, part.byteLength).slice().buffer : part)
        return true
    }
    end(data) {
        if (this.#sent) throw new Error('end() after end()')
        if (data !== undefined) this.write(data)
        this.#sent = true
        this.#send()
        return this
    }
    async #send() {
        let response
        try {
            const { method, timeout } = this.#options
            const body = this.#parts.length ? joined(this.#parts) : undefined
            this.#parts = []
            response = await fetch(this.#url, { method, timeout, headers: this.#headers, body, redirect: 'manual' })
        } catch (error) {
            if (!this.emit('error', error)) throw error
            return
        }
        this.emit('response', response)
    }
}

// request(url[, options][, call]) or request(options[, call]).
function request(first, ...rest) {
    const isUrl = typeof first === 'string' || first instanceof String
    const call = rest.find(each => typeof each === 'function')
    const options = (isUrl ? rest.find(each => typeof each === 'object' && each !== null) : first) ?? {}
    return new ClientRequest(isUrl ? String(first) : urlOf(options), options, call)
}

function get(...given) { return request(...given).end() }

export { ClientRequest, Response, fetch, get, request }
