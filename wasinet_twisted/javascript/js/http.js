// HTTP/1.1, as the original's later module has it, and Node: a server, and requests.
import { host, operation } from 'wasinet:bridge'
import { ClientRequest, Response, fetch, get, request } from 'wasinet:httpclient'
import { IncomingMessage, Server, ServerResponse, createServer } from 'wasinet:httpserver'
import { URL } from 'wasinet:url'

const STATUS_CODES = JSON.parse(host(operation('statusCodes')))

export {
    ClientRequest, IncomingMessage, Response, STATUS_CODES, Server, ServerResponse, URL,
    createServer, fetch, get, request,
}
export default {
    ClientRequest, IncomingMessage, Response, STATUS_CODES, Server, ServerResponse, URL,
    createServer, fetch, get, request,
}
