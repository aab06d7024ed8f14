// The bytes of one connection, both ways, in blocking style.
#ifndef KNOT_STREAM_H_
#define KNOT_STREAM_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace knot {

// A connection as its thread sees it. Every call but the constructor blocks this thread at most for
// the time-out it names, or for the socket's SO_SNDTIMEO a step. Callers: one thread.
class Stream {
 public:
  // Leaves closing `socket` to the caller.
  explicit Stream(int socket) : socket_(socket) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int socket() const { return socket_; }

  // Waits until something can be received, the end or an error included. `timeout_ms` as poll(2).
  // Returns: false after the time-out.
  bool WaitReadable(int timeout_ms);

  // Receives what there is, up to `size` bytes. Returns: 0 at the end, -1 on an error.
  ssize_t Receive(char* to, size_t size);

  // Sends all of the vectors, which it changes. `more` will follow soon: it may wait for that.
  // Returns: false on an error, or a time-out without progress.
  bool SendAll(iovec* parts, size_t count, bool more);

  // Sends `size` bytes of the regular file open at `descriptor` from offset `first` on, by
  // sendfile(2); its own offset, which other threads may use, is left alone. Returns: how many were
  // sent; fewer on an error, a time-out without progress, or where the file has shrunk.
  uint64_t SendContents(int descriptor, uint64_t first, uint64_t size);

  // Tells the peer that nothing follows. Returns: false where it has gone.
  bool EndSending();

 private:
  const int socket_;
};

}  // namespace knot

#endif  // KNOT_STREAM_H_
