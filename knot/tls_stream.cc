#include "knot/tls_stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace knot {
namespace {

constexpr size_t kRecord = sizeof(SendBuffer::bytes);  // the most that one record carries
constexpr uint64_t kSendfileStep = 1 << 20;            // as of Stream

// Makes OpenSSL's view of the socket. Not SSL_set_fd, which asks for the kernel's TLS each time,
// whether it is wanted and there or not.
BIO* NewSocketBio(int socket, bool kernel) {
  constexpr char kName[] = "tls";
  if (kernel) setsockopt(socket, IPPROTO_TCP, TCP_ULP, kName, sizeof kName);
  return BIO_new_socket(socket, BIO_NOCLOSE);
}

}  // namespace

TlsSession::~TlsSession() { SSL_free(ssl_); }

[[gnu::noinline]] TlsSession::Outcome TlsSession::Handshake(const TlsContext& context,
                                                            int timeout_ms) {
  record_timeout_ms_ = timeout_ms;
  state_ = State::kFailed;
  Deadline deadline(timeout_ms);
  if (!Await(POLLIN, deadline)) return Outcome::kFailed;  // until then nothing is taken for it
  // Held until the handshake is over: it looks them up by what the client says.
  std::shared_ptr<const TlsCertificates> certificates = context.Current();
  fcntl(socket_, F_SETFL, O_NONBLOCK);
  ssl_ = SSL_new(certificates->Default());
  BIO* bio = ssl_ == nullptr ? nullptr : NewSocketBio(socket_, context.kernel());
  if (bio == nullptr) {
    ERR_clear_error();
    return Outcome::kFailed;
  }
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_info_callback(ssl_, [](const SSL* ssl, int where, int what) {
    if (where != SSL_CB_READ_ALERT || (what & 0xff) != SSL_AD_CLOSE_NOTIFY) return;
    static_cast<TlsSession*>(SSL_get_app_data(ssl))->peer_ended_ = true;
  });
  SSL_set_accept_state(ssl_);
  for (int result; (result = SSL_accept(ssl_)) != 1;) {
    int error = SSL_get_error(ssl_, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      bool http = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                  ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
      ERR_clear_error();
      return http ? Outcome::kPlainHttp : Outcome::kFailed;
    }
    if (!Await(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) return Outcome::kFailed;
  }
  SSL_free_buffers(ssl_);  // the first request may be long in coming
  state_ = State::kOpen;
  return Outcome::kDone;
}

const char* TlsSession::version() const { return SSL_get_version(ssl_); }

bool TlsSession::resumed() const { return SSL_session_reused(ssl_) == 1; }

// Waits on the socket. Returns: false after the time-out.
bool TlsSession::PollSocket(short events, int timeout_ms) const {
  pollfd wait{socket_, events, 0};
  int result;
  do {
    result = poll(&wait, 1, timeout_ms);
  } while (result < 0 && errno == EINTR);
  return result != 0;
}

// The same, where time may have run out although there always was something.
bool TlsSession::Await(short events, const Deadline& deadline) const {
  int left = deadline.Left();
  return left != 0 && PollSocket(events, left);
}

// What to wait for after a call that answered `result`. Returns: POLLIN, POLLOUT, or 0 where
// waiting is of no use: at the end, or after an error.
short TlsSession::Wanted(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    case SSL_ERROR_ZERO_RETURN:
      cut_off_ = !peer_ended_;
      return 0;
    default:
      state_ = State::kFailed;
      ERR_clear_error();  // else it would be taken for that of a later call
      return 0;
  }
}

// Looks for bytes of the peer's without taking them. Returns: 0 where Receive has an answer, else
// as Wanted.
short TlsSession::Peek() {
  char byte;
  int result = SSL_peek(ssl_, &byte, 1);
  return result > 0 ? 0 : Wanted(result);
}

bool TlsSession::WaitReadable(int timeout_ms) {
  if (state_ != State::kOpen) return PollSocket(POLLIN, timeout_ms);
  if (peer_ended_ || cut_off_) return true;
  Deadline deadline(timeout_ms);
  // What has been received already is not announced by the socket any more.
  bool received = SSL_has_pending(ssl_) != 0;
  short wanted = POLLIN;
  for (bool begun = false;; received = true) {
    if (received) {
      wanted = Peek();
      if (wanted == 0) return true;
      if (!begun) deadline.AtMost(record_timeout_ms_);  // a record has begun
      begun = true;
    }
    if (!Await(wanted, deadline)) return false;
  }
}

ssize_t TlsSession::Receive(char* to, size_t size) {
  if (state_ == State::kEnded) return recv(socket_, to, size, 0);
  if (peer_ended_) return 0;
  if (cut_off_ || state_ != State::kOpen) return -1;
  int result = SSL_read(ssl_, to, static_cast<int>(std::min<size_t>(size, 1 << 30)));
  if (result > 0) return result;
  Wanted(result);
  return peer_ended_ ? 0 : -1;
}

// Waits until more can be sent. Returns: false where the connection is of no more use.
bool TlsSession::WaitToSend(short wanted, std::optional<SendPace>& pace) {
  if (wanted == 0) {
    state_ = State::kFailed;
    return false;
  }
  if (!pace.has_value()) pace.emplace(socket_, least_sent_);
  int wait = pace->Wait();
  if (wait < 0) {
    state_ = State::kFailed;  // within a record: nothing else can be sent
    return false;
  }
  PollSocket(wanted, wait);
  return true;
}

// Sends one record.
bool TlsSession::Write(const char* bytes, size_t size, std::optional<SendPace>& pace) {
  if (state_ != State::kOpen) return false;
  for (int result; (result = SSL_write(ssl_, bytes, static_cast<int>(size))) <= 0;) {
    if (!WaitToSend(Wanted(result), pace)) return false;
  }
  if (pace.has_value()) pace->Given(static_cast<int64_t>(size));
  return true;
}

// Each record costs a system call and a few bytes, so small parts share one.
[[gnu::noinline]] bool TlsSession::SendAll(const iovec* parts, size_t count) {
  SendBufferPool::Lease buffer(buffers_);
  char* const gathered = (*buffer).bytes;
  size_t held = 0;
  std::optional<SendPace> pace;
  for (size_t i = 0; i < count; ++i) {
    const char* at = static_cast<const char*>(parts[i].iov_base);
    for (size_t left = parts[i].iov_len, step; left > 0; at += step, left -= step) {
      bool as_it_is = held == 0 && (left >= kRecord || i + 1 == count);
      step = std::min(left, kRecord - held);
      if (as_it_is) {
        if (!Write(at, step, pace)) return false;
        continue;
      }
      std::memcpy(gathered + held, at, step);
      held += step;
      if (held < kRecord) continue;
      if (!Write(gathered, held, pace)) return false;
      held = 0;
    }
  }
  return held == 0 || Write(gathered, held, pace);
}

[[gnu::noinline]] uint64_t TlsSession::SendContents(int descriptor, uint64_t first, uint64_t size) {
  if (state_ != State::kOpen) return 0;
  return BIO_get_ktls_send(SSL_get_wbio(ssl_)) ? SendByKernel(descriptor, first, size)
                                               : SendCopied(descriptor, first, size);
}

uint64_t TlsSession::SendByKernel(int descriptor, uint64_t first, uint64_t size) {
  std::optional<SendPace> pace;
  uint64_t sent = 0;
  while (sent < size) {
    ossl_ssize_t n = SSL_sendfile(ssl_, descriptor, static_cast<off_t>(first + sent),
                                  std::min(size - sent, kSendfileStep), 0);
    if (n == 0) break;  // the file shrank
    if (n < 0) {
      if (!WaitToSend(Wanted(static_cast<int>(n)), pace)) break;
      continue;
    }
    sent += n;
    if (pace.has_value()) pace->Given(n);
  }
  return sent;
}

uint64_t TlsSession::SendCopied(int descriptor, uint64_t first, uint64_t size) {
  SendBufferPool::Lease buffer(buffers_);
  std::optional<SendPace> pace;
  uint64_t sent = 0;
  while (sent < size) {
    ssize_t n = pread(descriptor, (*buffer).bytes, std::min<uint64_t>(size - sent, kRecord),
                      static_cast<off_t>(first + sent));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // 0: the file shrank
    if (!Write((*buffer).bytes, n, pace)) break;
    sent += n;
  }
  return sent;
}

[[gnu::noinline]] bool TlsSession::End() {
  if (state_ == State::kEnded) return true;
  std::optional<SendPace> pace;
  while (state_ == State::kOpen) {
    int result = SSL_shutdown(ssl_);
    if (result >= 0) {
      state_ = State::kEnded;
    } else if (!WaitToSend(Wanted(result), pace)) {
      return false;
    }
  }
  return state_ == State::kEnded && shutdown(socket_, SHUT_WR) == 0;
}

}  // namespace knot
