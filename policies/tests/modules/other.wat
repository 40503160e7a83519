;; Is a module, but for no ABI that is known; its start never ends.
(module (memory (export "memory") 1) (func $on (loop $on (br $on))) (start $on))
