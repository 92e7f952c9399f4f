// Handlers for test_httpserver.py: by path, what a script may do with a request.
import { createServer } from 'http'

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const counts = {}
const count = name => { counts[name] = (counts[name] ?? 0) + 1 }

const routes = {
    '/now': (req, resp) => { resp.end('now') },
    '/echo': async (req, resp) => { resp.end('echo:' + await req.text()) },
    '/json': async (req, resp) => { resp.end(JSON.stringify(await req.json())) },
    '/later': async (req, resp) => {
        await sleep(50)
        resp.writeHead(201, 'Made', { 'X-One': 1, 'Set-Cookie': ['a=1', 'b=2'] })
        resp.end('later')
    },
    // Node's way: the handler returns, and answers afterwards.
    '/events': (req, resp) => {
        const pieces = []
        req.on('data', piece => { pieces.push(String(piece)) })
        req.on('end', () => { resp.end(`${pieces.length > 0}:${pieces.join('')}`) })
    },
    '/onlydata': (req, resp) => { req.on('data', body => { resp.write('echo:'); resp.end(body) }) },
    '/pieces': async (req, resp) => {
        for (let i = 0; i < 3; i++) {
            await resp.write(`piece ${i};`)
            await sleep(20)
        }
        resp.end('end')
    },
    '/through': async (req, resp) => {
        for await (const piece of req) await resp.write(piece)
        resp.end()
    },
    '/headers': (req, resp) => {
        const { headers } = req
        resp.end(JSON.stringify([Object.keys(headers), headers.host, headers['x-multi'], req.getHeader('X-MULTI'), req.httpVersion]))
    },
    '/length': (req, resp) => { resp.setHeader('Content-Length', 5).write('12'); resp.end('345') },
    '/empty': (req, resp) => { resp.writeHead(204).end() },
    '/throws': () => { throw new Error('thrown') },
    '/rejects': async () => { await sleep(1); throw new TypeError('rejected') },
    '/afterhead': async (req, resp) => { await resp.write('half'); throw new Error('after the head') },
    '/never': () => {},
    '/split': (req, resp) => { resp.setHeader('X-Bad', 'a\r\nB: c').end('x') },
    '/status': (req, resp) => { resp.writeHead(99).end() },
    '/twice': (req, resp) => { resp.end('once'); resp.end('twice') },
    '/spin': () => { for (;;); },
    // Nobody handles what this rejects with when the client goes.
    '/floating': (req, resp) => { (async () => { await req.text(); resp.end('whole') })() },
    '/timer': (req, resp) => {
        const timer = setInterval(() => { resp.write('tick;') }, 10)
        resp.on('close', () => { clearInterval(timer); count('closed') })
    },
    // What a timer's call throws, nobody catches.
    '/flood': (req, resp) => {
        const piece = 'x'.repeat(1 << 20)
        setTimeout(() => {
            for (let i = 0; i < 64; i++) resp.write(piece)
            resp.end()
            count('flooded')
        })
    },
    '/hold': (req, resp) => {
        const piece = 'x'.repeat(1 << 20)
        for (let i = 0; i < 15; i++) resp.write(piece)
        resp.end()
    },
    '/large': (req, resp) => { resp.end('y'.repeat(8 << 20)) },
    '/toolarge': (req, resp) => { resp.end('y'.repeat(17 << 20)) },
    '/flow': async (req, resp) => {
        const piece = 'z'.repeat(64 << 10)
        for (let i = 0; i < 256; i++) {
            await resp.write(piece)
            counts.flow = i + 1
        }
        resp.end()
        count('flowed')
    },
    '/counts': (req, resp) => { resp.end(JSON.stringify(counts)) },
}

const server = createServer((req, resp) => {
    const handler = routes[req.url]
    if (handler === undefined) {
        resp.statusCode = 404
        resp.end('none')
        return
    }
    return handler(req, resp)
})
server.listen(8000, () => { print('listening') })
routes['/close'] = (req, resp) => {
    server.close(() => { print('closed') })
    resp.end('closing')
}
