// Bodies that come piece by piece: of requests to a server, and of responses to a client.
import { fromUTF8 } from 'wasinet:bridge'
import { Emitter } from 'wasinet:emitter'
import { withLowerNames } from 'wasinet:fields'

// Bytes that are text where a text is asked for, as Node's Buffer.
class Bytes extends Uint8Array {
    toString() { return fromUTF8(this) }
}

function joined(pieces) {
    if (pieces.length === 1) return pieces[0]
    const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.byteLength, 0))
    let at = 0
    for (const piece of pieces) {
        whole.set(new Uint8Array(piece), at)
        at += piece.byteLength
    }
    return whole.buffer
}

class Body extends Emitter {
    #headers
    #named = false
    #whole
    #taken = false
    #flows = false
    // whole: the body, if it has come with the head.
    constructor(headers, whole) {
        super()
        this.#headers = headers
        this.#whole = whole
    }

    // Subclasses have these: the next piece, null at the end; all of it; and what happens to an error of a listener.
    async pull() { throw new Error('there is no body') }
    async pullAll() {
        const pieces = []
        for (let piece; (piece = await this.pull()) !== null;) pieces.push(piece)
        return joined(pieces)
    }
    caught(error) { throw error }

    get headers() {
        if (!this.#named) {
            this.#named = true
            withLowerNames(this.#headers)
        }
        return this.#headers
    }
    getHeader(name) { return this.headers[String(name).toLowerCase()] ?? this.headers[name] }
    get bodyUsed() { return this.#taken }

    #take() {
        if (this.#taken) throw new TypeError('the body has been read, or is being read')
        this.#taken = true
    }
    // The body if it has come with its head, else a promise of it.
    #all() {
        this.#take()
        const whole = this.#whole
        this.#whole = undefined
        return whole ?? this.pullAll()
    }
    async arrayBuffer() { return this.#all() }
    async bytes() { return new Uint8Array(await this.arrayBuffer()) }
    async text() {
        const all = this.#all()
        const text = fromUTF8(all instanceof ArrayBuffer ? all : await all)
        return text.startsWith('\ufeff') ? text.slice(1) : text
    }
    async json() { return JSON.parse(await this.text()) }

    // Piece by piece; while none is asked for, the peer has to wait.
    async *[Symbol.asyncIterator]() {
        this.#take()
        const whole = this.#whole
        this.#whole = undefined
        if (whole !== undefined) {
            if (whole.byteLength) yield whole
            return
        }
        for (let piece; (piece = await this.pull()) !== null;) yield piece
    }
    // Call with each piece; a promise is waited for.
    async onChunk(call) {
        for await (const piece of this) await call(piece)
    }

    on(event, call) {
        super.on(event, call)
        if ((event === 'data' || event === 'end') && !this.#flows) {
            this.#flows = true
            this.#flow()
        }
        return this
    }
    async #deliver(event, ...values) {
        for (const call of this.listeners(event)) await call(...values)
    }
    async #flow() {
        try {
            // Whoever adds one listener adds the others before this goes on.
            await undefined
            let some = false
            for await (const piece of this) {
                some = true
                await this.#deliver('data', new Bytes(piece))
            }
            // So a handler that has only this listener answers a request without a body, too.
            if (!some) await this.#deliver('data', new Bytes(0))
            await this.#deliver('end')
        } catch (error) {
            this.caught(error)
        } finally {
            this.removeAllListeners('data').removeAllListeners('end')
        }
    }
    setEncoding() { return this }
}

export { Body, Bytes, joined }
