// An echo on createServer(), for wasinet run: it listens at 8001, which --listen moves.
import { createServer } from 'http'

createServer(async (req, resp) => {
    const body = await req.text()
    resp.setHeader('Content-Type', 'text/plain')
    resp.end('echo:' + body)
}).listen(8001)
