// Makes threads that wait in accept(2) look up without a change to the socket they wait at, which
// another process may accept from, too.
#ifndef KNOT_ACCEPTING_THREADS_H_
#define KNOT_ACCEPTING_THREADS_H_

#include <pthread.h>

#include <mutex>

#include "absl/container/flat_hash_set.h"

namespace knot {

// Uses SIGURG, for which nobody else sends a signal here: its handler does nothing, but a call that
// blocks returns with EINTR.
//
//   N1  Interrupt() signals no thread that has left.
class AcceptingThreads {
 public:
  AcceptingThreads();
  AcceptingThreads(const AcceptingThreads&) = delete;
  AcceptingThreads& operator=(const AcceptingThreads&) = delete;

  // Takes the calling thread in. Requires: it does not block SIGURG.
  void Enter();

  // Lets the calling thread go.
  void Leave();

  // Interrupts every thread's call once. One that was about to begin its call blocks nevertheless:
  // call again until all have left.
  void Interrupt();

 private:
  std::mutex mutex_;
  absl::flat_hash_set<pthread_t> threads_;
};

}  // namespace knot

#endif  // KNOT_ACCEPTING_THREADS_H_
