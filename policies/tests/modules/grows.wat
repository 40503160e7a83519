;; Asks for more memory until it gets none, and says how many pages it has.
(module
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-pages")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i32.store8 (i32.const 64) (i32.add (i32.const 48) (memory.size)))
    (drop (call $replace (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 1)))
    (i32.const 0)))
