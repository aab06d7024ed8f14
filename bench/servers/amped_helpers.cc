#include "bench/servers/amped_helpers.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <system_error>
#include <utility>

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

namespace bench_server {
namespace {

constexpr uint64_t kPage = 4096;

// Of linux/mman.h since Linux 6.5.
struct CacheRange {
  uint64_t offset, length;
};
struct CacheStatus {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

int CheckedDescriptor(int descriptor, const char* what) {
  if (descriptor >= 0) return descriptor;
  std::perror(what);
  std::exit(1);
}

bool IsResidentByMapping(int descriptor, uint64_t start, uint64_t length) {
  void* at = mmap(nullptr, length, PROT_READ, MAP_SHARED, descriptor, static_cast<off_t>(start));
  if (at == MAP_FAILED) return false;
  std::vector<unsigned char> pages((length + kPage - 1) / kPage);
  bool resident =
      mincore(at, length, pages.data()) == 0 &&
      std::all_of(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; });
  munmap(at, length);
  return resident;
}

}  // namespace

bool IsResident(int descriptor, uint64_t offset, uint64_t length) {
  // Pages that the disk is still being asked for are in the cache already, the last of them
  // longest: only reading tells.
  char byte;
  iovec vector{&byte, 1};
  if (preadv2(descriptor, &vector, 1, static_cast<off_t>(offset + length - 1), RWF_NOWAIT) != 1) {
    return false;
  }
  uint64_t start = offset & ~(kPage - 1);
  uint64_t pages = (offset + length - start + kPage - 1) / kPage;
  if (pages == 1) return true;
  CacheRange range{start, pages * kPage};
  CacheStatus status{};
  if (syscall(SYS_cachestat, descriptor, &range, &status, 0) == 0) return status.cached >= pages;
  return IsResidentByMapping(descriptor, start, offset + length - start);
}

Helpers::Helpers(int count, knot::FileCache& cache)
    : cache_(cache),
      done_event_(CheckedDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      sink_(CheckedDescriptor(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null")) {
  try {
    for (int i = 0; i < count; ++i) threads_.emplace_back(&Helpers::Work, this);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "amped: no more than %zu helpers could be made: %s\n", threads_.size(),
                 error.what());
    std::_Exit(1);  // the helpers made so far run on
  }
}

Helpers::~Helpers() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  close(done_event_);
  close(sink_);
}

void Helpers::Flush() {
  if (batch_.empty()) return;
  size_t count = batch_.size();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::move(batch_.begin(), batch_.end(), std::back_inserter(jobs_));
  }
  batch_.clear();
  for (size_t i = 0; i < std::min(count, threads_.size()); ++i) wanted_.notify_one();
}

std::vector<Job> Helpers::TakeDone() {
  uint64_t ignored;
  [[maybe_unused]] ssize_t n = read(done_event_, &ignored, sizeof ignored);
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(done_, {});
}

void Helpers::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    if (job.descriptor >= 0) {
      Load(job);
    } else {
      job.result = cache_.Get(job.path, job.now);
    }
    lock.lock();
    done_.push_back(std::move(job));
    if (done_.size() > 1) continue;  // the server was told of the first, and takes all
    uint64_t one = 1;
    [[maybe_unused]] ssize_t n = write(done_event_, &one, sizeof one);
  }
}

// A failure shows when the server sends.
void Helpers::Load(const Job& job) {
  off_t offset = static_cast<off_t>(job.offset);
  uint64_t left = job.length;
  while (left > 0) {
    ssize_t n = sendfile(sink_, job.descriptor, &offset, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    left -= n;
  }
}

}  // namespace bench_server
