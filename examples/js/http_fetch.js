// Two pages at once, then a POST and a PUT; the server is http_server.js, or the one that is named.
//
//     wasinet run http_fetch.js
//     wasinet run http_fetch.js http://localhost:8001

import { fetch } from 'http'
import { argv } from 'process'

const server = argv[2] ?? 'http://localhost:8001'

async function show(name, options) {
    const response = await fetch(`${server}${name}`, options)
    const type = response.getHeader('Content-Type') ?? 'no type'
    print(options?.method ?? 'GET', name, response.status, response.statusText, `(${type})`)
    print((await response.text()).trimEnd())
}

try {
    await Promise.all([show('/'), show('/nowhere')])
    await show('/post', { method: 'POST', body: JSON.stringify({ a: 123 }), headers: { 'Content-Type': 'application/json' } })
    await show('/put', { method: 'PUT', body: new Uint8Array([72, 105]) })
} catch (e) {
    print('catch:', e)
}
