#include "tests/conformance/support.h"

#include <dirent.h>
#include <link.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <filesystem>

namespace conformance {

bool OnBobbin() {
  static const bool result =
      dl_iterate_phdr([](dl_phdr_info* info, size_t,
                         void*) { return strstr(info->dlpi_name, "libbobbin") != nullptr ? 1 : 0; },
                      nullptr);
  return result;
}

timespec Duration(int milliseconds) {
  return {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
}

void SleepMs(int milliseconds) {
  timespec left = Duration(milliseconds);
  while (nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

void Settle() { SleepMs(kSettleMs); }

int64_t NowNs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

timespec FromNow(clockid_t clock, int milliseconds) {
  const int64_t at = NowNs(clock) + milliseconds * 1000000LL;
  return {static_cast<time_t>(at / 1000000000), static_cast<long>(at % 1000000000)};
}

void Event::Wait() {
  while (sem_wait(&semaphore_) == -1 && errno == EINTR) {
  }
}

void Event::Wait(int times) {
  for (int i = 0; i < times; ++i) Wait();
}

bool Event::WaitFor(int milliseconds) {
  const timespec until = FromNow(CLOCK_REALTIME, milliseconds);
  int result;
  while ((result = sem_timedwait(&semaphore_, &until)) == -1 && errno == EINTR) {
  }
  return result == 0;
}

Thread::Thread(std::function<void()> body, size_t stack_bytes) : body_(std::move(body)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (stack_bytes != 0) pthread_attr_setstacksize(&attributes, stack_bytes);
  const int error = pthread_create(&handle_, &attributes, Run, this);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    // A test cannot go on without its thread, and returning would let it wait for ever.
    fprintf(stderr, "pthread_create: %s\n", strerror(error));
    abort();
  }
}

void* Thread::Run(void* self) {
  static_cast<Thread*>(self)->body_();
  return nullptr;
}

void* Thread::Join() {
  if (!joined_) {
    EXPECT_EQ(0, pthread_join(handle_, &result_));
    joined_ = true;
  }
  return result_;
}

Pair MakePipe(int flags) {
  int fds[2] = {-1, -1};
  EXPECT_OK(pipe2(fds, flags));
  return {Fd(fds[0]), Fd(fds[1])};
}

Pair MakeSocketPair(int type) {
  int fds[2] = {-1, -1};
  EXPECT_OK(socketpair(AF_UNIX, type, 0, fds));
  return {Fd(fds[0]), Fd(fds[1])};
}

Pair MakeTcpPair(int family) {
  Listener listener(family);
  Fd client = listener.Connect();
  Fd server(accept(listener.fd(), nullptr, nullptr));
  EXPECT_OK(server);
  return {std::move(server), std::move(client)};
}

Address::Address(int family) {
  storage.ss_family = family;
  if (family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr = in6addr_loopback;
    size = sizeof(sockaddr_in6);
  } else {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof(sockaddr_in);
  }
}

uint16_t Address::port() const {
  // The port lies at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

Listener::Listener(int family, int backlog)
    : address_(family), fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  EXPECT_OK(setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  EXPECT_OK(bind(fd_, address_.get(), address_.size));
  EXPECT_OK(listen(fd_, backlog));
  EXPECT_OK(getsockname(fd_, address_.get(), &address_.size));
}

Fd Listener::Connect() const {
  Fd client(socket(address_.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_OK(connect(client, address_.get(), address_.size));
  return client;
}

bool HasIpv6() {
  Fd fd(socket(AF_INET6, SOCK_STREAM, 0));
  Address address(AF_INET6);
  return fd >= 0 && bind(fd, address.get(), address.size) == 0;
}

Fd MakeUdp(Address* address) {
  Fd fd(socket(AF_INET, SOCK_DGRAM, 0));
  *address = Address(AF_INET);
  EXPECT_OK(bind(fd, address->get(), address->size));
  EXPECT_OK(getsockname(fd, address->get(), &address->size));
  return fd;
}

TempDir::TempDir() {
  const char* root = getenv("TMPDIR");
  path_ = std::string(root != nullptr ? root : "/tmp") + "/conformance-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) {
    perror("mkdtemp");
    abort();
  }
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::MakeFile(const std::string& name, const std::string& contents) const {
  const std::string path = File(name);
  Fd fd(open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
  EXPECT_TRUE(WriteAll(fd, contents));
  return path;
}

pid_t StartChild(const std::function<int()>& body) {
  fflush(stdout);
  const pid_t child = fork();
  EXPECT_OK(child);
  if (child != 0) return child;
  alarm(60);
  const int code = body();
  fflush(stdout);
  _exit(testing::Test::HasFailure() ? 99 : code);
}

int WaitForChild(pid_t child) {
  int status = -1;
  pid_t result;
  while ((result = waitpid(child, &status, 0)) == -1 && errno == EINTR) {
  }
  EXPECT_EQ(child, result);
  return status;
}

int RunInChild(const std::function<int()>& body) { return WaitForChild(StartChild(body)); }

void ExpectExited(int code, int status) {
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  if (WIFEXITED(status)) {
    EXPECT_EQ(code, WEXITSTATUS(status));
  }
}

std::atomic<int> handled_signals{0};

void CountSignal(int) { handled_signals.fetch_add(1); }

SignalHandler::SignalHandler(int signal, void (*handler)(int), int flags) : signal_(signal) {
  handled_signals = 0;
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  EXPECT_OK(sigaction(signal, &action, &old_));
}

SignalHandler::SignalHandler(int signal, void (*handler)(int, siginfo_t*, void*), int flags)
    : signal_(signal) {
  handled_signals = 0;
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  EXPECT_OK(sigaction(signal, &action, &old_));
}

SignalHandler::~SignalHandler() { sigaction(signal_, &old_, nullptr); }

sigset_t SignalSet(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  return set;
}

SignalBlock::SignalBlock(std::initializer_list<int> signals) {
  const sigset_t set = SignalSet(signals);
  EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, &old_));
}

SignalBlock::~SignalBlock() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

void SignalUntil(pthread_t thread, int signal, Event* done) {
  do {
    EXPECT_EQ(0, pthread_kill(thread, signal));
  } while (!done->WaitFor(kSettleMs));
}

std::string Pattern(size_t bytes) {
  std::string data(bytes, '\0');
  // A multiplicative sequence whose period is longer than any buffer a kernel uses.
  uint32_t state = 12345;
  for (char& c : data) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return data;
}

std::string ReadExactly(int fd, size_t bytes) {
  std::string data(bytes, '\0');
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = read(fd, data.data() + done, bytes - done);
    if (n == -1 && errno == EINTR) continue;
    if (n <= 0) break;
    done += n;
  }
  data.resize(done);
  return data;
}

std::string ReadToEnd(int fd) {
  std::string data;
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n == -1 && errno == EINTR)) {
    if (n > 0) data.append(buffer, n);
  }
  return data;
}

bool WriteAll(int fd, const std::string& data) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = write(fd, data.data() + done, data.size() - done);
    if (n == -1 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += n;
  }
  return true;
}

size_t FillUp(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const std::string chunk(4096, 'x');
  size_t written = 0;
  // A size that is set no longer grows by itself. Fails for what is no socket, which is fine.
  const int buffer_size = 64 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size);
  // TCP moves data on to the receiver's buffer in its own time, which makes room again: full is
  // what stays full for longer than the first probe of a closed window takes (200 ms).
  int protocol = 0;
  socklen_t size_of_protocol = sizeof protocol;
  getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size_of_protocol);
  const int wanted_rounds = protocol == IPPROTO_TCP ? 14 : 1;
  for (int quiet_rounds = 0; quiet_rounds < wanted_rounds; ++quiet_rounds) {
    // Ends with single bytes, so that not even the smallest write would fit.
    for (size_t size : {chunk.size(), size_t{1}}) {
      ssize_t n;
      while ((n = write(fd, chunk.data(), size)) > 0) {
        written += n;
        quiet_rounds = 0;
      }
    }
    Settle();
  }
  fcntl(fd, F_SETFL, flags);
  return written;
}

int OpenDescriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  while (dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    if (OnBobbin()) {
      // The runtime may open its pollers when it first needs them; they are not the test's.
      char target[256];
      const std::string path = std::string("/proc/self/fd/") + entry->d_name;
      const ssize_t n = readlink(path.c_str(), target, sizeof target);
      if (n > 0 && std::string(target, n).starts_with("anon_inode:")) continue;
    }
    ++count;
  }
  closedir(directory);
  return count;
}

void SetNonBlocking(int fd, bool on) {
  const int flags = fcntl(fd, F_GETFL);
  EXPECT_OK(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

void SetTimeout(int fd, int option, int milliseconds) {
  const timeval value = {milliseconds / 1000, (milliseconds % 1000) * 1000};
  EXPECT_OK(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value));
}

}  // namespace conformance
