// What scripts see. An expression: a function of the gateway's own functions (`host`, see host.rs) and of the policy's style, which answers
// with a compiler of scripts. It runs once per engine; afterwards everything that scripts share is frozen.
(function (host, style) {
    'use strict';
    const FAILURE = 'FAILURE';
    const SUCCESS = 'SUCCESS';
    const State = { FAILURE, SUCCESS };
    const properties = style === 'javascript';
    // A search that compares more characters than this would hold the shard: the engine does not look at its clock within one.
    const COMPARED_MAX = 67108864;

    const text = (value) => (value === undefined || value === null ? '' : String(value));
    const list = (value) => (Array.isArray(value) ? value.map(text) : [text(value)]);

    // Methods of a map, with those of its own; of the style `javascript` it is called as well as read: `request.headers().get('a')`, and its
    // entries are read as properties.
    const proxies = new Set();
    const map = (methods, read, write) => {
        if (!properties) return methods;
        const target = () => proxy;
        const get = (_, name) => {
            if (typeof name !== 'string') return undefined;
            return Object.hasOwn(methods, name) ? methods[name] : read(name);
        };
        const set = (_, name, value) => {
            if (typeof name === 'string') write(name, value);
            return true;
        };
        const has = (_, name) => typeof name === 'string' && methods.containsKey(name);
        const deleteProperty = (_, name) => {
            methods.remove(name);
            return true;
        };
        const ownKeys = () => methods.keySet();
        const getOwnPropertyDescriptor = (_, name) =>
            has(_, name) ? { value: read(name), writable: true, enumerable: true, configurable: true } : undefined;
        // Nothing stays in it from one script to the next: what it holds are parts of the exchange.
        const never = () => false;
        const closed = { defineProperty: never, setPrototypeOf: never, preventExtensions: never };
        const handler = { get, set, has, deleteProperty, ownKeys, getOwnPropertyDescriptor, ...closed };
        const proxy = new Proxy(target, Object.freeze(handler));
        proxies.add(proxy);
        return proxy;
    };

    const headers = (side) => {
        const get = (name) => host.field(side, text(name)) ?? null;
        const getAll = (name) => host.fields(side, text(name));
        const keySet = () => host.names(side);
        const set = (name, value) => {
            const values = list(value);
            host.setField(side, text(name), values.shift() ?? '');
            for (const more of values) host.addField(side, text(name), more);
            return self;
        };
        const add = (name, value) => {
            for (const one of list(value)) host.addField(side, text(name), one);
            return self;
        };
        const put = (name, value) => {
            const before = getAll(name);
            set(name, value);
            return before;
        };
        const remove = (name) => {
            host.removeField(side, text(name));
            return self;
        };
        const containsKey = (name) => host.field(side, text(name)) !== undefined;
        const entrySet = () => keySet().map((key) => entry(key, getAll(key)));
        const methods = {
            get, getAll, getFirst: get, set, add, put, remove, containsKey, contains: containsKey, keySet, names: keySet, entrySet,
            clear: () => keySet().forEach(remove),
            size: () => keySet().length,
            isEmpty: () => keySet().length === 0,
            forEach: (each) => entrySet().forEach((one) => each(one)),
            toSingleValueMap: () => Object.fromEntries(keySet().map((key) => [key, get(key)])),
            toListValuesMap: () => Object.fromEntries(keySet().map((key) => [key, getAll(key)])),
        };
        const self = map(methods, (name) => (containsKey(name) ? get(name) : undefined), set);
        return self;
    };

    const entry = (key, value) => ({ key, value, getKey: () => key, getValue: () => value });

    // Parameters of the query, or of the path (which are read only). `load` answers with pairs.
    const multimap = (load, store) => {
        const all = () => {
            const found = new Map();
            const pairs = load();
            for (let at = 0; at < pairs.length; at += 2) {
                const values = found.get(pairs[at]);
                if (values) values.push(pairs[at + 1]);
                else found.set(pairs[at], [pairs[at + 1]]);
            }
            return found;
        };
        const change = (edit) => {
            const values = all();
            const answer = edit(values);
            store([...values].flatMap(([key, many]) => many.flatMap((one) => [key, one])));
            return answer;
        };
        const get = (name) => all().get(text(name)) ?? null;
        const getFirst = (name) => get(name)?.[0] ?? null;
        const keySet = () => [...all().keys()];
        const set = (name, value) => change((values) => void values.set(text(name), list(value)));
        const methods = {
            get, getFirst, getAll: get, set, put: set, keySet, names: keySet,
            add: (name, value) => change((values) => {
                values.set(text(name), [...(values.get(text(name)) ?? []), ...list(value)]);
            }),
            setAll: (more) => change((values) => Object.keys(more).forEach((key) => values.set(key, list(more[key])))),
            remove: (name) => change((values) => values.delete(text(name))),
            clear: () => change((values) => values.clear()),
            containsKey: (name) => all().has(text(name)),
            containsAllKeys: (names) => list(names).every((name) => all().has(name)),
            size: () => all().size,
            isEmpty: () => all().size === 0,
            entrySet: () => [...all()].map(([key, value]) => entry(key, value)),
            forEach: (each) => all().forEach((value, key) => each(entry(key, value))),
            toSingleValueMap: () => Object.fromEntries([...all()].map(([key, values]) => [key, values[0]])),
        };
        return map(methods, (name) => get(name) ?? undefined, set);
    };

    // An attribute of several parts comes as JSON, and goes as such.
    const attribute = (name) => {
        const found = host.attribute(text(name));
        if (found !== undefined) return found;
        const parts = host.attributeJson(text(name));
        return parts === undefined ? null : JSON.parse(parts);
    };
    const setAttribute = (name, value) => {
        if (value === null || value === undefined) host.removeAttribute(text(name));
        else if (typeof value === 'string') host.setAttribute(text(name), value);
        else host.setAttributeJson(text(name), JSON.stringify(value) ?? 'null');
    };
    const removeAttribute = (name) => host.removeAttribute(text(name));
    const attributeNames = () => host.attributeNames();
    const attributes = map({
        get: attribute, set: setAttribute, put: setAttribute, remove: removeAttribute,
        containsKey: (name) => attribute(name) !== null,
        keySet: attributeNames,
        size: () => attributeNames().length,
        isEmpty: () => attributeNames().length === 0,
    }, (name) => attribute(name) ?? undefined, setAttribute);

    // A table that is read only. Its entries are asked for one by one: there may be many.
    const table = (read, keys) => {
        const methods = {
            get: (name) => read(text(name)) ?? null,
            containsKey: (name) => read(text(name)) !== undefined,
            keySet: keys,
            size: () => keys().length,
            isEmpty: () => keys().length === 0,
        };
        const get = (_, name) => (typeof name === 'string' ? read(name) ?? methods[name] : undefined);
        const has = (_, name) => typeof name === 'string' && read(name) !== undefined;
        const getOwnPropertyDescriptor = (_, name) =>
            has(_, name) ? { value: read(name), enumerable: true, configurable: true } : undefined;
        const never = () => false;
        const closed = { set: never, deleteProperty: never, defineProperty: never, setPrototypeOf: never, preventExtensions: never };
        return new Proxy({}, Object.freeze({ get, has, ownKeys: keys, getOwnPropertyDescriptor, ...closed }));
    };
    const dictionary = (id) => {
        const keys = () => host.dictionaryKeys(id) ?? [];
        return host.dictionaries().includes(id) ? table((key) => host.dictionary(id, key), keys) : undefined;
    };
    const dictionaries = () => table(dictionary, () => host.dictionaries());
    const ofContext = {
        get: attribute, set: setAttribute, remove: removeAttribute,
        getAttribute: attribute, setAttribute, removeAttribute, getAttributeNames: attributeNames,
        getAttributes: () => Object.fromEntries(attributeNames().map((name) => [name, attribute(name)])),
        properties: () => host.properties(), dictionaries,
    };

    // A fact of a message: `request.uri` in one style, `request.uri()` in the other.
    const FACTS = [
        'id', 'transactionId', 'clientIdentifier', 'uri', 'host', 'originalHost', 'contextPath', 'pathInfo', 'path', 'method', 'scheme',
        'version', 'timestamp', 'remoteAddress', 'localAddress',
    ];
    const message = (side, facts, more) => {
        const content = (...given) => (given.length === 0 ? host.content(side) ?? null : host.setContent(side, text(given[0])));
        const fields = headers(side);
        const members = {};
        const member = (name, read) => {
            const capital = 'get' + name[0].toUpperCase() + name.slice(1);
            members[capital] = { value: read, enumerable: true };
            members[name] = properties ? { get: read, enumerable: true } : { value: read, enumerable: true };
        };
        for (const name of facts) member(name, () => (name === 'timestamp' ? Number(host.fact(name)) : host.fact(name) ?? null));
        for (const [name, read] of Object.entries(more)) member(name, read);
        member('contentAsBase64', () => host.contentBase64(side) ?? null);
        members.headers = { value: properties ? fields : () => fields, enumerable: true };
        members.content = properties ? { get: () => content(), enumerable: true } : { value: content, enumerable: true };
        members.getContent = { value: () => content(), enumerable: true };
        members.getHeaders = { value: () => fields, enumerable: true };
        members.header = { value: (name) => fields.get(name), enumerable: true };
        return members;
    };

    const parameters = multimap(() => host.parameters(), (pairs) => host.setParameters(pairs));
    const pathParameters = multimap(() => host.pathParameters(), () => { throw new TypeError('parameters of the path are read only'); });
    const ofRequest = message('request', FACTS, {});
    ofRequest.parameters = { value: properties ? parameters : () => parameters, enumerable: true };
    ofRequest.pathParameters = { value: properties ? pathParameters : () => pathParameters, enumerable: true };
    ofRequest.parameter = { value: (name) => parameters.getFirst(name), enumerable: true };
    ofRequest.pathParameter = { value: (name) => pathParameters.getFirst(name), enumerable: true };
    const request = Object.create(Object.prototype, ofRequest);

    const status = (...given) => (given.length === 0 ? host.status() ?? null : host.setStatus(Number(given[0])));
    const ofResponse = message('response', [], { reason: () => host.reason() ?? null });
    ofResponse.status = properties ? { get: () => status(), set: status, enumerable: true } : { value: status, enumerable: true };
    if (!properties) ofResponse.reason = { value: (...given) => (given.length === 0 ? host.reason() ?? null : undefined), enumerable: true };
    const response = Object.create(Object.prototype, ofResponse);
    // `response.status(500)`, which a number cannot be: scripts that call it get a function that compares as a number does.
    const called = { value: Object.assign(status, { valueOf: () => status(), toString: () => String(status()) }), enumerable: true };
    const responseCalled = Object.create(Object.prototype, { ...ofResponse, status: called });

    const context = properties
        ? { attributes, attributeNames, getAttributes: () => attributes, properties: ofContext.properties, dictionaries,
            getAttribute: attribute, setAttribute, removeAttribute }
        : ofContext;

    class Result {
        constructor() {
            this.state = SUCCESS;
            this.code = 500;
            this.error = null;
            this.key = null;
            this.contentType = null;
        }
        setState(value) { this.state = value; }
        setCode(value) { this.code = value; }
        setError(value) { this.error = value; }
        setKey(value) { this.key = value; }
        setContentType(value) { this.contentType = value; }
        fail(code, error, key, contentType) { Object.assign(this, { state: FAILURE, code, error, key, contentType }); }
    }

    const says = (level) => (...parts) => host.log(level, parts.map((part) => (typeof part === 'object' ? JSON.stringify(part) : String(part))).join(' '));
    const console = { log: says('info'), info: says('info'), warn: says('warn'), error: says('warn'), debug: says('info') };
    const Base64 = { encode: (value) => host.encode(text(value)), decode: (value) => host.decode(text(value)) };
    const shared = { console, Base64, btoa: Base64.encode, atob: Base64.decode, print: () => undefined };
    for (const [name, value] of Object.entries(shared)) Object.defineProperty(globalThis, name, { value });

    for (const name of ['indexOf', 'lastIndexOf', 'includes', 'split', 'replaceAll']) {
        const search = String.prototype[name];
        const value = { [name](...given) {
            const long = typeof given[0] === 'string' ? given[0].length : 0;
            if (long > 16 && String(this).length * long > COMPARED_MAX) throw new RangeError('the search would take too long');
            return search.apply(this, given);
        } }[name];
        Object.defineProperty(String.prototype, name, { value });
    }
    harden();

    const told = (part) => (part === null || part === undefined ? undefined : String(part));
    const NAMES = ['request', 'response', 'context', 'result', 'State'];
    return function compile(source, wantsValue) {
        // `eval` is what gives the value of the last statement; a body without it is compiled once.
        const body = wantsValue ? new Function('source', ...NAMES, 'return eval(source)').bind(undefined, source) : new Function(...NAMES, source);
        // What is no script is said when the definition is checked, not by the first request: it is read, and not run.
        if (wantsValue) {
            try {
                new Function('source', 'eval("throw null;" + source)')(source);
            } catch (error) {
                if (error !== null) throw error;
            }
        }
        const answers = properties && /\.\s*status\s*\(/.test(source) ? responseCalled : response;
        return function run() {
            const result = new Result();
            const value = body(request, answers, context, result, State);
            const content = wantsValue ? told(value) : undefined;
            if (result.state !== FAILURE) return content;
            return [Number(result.code) || 500, told(result.error), told(result.key), told(result.contentType)];
        };
    };

    // No script leaves anything behind in what the next one is given.
    function harden() {
        const seen = new Set();
        const walk = (value) => {
            if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value) || proxies.has(value)) return;
            seen.add(value);
            if (value !== globalThis) walk(Object.getPrototypeOf(value));
            for (const key of Reflect.ownKeys(value)) {
                const own = Reflect.getOwnPropertyDescriptor(value, key);
                walk(own.value);
                walk(own.get);
                walk(own.set);
            }
        };
        walk(globalThis);
        for (const made of [function* () {}, async function () {}, async function* () {}, [][Symbol.iterator](), new Map().entries(),
            new Set().entries(), ''[Symbol.iterator](), ''.matchAll(/a/g), request, response, responseCalled, context, State, Result]) walk(made);
        // An object that inherits a frozen property could not have one of its own by assignment (`this.name = …` of an error): those that
        // scripts assign are made such that it can.
        const errors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((kind) => kind.prototype);
        for (const prototype of [Object.prototype, ...errors]) {
            for (const key of Reflect.ownKeys(prototype)) {
                const { value, writable, enumerable, configurable } = Reflect.getOwnPropertyDescriptor(prototype, key);
                if (!writable || !configurable) continue;
                const set = function (given) {
                    if (this === prototype) throw new TypeError('what scripts share is read only');
                    Object.defineProperty(this, key, { value: given, writable: true, enumerable: true, configurable: true });
                };
                Object.defineProperty(prototype, key, { get: Object.freeze(() => value), set: Object.freeze(set), enumerable, configurable: false });
            }
        }
        seen.delete(globalThis);
        seen.forEach(Object.freeze);
        for (const key of Reflect.ownKeys(globalThis)) {
            const own = Reflect.getOwnPropertyDescriptor(globalThis, key);
            if (own.configurable && 'value' in own) Object.defineProperty(globalThis, key, { ...own, writable: false, configurable: false });
        }
    }
})
