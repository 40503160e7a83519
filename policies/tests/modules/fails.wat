;; Does what the first byte of its configuration says: `t` traps, `l` never ends, `p` pauses for good, `m` reads beyond its memory, `n` lets
;; its allocator ask for an allocation, `r` calls itself
;; without end; any other goes on.
(module
  (import "env" "proxy_get_header_map_size" (func $sized (param i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $kind (mut i32) (i32.const 0))
  (global $nested (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    ;; Behind the beginning, an allocation asks the host for another one.
    (if (global.get $kind)
      (then (global.set $nested (call $pairs (i32.const 0) (i32.const 200) (i32.const 204)))))
    (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $buffer (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 200) (i32.const 204)))
    (global.set $kind (i32.load8_u (i32.load (i32.const 200))))
    (i32.const 1))
  (func $again (call $again))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.eq (global.get $kind) (i32.const 116)) (then unreachable))
    (if (i32.eq (global.get $kind) (i32.const 108)) (then (loop $on (br $on))))
    (if (i32.eq (global.get $kind) (i32.const 114)) (then (call $again)))
    (if (i32.eq (global.get $kind) (i32.const 112)) (then (return (i32.const 1))))
    (if (i32.eq (global.get $kind) (i32.const 109))
      (then (if (i32.ne (call $log (i32.const 2) (i32.const 65000) (i32.const 1000)) (i32.const 6)) (then unreachable))))
    (if (i32.eq (global.get $kind) (i32.const 110))
      (then
        (drop (call $pairs (i32.const 0) (i32.const 200) (i32.const 204)))
        (if (i32.ne (global.get $nested) (i32.const 10)) (then unreachable))))
    (i32.const 0)))
