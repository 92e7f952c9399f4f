// Messages of HTTP, as the article has them: bytes in, messages out, and back.
import { fromUTF8, host, operation, owns, sendable } from 'wasinet:bridge'

const PARSE = operation('parse'), SIZE = operation('bufferSize')
const CLEAR = operation('clearBuffer'), BODY = operation('body'), ENCODE = operation('encode')
// What parse is asked for.
const REQUEST = 0, RESPONSE = 1, NOTHING = 2

function found(headers, name) {
    name = String(name).toLowerCase()
    return Object.keys(headers).find(each => each.toLowerCase() === name)
}

class Message {
    constructor() {
        this.version = 'HTTP/1.0'
        this.headers = {}
        this.body = new ArrayBuffer(0)
    }
    getHeader(name) { return this.headers[found(this.headers, name)] }
    setHeader(name, value) { this.headers[found(this.headers, name) ?? name] = value }
}

// Fields as pairs: an array is several fields of one name.
function pairs(headers) {
    const given = []
    for (const name of Object.keys(headers)) {
        const value = headers[name]
        if (Array.isArray(value)) for (const each of value) given.push([name, String(each)])
        else given.push([name, String(value)])
    }
    return given
}

function encoded(message, first, second) {
    const body = sendable(message.body ?? '')
    if (typeof body === 'string' ? body.length : body.byteLength) host(BODY, 0, 0, body)
    return host(ENCODE, 0, 0, JSON.stringify([first, second, message.version, pairs(message.headers)]))
}

class WasiRequest extends Message {
    constructor() {
        super()
        this.method = 'GET'
        this.uri = ''
    }
    encode() { return encoded(this, String(this.method), String(this.uri)) }
}

class WasiResponse extends Message {
    constructor() {
        super()
        this.status = 200
        this.reason = 'OK'
    }
    get statusText() { return this.reason }
    set statusText(text) { this.reason = text }
    encode() { return encoded(this, Number(this.status), String(this.reason)) }
}

class Buffer {
    // The host has a buffer only of what isn't a whole message in one piece: until then, #piece is all there is.
    #id = 0
    #piece
    append(data) {
        if (!(data instanceof ArrayBuffer || ArrayBuffer.isView(data))) {
            throw new TypeError('append() takes an ArrayBuffer or a view of one')
        }
        if (this.#piece !== undefined) this.#parse(NOTHING)
        this.#piece = data
    }
    write(data) { this.append(data) }
    parseRequest() { return this.#message(new WasiRequest(), this.#parse(REQUEST), 'method', 'uri') }
    parseResponse() { return this.#message(new WasiResponse(), this.#parse(RESPONSE), 'status', 'reason') }
    clear() {
        this.#piece = undefined
        if (this.#id !== 0) host(CLEAR, this.#id)
    }
    get byteLength() {
        return (this.#piece?.byteLength ?? 0) + (this.#id === 0 ? 0 : host(SIZE, this.#id))
    }
    get length() { return this.byteLength }

    #parse(kind) {
        const piece = this.#piece
        this.#piece = undefined
        const last = host(PARSE, this.#id, kind, piece)
        if (typeof last !== 'number') return last
        this.#own(last)
        return undefined
    }
    #own(id) {
        if (this.#id === 0) this.#id = owns(this, id)
    }
    // A message comes as the length of its head, its head as JSON, and its body.
    #message(message, data, first, second) {
        if (data === undefined) return undefined
        const size = new DataView(data).getUint32(0)
        const head = JSON.parse(fromUTF8(new Uint8Array(data, 4, size)))
        message[first] = head[0]
        message[second] = head[1]
        message.version = head[2]
        message.headers = head[3]
        message.body = data.slice(4 + size)
        if (head.length > 4) this.#own(head[4])
        return message
    }
}

export { Buffer, WasiRequest, WasiResponse }
