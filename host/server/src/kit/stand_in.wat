(component
  (type $types' (instance
    (type $error' (record
      (field "code" string) (field "message" string) (field "retryable" bool)
      (field "retry-after-ms" (option u64)) (field "details" (option string))))
    (export "error" (type (eq $error')))))
  (import "taskhost:task/types@1.0.0" (instance $types (type $types')))
  (alias export $types "error" (type $error))
  (type $http' (instance
    (alias outer 1 $error (type $outer))
    (export "error" (type $error (eq $outer)))
    (type $request' (record
      (field "method" string) (field "url" string)
      (field "headers" (list (tuple string string)))
      (field "body" (option (list u8))) (field "timeout-ms" (option u64))
      (field "options" (option string))))
    (export "request" (type $request (eq $request')))
    (type $response' (record
      (field "status" u16) (field "headers" (list (tuple string string)))
      (field "body" (list u8)) (field "details" (option string))))
    (export "response" (type $response (eq $response')))
    (export "send"
      (func (param "request" $request) (result (result $response (error $error)))))))
  (import "taskhost:task/http@1.0.0" (instance $http (type $http')))
  (core module $memory'
    (memory (export "memory") 1)
    ;; Behind everything that has a place of its own.
    (global $free (mut i32) (i32.const 4096))
    (data (i32.const 512) "POST")
    (data (i32.const 1024) "URL")
    (data (i32.const 2048) "DESCRIPTOR")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32) (local $missing i32)
      (local.set $at
        (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.set $missing
        (i32.sub (global.get $free) (i32.shl (memory.size) (i32.const 16))))
      (if (i32.gt_s (local.get $missing) (i32.const 0)) (then
        (drop (memory.grow
          (i32.add (i32.shr_u (local.get $missing) (i32.const 16)) (i32.const 1))))))
      (local.get $at)))
  (core instance $memory (instantiate $memory'))
  (core func $send (canon lower (func $http "send")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core module $guest'
    (import "memory" "memory" (memory 1))
    (import "host" "send"
      (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (func (export "describe") (result i32)
      (i32.store (i32.const 0) (i32.const 2048))
      (i32.store (i32.const 4) (i32.const DESCRIPTOR_LENGTH))
      (i32.const 0))
    (func (export "run") (param $params i32) (param $length i32) (result i32)
      (local $body i32) (local $code_length i32)
      ;; Method, URL, no headers, the params as body, no time and no options of its own; the answer goes to 128.
      (call $send (i32.const 512) (i32.const 4) (i32.const 1024) (i32.const URL_LENGTH)
        (i32.const 0) (i32.const 0) (i32.const 1) (local.get $params) (local.get $length)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 128))
      ;; An error of the call is one of the run: both are laid out alike.
      (if (i32.load8_u (i32.const 128)) (then (return (i32.const 128))))
      (local.set $body (i32.load (i32.const 148)))
      (if (i32.eq (i32.load16_u (i32.const 136)) (i32.const 200)) (then
        (i32.store8 (i32.const 256) (i32.const 0))
        (i32.store (i32.const 264) (local.get $body))
        (i32.store (i32.const 268) (i32.load (i32.const 152)))
        (return (i32.const 256))))
      ;; The length of the code, the code, the message.
      (local.set $code_length (i32.load (local.get $body)))
      (i32.store8 (i32.const 256) (i32.const 1))
      (i32.store (i32.const 264) (i32.add (local.get $body) (i32.const 4)))
      (i32.store (i32.const 268) (local.get $code_length))
      (i32.store (i32.const 272)
        (i32.add (i32.add (local.get $body) (i32.const 4)) (local.get $code_length)))
      (i32.store (i32.const 276)
        (i32.sub (i32.sub (i32.load (i32.const 152)) (i32.const 4)) (local.get $code_length)))
      (i32.store8 (i32.const 280) (i32.const 0))
      (i32.store8 (i32.const 288) (i32.const 0))
      (i32.store8 (i32.const 304) (i32.const 0))
      (i32.const 256)))
  (core instance $guest (instantiate $guest'
    (with "memory" (instance $memory))
    (with "host" (instance (export "send" (func $send))))))
  (func $describe (result string)
    (canon lift (core func $guest "describe") (memory (core memory $memory "memory"))))
  (func $run (param "params" string) (result (result string (error $error)))
    (canon lift (core func $guest "run")
      (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (instance $task (export "describe" (func $describe)) (export "run" (func $run)))
  (export "taskhost:task/task@1.0.0" (instance $task)))
