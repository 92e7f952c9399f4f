// Events, as Node has them: on(), once(), off(), emit().
class Emitter {
    // Most have none.
    #listeners

    on(event, call) {
        if (typeof call !== 'function') throw new TypeError('a listener is a function')
        const all = (this.#listeners ??= new Map())
        const known = all.get(event)
        if (known === undefined) all.set(event, [call])
        else known.push(call)
        return this
    }
    addListener(event, call) { return this.on(event, call) }
    once(event, call) {
        const single = (...values) => {
            this.off(event, single)
            return call(...values)
        }
        single.listener = call
        return this.on(event, single)
    }
    off(event, call) {
        const left = this.listeners(event).filter(each => each !== call && each.listener !== call)
        if (left.length) this.#listeners.set(event, left)
        else this.#listeners?.delete(event)
        return this
    }
    removeListener(event, call) { return this.off(event, call) }
    removeAllListeners(event) {
        if (event === undefined) this.#listeners = undefined
        else this.#listeners?.delete(event)
        return this
    }
    listeners(event) { return [...(this.#listeners?.get(event) ?? [])] }
    listenerCount(event) { return this.#listeners?.get(event)?.length ?? 0 }
    emit(event, ...values) {
        if (this.#listeners === undefined) return false
        const calls = this.listeners(event)
        for (const call of calls) call(...values)
        return calls.length > 0
    }
}

export { Emitter }
