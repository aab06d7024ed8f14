// What goes on in a group: connections and the buffers and counts they have in common.
#ifndef KNOT_TRAFFIC_H_
#define KNOT_TRAFFIC_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "knot/buffer_pool.h"
#include "knot/listing.h"
#include "knot/lock.h"
#include "knot/request_metrics.h"
#include "knot/slow_watch.h"

namespace knot {

// Events since start. Each is one relaxed addition.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct Counters {
  Counter requests;     // replies begun, refusals included
  Counter body_bytes;   // of replies, as far as they were sent
  Counter refusals;     // replies of status 400 and above
  Counter cut_short;    // replies that could not be sent whole
  Counter connections;  // accepted
  Counter idle_closed;  // closed by the idle time-out
  Counter health;       // answers to --health, which are in none of the others
  Counter turned_away;  // closed because their client had as many as it may
  Counter room_made;    // told to end, or cut off, so that others could be served

  Counter tls_handshakes;  // done
  Counter tls_resumed;     // of these, those that resumed a session
  Counter tls_failures;    // connections that did not come through their handshake
  Counter proxy_refusals;  // connections without the PROXY header they had to begin with

  Counter past_loads;   // of files, by caches that a reload has replaced
  Counter past_checks;  // as loads
};

// Knows the sockets of connections, so that they can be told to end, or cut off.
//
// State   served --EndSilent--> told --CutSlow--> cut
//         served --CutSlow--> cut
//         Whatever it is, Remove ends it, and EndAll changes none.
//
//   O1  A connection is told at most once by EndSilent, cut off at most once, and not told
//       afterwards.
//   O2  What is told or cut off is the connection that was looked at: none has the number of
//       another, and its socket cannot be closed before Remove.
class OpenConnections {
 public:
  // Makes room for so many more connections, so that Add needs no memory: the table does not
  // survive that it cannot grow.
  void Reserve(size_t count);

  // Requires: Reserve made room. `door` is a number for where it came from. After EndAll the socket
  // sees its end at once, as if it had been there.
  void Add(int socket, int door = 0);

  // Requires: the socket is still open, so that its number cannot have been given to another
  // connection.
  void Remove(int socket) {
    std::lock_guard<Lock> lock(mutex_);
    sockets_.erase(socket);
  }

  // Makes every connection see the end of its input. Replies under way, and those to requests
  // received already, are still sent.
  void EndAll();

  // Makes connections of `door` that have been silent for `silence_ms`, neither side sending or
  // acknowledging anything, see the end of their input: those silent longest, up to `count` of
  // them, none twice.
  //
  // Returns: how many. Blocks: never. Source: tcp(7), TCP_INFO; sockets of another kind are never
  // silent.
  size_t EndSilent(int door, size_t count, int64_t silence_ms);

  // Looks with `watch`, which no other door has, at the connections of `door`, and cuts off those
  // it finds slow: the slowest, up to `count` of them, of which those that were cut off before and
  // have not yet left are a part. Nothing can be sent or received on them any more; what their
  // sockets have taken still leaves.
  //
  // Returns: how many. Blocks: never. Source: as EndSilent; shutdown(2).
  size_t CutSlow(int door, size_t count, SlowWatch& watch, int64_t now_ms);

  uint64_t size() const {
    std::lock_guard<Lock> lock(mutex_);
    return sockets_.size();
  }

 private:
  enum class State : uint8_t { kServed, kTold, kCut };
  struct Open {
    uint64_t number;
    int door;
    State state;
  };

  mutable Lock mutex_;
  absl::flat_hash_map<int, Open> sockets_;
  size_t reserved_ = 0;
  uint64_t last_number_ = 0;
  bool ending_ = false;
};

// Lets threads that could not accept for want of descriptors or memory try again, one at a time and
// ever more slowly, until one succeeds.
class AcceptBackOff {
 public:
  // Waits before the next try, or not at all once `stopping`. Blocks: this thread, up to 0.1 s for
  // each thread that waits before it.
  void Wait(const std::atomic<bool>& stopping);

  // Called after each accept that succeeded. One load where there was no failure.
  void Succeeded() {
    if (delay_ms_.load(std::memory_order_relaxed) != 0)
      delay_ms_.store(0, std::memory_order_relaxed);
  }

 private:
  std::mutex mutex_;  // held by the thread whose turn it is, while it sleeps
  std::atomic<int> delay_ms_{0};
};

// What goes on whatever the configuration: a reload leaves it alone.
struct Traffic {
  BufferPool buffers;
  SendBufferPool send_buffers;
  ListingMemory listings;
  Counters counters;
  OpenConnections open;
  AcceptBackOff back_off;
  std::unique_ptr<RequestMetrics> metrics;  // null: off
  std::atomic<bool> stopping{false};
  std::atomic<bool> left{false};  // it stops because another process serves in its place
  // Where connections wait while all threads serve, a connection is closed after a reply once it
  // was served for so long, so that their turn comes.
  std::atomic<int> crowded_doors{0};
};

}  // namespace knot

#endif  // KNOT_TRAFFIC_H_
