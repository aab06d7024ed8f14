#include "knot/door.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "knot/listener.h"

namespace knot {

absl::Status CheckDoors(int threads, int doors) {
  if (threads >= doors) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--threads=", threads,
                   ": each address needs one in each scheduler and process, so at least ", doors));
}

Door::Door(Server& its_server, Entrance& entrance, Traffic& its_traffic, GroupSlot& its_groups,
           Place its_place, int its_socket, Transport begins)
    : server(its_server),
      traffic(its_traffic),
      groups(its_groups),
      place(its_place),
      socket(its_socket),
      transport(begins),
      permits(its_place.threads),
      entrance_(entrance) {}

Door::~Door() { close(socket); }

absl::Status Door::Share(int send_timeout_s) {
  absl::StatusOr<std::unique_ptr<SharedAccept>> made = SharedAccept::Make(socket, send_timeout_s);
  if (made.ok()) shared_accept_ = *std::move(made);
  return made.status();
}

int Door::Accept(PeerAddress* peer) {
  while (!entrance_.closed.load(std::memory_order_relaxed)) {
    int accepted = TryAccept(peer);
    if (accepted >= 0) {
      traffic.back_off.Succeeded();
      return accepted;
    }
    int error = errno;
    if (entrance_.closed.load()) break;
    if (error == EAGAIN) AwaitConnection();
    // The others, accept(2) says, are of the connection that was to be accepted, not of the server.
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) continue;
    if (!entrance_.said_accept_fails.test_and_set()) {
      std::fprintf(stderr, "knot: cannot accept: %s; will accept again when it can\n",
                   std::strerror(error));
    }
    traffic.back_off.Wait(entrance_.closed);
  }
  return -1;
}

int Door::TryAccept(PeerAddress* peer) {
  socklen_t size = sizeof *peer;
  bool wanted = entrance_.wants_peers.load(std::memory_order_relaxed);
  int accepted = shared_accept_ != nullptr ? shared_accept_->Accept(wanted ? peer : nullptr)
                                           : accept4(socket, wanted ? &peer->any : nullptr,
                                                     wanted ? &size : nullptr, SOCK_CLOEXEC);
  if (accepted < 0 || wanted) return accepted;
  peer->any.sa_family = AF_UNSPEC;
  // A reload may have begun to ask meanwhile.
  if (entrance_.wants_peers.load(std::memory_order_relaxed)) {
    getpeername(accepted, &peer->any, &size);
  }
  return accepted;
}

// Another process has put the socket in non-blocking mode: a runtime beneath its accept(2) does so.
// While it lives its mode must stay; afterwards the socket is made as it was.
[[gnu::noinline]] void Door::AwaitConnection() {
  std::lock_guard<std::mutex> turn(turn_);  // so that a connection wakes one thread and not all
  if (entrance_.closed.load()) return;
  if (!entrance_.shared.load()) {
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK);
    return;
  }
  pollfd wait{socket, POLLIN, 0};
  poll(&wait, 1, -1);
}

void Door::Close() {
  if (shared_accept_ != nullptr) {
    shared_accept_->Stop();
  } else if (!entrance_.shared.load()) {
    shutdown(socket, SHUT_RD);  // ends accept(2) in every thread
  }
  permits.release();
}

void Door::SetSendTimeout(int seconds) {
  knot::SetSendTimeout(socket, seconds);
  if (shared_accept_ != nullptr) shared_accept_->SetSendTimeout(seconds);
}

}  // namespace knot
