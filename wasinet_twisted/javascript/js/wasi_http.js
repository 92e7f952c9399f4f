// Messages of HTTP, as the article has them: bytes in, messages out, and back.
import { handle, host, operation, sendable, toUTF8 } from 'wasinet:bridge'
import { found, pairs } from 'wasinet:fields'
import { URL } from 'wasinet:url'

const PARSE = operation('parse'), SIZE = operation('bufferSize')
const CLEAR = operation('clearBuffer'), ENCODE = operation('encode')
const HEAD = operation('encodeHead'), CHUNK = operation('encodeChunk'), BYTES = operation('bufferBytes')
const CHUNKS = operation('chunkBuffer'), PARSE_CHUNK = operation('parseChunk')
// What parse is asked for.
const REQUEST = 0, RESPONSE = 1, NOTHING = 2

class Message {
    constructor() {
        this.version = 'HTTP/1.0'
        this.headers = {}
        this.body = new ArrayBuffer(0)
    }
    getHeader(name) { return this.headers[found(this.headers, name)] }
    setHeader(name, value) { this.headers[found(this.headers, name) ?? name] = value }
    // 'chunked', or how many bytes the body has.
    get bodyLength() {
        if (isChunked(this.headers)) return 'chunked'
        const body = sendable(this.body ?? '')
        return typeof body === 'string' ? toUTF8(body).byteLength : body.byteLength
    }
}

function isChunked(headers) {
    const name = found(headers, 'transfer-encoding')
    return name !== undefined && String(headers[name]).toLowerCase().endsWith('chunked')
}

// The host gets the parts of a head in lines, and how many fields there are, so that no part can be two.
function encoded(message, status, first, second, given) {
    const body = sendable(given ?? message.body ?? '')
    const fields = pairs(message.headers)
    let head = first + '\n' + second + '\n' + String(message.version)
    for (const [name, value] of fields) head += '\n' + name + '\n' + value
    return host(ENCODE, fields.length, status, head, body)
}

class WasiRequest extends Message {
    constructor() {
        super()
        this.method = 'GET'
        this.uri = ''
    }
    // The body is the one given, else this.body.
    encode(body) { return encoded(this, 0, String(this.method), String(this.uri), body) }
}

class WasiResponse extends Message {
    constructor() {
        super()
        this.status = 200
        this.reason = 'OK'
    }
    get statusText() { return this.reason }
    set statusText(text) { this.reason = text }
    encode(body) { return encoded(this, Number(this.status) || NaN, '', String(this.reason), body) }
    // Write the head of a body that follows in chunks, to a connection of wasi_net's.
    chunk(conn) {
        const head = host(HEAD, 0, 0, JSON.stringify([Number(this.status), String(this.reason), pairs(this.headers)]))
        conn.write(head)
        return new ChunkResponse(conn)
    }
}

// A body in chunks. Both give what the connection's write() gives: to await it is flow control.
class ChunkResponse {
    #conn
    #ended = false
    constructor(conn) { this.#conn = conn }
    write(data) {
        if (this.#ended) throw new Error('write() after end()')
        const chunk = host(CHUNK, 0, 0, sendable(data))
        // An empty chunk would be the end.
        return chunk.byteLength ? this.#conn.write(chunk) : true
    }
    end(data) {
        if (this.#ended) throw new Error('end() after end()')
        this.#ended = true
        return this.#conn.write(host(CHUNK, 1, 0, data === undefined ? undefined : sendable(data)))
    }
}

class Buffer {
    // The host has a buffer only of what isn't a whole message in one piece: until then, #piece is all there is.
    #id = 0
    #piece
    // For parseChunk(): a buffer of the host's for nothing else, or the body of a message that has come in chunks.
    #chunks
    #body
    append(data) {
        if (!(data instanceof ArrayBuffer || ArrayBuffer.isView(data))) {
            throw new TypeError('append() takes an ArrayBuffer or a view of one')
        }
        if (this.#piece !== undefined) this.#parse(NOTHING)
        this.#piece = data
    }
    write(data) { this.append(typeof data === 'string' ? toUTF8(sendable(data)) : data) }
    // The bytes that nobody has parsed. They stay.
    get buffer() {
        if (this.#id === 0) {
            const piece = this.#piece ?? new ArrayBuffer(0)
            if (!ArrayBuffer.isView(piece)) return piece.slice(0)
            return piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength)
        }
        if (this.#piece !== undefined) this.#parse(NOTHING)
        return host(BYTES, this.#id)
    }
    // The next bytes of a body in chunks; null at its end, undefined while there are none. After a message that came
    // in chunks, these are its body's, which is whole then.
    parseChunk() {
        if (this.#body !== undefined) {
            const body = this.#body
            this.#body = body === null || body.byteLength === 0 ? undefined : null
            return body === null || body.byteLength === 0 ? null : body
        }
        if (this.#chunks === undefined) this.#chunks = handle(host(CHUNKS))
        let piece
        if (this.byteLength) {
            piece = this.buffer
            this.clear()
        }
        const given = host(PARSE_CHUNK, this.#chunks, 0, piece)
        if (given === null) {
            // What follows it may be anything.
            const rest = host(BYTES, this.#chunks)
            this.#chunks = undefined
            if (rest.byteLength) this.append(rest)
        }
        return given
    }
    parseRequest() { return this.#message(new WasiRequest(), this.#parse(REQUEST), 'method', 'uri') }
    parseResponse() { return this.#message(new WasiResponse(), this.#parse(RESPONSE), 'status', 'reason') }
    clear() {
        this.#piece = undefined
        this.#body = undefined
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
        if (this.#id === 0) this.#id = handle(id)
    }
    // A message comes as the parts of its head, whether its body came in chunks, what keeps the bytes after it or 0, and
    // its body.
    #message(message, given, first, second) {
        if (given === undefined) return undefined
        message[first] = given[0]
        message[second] = given[1]
        message.version = given[2]
        message.headers = given[3]
        message.body = given[6]
        this.#body = given[4] ? given[6] : undefined
        if (given[5] !== 0) this.#own(given[5])
        return message
    }
}

export { Buffer, ChunkResponse, URL, WasiRequest, WasiResponse }
