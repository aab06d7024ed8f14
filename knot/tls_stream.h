// The TLS side of one connection, in blocking style.
//
// OpenSSL works on a socket in non-blocking mode, and where it would wait, this class does, by
// poll(2): a read that waits inside OpenSSL would end only with a whole record, however slowly its
// bytes come.
//
//   state    after                                         next
//   fresh    construction                                  open, or failed
//   open     the handshake                                 ended, or failed
//   ended    End: the peer was told so, by close_notify    what it sends is thrown away
//   failed   a TLS or socket error, a peer too slow        nothing is sent any more
//
// T1. No call waits beyond its time-out or pace, whatever part of a record has come.
// T2. The end of the input counts as such only where the peer has said so by a close_notify.
// T3. A connection that waits holds no buffer, neither OpenSSL's nor one of ours, unless part of a
//     record has come.
#ifndef KNOT_TLS_STREAM_H_
#define KNOT_TLS_STREAM_H_

#include <openssl/types.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "knot/buffer_pool.h"
#include "knot/deadline.h"
#include "knot/pace.h"
#include "knot/tls_context.h"

namespace knot {

// Callers: one thread. The calls that Stream has, too, mean what they mean there.
class TlsSession {
 public:
  // `socket` is connected; it is left in non-blocking mode, and open. `buffers` outlive the
  // session.
  TlsSession(int socket, SendBufferPool& buffers, const LeastRate& least_sent)
      : socket_(socket), buffers_(buffers), least_sent_(least_sent) {}
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession();

  enum class Outcome : uint8_t {
    kDone,
    kPlainHttp,  // the client speaks HTTP without TLS; nothing was sent to it
    kFailed,
  };

  // Does the handshake; `timeout_ms` is for all of it, and later for each record from its first
  // byte to its last. Requires: called once, before all else.
  Outcome Handshake(const TlsContext& context, int timeout_ms);

  // Returns: the version of TLS, as "TLSv1.3". Valid as long as the program.
  const char* version() const;
  void SetLeastSent(const LeastRate& least_sent) { least_sent_ = least_sent; }

  // Tells whether the handshake resumed a session.
  bool resumed() const;

  bool WaitReadable(int timeout_ms);
  ssize_t Receive(char* to, size_t size);
  bool SendAll(const iovec* parts, size_t count);
  uint64_t SendContents(int descriptor, uint64_t first, uint64_t size);

  // Tells the peer that nothing follows, by a close_notify and the end of the stream; afterwards
  // WaitReadable and Receive are about the bytes of the socket. Returns: false where the peer has
  // gone, or could not be told.
  bool End();

 private:
  enum class State : uint8_t { kFresh, kOpen, kEnded, kFailed };

  short Wanted(int result);
  short Peek();
  bool PollSocket(short events, int timeout_ms) const;
  bool Await(short events, const Deadline& deadline) const;
  bool WaitToSend(short wanted, std::optional<SendPace>& pace);
  bool Write(const char* bytes, size_t size, std::optional<SendPace>& pace);
  uint64_t SendByKernel(int descriptor, uint64_t first, uint64_t size);
  uint64_t SendCopied(int descriptor, uint64_t first, uint64_t size);

  const int socket_;
  State state_ = State::kFresh;
  bool peer_ended_ = false;  // by a close_notify
  bool cut_off_ = false;     // the stream ended without one
  int record_timeout_ms_ = 0;
  SSL* ssl_ = nullptr;
  SendBufferPool& buffers_;
  LeastRate least_sent_;
};

}  // namespace knot

#endif  // KNOT_TLS_STREAM_H_
