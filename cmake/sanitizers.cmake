# Sanitizers, chosen by BOBBIN_SANITIZE. Every finding ends the program, so that a test cannot pass with one.
if(BOBBIN_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(BOBBIN_SANITIZE STREQUAL "thread")
  # GCC warns that ThreadSanitizer does not know std::atomic_thread_fence: what relies on a fence is checked by tests
  # that run without it.
  set(sanitizers -fsanitize=thread)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan>)
elseif(BOBBIN_SANITIZE STREQUAL "fuzzer")
  # Without libFuzzer's main, which tests/fuzz adds.
  set(sanitizers -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(BOBBIN_SANITIZE)
  message(FATAL_ERROR "BOBBIN_SANITIZE is \"${BOBBIN_SANITIZE}\": it must be address, thread, fuzzer or empty")
endif()
if(BOBBIN_SANITIZE)
  # With the sanitizers' checks in between, GCC 12 finds members of std::regex and Beast uninitialized that are not.
  add_compile_options(${sanitizers} -fno-omit-frame-pointer
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
  add_link_options(${sanitizers})
endif()
