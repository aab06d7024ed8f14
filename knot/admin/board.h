// What each process of a server last told of itself, in memory that all of them see.
//
// A place    empty --Publish--> told --(Publish)*--> told, also by another process in its place
//
// Invariants
//   B1  A reader gets one publication whole, never parts of two.
//   B2  The totals of a place never fall: who takes the place of a process that has died goes on
//       from what that one told last.
//   B3  A process that dies while it publishes leaves what it told before.
#ifndef KNOT_ADMIN_BOARD_H_
#define KNOT_ADMIN_BOARD_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "knot/statistics.h"

namespace knot {

class Board {
 public:
  // Makes a board with `places`, at least 1, which processes forked from this one share.
  // Returns: null where there is no memory.
  static std::shared_ptr<Board> Make(int places);

  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board();

  // Makes this process the one that tells of place `place`. Requires: no other does, any more.
  void Take(int place);

  // Tells what there is at `now` by MonotonicNs(). Requires: Take was called.
  // Callers: one thread at a time.
  void Publish(const Statistics& statistics, int64_t now);

  // Returns: the totals of all, and the levels of those that have told theirs lately. One that has
  // not for kFresh nanoseconds is not there, or is stuck. Requires, callers: as Publish.
  Statistics Sum(int64_t now);

  // Tells whether some process has called Sum lately: it is worth while to publish often.
  bool Watched(int64_t now) const;

  static constexpr int64_t kFresh = 5'000'000'000;

  // When it was made.
  int64_t start_ns() const { return start_ns_; }            // by MonotonicNs()
  int64_t start_seconds() const { return start_seconds_; }  // by the wall clock

 private:
  struct Place;

  Board(Place* places, size_t count);
  static bool Read(const Place& place, Statistics* statistics, int64_t* told);

  Place* const places_;
  const size_t count_;
  const int64_t start_ns_;
  const int64_t start_seconds_;
  size_t own_ = 0;
  Totals base_;  // of those that had the place before
  Totals last_;  // as published
};

}  // namespace knot

#endif  // KNOT_ADMIN_BOARD_H_
