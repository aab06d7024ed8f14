#include "wrappers/page_cache.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <atomic>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

namespace bobbin {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostMapped = 1024 * 1024;

// The kernel begins no more of one readahead than a device's window, by default as much as this.
constexpr size_t kWindow = 128 * 1024;

// A fast disk answers within a few of the first pauses, a slow one within all of them.
constexpr uint64_t kFirstPause = 50'000;  // nanoseconds
constexpr uint64_t kLongestPause = 2'000'000;
constexpr uint64_t kPatience = 50'000'000;

// More would fill the queue of a device, where readahead(2) itself waits.
constexpr int kMostReads = 64;
std::atomic<int> reads_under_way{0};

struct CacheRange {
  uint64_t offset, length;
};

struct CacheStatus {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

uint64_t PagesOf(off_t offset, size_t length) {
  auto from = static_cast<uint64_t>(offset);
  return (from + length - 1) / kPage - from / kPage + 1;
}

// Counts the pages of a part of a file that are in the page cache, or on their way there. Returns:
// false where the kernel does not tell, as before Linux 6.5.
bool CountCached(int fd, off_t offset, size_t length, uint64_t* pages) {
  static std::atomic<bool> no_cachestat{false};
  if (no_cachestat.load(std::memory_order_relaxed)) return false;
  CacheRange range = {static_cast<uint64_t>(offset), length};
  CacheStatus cache;
  long result = RawSyscall(SYS_cachestat, fd, &range, &cache, 0);
  if (result == -ENOSYS) no_cachestat.store(true, std::memory_order_relaxed);
  if (result == 0) *pages = cache.cached;
  return result == 0;
}

bool ResidentByMapping(int fd, off_t offset, size_t length) {
  if (length > kMostMapped) return false;
  off_t start = offset & ~static_cast<off_t>(kPage - 1);
  size_t bytes = length + static_cast<size_t>(offset - start);
  long at = RawSyscall(SYS_mmap, 0, bytes, PROT_READ, MAP_SHARED, fd, start);
  if (at < 0 && at > -4096) return false;
  unsigned char pages[kMostMapped / kPage + 2];
  bool resident = RawSyscall(SYS_mincore, at, bytes, pages) == 0;
  for (size_t i = 0; resident && i < (bytes + kPage - 1) / kPage; ++i)
    resident = (pages[i] & 1) != 0;
  RawSyscall(SYS_munmap, at, bytes);
  return resident;
}

// Whether the page of a byte has been read.
enum class State { kRead, kNot, kUnknown };

State StateOf(int fd, off_t at) {
  char byte;
  struct iovec one = {&byte, 1};
  long result = RawSyscall(SYS_preadv2, fd, &one, 1, at, 0, RWF_NOWAIT);
  if (result >= 0) return State::kRead;  // 0: behind the end
  return result == -EAGAIN ? State::kNot : State::kUnknown;
}

// Of a part whose reading has begun. Reads end about in their order, so a few pages stand for all.
State StateOfAll(int fd, off_t offset, size_t length) {
  auto last = static_cast<off_t>(length - 1);
  for (off_t at : {offset + last, offset, offset + last / 2}) {
    State state = StateOf(fd, at);
    if (state != State::kRead) return state;
  }
  return State::kRead;
}

void Pause(Scheduler* scheduler, int fd, uint64_t until) {
  RuntimeSection section(scheduler);
  ParkRequest request;
  request.waiting = Waiting::kDisk;
  request.argument = static_cast<uintptr_t>(fd);
  request.deadline = until;
  request.withdraw = [](Thread*) { return true; };
  scheduler->Park(request);
}

bool AwaitPages(Scheduler* scheduler, int fd, off_t offset, size_t length) {
  uint64_t now = runtime().clock.Now();
  const uint64_t end = now + kPatience;
  for (uint64_t pause = kFirstPause; now < end; now = runtime().clock.Now()) {
    Pause(scheduler, fd, now + pause);
    State state = StateOfAll(fd, offset, length);
    if (state != State::kNot) return state == State::kRead;
    pause += pause / 2;
    if (pause > kLongestPause) pause = kLongestPause;
  }
  return false;
}

}  // namespace

bool Resident(int fd, off_t offset, size_t length) {
  if (length == 0) return true;
  uint64_t cached = 0;
  bool counted = CountCached(fd, offset, length, &cached);
  bool all = counted && cached >= PagesOf(offset, length);
  if (!all) {
    struct stat status;
    if (RawSyscall(SYS_fstat, fd, &status) < 0 || !S_ISREG(status.st_mode)) return false;
    if (offset >= status.st_size) return true;
    if (static_cast<off_t>(length) > status.st_size - offset)
      length = static_cast<size_t>(status.st_size - offset);
    if (!counted) return ResidentByMapping(fd, offset, length);
    all = cached >= PagesOf(offset, length);
  }
  // What is still being read counts as cached; its end comes last.
  return all && StateOf(fd, offset + static_cast<off_t>(length - 1)) != State::kNot;
}

bool BringIn(Scheduler* scheduler, int fd, off_t offset, size_t length) {
  if (length == 0 || StateOf(fd, offset) == State::kUnknown) return false;
  if (reads_under_way.fetch_add(1, std::memory_order_relaxed) >= kMostReads) {
    reads_under_way.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  long result = 0;
  for (size_t done = 0; done < length && result == 0; done += kWindow) {
    size_t part = length - done < kWindow ? length - done : kWindow;
    result = RawSyscall(SYS_readahead, fd, offset + static_cast<off_t>(done), part);
  }
  bool come = result == 0 && AwaitPages(scheduler, fd, offset, length);
  reads_under_way.fetch_sub(1, std::memory_order_relaxed);
  return come;
}

}  // namespace bobbin
