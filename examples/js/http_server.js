// A server at 8001: it answers a POST or a PUT with what it was sent, and a GET with what it knows.
//
//     wasinet run http_server.js
//     curl -d WasmEdge http://localhost:8001/echo
//     curl http://localhost:8001/

import { STATUS_CODES, createServer } from 'http'

let answered = 0

createServer(async (req, resp) => {
    print(req.method, req.url)
    answered++
    if (req.method === 'POST' || req.method === 'PUT') {
        // Piece by piece, as fast as the client takes it: a body of any length needs no memory.
        await resp.write('echo:')
        for await (const piece of req) await resp.write(piece)
        resp.end()
    } else if (req.url === '/') {
        resp.setHeader('Content-Type', 'application/json')
        resp.end(JSON.stringify({ answered, client: req.headers['user-agent'] }) + '\n')
    } else {
        resp.writeHead(404, { 'Content-Type': 'text/plain' })
        resp.end(`404 ${STATUS_CODES[404]}\n`)
    }
}).listen(8001, () => {
    print('listen 8001 ...')
})
