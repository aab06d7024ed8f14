"""Checks that the conformance tests use every threading function of libc and class of libstdc++.

A function declared in <pthread.h>, <semaphore.h> or <threads.h> must be called by one of the suite's
objects (nm -u). Some leave no such trace, being inline or another name of a function: for those, and
for C++, the sources must mention the name.
"""

import argparse
import glob
import os
import re
import subprocess
import sys

HEADERS = ["pthread.h", "semaphore.h", "threads.h"]
DECLARED = re.compile(r"\b((?:pthread|sem|mtx|cnd|thrd|tss|call)_[a-z_0-9]+)\s*\(")

# Inline, a macro, or an old name of another function.
WITHOUT_SYMBOL = {
    "pthread_equal", "thrd_equal", "pthread_yield", "pthread_mutex_consistent_np",
    "pthread_mutexattr_getrobust_np", "pthread_mutexattr_setrobust_np",
}
MACROS = ["pthread_cleanup_push", "pthread_cleanup_pop", "PTHREAD_MUTEX_INITIALIZER",
          "PTHREAD_COND_INITIALIZER", "PTHREAD_RWLOCK_INITIALIZER", "PTHREAD_ONCE_INIT",
          "ONCE_FLAG_INIT"]

CPP = ["std::thread", "std::jthread", "std::stop_token", "std::stop_source", "std::stop_callback",
       "std::this_thread::get_id", "std::this_thread::yield", "std::this_thread::sleep_for",
       "std::this_thread::sleep_until", "std::mutex", "std::recursive_mutex", "std::timed_mutex",
       "std::recursive_timed_mutex", "std::shared_mutex", "std::shared_timed_mutex",
       "std::lock_guard", "std::unique_lock", "std::scoped_lock", "std::shared_lock",
       "std::lock", "std::try_lock", "std::call_once", "std::condition_variable",
       "std::condition_variable_any", "std::notify_all_at_thread_exit", "std::async",
       "std::future", "std::shared_future", "std::promise", "std::packaged_task",
       "std::counting_semaphore", "std::binary_semaphore", "std::latch", "std::barrier",
       "std::atomic", "std::atomic_flag", "std::atomic_ref"]


def declared(compiler):
    text = subprocess.run([compiler, "-D_GNU_SOURCE", "-E", "-P", "-xc++", "-"],
                          input="".join(f"#include <{header}>\n" for header in HEADERS),
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    # Declarations only: inline functions of the C++ headers call others.
    return {match.group(1) for line in re.split(r"[;{}]", text) if "extern" in line
            for match in [DECLARED.search(line)] if match}


def called(nm, objects):
    text = subprocess.run([nm, "-u"] + objects, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip()[:2] == "U "}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--nm", required=True)
    parser.add_argument("--sources", required=True)
    parser.add_argument("--objects", required=True)
    arguments = parser.parse_args()
    sources = ""
    for path in glob.glob(os.path.join(arguments.sources, "*_test.cc")):
        with open(path) as source:
            sources += re.sub(r"//.*", "", source.read())
    words = set(re.findall(r"[A-Za-z_0-9]+(?:::[A-Za-z_0-9]+)*", sources))
    functions = declared(arguments.compiler)
    missing = functions - called(arguments.nm, arguments.objects.split(";"))
    missing -= WITHOUT_SYMBOL & words
    missing |= {name for name in MACROS + CPP if name not in words}
    if len(functions) < 150:
        missing.add(f"(only {len(functions)} declarations were found)")
    for name in sorted(missing):
        print(f"no conformance test uses {name}")
    print(f"{len(functions)} functions, {len(MACROS)} macros, {len(CPP)} classes and functions of C++")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
