#include "runtime/disk_aio.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>

#include "runtime/high_descriptor.h"
#include "runtime/raw_syscall.h"

namespace bobbin {

long DiskAio::Init(int depth) {
  if (ready()) return 0;
  long event_fd = RawSyscall(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_fd < 0) return event_fd;
  event_fd = MoveDescriptorHigh(static_cast<int>(event_fd));
  io_context_t context = nullptr;
  long result = RawSyscall(SYS_io_setup, depth, &context);
  if (result < 0) {
    RawSyscall(SYS_close, event_fd);
    return result;
  }
  context_ = context;
  event_fd_ = static_cast<int>(event_fd);
  depth_ = depth;
  return 0;
}

DiskAio::~DiskAio() {
  if (!ready()) return;
  RawSyscall(SYS_io_destroy, context_);
  RawSyscall(SYS_close, event_fd_);
}

void DiskAio::ResetAfterFork() {
  if (!ready()) return;
  RawSyscall(SYS_close, event_fd_);
  context_ = nullptr;
  event_fd_ = -1;
  in_flight_ = 0;
}

long DiskAio::Submit(DiskRequest* request, int fd, void* buffer, size_t count, int64_t offset,
                     bool write) {
  if (!ready()) return -EINVAL;
  // The kernel rounds its own limit up; a limit of ours means the same everywhere.
  if (in_flight_ >= depth_) return -EAGAIN;
  if (write) {
    io_prep_pwrite(&request->control, fd, buffer, count, offset);
  } else {
    io_prep_pread(&request->control, fd, buffer, count, offset);
  }
  io_set_eventfd(&request->control, event_fd_);
  struct iocb* control = &request->control;
  long result = RawSyscall(SYS_io_submit, context_, 1, &control);
  if (result != 1) return result < 0 ? result : -EAGAIN;
  ++in_flight_;
  return 0;
}

int DiskAio::Reap() {
  if (!ready()) return 0;
  // The counter first: what finishes after it was read makes the descriptor readable again.
  uint64_t finished;
  RawSyscall(SYS_read, event_fd_, &finished, sizeof finished);
  int reaped = 0;
  for (;;) {
    constexpr long kBatch = 16;
    struct io_event events[kBatch];
    struct timespec no_wait {};
    long count = RawSyscall(SYS_io_getevents, context_, 0, kBatch, &events[0], &no_wait);
    if (count == -EINTR) continue;
    if (count <= 0) return reaped;
    for (long i = 0; i < count; ++i) {
      DiskRequest* request = reinterpret_cast<DiskRequest*>(events[i].obj);
      request->result = static_cast<long>(events[i].res);
      --in_flight_;
      request->done(request);
    }
    reaped += static_cast<int>(count);
    if (count < kBatch) return reaped;  // what finishes from here on is announced again
  }
}

}  // namespace bobbin
