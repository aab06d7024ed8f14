// A descriptor that the runtime opens for one wait: moved out of the program's way, and forgotten
// by descriptors and views before its number is free again.
//
// Callers: the user thread that waits.
#ifndef BOBBIN_WRAPPERS_OWN_DESCRIPTOR_H_
#define BOBBIN_WRAPPERS_OWN_DESCRIPTOR_H_

#include "runtime/high_descriptor.h"
#include "wrappers/call.h"

namespace bobbin {

class OwnDescriptor {
 public:
  explicit OwnDescriptor(Scheduler* scheduler) : scheduler_(scheduler) {}
  ~OwnDescriptor() { Close(); }
  OwnDescriptor(const OwnDescriptor&) = delete;
  OwnDescriptor& operator=(const OwnDescriptor&) = delete;

  // Takes what a system call returned, a descriptor or -errno. Returns: false where it is none.
  bool Take(long fd) {
    if (fd < 0) return false;
    fd_ = MoveDescriptorHigh(static_cast<int>(fd));
    runtime().descriptors.Reset(fd_);
    return true;
  }

  void Close() {
    if (fd_ < 0) return;
    runtime().descriptors.Reset(fd_);
    scheduler_->ViewOf(fd_);
    RawSyscall(SYS_close, fd_);
    fd_ = -1;
  }

  // -1: none.
  int fd() const { return fd_; }

 private:
  Scheduler* scheduler_;
  int fd_ = -1;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_OWN_DESCRIPTOR_H_
