// Serves connections in one thread that waits for all of them at once.
//
// A request on a kept connection costs one recv, one sendmsg and a share of an epoll_wait; a
// connection one accept4, one epoll_ctl and one close.
#ifndef BENCH_SERVERS_COMMON_EVENT_LOOP_H_
#define BENCH_SERVERS_COMMON_EVENT_LOOP_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "bench/servers/common/connection.h"
#include "bench/servers/common/poller.h"

namespace bench_server {

// Invariants
//   L1  At most max_connections are open. At the limit the listening sockets are not watched, so
//       that further connections wait in the system's queue, or go to another process.
//   L2  A connection that is open is in exactly one slot of the wheel, of a time not later than its
//       deadline. A deadline put off costs nothing until that time comes.
//   L3  A connection is closed only while its own event, its deadline, or Resume or Loaded for it
//   is
//       dealt with, so that no event of the same batch can be for one that was closed and opened
//       again.
class EventLoop {
 public:
  struct Options {
    const char* name = "";  // of the program, for messages
    Events events = Events::kEpoll;
    bool shared_listeners = false;  // with other processes or loops
    bool publishes_clock = true;    // knot/clock.h is kept right by this loop, not by StartClock
    int max_connections = 0;
  };

  // `serving` outlives the loop; the loop sets its pools and its time. `listeners` are
  // non-blocking.
  EventLoop(const Options& options, Serving& serving, const std::vector<int>& listeners);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `ready` whenever `descriptor` is readable, and `after` after each batch of events.
  void OnReadable(int descriptor, std::function<void()> ready);
  void AfterEachBatch(std::function<void()> after) { after_ = std::move(after); }

  // Serves until Stop is called from a function that the loop calls.
  void Run();
  void Stop() { stopping_ = true; }

  // Go on with a connection that waited: see Connection::Resume, and Connection::Send with
  // `allowed`. Requires: called by the loop's thread.
  void Resume(Connection& connection, int status, HeldFile file);
  void Loaded(Connection& connection, uint64_t allowed);

  int open_connections() const { return open_; }

 private:
  static constexpr int kSlotMs = 250;
  static constexpr int kSlots = 512;

  struct Client {
    Connection connection;  // first, so that one is found from the other
    Watch watch;
    Interest interest = Interest::kRead;
    uint16_t slot = 0;
    int64_t looked_at_ms = 0;  // when the wheel comes to it
    Client* next = nullptr;    // in the slot; in the list of the unused
    Client* previous = nullptr;
  };

  struct Listener {
    Watch watch;
    int socket;
  };

  struct Other {
    Watch watch;
    std::function<void()> ready;
  };

  static Client& ClientOf(Watch* watch);
  static Client& ClientOf(Connection& connection);

  void ReadClock();
  void WatchListeners();
  void IgnoreListeners();
  void Accept(Listener& listener);
  void Open(int socket);
  void Close(Client& client);
  void Serve(Client& client, const Ready& ready);
  void Act(Client& client, Next next);
  void Wait(Client& client, Interest interest);
  void Enlist(Client& client);
  void Delist(Client& client);
  void ExpireUntilNow();

  const Options options_;
  Serving& serving_;
  std::unique_ptr<Poller> poller_;
  knot::Pool<Input> inputs_;
  knot::Pool<Reply> replies_;
  std::deque<Listener> listeners_;
  std::deque<Other> others_;
  std::function<void()> after_;
  bool listening_ = false;
  bool said_accept_fails_ = false;
  bool stopping_ = false;
  int open_ = 0;
  int64_t accept_again_ms_ = 0;  // after a failure that is the server's; 0: none
  int64_t second_ends_ms_ = 0;   // when knot/clock.h is out of date
  int64_t looked_round_ms_ = 0;
  std::deque<Client> clients_;
  Client* unused_ = nullptr;
  int64_t wheel_ms_ = 0;  // what is due until then was dealt with
  std::array<Client*, kSlots> wheel_{};
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_EVENT_LOOP_H_
