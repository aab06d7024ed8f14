#include "wrappers/sendfile.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/ready_now.h"
#include "wrappers/io.h"
#include "wrappers/socket.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

namespace bobbin {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostAtOnce = 0x7ffff000;    // as the kernel does (sendfile(2), NOTES)
constexpr size_t kInlineChunk = 1024 * 1024;  // looked at for residency, and sent, in one go

struct CacheRange {
  uint64_t offset, length;
};

struct CacheStatus {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

struct Request {
  int out, in;
  off_t* offset;  // null: the file position
  size_t count;
};

long SendSome(const Request& r) { return RawSyscall(SYS_sendfile, r.out, r.in, r.offset, r.count); }

// The paper's second non-blocking form: where the socket is full the worker itself waits, up to a
// second.
long SendPolling(void* argument) {
  const auto& r = *static_cast<const Request*>(argument);
  long result = SendSome(r);
  if (result != -EAGAIN) return result;
  struct pollfd room = {r.out, POLLOUT, 0};
  struct timespec second = {1, 0};
  return RawSyscall(SYS_ppoll, &room, 1, &second, nullptr, 8) > 0 ? SendSome(r) : -EAGAIN;
}

long SendOnce(void* argument) { return SendSome(*static_cast<const Request*>(argument)); }

uint64_t PagesOf(off_t offset, size_t length) {
  auto from = static_cast<uint64_t>(offset);
  return (from + length - 1) / kPage - from / kPage + 1;
}

// Counts the pages of a part of a file that are in the page cache. Returns: false where the kernel
// does not tell, as before Linux 6.5.
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
  off_t start = offset & ~static_cast<off_t>(kPage - 1);
  size_t bytes = length + static_cast<size_t>(offset - start);
  long at = RawSyscall(SYS_mmap, 0, bytes, PROT_READ, MAP_SHARED, fd, start);
  if (at < 0 && at > -4096) return false;
  unsigned char pages[kInlineChunk / kPage + 2];
  bool resident = RawSyscall(SYS_mincore, at, bytes, pages) == 0;
  for (size_t i = 0; resident && i < (bytes + kPage - 1) / kPage; ++i)
    resident = (pages[i] & 1) != 0;
  RawSyscall(SYS_munmap, at, bytes);
  return resident;
}

// When a send gives up (SO_SNDTIMEO). The kernel is asked where somebody waits, which few ever do.
class SendDeadline {
 public:
  explicit SendDeadline(int out) : out_(out) {}
  uint64_t Get() {
    if (deadline_ == kUnknown) deadline_ = SocketDeadline(out_, Direction::kWrite);
    return deadline_;
  }

 private:
  static constexpr uint64_t kUnknown = 0;
  int out_;
  uint64_t deadline_ = kUnknown;
};

// Waits for room on the socket. Returns: 0, or what sendfile is to return.
long WaitForRoom(Scheduler* scheduler, int out, SendDeadline* deadline) {
  DescriptorWait wait(scheduler, out);
  for (;;) {
    View* view = scheduler->ViewOf(out);
    if (view == nullptr || (view->ready & View::kWrite) != 0) return 0;
    long waited = wait.Wait(POLLOUT, Waiting::kWritable, deadline->Get());
    if (waited == -EINTR && GoesOn(scheduler) &&
        !(deadline->Get() != kNever && scheduler->current()->handled))
      continue;
    return waited == -ETIMEDOUT ? -EAGAIN : waited;
  }
}

// One step of the policy. Returns: bytes, 0 at the file's end, -EAGAIN where the socket is full,
// -errno.
long Step(Scheduler* scheduler, Request* r, SendfilePolicy policy) {
  switch (policy) {
    case SendfilePolicy::kInline: {
      size_t left = r->count;
      if (r->count > kInlineChunk) r->count = kInlineChunk;
      off_t at = r->offset != nullptr ? *r->offset : RawSyscall(SYS_lseek, r->in, 0, SEEK_CUR);
      bool resident = at >= 0 && Resident(r->in, at, r->count);
      ++(resident ? scheduler->counters().inline_sendfiles
                  : scheduler->counters().worker_sendfiles);
      long result = resident ? SendSome(*r) : RunOnWorker(scheduler, Lane::kDisk, &SendOnce, r);
      r->count = left;
      return result;
    }
    case SendfilePolicy::kPoll:
    case SendfilePolicy::kBlocking:
      ++scheduler->counters().worker_sendfiles;
      return RunOnWorker(scheduler, Lane::kDisk, &SendOnce, r);
    case SendfilePolicy::kNonblocking:
      ++scheduler->counters().worker_sendfiles;
      return RunOnWorker(scheduler, Lane::kDisk, &SendPolling, r);
  }
  __builtin_unreachable();
}

struct SpliceRequest {
  int in, out;
  int64_t* in_offset;
  int64_t* out_offset;
  size_t count;
  unsigned flags;
  bool tee;
};

long SpliceOnce(void* argument) {
  const auto& r = *static_cast<const SpliceRequest*>(argument);
  unsigned flags = r.flags | SPLICE_F_NONBLOCK;
  if (r.tee) return RawSyscall(SYS_tee, r.in, r.out, r.count, flags);
  return RawSyscall(SYS_splice, r.in, r.in_offset, r.out, r.out_offset, r.count, flags);
}

// splice(2) and tee(2): pipes and sockets are waited for, files are a worker's.
long SpliceOrPark(Scheduler* scheduler, SpliceRequest* r) {
  Descriptors& table = runtime().descriptors;
  bool disk = table.Kind(r->in) == FileKind::kRegular || table.Kind(r->out) == FileKind::kRegular;
  bool wants_eagain = (r->flags & SPLICE_F_NONBLOCK) != 0;
  for (;;) {
    scheduler->Expect(r->in, POLLIN);
    scheduler->Expect(r->out, POLLOUT);
    // A socket's own mode decides for it, whatever the flag says.
    bool socket = table.Kind(r->in) == FileKind::kTcp || table.Kind(r->in) == FileKind::kSocket;
    bool would_block = socket && !ReadyNow(r->in, POLLIN);
    long result = would_block ? -EAGAIN
                  : disk      ? RunOnWorker(scheduler, Lane::kDisk, &SpliceOnce, r)
                              : SpliceOnce(r);
    if (result != -EAGAIN || wants_eagain) {
      scheduler->MayBeReady(r->in);
      scheduler->MayBeReady(r->out);
      return result;
    }
    bool in_ready = ReadyNow(r->in, POLLIN);
    if (in_ready) scheduler->MayBeReady(r->in);
    int fd = in_ready ? r->out : r->in;
    if (table.ProgramNonblock(fd)) return -EAGAIN;
    DescriptorWait wait(scheduler, fd);
    long waited = wait.Wait(in_ready ? POLLOUT : POLLIN,
                            in_ready ? Waiting::kWritable : Waiting::kReadable, kNever);
    if (waited == -EINTR && GoesOn(scheduler)) continue;
    if (waited < 0) return waited;
  }
}

}  // namespace

long Splice(Scheduler* scheduler, int in, int64_t* in_offset, int out, int64_t* out_offset,
            size_t count, unsigned flags) {
  SpliceRequest request = {in, out, in_offset, out_offset, count, flags, false};
  return SpliceOrPark(scheduler, &request);
}

long Tee(Scheduler* scheduler, int in, int out, size_t count, unsigned flags) {
  SpliceRequest request = {in, out, nullptr, nullptr, count, flags, true};
  return SpliceOrPark(scheduler, &request);
}

bool Resident(int fd, off_t offset, size_t length) {
  if (length == 0) return true;
  uint64_t cached = 0;
  bool counted = CountCached(fd, offset, length, &cached);
  if (counted && cached >= PagesOf(offset, length)) return true;
  struct stat status;
  if (RawSyscall(SYS_fstat, fd, &status) < 0 || !S_ISREG(status.st_mode)) return false;
  if (offset >= status.st_size) return true;
  if (static_cast<off_t>(length) > status.st_size - offset)
    length = static_cast<size_t>(status.st_size - offset);
  return counted ? cached >= PagesOf(offset, length) : ResidentByMapping(fd, offset, length);
}

long Sendfile(Scheduler* scheduler, int out, int in, off_t* offset, size_t count) {
  Descriptors& table = runtime().descriptors;
  FileKind kind = table.Kind(out);
  bool socket = kind == FileKind::kTcp || kind == FileKind::kSocket;
  if (count > kMostAtOnce) count = kMostAtOnce;
  if (offset != nullptr && !Writable(offset, sizeof *offset)) return -EFAULT;
  Request request = {out, in, offset, count};
  if (socket && table.ProgramNonblock(out)) {
    // EAGAIN is the program's to see; only the disk may not hold up the others.
    return Step(scheduler, &request, SendfilePolicy::kInline);
  }
  SendfilePolicy policy = runtime().options.sendfile;
  if (!socket || policy == SendfilePolicy::kBlocking || !Manage(out)) {
    if (socket) Unmanage(out);
    ++scheduler->counters().worker_sendfiles;
    return RunOnWorker(scheduler, Lane::kDisk, &SendOnce, &request);
  }
  SendDeadline deadline(out);
  size_t done = 0;
  for (;;) {
    long result =
        policy == SendfilePolicy::kNonblocking ? 0 : WaitForRoom(scheduler, out, &deadline);
    if (result == 0) {
      scheduler->Expect(out, POLLOUT);
      result = Step(scheduler, &request, policy);
      if (result != -EAGAIN) scheduler->MayBeReady(out, View::kWrite);
      if (result == 0) return static_cast<long>(done);
      if (result == -EAGAIN) {
        ++scheduler->counters().try_again;
        if (policy == SendfilePolicy::kNonblocking && runtime().clock.Now() >= deadline.Get()) {
          return done != 0 ? static_cast<long>(done) : -EAGAIN;
        }
        continue;
      }
    }
    if (result == -EINTR && GoesOn(scheduler)) continue;
    if (result < 0) return done != 0 ? static_cast<long>(done) : result;
    done += static_cast<size_t>(result);
    request.count -= static_cast<size_t>(result);
    if (request.count == 0) return static_cast<long>(done);
    // A reader that keeps up would let one big file hold up everybody else.
    scheduler->Yield();
  }
}

}  // namespace bobbin
