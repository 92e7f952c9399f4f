// Text to bytes and back: UTF-8, as https://encoding.spec.whatwg.org has it.
import { fromUTF8, sendable, toUTF8 } from 'wasinet:bridge'

const NAMES = ['utf-8', 'utf8', 'unicode-1-1-utf-8']

class TextEncoder {
    get encoding() { return 'utf-8' }
    encode(text = '') { return new Uint8Array(toUTF8(sendable(String(text)))) }
    encodeInto(text, target) {
        let read = 0, written = 0
        for (const char of sendable(String(text))) {
            const bytes = toUTF8(char)
            if (written + bytes.byteLength > target.length) break
            target.set(new Uint8Array(bytes), written)
            written += bytes.byteLength
            read += char.length
        }
        return { read, written }
    }
}

// How many bytes at the end are the beginning of a character that isn't whole.
function cut(bytes) {
    for (let back = 1; back <= Math.min(3, bytes.length); back++) {
        const byte = bytes[bytes.length - back]
        if ((byte & 0xc0) === 0x80) continue
        const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
        return size > back ? back : 0
    }
    return 0
}

function bytesOf(data) {
    if (data === undefined) return new Uint8Array(0)
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return new Uint8Array(data)
}

class TextDecoder {
    #left = new Uint8Array(0)
    #begun = false
    constructor(label = 'utf-8', options = {}) {
        if (!NAMES.includes(String(label).trim().toLowerCase())) throw new RangeError(`the encoding is UTF-8, not ${label}`)
        this.fatal = Boolean(options.fatal)
        this.ignoreBOM = Boolean(options.ignoreBOM)
    }
    get encoding() { return 'utf-8' }
    decode(data, options = {}) {
        let bytes = bytesOf(data)
        if (this.#left.length) {
            const whole = new Uint8Array(this.#left.length + bytes.length)
            whole.set(this.#left)
            whole.set(bytes, this.#left.length)
            bytes = whole
        }
        const kept = options.stream ? cut(bytes) : 0
        this.#left = bytes.slice(bytes.length - kept)
        bytes = bytes.subarray(0, bytes.length - kept)
        let text = fromUTF8(bytes)
        if (this.fatal && !same(new Uint8Array(toUTF8(text)), bytes)) {
            this.#left = new Uint8Array(0)
            throw new TypeError('the bytes are not UTF-8')
        }
        if (!this.#begun && !this.ignoreBOM && text.startsWith('\ufeff')) text = text.slice(1)
        this.#begun = Boolean(options.stream) && (this.#begun || bytes.length > 0)
        return text
    }
}

function same(one, other) {
    return one.length === other.length && one.every((byte, i) => byte === other[i])
}

export { TextDecoder, TextEncoder }
export default { TextDecoder, TextEncoder }
