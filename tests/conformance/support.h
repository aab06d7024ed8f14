// tests/conformance/support.h: what every conformance test needs to wait, connect and clean up.
//
// One test source runs on kernel threads (the oracle) and on Bobbin. User-level threads are
// cooperative, so a test waits only with calls that block (Event, pipes, sleeps) and never spins.
// Time is only ever asserted as "not earlier than"; a hang is found by the test runner's time-out.
#ifndef TESTS_CONFORMANCE_SUPPORT_H_
#define TESTS_CONFORMANCE_SUPPORT_H_

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <utility>

// Expects a call to fail with -1 and this errno.
#define EXPECT_ERRNO(code, call)                                                \
  do {                                                                          \
    errno = 0;                                                                  \
    const auto result_of_call = (call);                                         \
    const int errno_of_call = errno;                                            \
    EXPECT_EQ(-1, static_cast<long>(result_of_call)) << #call;                  \
    EXPECT_EQ(code, errno_of_call) << #call << ": " << strerror(errno_of_call); \
  } while (0)

// Expects, or requires, a call to return anything but -1.
#define EXPECT_OK(call) EXPECT_NE(-1, static_cast<long>(call)) << #call << ": " << strerror(errno)
#define ASSERT_OK(call) ASSERT_NE(-1, static_cast<long>(call)) << #call << ": " << strerror(errno)

namespace conformance {

// Long enough for a thread that has announced itself to reach the call it is about to block in.
inline constexpr int kSettleMs = 20;

// True when Bobbin is in this process, linked or preloaded.
bool OnBobbin();

void SleepMs(int milliseconds);
void Settle();
int64_t NowNs(clockid_t clock = CLOCK_MONOTONIC);
timespec Duration(int milliseconds);
// The absolute time on `clock`, this many milliseconds from now (negative: in the past).
timespec FromNow(clockid_t clock, int milliseconds);

// Measures time since its making.
class Stopwatch {
 public:
  double ElapsedMs() const { return (NowNs() - start_) / 1e6; }

 private:
  int64_t start_ = NowNs();
};

// Lets one thread tell another that something happened; counts, so no telling is lost.
class Event {
 public:
  Event() { sem_init(&semaphore_, 0, 0); }
  ~Event() { sem_destroy(&semaphore_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Post() { sem_post(&semaphore_); }
  void Wait();
  void Wait(int times);
  bool WaitFor(int milliseconds);

 private:
  sem_t semaphore_;
};

// A pthread that runs `body` and is joined, at the latest, by the destructor.
class Thread {
 public:
  explicit Thread(std::function<void()> body, size_t stack_bytes = 0);
  ~Thread() { Join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  pthread_t handle() const { return handle_; }
  // Returns: what pthread_join gave (PTHREAD_CANCELED for a cancelled one), the same each time.
  void* Join();

 private:
  static void* Run(void* self);

  std::function<void()> body_;
  pthread_t handle_;
  bool joined_ = false;
  void* result_ = nullptr;
};

// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  operator int() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// Two connected descriptors. Of a pipe, `a` is read from and `b` is written to; of a connection,
// `a` was accepted and `b` connected.
struct Pair {
  Fd a;
  Fd b;
};

Pair MakePipe(int flags = 0);
Pair MakeSocketPair(int type = SOCK_STREAM);
Pair MakeTcpPair(int family = AF_INET);

// A loopback address of this family, port 0.
struct Address {
  explicit Address(int family = AF_INET);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  uint16_t port() const;

  sockaddr_storage storage = {};
  socklen_t size = 0;
};

// A bound and listening loopback socket.
class Listener {
 public:
  explicit Listener(int family = AF_INET, int backlog = 128);

  int fd() const { return fd_; }
  const Address& address() const { return address_; }
  // Returns: a new socket connected to it.
  Fd Connect() const;
  void Close() { fd_.Reset(); }

 private:
  Address address_;
  Fd fd_;
};

// Whether this machine has an IPv6 loopback.
bool HasIpv6();

// A bound UDP socket on the IPv4 loopback.
Fd MakeUdp(Address* address);

// A directory removed with its contents by the destructor.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  // Makes a file with these contents and returns its path.
  std::string MakeFile(const std::string& name, const std::string& contents) const;

 private:
  std::string path_;
};

// Runs `body` in a forked child, which leaves by _exit with its result, or with 99 if an
// expectation failed there.
// Returns: the wait status. The child is killed by SIGALRM if it takes a minute.
int RunInChild(const std::function<int()>& body);
pid_t StartChild(const std::function<int()>& body);
int WaitForChild(pid_t child);
// Expects a wait status to say "exited with `code`".
void ExpectExited(int code, int status);

// Installs a handler and restores the old one.
class SignalHandler {
 public:
  SignalHandler(int signal, void (*handler)(int), int flags = 0);
  SignalHandler(int signal, void (*handler)(int, siginfo_t*, void*), int flags);
  ~SignalHandler();

 private:
  int signal_;
  struct sigaction old_;
};

// Counts in `handled_signals` how often it ran.
void CountSignal(int signal);
extern std::atomic<int> handled_signals;

// Blocks signals in the calling thread and restores its mask.
class SignalBlock {
 public:
  explicit SignalBlock(std::initializer_list<int> signals);
  ~SignalBlock();

 private:
  sigset_t old_;
};

sigset_t SignalSet(std::initializer_list<int> signals);

// Signals a thread again and again until `done`, so that a signal that came too early to
// interrupt the call under test does not matter.
void SignalUntil(pthread_t thread, int signal, Event* done);

// Contents in which a shift or a loss shows.
std::string Pattern(size_t bytes);
// Reads exactly this much unless the end or an error comes first.
std::string ReadExactly(int fd, size_t bytes);
std::string ReadToEnd(int fd);
bool WriteAll(int fd, const std::string& data);
// Fills a non-blocking or blocking descriptor until it takes no more; returns the bytes written.
size_t FillUp(int fd);
int OpenDescriptors();
void SetNonBlocking(int fd, bool on = true);
void SetTimeout(int fd, int option, int milliseconds);

}  // namespace conformance

#endif  // TESTS_CONFORMANCE_SUPPORT_H_
