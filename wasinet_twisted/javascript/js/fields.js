// Fields of messages: objects whose names are as they came, or pairs.

// The name by which an object has a field, whatever its case; undefined: it has none.
function found(headers, name) {
    name = String(name).toLowerCase()
    return Object.keys(headers).find(each => each.toLowerCase() === name)
}

// Fields as pairs: an array is several fields of one name.
function pairs(headers) {
    const given = []
    const add = (name, value) => {
        if (Array.isArray(value)) for (const each of value) given.push([name, String(each)])
        else given.push([name, String(value)])
    }
    if (headers === undefined || headers === null) return given
    if (typeof headers[Symbol.iterator] === 'function') for (const [name, value] of headers) add(String(name), value)
    else for (const name of Object.keys(headers)) add(name, headers[name])
    return given
}

// What came, by the names as they came, which are what keys() shows, and by those in lower case, as Node has them.
function withLowerNames(headers) {
    for (const name of Object.keys(headers)) {
        const lower = name.toLowerCase()
        if (lower !== name && !Object.hasOwn(headers, lower)) {
            Object.defineProperty(headers, lower, { value: headers[name], configurable: true, writable: true })
        }
    }
    return headers
}

export { found, pairs, withLowerNames }
