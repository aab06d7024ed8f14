// Runs what can only block on bare kernel threads, one call at a time, in lanes that cannot starve each other.
//
// Workers run code of the runtime only (WorkItem::run is a system call or a short loop of them), never the program's;
// they have every signal blocked, no thread-locals and no GS base, and call no libc.
//
// State of an item   idle --Submit--> queued --worker--> running --run returned--> done (then idle again)
//                    queued --Cancel--> idle
// Invariants
//   W1  done() is called exactly once for each item submitted and not cancelled, on a worker, after run() returned.
//   W2  A lane has at most its maximum of workers; an item queued while the lane has room never waits for another
//       item to finish.
//   W3  After Cancel returned true the item is not touched again.
#ifndef BOBBIN_RUNTIME_WORKER_POOL_H_
#define BOBBIN_RUNTIME_WORKER_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/spin_lock.h"

namespace bobbin {

enum class Lane : uint8_t { kDisk, kMetadata, kOther };
inline constexpr int kLanes = 3;

struct WorkItem {
  long (*run)(WorkItem* self) = nullptr;   // on a worker; may block
  void (*done)(WorkItem* self) = nullptr;  // on the same worker, with `result` set; must not block
  long result = 0;
  Lane lane = Lane::kOther;

 private:
  friend class WorkerPool;
  WorkItem* next_ = nullptr;
  WorkItem* previous_ = nullptr;
  bool queued_ = false;
};

class WorkerPool {
 public:
  // `fixed` > 0: that many workers in the disk lane, made on first use and kept, and the other lanes autosized;
  // 0: every lane autosized between 0 and kMaxPerLane by demand, idle workers leaving after kIdleSeconds.
  void Configure(int fixed);

  // Queues `item` in its lane, starting a worker where W2 asks for one. Never blocks. The item belongs to the pool
  // until done() is called. Where no worker can be made and none exists, returns false and takes nothing.
  bool Submit(WorkItem* item);

  // Takes a queued item back. Returns: false when a worker has it or had it.
  bool Cancel(WorkItem* item);

  // Forgets all workers and queued items, after fork(2) in the child, where no worker exists.
  void ResetAfterFork();

  // Stops idle workers and waits for running items; for tests and orderly stop. Blocks: this kernel thread.
  void Stop();

  uint64_t calls() const;    // items submitted since start
  uint64_t queued() const;   // now
  uint64_t workers() const;  // now

  static constexpr int kMaxPerLane = 64;
  static constexpr int kIdleSeconds = 10;

 private:
  // Fields are the implementer's choice.
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_WORKER_POOL_H_
