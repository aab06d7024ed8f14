#include "wrappers/sendfile.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "runtime/ready_now.h"
#include "wrappers/io.h"
#include "wrappers/page_cache.h"
#include "wrappers/socket.h"

namespace bobbin {

namespace {

constexpr size_t kMostAtOnce = 0x7ffff000;    // as the kernel does (sendfile(2), NOTES)
constexpr size_t kInlineChunk = 1024 * 1024;  // looked at for residency, and sent, in one go

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
      if (!resident && at >= 0) {
        SameFile in(r->in), out(r->out);
        resident = BringIn(scheduler, r->in, at, r->count);
        // Closed meanwhile: their numbers may name a stranger's.
        if (!in.Still() || !out.Still()) return -EBADF;
      }
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
