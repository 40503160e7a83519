;; Answers instead of the backend, with a header and a body.
(module
  (import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "denied")
  ;; One pair: `x-by: wasm`.
  (data (i32.const 16) "\01\00\00\00\04\00\00\00\04\00\00\00x-by\00wasm\00")
  (func (export "proxy_abi_version_0_2_0"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $answer (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 22) (i32.const -1)))
    (i32.const 1)))
