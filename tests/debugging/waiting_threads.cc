// A program whose threads each wait for something else, in a function of the program's own.
//
// usage: waiting_threads [--spin] [--handler] [--close-errors] [--switch] [--raise]
// Prints "ready" when every thread is where its name says, and the descriptors they wait on. With
// --spin one thread computes for ever, with --switch two pass each other a turn for ever, with
// --handler the program has a handler for SIGUSR1, which prints "handled", and with --close-errors
// it puts a file of its own in the place of standard error. With --raise it sends itself SIGUSR1
// first. Ends with 0 when its input ends.
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

// Seen by debuggers under these names, and in none of them anything behind the wait may be left
// out.
#define SHOWN extern "C" __attribute__((noinline, noclone))

namespace {

std::mutex held;
std::mutex free_mutex;
std::condition_variable never;
int pipe_ends[2];
int listener;
int epoll;
int signal_pipe[2];
sem_t turns[2];
std::atomic<uint64_t> spins{0};
std::atomic<int> begun{0};
volatile int after;  // keeps calls from becoming jumps

}  // namespace

SHOWN void WaitInRead(int number) {
  char byte;
  after = static_cast<int>(read(number, &byte, 1));
}

SHOWN void WaitForMutex() {
  held.lock();
  after = 1;
}

SHOWN void WaitForCondition() {
  std::unique_lock<std::mutex> lock(free_mutex);
  never.wait(lock);
  after = 1;
}

SHOWN void WaitForTime() {
  struct timespec long_time = {100'000, 0};
  after = nanosleep(&long_time, nullptr);
}

SHOWN void WaitInAccept() { after = accept(listener, nullptr, nullptr); }

SHOWN void WaitInEpoll() {
  struct epoll_event event;
  after = epoll_wait(epoll, &event, 1, -1);
}

// Waits inside a handler: its stack has a signal frame.
SHOWN void OnSignal(int) {
  char byte;
  after = static_cast<int>(read(signal_pipe[0], &byte, 1));
}

SHOWN void WaitInHandler() {
  pthread_kill(pthread_self(), SIGUSR2);
  after = 1;
}

void Announce() {
  printf("ready %d %d %d %d\n", pipe_ends[0], listener, epoll, signal_pipe[0]);
  fflush(stdout);
}

SHOWN void Spin() {
  Announce();
  for (;;) spins.fetch_add(1, std::memory_order_relaxed);
}

SHOWN void PassTurns(int mine) {
  for (;;) {
    sem_wait(&turns[mine]);
    spins.fetch_add(1, std::memory_order_relaxed);
    sem_post(&turns[1 - mine]);
  }
}

namespace {

void Must(bool good, const char* what) {
  if (good) return;
  perror(what);
  exit(1);
}

void Start(const char* name, void* (*body)(void*)) {
  pthread_t thread;
  Must(pthread_create(&thread, nullptr, body, nullptr) == 0, "pthread_create");
  pthread_setname_np(thread, name);
  pthread_detach(thread);
}

void OnChosenSignal(int) { Must(write(1, "handled\n", 8) == 8, "write"); }

void Prepare() {
  Must(pipe(pipe_ends) == 0 && pipe(signal_pipe) == 0, "pipe");
  listener = socket(AF_INET, SOCK_STREAM, 0);
  Must(listener >= 0 && listen(listener, 1) == 0, "listen");
  epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {}};
  Must(epoll_ctl(epoll, EPOLL_CTL_ADD, signal_pipe[0], &event) == 0, "epoll_ctl");
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  Must(sigaction(SIGUSR2, &action, nullptr) == 0, "sigaction");
  held.lock();
}

void StartWaiters() {
  Start("reader", [](void*) -> void* { return ++begun, WaitInRead(pipe_ends[0]), nullptr; });
  Start("locker", [](void*) -> void* { return ++begun, WaitForMutex(), nullptr; });
  Start("waiter", [](void*) -> void* { return ++begun, WaitForCondition(), nullptr; });
  Start("sleeper", [](void*) -> void* { return ++begun, WaitForTime(), nullptr; });
  Start("accepter", [](void*) -> void* { return ++begun, WaitInAccept(), nullptr; });
  Start("poller", [](void*) -> void* { return ++begun, WaitInEpoll(), nullptr; });
  Start("handler", [](void*) -> void* { return ++begun, WaitInHandler(), nullptr; });
}

bool Asked(int argc, char** argv, const char* option) {
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], option) == 0) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Prepare();
  if (Asked(argc, argv, "--handler")) signal(SIGUSR1, &OnChosenSignal);
  if (Asked(argc, argv, "--close-errors")) {
    close(2);
    Must(open("/dev/null", O_RDWR) == 2, "open");
  }
  StartWaiters();
  // Threads are cooperative: once all have begun, the end of a sleep means that each has come to
  // its wait. So long that the runtime has learnt its clock.
  struct timespec pause = {0, 100'000'000};
  while (begun < 7) nanosleep(&pause, nullptr);
  nanosleep(&pause, nullptr);
  if (Asked(argc, argv, "--switch")) {
    sem_init(&turns[0], 0, 1);
    sem_init(&turns[1], 0, 0);
    Start("left", [](void*) -> void* { return PassTurns(0), nullptr; });
    Start("right", [](void*) -> void* { return PassTurns(1), nullptr; });
  }
  if (Asked(argc, argv, "--raise")) raise(SIGUSR1);
  if (Asked(argc, argv, "--spin")) {
    // The last that main does, since nobody takes the scheduler from a thread that computes.
    pthread_setname_np(pthread_self(), "spinner");
    Spin();
  }
  Announce();
  WaitInRead(0);
  _exit(0);  // what exit destroys is in use
}
