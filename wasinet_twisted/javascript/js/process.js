// The program itself.
import { host, operation } from 'wasinet:bridge'

const EXIT = operation('exit')
const { argv, env } = JSON.parse(host(operation('startup')))

// It doesn't return.
function exit(code = 0) { host(EXIT, Number(code)) }
function nextTick(call, ...values) { queueMicrotask(() => call(...values)) }

export { argv, env, exit, nextTick }
export default { argv, env, exit, nextTick }
