// Reads and writes O_DIRECT descriptors through Linux AIO, so that direct I/O needs no worker.
//
// One per scheduler. Submit hands the kernel one request; its completion makes event_fd() readable, and Reap then calls
// each finished request's done(). Uses libaio's io_setup, io_submit, io_getevents, io_destroy.
//
// Callers: the owning scheduler. Blocks: never on a healthy kernel (io_submit may wait for a full device queue).
// Invariants
//   D1  done() is called exactly once for each request whose Submit returned 0.
#ifndef BOBBIN_RUNTIME_DISK_AIO_H_
#define BOBBIN_RUNTIME_DISK_AIO_H_

#include <libaio.h>

#include <cstddef>
#include <cstdint>

namespace bobbin {

struct DiskRequest {
  struct iocb control;  // filled by Submit; first, so that the kernel's pointer to it is the request
  void (*done)(DiskRequest* self) = nullptr;
  long result = 0;  // bytes or -errno, set before done()
};

class DiskAio {
 public:
  // Returns: 0 or -errno (-EAGAIN: fs.aio-max-nr is used up). Idempotent.
  long Init(int depth);
  ~DiskAio();

  bool ready() const;
  int event_fd() const;  // -1 before Init
  int in_flight() const;

  // Queues a pread or pwrite of `count` bytes at `offset`. Returns: 0, or -errno with nothing queued (-EAGAIN: full).
  long Submit(DiskRequest* request, int fd, void* buffer, size_t count, int64_t offset, bool write);

  // Calls done() for every finished request. Returns: their number.
  int Reap();

 private:
  // Fields are the implementer's choice.
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_DISK_AIO_H_
