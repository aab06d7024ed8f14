#include "knot/threads.h"

#include <pthread.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace knot {

absl::Status StartThread(size_t stack_bytes, void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  int error = pthread_attr_setstacksize(&attributes, stack_bytes);
  if (error == 0) error = pthread_create(&thread, &attributes, body, argument);
  pthread_attr_destroy(&attributes);
  if (error == 0) return absl::OkStatus();
  if (error == EINVAL) {
    return absl::InvalidArgumentError(
        absl::StrCat("a thread stack of ", stack_bytes / 1024, " KiB is refused by the system"));
  }
  return absl::ErrnoToStatus(error, "cannot make a thread");
}

}  // namespace knot
