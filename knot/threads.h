// Makes the detached threads Knot runs on.
#ifndef KNOT_THREADS_H_
#define KNOT_THREADS_H_

#include <cstddef>

#include "absl/status/status.h"

namespace knot {

// Stack of the threads that do not serve connections.
inline constexpr size_t kServiceStackBytes = 128 * 1024;

// Starts a detached thread that runs body(argument).
//
// Errors:  ResourceExhausted the system has no room for another thread; InvalidArgument the stack
// is too small.
absl::Status StartThread(size_t stack_bytes, void* (*body)(void*), void* argument);

}  // namespace knot

#endif  // KNOT_THREADS_H_
