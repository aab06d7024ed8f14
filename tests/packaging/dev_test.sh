#!/usr/bin/env bash
# Mistakes in calling ./dev end with status 2 and a line that names what is possible. Usage: dev_test.sh DEV
set -euo pipefail

readonly dev=$1

# expect STATUS TEXT ARGUMENTS...
expect() {
  local status=$1 text=$2 output actual=0
  shift 2
  output=$("$dev" "$@" 2>&1) || actual=$?
  if [[ $actual -ne $status || $output != *"$text"* ]]; then
    printf 'dev %s: expected status %s and "%s", got status %s and:\n%s\n' \
      "$*" "$status" "$text" "$actual" "$output"
    exit 1
  fi
}

expect 0 'Usage: ./dev COMMAND'
expect 0 'serve [DIR] [-- FLAGS]' help
expect 0 'Usage: ./dev COMMAND' --help
expect 2 "unknown command 'sevre'; commands: serve build" sevre
expect 2 "unknown benchmark 'speed'; benchmarks: cost" bench speed
expect 2 'which benchmark? cost' bench
expect 2 "unexpected 'knot'; usage: ./dev package" package knot
expect 2 "unknown preset 'fast'; presets: release" build --preset fast
expect 2 "unknown preset 'fast'; presets: release" test --preset=fast
expect 2 "unknown preset ''" build --preset
expect 2 "unexpected 'twice'" build twice
expect 2 'exclude each other' test --all --preset asan
expect 2 "unexpected '--fix'" format --fix
expect 2 "unexpected 'more'" serve . more
expect 2 "no directory" serve /nonexistent
expect 0 'request_head' fuzz
expect 0 'Usage: ./dev fuzz NAME [SECONDS]' fuzz --help
expect 2 "unknown fuzzer 'rangs'; fuzzers: accept_encoding" fuzz rangs
expect 2 "'soon' is neither a number of seconds nor a file" fuzz range soon
