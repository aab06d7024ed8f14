#include "knot/accepting_threads.h"

#include <signal.h>

namespace knot {

AcceptingThreads::AcceptingThreads() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  // Without SA_RESTART, so that accept(2) ends.
  sigaction(SIGURG, &action, nullptr);
}

void AcceptingThreads::Enter() {
  std::lock_guard<std::mutex> lock(mutex_);
  threads_.insert(pthread_self());
}

void AcceptingThreads::Leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  threads_.erase(pthread_self());
}

void AcceptingThreads::Interrupt() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (pthread_t thread : threads_) pthread_kill(thread, SIGURG);
}

}  // namespace knot
