(component
  ;; Grows a table until there is no more room, and aborts. Its limit is 1 MiB.
  (core module $code
    (memory (export "memory") 2)
    (table $table 1 funcref)
    (data (i32.const 64) "{\"id\":\"table-bomb\",\"version\":\"1.0.0\",\"title\":\"table-bomb\",\"limits\":{\"memory_mib\":1}}")
    (data (i32.const 4096) "{}")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "describe") (result i32)
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 84))
      (i32.const 0))
    (func (export "run") (param i32 i32) (result i32)
      (loop $more
        (br_if $more (i32.ne (i32.const -1)
          (table.grow $table (ref.null func) (i32.const 1000)))))
      unreachable
      ;; The answer's record: ok, where it is, how long it is.
      (i32.store8 (i32.const 0) (i32.const 0))
      (i32.store (i32.const 8) (i32.const 4096))
      (i32.store (i32.const 12) (i32.const 2))
      (i32.const 0)))
  (core instance $code (instantiate $code))
  (import "taskhost:task/types@1.0.0" (instance $types
    (type $e (record (field "code" string) (field "message" string)
      (field "retryable" bool) (field "retry-after-ms" (option u64))
      (field "details" (option string))))
    (export "error" (type (eq $e)))))
  (alias export $types "error" (type $error))
  (func $describe (result string) (canon lift (core func $code "describe")
    (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
  (func $run (param "params" string) (result (result string (error $error)))
    (canon lift (core func $code "run")
      (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
  (instance $task (export "error" (type $error))
    (export "describe" (func $describe)) (export "run" (func $run)))
  (export "taskhost:task/task@1.0.0" (instance $task)))
