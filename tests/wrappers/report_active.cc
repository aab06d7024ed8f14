// Tells whether it runs on user threads, and does what must work either way.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "bobbin/bobbin.h"

namespace {

int pipe_ends[2];

void* Echo(void*) {
  char byte;
  while (read(pipe_ends[0], &byte, 1) == 1) {
    if (byte == 'q') break;
  }
  return &pipe_ends;
}

bool ThreadsWork() {
  if (pipe(pipe_ends) != 0) return false;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &Echo, nullptr) != 0) return false;
  usleep(1000);
  void* result = nullptr;
  return write(pipe_ends[1], "abq", 3) == 3 && pthread_join(thread, &result) == 0 &&
         result == &pipe_ends;
}

// Where there are no user threads the rest of the API says so.
bool ApiAgrees() {
  bobbin::Statistics statistics;
  bobbin::GetStatistics(&statistics);
  if (bobbin::Active()) return statistics.threads == 1 && bobbin::PlaceNextThread(0) == 0;
  return statistics.threads == 0 && statistics.switches == 0 &&
         bobbin::Configure(bobbin::Options()) == ENOTSUP && bobbin::PlaceNextThread(0) == ENOTSUP;
}

}  // namespace

int main() {
  if (bobbin::Active()) {
    puts("active");
  } else {
    printf("inactive: %s\n", bobbin::InactiveReason());
  }
  if (getenv("REPORT_OPTIONS") != nullptr) {
    bobbin::Options options = bobbin::CurrentOptions();
    printf("%d %d %d %d %d\n", options.schedulers, options.workers,
           static_cast<int>(options.poller), static_cast<int>(options.sendfile),
           static_cast<int>(options.accept));
  }
  fflush(stdout);
  return ThreadsWork() && ApiAgrees() ? 0 : 1;
}
