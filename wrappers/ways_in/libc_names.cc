// Way in 1: libc's names, defined here so that programs and their libraries find them before
// libc's.
//
// No symbol version is given, so a reference to any version of the name binds here. On a kernel
// thread that is no scheduler, and where the runtime is not active, each goes on to libc's own
// function (W2). Only the calls of a server's hot path need a name; everything else reaches the
// table through libc's text.
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wrappers/file.h"
#include "wrappers/futex.h"
#include "wrappers/io.h"
#include "wrappers/readiness.h"
#include "wrappers/sendfile.h"
#include "wrappers/socket.h"
#include "wrappers/table.h"
#include "wrappers/time.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace bobbin {
namespace {

// libc's own function behind a name of ours.
template <typename Function>
Function* Libc(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

#define LIBC(name)                                             \
  ({                                                           \
    static decltype(&::name) function;                         \
    if (function == nullptr) function = Libc(function, #name); \
    function;                                                  \
  })

inline long Result(long result) {
  if (__builtin_expect(static_cast<unsigned long>(result) > -4096ul, 0)) {
    errno = static_cast<int>(-result);
    return -1;
  }
  return result;
}

// A cancellation point (pthreads(7)): acts on a request that came before, and lets pthread_cancel
// end its parks.
class CancelPoint {
 public:
  explicit CancelPoint(Scheduler* scheduler) : self_(scheduler->current()) {
    self_->cancel_point = true;
    if (__builtin_expect(runtime().cancellation_used.load(std::memory_order_relaxed), 0))
      pthread_testcancel();
  }
  ~CancelPoint() { self_->cancel_point = false; }
  CancelPoint(const CancelPoint&) = delete;
  CancelPoint& operator=(const CancelPoint&) = delete;

 private:
  Thread* self_;
};

}  // namespace
}  // namespace bobbin

using namespace bobbin;  // NOLINT: the names below are libc's, what they call is ours

// One call: libc's where no scheduler runs us, else the handler.
#define ANSWER(name, arguments, handler_call)                                 \
  Scheduler* scheduler = Scheduler::Current();                                \
  if (__builtin_expect(scheduler == nullptr, 0)) return LIBC(name) arguments; \
  CancelPoint cancel_point(scheduler);                                        \
  return static_cast<decltype(LIBC(name) arguments)>(Result(handler_call))

EXPORT ssize_t read(int fd, void* buffer, size_t size) {
  ANSWER(read, (fd, buffer, size), Read(scheduler, fd, buffer, size));
}

EXPORT ssize_t write(int fd, const void* buffer, size_t size) {
  ANSWER(write, (fd, buffer, size), Write(scheduler, fd, buffer, size));
}

EXPORT ssize_t readv(int fd, const struct iovec* vectors, int count) {
  ANSWER(readv, (fd, vectors, count), Readv(scheduler, fd, vectors, count));
}

EXPORT ssize_t writev(int fd, const struct iovec* vectors, int count) {
  ANSWER(writev, (fd, vectors, count), Writev(scheduler, fd, vectors, count));
}

EXPORT ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  ANSWER(recv, (fd, buffer, size, flags),
         Recvfrom(scheduler, fd, buffer, size, flags, nullptr, nullptr));
}

EXPORT ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, struct sockaddr* address,
                        socklen_t* length) {
  ANSWER(recvfrom, (fd, buffer, size, flags, address, length),
         Recvfrom(scheduler, fd, buffer, size, flags, address, length));
}

EXPORT ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
  ANSWER(recvmsg, (fd, message, flags), Recvmsg(scheduler, fd, message, flags));
}

EXPORT ssize_t send(int fd, const void* buffer, size_t size, int flags) {
  ANSWER(send, (fd, buffer, size, flags), Sendto(scheduler, fd, buffer, size, flags, nullptr, 0));
}

EXPORT ssize_t sendto(int fd, const void* buffer, size_t size, int flags,
                      const struct sockaddr* address, socklen_t length) {
  ANSWER(sendto, (fd, buffer, size, flags, address, length),
         Sendto(scheduler, fd, buffer, size, flags, address, length));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  ANSWER(sendmsg, (fd, message, flags), Sendmsg(scheduler, fd, message, flags));
}

EXPORT int accept(int fd, struct sockaddr* address, socklen_t* length) {
  ANSWER(accept, (fd, address, length), Accept4(scheduler, fd, address, length, 0));
}

EXPORT int accept4(int fd, struct sockaddr* address, socklen_t* length, int flags) {
  ANSWER(accept4, (fd, address, length, flags), Accept4(scheduler, fd, address, length, flags));
}

EXPORT int poll(struct pollfd* set, nfds_t count, int milliseconds) {
  ANSWER(poll, (set, count, milliseconds), PollMilliseconds(scheduler, set, count, milliseconds));
}

EXPORT ssize_t sendfile(int out, int in, off_t* offset, size_t count) {
  ANSWER(sendfile, (out, in, offset, count), Sendfile(scheduler, out, in, offset, count));
}

EXPORT ssize_t sendfile64(int out, int in, off64_t* offset, size_t count) {
  ANSWER(sendfile64, (out, in, offset, count), Sendfile(scheduler, out, in, offset, count));
}

EXPORT int close(int fd) { ANSWER(close, (fd), Close(scheduler, fd)); }

// The header says that these do not throw; what a signal handler does inside them (pthread_exit,
// cancellation of the asynchronous kind) unwinds all the same, so they are defined under names of
// their own.
EXPORT int bobbin_sched_yield() asm("sched_yield");
EXPORT long bobbin_syscall(long nr, ...) asm("syscall");

// Not a cancellation point.
int bobbin_sched_yield() {
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return static_cast<int>(RawSyscall(SYS_sched_yield));
  return static_cast<int>(SchedYield(scheduler));
}

// What libstdc++ waits and wakes with (std::atomic::wait), and every caller of a call without a
// name.
long bobbin_syscall(long nr, ...) {
  va_list list;
  va_start(list, nr);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr && nr == SYS_futex) {
    return Result(ForeignFutex(reinterpret_cast<uint32_t*>(a[0]), static_cast<int>(a[1]),
                               static_cast<uint32_t>(a[2]),
                               reinterpret_cast<const struct timespec*>(a[3]),
                               reinterpret_cast<uint32_t*>(a[4]), static_cast<uint32_t>(a[5])));
  }
  bool makes_thread = nr == SYS_clone || nr == SYS_clone3 || nr == SYS_vfork;
  if (scheduler == nullptr || makes_thread)
    return Result(RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
  Registers registers = {};
  registers.rax = static_cast<uint64_t>(nr);
  registers.rdi = static_cast<uint64_t>(a[0]);
  registers.rsi = static_cast<uint64_t>(a[1]);
  registers.rdx = static_cast<uint64_t>(a[2]);
  registers.r10 = static_cast<uint64_t>(a[3]);
  registers.r8 = static_cast<uint64_t>(a[4]);
  registers.r9 = static_cast<uint64_t>(a[5]);
  return Result(Dispatch(scheduler, &registers));
}

// libc wakes a thread in a deferred cancellation point of its own with a signal; one in a call
// entered by name here it does not know about, so we wake it.
EXPORT int pthread_cancel(pthread_t thread) {
  runtime().cancellation_used.store(true, std::memory_order_seq_cst);
  int result = LIBC(pthread_cancel)(thread);
  Scheduler* scheduler = Scheduler::Current();
  if (result != 0 || scheduler == nullptr) return result;
  RuntimeSection section(scheduler);
  Thread* target = runtime().threads.FindByFsBase(static_cast<uint64_t>(thread));
  if (target != nullptr && target != scheduler->current() && target->cancel_point)
    Scheduler::Interrupt(target);
  return result;
}

namespace {

// The user thread, other than main, that `thread` names; null where names are the kernel's matter.
Thread* NamedThread(pthread_t thread) {
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return nullptr;
  RuntimeSection section(scheduler);
  Thread* found = runtime().threads.FindByFsBase(static_cast<uint64_t>(thread));
  return found != nullptr && found->tid != runtime().pid ? found : nullptr;
}

}  // namespace

EXPORT int pthread_setname_np(pthread_t thread, const char* name) noexcept {
  Thread* found = NamedThread(thread);
  if (found == nullptr) return LIBC(pthread_setname_np)(thread, name);
  size_t length = 0;
  while (length < sizeof found->name && name[length] != '\0') ++length;
  if (length >= sizeof found->name) return ERANGE;
  for (size_t i = 0; i <= length; ++i) found->name[i] = name[i];
  return 0;
}

EXPORT int pthread_getname_np(pthread_t thread, char* name, size_t size) noexcept {
  Thread* found = NamedThread(thread);
  if (found == nullptr) return LIBC(pthread_getname_np)(thread, name, size);
  size_t length = 0;
  while (found->name[length] != '\0') ++length;
  if (size <= length) return ERANGE;
  for (size_t i = 0; i <= length; ++i) name[i] = found->name[i];
  return 0;
}

// Only CPU clocks: the others are read without a system call, in libc and the vDSO.
EXPORT int clock_gettime(clockid_t clock, struct timespec* time) noexcept {
  const bool cpu_clock = clock < 0 || clock == CLOCK_THREAD_CPUTIME_ID;
  if (__builtin_expect(!cpu_clock, 1)) return LIBC(clock_gettime)(clock, time);
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return LIBC(clock_gettime)(clock, time);
  return static_cast<int>(Result(ClockGettime(scheduler, clock, time)));
}
