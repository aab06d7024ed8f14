#include "knot/shared_accept.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "knot/listener.h"

namespace knot {
namespace {

bool IsUnix(int socket) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedAccept>> SharedAccept::Make(int socket, int send_timeout_s) {
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return absl::ErrnoToStatus(errno, "cannot accept from a shared socket");
  return std::unique_ptr<SharedAccept>(new SharedAccept(socket, event, send_timeout_s));
}

SharedAccept::SharedAccept(int socket, int stop_event, int send_timeout_s)
    : socket_(socket),
      stop_event_(stop_event),
      inherits_(!IsUnix(socket)),
      send_timeout_s_(send_timeout_s) {}

SharedAccept::~SharedAccept() { close(stop_event_); }

int SharedAccept::Accept(PeerAddress* peer) {
  socklen_t size = sizeof *peer;
  int accepted = -1;
  {
    std::lock_guard<std::mutex> turn(turn_);
    for (;;) {
      pollfd waits[] = {{stop_event_, POLLIN, 0}, {socket_, POLLIN, 0}};
      if (poll(waits, 2, -1) < 0 && errno != EINTR) return -1;
      if (waits[0].revents != 0) {
        errno = ECANCELED;
        return -1;
      }
      accepted = accept4(socket_, peer == nullptr ? nullptr : &peer->any,
                         peer == nullptr ? nullptr : &size, SOCK_CLOEXEC);
      if (accepted >= 0) break;
      if (errno != EAGAIN && errno != EINTR) return -1;
    }
  }
  if (!inherits_) knot::SetSendTimeout(accepted, send_timeout_s_.load());
  return accepted;
}

void SharedAccept::Stop() {
  uint64_t one = 1;
  if (write(stop_event_, &one, sizeof one) < 0) return;  // it is readable already
}

}  // namespace knot
