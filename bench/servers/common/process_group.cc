#include "bench/servers/common/process_group.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench_server {
namespace {

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set, number);
  return set;
}

// As fork(2), but for the table of descriptors. libc does not know of it: handlers of
// pthread_atfork do not run, and libc keeps the parent's id for the calling thread, which none of
// its functions that the servers use looks at.
pid_t ForkWithOneDescriptorTable() {
  return static_cast<pid_t>(
      syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, 0));
}

}  // namespace

ProcessGroup::ProcessGroup(const char* name) : name_(name) {
  sigset_t set = Signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool ProcessGroup::Start(const std::function<void()>& body, bool one_descriptor_table) {
  pid_t parent = getpid();
  std::fflush(nullptr);  // what is buffered must not be written twice
  pid_t process = one_descriptor_table ? ForkWithOneDescriptorTable() : fork();
  if (process < 0) return false;
  if (process > 0) {
    processes_.push_back(process);
    return true;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it has ended already
  sigset_t set = Signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  body();
  _exit(1);
}

int ProcessGroup::WaitForStop() {
  sigset_t set = Signals();
  int result = 0;
  for (bool waiting = true; waiting;) {
    int number = 0;
    if (sigwait(&set, &number) != 0) continue;
    if (number != SIGCHLD) break;
    int status;
    for (pid_t ended; waiting && (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      processes_.erase(std::find(processes_.begin(), processes_.end(), ended));
      waiting = false;
      // Whoever stops the server may have sent its signal to all of its processes.
      if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT)) break;
      result = 1;
      if (WIFSIGNALED(status)) {
        std::fprintf(stderr, "%s: process %d was ended by signal %d (%s); the server ends\n", name_,
                     ended, WTERMSIG(status), strsignal(WTERMSIG(status)));
      } else {
        std::fprintf(stderr, "%s: process %d ended with status %d; the server ends\n", name_, ended,
                     WEXITSTATUS(status));
      }
    }
  }
  EndAll();
  return result;
}

void ProcessGroup::EndAll() {
  for (pid_t process : processes_) kill(process, SIGTERM);
  for (pid_t process : processes_) {
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  processes_.clear();
}

void* SharedMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory != MAP_FAILED) return memory;
  std::perror("mmap");
  std::exit(1);
}

}  // namespace bench_server
