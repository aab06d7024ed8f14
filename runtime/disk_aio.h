// Reads and writes O_DIRECT descriptors through Linux AIO, so that direct I/O needs no worker.
//
// One per scheduler. Submit hands the kernel one request; its completion makes event_fd() readable,
// and Reap then calls each finished request's done(). Of libaio only the types are used: its
// io_getevents touches vector registers, so the four calls are made directly. Source: io_submit(2).
//
// Callers: the owning scheduler. Blocks: never on a healthy kernel (io_submit may wait for a full
// device queue, and for the whole transfer where the descriptor is not O_DIRECT).
// Invariants
//   D1  done() is called exactly once for each request whose Submit returned 0.
#ifndef BOBBIN_RUNTIME_DISK_AIO_H_
#define BOBBIN_RUNTIME_DISK_AIO_H_

#include <libaio.h>

#include <cstddef>
#include <cstdint>

namespace bobbin {

struct DiskRequest {
  struct iocb control;  // filled by Submit; first, so that a pointer to it is one to the request
  void (*done)(DiskRequest* self) = nullptr;
  long result = 0;  // bytes or -errno, set before done()
};

class DiskAio {
 public:
  DiskAio() = default;
  // Waits for what is in flight, and drops it without calling done().
  ~DiskAio();
  DiskAio(const DiskAio&) = delete;
  DiskAio& operator=(const DiskAio&) = delete;

  // Makes room for `depth` requests in flight. Returns: 0 or -errno (-EAGAIN: fs.aio-max-nr is used
  // up). Idempotent.
  long Init(int depth);

  bool ready() const { return context_ != nullptr; }
  int event_fd() const { return event_fd_; }  // -1 before Init
  int in_flight() const { return in_flight_; }

  // Queues a pread or pwrite of `count` bytes at `offset`. Returns: 0, or -errno with nothing
  // queued (-EAGAIN: `depth` requests are in flight, -EINVAL: before Init, or what io_submit(2)
  // says). The request's memory and the buffer belong to the kernel until done().
  long Submit(DiskRequest* request, int fd, void* buffer, size_t count, int64_t offset, bool write);

  // Calls done() for every finished request; done() may submit. Returns: their number; 0 also when
  // event_fd() was readable, because the kernel signals a request after its result can be had.
  int Reap();

  // Forgets the context and its requests, after fork(2) in the child, which does not inherit them.
  void ResetAfterFork();

 private:
  io_context_t context_ = nullptr;
  int event_fd_ = -1;
  int depth_ = 0;
  int in_flight_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_DISK_AIO_H_
