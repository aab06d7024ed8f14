// A program that was built without Bobbin: tells what it is given, and ends as it is told.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

namespace bobbin {
__attribute__((weak)) bool Active();
}

namespace {

const char* Threads() {
  if (bobbin::Active == nullptr) return "kernel threads, not preloaded";
  return bobbin::Active() ? "user threads" : "kernel threads";
}

size_t StackSize() {
  pthread_attr_t attributes;
  size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) abort();
  pthread_attr_getstacksize(&attributes, &size);
  pthread_attr_destroy(&attributes);
  return size;
}

// Returns: the stack of a thread that asks for `wanted` bytes, of one with attributes but no
// size (1), and of one without attributes (0).
size_t StackOfThread(size_t wanted) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (wanted > 1 && pthread_attr_setstacksize(&attributes, wanted) != 0) abort();
  pthread_t thread;
  auto body = [](void*) -> void* { return reinterpret_cast<void*>(StackSize()); };
  if (pthread_create(&thread, wanted == 0 ? nullptr : &attributes, body, nullptr) != 0) abort();
  void* result;
  pthread_join(thread, &result);
  pthread_attr_destroy(&attributes);
  return reinterpret_cast<size_t>(result);
}

int Wait(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child) abort();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int Spawn(char** command, char** environment) {
  pid_t child;
  if (posix_spawnp(&child, command[0], nullptr, nullptr, command, environment) != 0) return 127;
  return Wait(child);
}

// Ends the process with 7 in the way that is named.
int End(const std::string& how) {
  if (how == "return") return 7;
  if (how == "exit") exit(7);
  if (how == "_exit") _exit(7);
  if (how == "syscall") syscall(SYS_exit_group, 7);
  if (how == "thread") std::thread([] { _exit(7); }).join();
  if (how == "many") {
    for (int i = 0; i < 8; ++i) std::thread([] { _exit(7); }).detach();
    for (;;) pause();
  }
  if (how == "last") {  // with 0: that is what the last thread's end means
    std::thread([] {}).detach();
    pthread_exit(nullptr);
  }
  if (how == "fork") {
    pid_t child = fork();
    if (child == 0) exit(0);
    Wait(child);
    return 7;
  }
  if (how == "only") syscall(SYS_exit, 7);
  if (how == "unseen_fork") {
    long child;
    asm volatile("syscall" : "=a"(child) : "a"(SYS_fork) : "rcx", "r11", "memory");
    if (child == 0) _exit(0);
    Wait(static_cast<pid_t>(child));
    return 7;
  }
  if (how == "spawn") {
    char missing[] = "/nonexistent";
    char* command[] = {missing, nullptr};
    pid_t child;
    return posix_spawn(&child, missing, nullptr, nullptr, command, environ) == 0 ? 1 : 7;
  }
  return 99;
}

// Makes the call 100 times in its own code, past libc.
int InlineCalls() {
  int wrong = 0;
  for (int i = 0; i < 100; ++i) {
    long parent;
    asm volatile("mov $110, %%eax\n syscall" : "=a"(parent) : : "rcx", "r11", "memory");
    wrong += parent != getppid();
  }
  return wrong;
}

// Makes every descriptor there can be one of another file, and ends.
int EndWithoutDescriptors(const char* path) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(file, 2);
  close_range(3, ~0u, 0);
  while (dup(2) >= 0) {
  }
  return 7;
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  std::string task = argc > 1 ? argv[1] : "threads";
  if (task == "threads") puts(Threads());
  if (task == "arguments") {
    for (int i = 0; i < argc; ++i) puts(argv[i]);
  }
  if (task == "environment") {
    for (char** entry = environment; *entry != nullptr; ++entry) puts(*entry);
  }
  if (task == "getenv") puts(getenv(argv[2]) == nullptr ? "(none)" : getenv(argv[2]));
  if (task == "pid") printf("%d\n", static_cast<int>(getpid()));
  if (task == "stacks") {
    printf("%zu %zu %zu\n", StackOfThread(0), StackOfThread(1), StackOfThread(3 << 20));
  }
  if (task == "descriptors") {
    dprintf(3, "to three\n");
    for (int i = 0; i < 100; ++i) {
      if (fcntl(i, F_GETFD) >= 0) printf("%d\n", i);
    }
  }
  if (task == "spawn") return Spawn(argv + 2, environment);
  if (task == "exec") return execvp(argv[2], argv + 2);
  if (task == "inline_calls") return InlineCalls();
  if (task == "call") syscall(atoi(argv[2]), 0, 0, 0, 0, 0, 0);
  if (task == "raise") raise(atoi(argv[2]));
  if (task == "end") return End(argv[2]);
  if (task == "end_without_descriptors") return EndWithoutDescriptors(argv[2]);
  if (task == "close_others_and_end") {
    close_range(3, ~0u, 0);
    return 7;
  }
  if (task == "close_error_and_end") {
    close(2);
    return 7;
  }
  return 0;
}
