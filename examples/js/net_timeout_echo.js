// An echo that waits no longer than five seconds: for a connection, and for what a client sends.
//
//     wasinet run net_timeout_echo.js
//     printf WasmEdge | nc -q1 localhost 8000

import * as net from 'wasi_net'

async function handle_client(cs) {
    while (true) {
        try {
            let d = await cs.read(5000)
            if (d.byteLength <= 0) {
                break
            }
            cs.write('echo:' + newStringFromUTF8(d))
        } catch (e) {
            print('read err:', e)
            break
        }
    }
}

async function server_start() {
    let s = new net.WasiTcpServer(8000)
    while (true) {
        try {
            let cs = await s.accept(5000)
            handle_client(cs)
        } catch (e) {
            print('accept err:', e)
            break
        }
    }
}

server_start()
