// A page whose frame comes at once, and whose parts come when they are there, on the sockets themselves. A browser shows
// each part as it comes; so does curl with -N:
//
//     wasinet run streamed_page.js
//     curl -N http://localhost:8002/

import * as net from 'wasi_net'
import * as http from 'wasi_http'

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

// What takes its time: a query, another service.
async function part(name, ms) {
    await sleep(ms)
    return `<section><h2>${name}</h2><p>after ${ms} ms</p></section>\n`
}

async function page(conn) {
    const response = new http.WasiResponse()
    response.headers = { 'Content-Type': 'text/html; charset=utf-8' }
    const body = response.chunk(conn)
    // What await gives back is the client's: if it reads slowly, the page waits.
    await body.write('<!doctype html>\n<title>Parts</title>\n<h1>Parts</h1>\n')
    const parts = [part('comments', 300), part('posts', 100), part('sidebar', 200)]
    await Promise.all(parts.map(async each => { await body.write(await each) }))
    await body.end('<p>end</p>\n')
}

async function client(conn) {
    const buffer = new http.Buffer()
    try {
        for (;;) {
            const data = await conn.read(5000)
            if (data.byteLength === 0) return
            buffer.append(data)
            if (buffer.parseRequest() instanceof http.WasiRequest) return await page(conn)
        }
    } catch (e) {
        print(e)
    }
}

const server = new net.WasiTcpServer(8002)
print('listen 8002 ...')
for (;;) client(await server.accept())
