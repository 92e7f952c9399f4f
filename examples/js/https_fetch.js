// A page by HTTPS, piece by piece as it comes. The server's certificate is verified, by the system's authorities or by
// those of --cacert.
//
//     wasinet run https_fetch.js
//     wasinet run https_fetch.js https://example.org/

import { fetch } from 'http'
import { argv } from 'process'

const response = await fetch(argv[2] ?? 'https://example.com/')
print(response.url, response.status, response.statusText)
let size = 0
await response.onChunk(piece => { size += piece.byteLength })
print(size, 'bytes')
