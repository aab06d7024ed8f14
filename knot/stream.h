// The bytes of one connection, both ways, in blocking style.
#ifndef KNOT_STREAM_H_
#define KNOT_STREAM_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "knot/pace.h"

namespace knot {

class TlsSession;

// A connection as its thread sees it. WaitReadable blocks this thread for the time it is given, the
// calls that send as long as the client takes what LeastRate asks for. Callers: one thread.
//
// Each call is answered for a plain connection first; one by TLS goes to TlsSession.
class Stream {
 public:
  // Leaves closing `socket` to the caller. `tls` outlives the stream: the session on this socket,
  // its handshake done, or null.
  Stream(int socket, const LeastRate& least_sent, TlsSession* tls = nullptr)
      : socket_(socket), tls_(tls), least_sent_(least_sent) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int socket() const { return socket_; }

  // Returns: the version of TLS, as "TLSv1.3", or "". Valid as long as the program.
  absl::string_view TlsVersion() const;

  // Asks this of the client from now on.
  void SetLeastSent(const LeastRate& least_sent);

  // Waits until something can be received, the end or an error included. `timeout_ms` as poll(2).
  // Returns: false after the time-out, or at once where the kernel has no memory to wait.
  bool WaitReadable(int timeout_ms);

  // Receives what there is, up to `size` bytes. Returns: 0 at the end, -1 on an error, an end that
  // TLS was not told of included. Requires: WaitReadable returned true since the last call.
  ssize_t Receive(char* to, size_t size);

  // Sends all of the vectors, which it changes. `more` will follow soon: it may wait for that.
  // Returns: false on an error, or where the client was too slow.
  bool SendAll(iovec* parts, size_t count, bool more);

  // Sends `size` bytes of the regular file open at `descriptor` from offset `first` on, by
  // sendfile(2) where it can; the file's own offset, which other threads may use, is left alone.
  // Returns: how many were sent; fewer on an error, where the client was too slow, or where the
  // file has shrunk.
  uint64_t SendContents(int descriptor, uint64_t first, uint64_t size);

  // Tells the peer that nothing follows. What is received from then on is to be thrown away.
  // Returns: false where it has gone.
  bool EndSending();

 private:
  bool SendRest(iovec* parts, size_t count, bool more);

  const int socket_;
  TlsSession* const tls_;  // null: plain
  LeastRate least_sent_;
};

}  // namespace knot

#endif  // KNOT_STREAM_H_
