// Counts which entries of the table a conformance test uses, and tells it at the end.
//
// Linked, with the library's own objects, into the conformance tests. Each handler of the table is
// replaced by one that counts; the names that libc_names.cc defines, which do not pass through the
// table, are wrapped by the linker (--wrap). What a test's forked children call counts too.
//
// Writes to $BOBBIN_CALL_COUNTS, for each test, a line "SUITE.TEST call call ...", and "TABLE call
// call ..." first.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>

#include "wrappers/table.h"

namespace {

using bobbin::TableBegin;
using bobbin::TableEnd;
using bobbin::TableEntry;

constexpr long kNumbers = 512;
using Handler = long (*)(bobbin::Scheduler*, bobbin::Registers*);

Handler handlers[kNumbers];
uint64_t* counts = nullptr;  // shared with children

void Count(long nr) { __atomic_fetch_add(&counts[nr], 1, __ATOMIC_RELAXED); }

// Entered where vector registers are live; there is nothing here for them to do.
long CountAndCall(bobbin::Scheduler* scheduler, bobbin::Registers* registers) {
  Count(static_cast<long>(registers->rax));
  return handlers[registers->rax](scheduler, registers);
}

// Runs before the library's own constructor, which makes the table's calls happen.
__attribute__((constructor(101))) void ReplaceHandlers() {
  void* memory = mmap(nullptr, kNumbers * sizeof *counts, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  counts = static_cast<uint64_t*>(memory);
  // The table is constant; its pages have been made read-only after relocation.
  auto begin = reinterpret_cast<uintptr_t>(TableBegin()) & ~uintptr_t{4095};
  auto end = (reinterpret_cast<uintptr_t>(TableEnd()) + 4095) & ~uintptr_t{4095};
  if (mprotect(reinterpret_cast<void*>(begin), end - begin, PROT_READ | PROT_WRITE) != 0) abort();
  for (const TableEntry* entry = TableBegin(); entry != TableEnd(); ++entry) {
    handlers[entry->nr] = entry->handler;
    const_cast<TableEntry*>(entry)->handler = &CountAndCall;
  }
}

class Reporter : public testing::EmptyTestEventListener {
 public:
  explicit Reporter(int fd) : fd_(fd) {
    std::string line = "TABLE";
    for (const TableEntry* entry = TableBegin(); entry != TableEnd(); ++entry) {
      line = line + " " + entry->name;
    }
    Put(line);
  }

 private:
  void OnTestStart(const testing::TestInfo&) override {
    for (long nr = 0; nr < kNumbers; ++nr) before_[nr] = counts[nr];
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    uint64_t after[kNumbers];
    for (long nr = 0; nr < kNumbers; ++nr) after[nr] = counts[nr];
    std::string line = std::string(test.test_suite_name()) + "." + test.name();
    for (const TableEntry* entry = TableBegin(); entry != TableEnd(); ++entry) {
      if (after[entry->nr] != before_[entry->nr]) line = line + " " + entry->name;
    }
    if (test.result()->Passed()) Put(line);
  }
  void Put(std::string line) {
    line += '\n';
    bobbin::RawSyscall(SYS_write, fd_, line.data(), line.size());
  }

  int fd_;
  uint64_t before_[kNumbers] = {};
};

// gtest's listeners are to be there before main runs, and its own printer comes first.
__attribute__((constructor)) void AddReporter() {
  const char* path = getenv("BOBBIN_CALL_COUNTS");
  if (path == nullptr) return;
  long fd = bobbin::RawSyscall(SYS_openat, AT_FDCWD, path,
                               O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) abort();
  long high = bobbin::RawSyscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 990);
  bobbin::RawSyscall(SYS_close, fd);
  testing::UnitTest::GetInstance()->listeners().Append(new Reporter(static_cast<int>(high)));
}

}  // namespace

// The names, as the linker hands them over: --wrap=NAME.
#define WRAP(result, name, call, parameters, arguments) \
  extern "C" result __real_##name parameters;           \
  extern "C" result __wrap_##name parameters {          \
    Count(SYS_##call);                                  \
    return __real_##name arguments;                     \
  }

WRAP(ssize_t, read, read, (int fd, void* to, size_t size), (fd, to, size))
WRAP(ssize_t, write, write, (int fd, const void* from, size_t size), (fd, from, size))
WRAP(ssize_t, readv, readv, (int fd, const struct iovec* to, int count), (fd, to, count))
WRAP(ssize_t, writev, writev, (int fd, const struct iovec* from, int count), (fd, from, count))
WRAP(ssize_t, recv, recvfrom, (int fd, void* to, size_t size, int flags), (fd, to, size, flags))
WRAP(ssize_t, recvfrom, recvfrom,
     (int fd, void* to, size_t size, int flags, struct sockaddr* address, socklen_t* length),
     (fd, to, size, flags, address, length))
WRAP(ssize_t, recvmsg, recvmsg, (int fd, struct msghdr* message, int flags), (fd, message, flags))
WRAP(ssize_t, send, sendto, (int fd, const void* from, size_t size, int flags),
     (fd, from, size, flags))
WRAP(ssize_t, sendto, sendto,
     (int fd, const void* from, size_t size, int flags, const struct sockaddr* address,
      socklen_t length),
     (fd, from, size, flags, address, length))
WRAP(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr* message, int flags),
     (fd, message, flags))
WRAP(int, accept, accept, (int fd, struct sockaddr* address, socklen_t* length),
     (fd, address, length))
WRAP(int, accept4, accept4, (int fd, struct sockaddr* address, socklen_t* length, int flags),
     (fd, address, length, flags))
WRAP(int, poll, poll, (struct pollfd * set, nfds_t count, int milliseconds),
     (set, count, milliseconds))
WRAP(ssize_t, sendfile, sendfile, (int out, int in, off_t* offset, size_t count),
     (out, in, offset, count))
WRAP(int, close, close, (int fd), (fd))
WRAP(int, sched_yield, sched_yield, (), ())
