// URLs in their parts, as the original has them (RFC 3986).
const PORTS = { http: 80, https: 443, ws: 80, wss: 443, ftp: 21 }
const WHOLE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:([^/?#@]*)@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:[\]]+)(?::([0-9]{0,5}))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s

class URL {
    constructor(text) {
        text = String(text)
        const match = WHOLE.exec(text)
        // eslint-disable-next-line no-control-regex
        if (match === null || /[\x00-\x20\x7f]/.test(text)) throw new TypeError(`no URL: ${text.slice(0, 200)}`)
        const [, scheme, user, host, port, path, query, fragment] = match
        const at = user === undefined ? -1 : user.indexOf(':')
        this.href = text
        this.scheme = scheme.toLowerCase()
        this.username = user === undefined ? '' : at < 0 ? user : user.slice(0, at)
        this.password = at < 0 ? '' : user.slice(at + 1)
        this.host = host.toLowerCase()
        this.port = port ? Number(port) : PORTS[this.scheme]
        if (this.port > 65535 || this.port === 0) throw new TypeError(`no URL, for its port: ${text.slice(0, 200)}`)
        this.path = path || '/'
        this.query = query
        this.fragment = fragment
    }
    toString() { return this.href }
    toJSON() { return this.href }
}

export { URL }
