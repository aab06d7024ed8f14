// Runs what can only block on bare kernel threads, one call at a time, in lanes that cannot starve
// each other.
//
// Workers run code of the runtime only (WorkItem::run is a system call or a short loop of them),
// never the program's; they have every signal but kInterrupt blocked, no thread-locals (FS base 0,
// so touching one faults) and no GS base, and call no libc.
//
// State of a worker   none --clone--> working --queue empty--> idle
//                     idle --Submit, Stop--> woken --> working
//                     idle --idle time over, others had work--> idle, spare
//                     idle --idle time, or a spare one's, over--> leaving --> none (its stack is
//                     kept)
//
// State of an item   idle --Submit--> queued --worker--> running --run returned--> done, then idle
//                    queued --Cancel--> idle
// Invariants
//   W1  done() is called exactly once for each item submitted and not cancelled, on a worker, after
//       run() returned.
//   W2  A lane has at most its maximum of workers; an item queued while the lane has room never
//       waits for another item to finish.
//   W3  After Cancel returned true the item is not touched again.
//   W4  An item submitted after Renew runs on a worker made after it.
//
// Callers: user threads and any kernel thread, not signal handlers.
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
  uint32_t age_ = 0;  // of the lane when it was submitted: see Renew
};

class WorkerPool {
 public:
  WorkerPool() { Configure(0); }

  // `fixed` > 0: at most that many workers in the disk lane (at most kMaxPerLane); 0, as where this
  // is not called: every lane is autosized. Workers are made by demand and leave after `idle_ns`
  // nanoseconds without work, spare ones after kSpareTimes as long. Requires: nothing was submitted
  // yet.
  void Configure(int fixed, int64_t idle_ns = kIdleNanoseconds);

  // Queues `item` in its lane, starting a worker where W2 asks for one. The item belongs to the
  // pool until done() is called. Blocks: never, but a first call of a lane may spin while another
  // thread makes that lane's only worker.
  // Returns: false, with nothing taken, where no worker can be made and the lane has none.
  bool Submit(WorkItem* item);

  // Takes a queued item back. Returns: false when a worker has it or had it.
  bool Cancel(WorkItem* item);

  // Has every item that is submitted from now on run on workers made from now on, which are like
  // the kernel thread that makes them: after a change of credentials, namespaces or filters. Others
  // leave when they have done what was submitted before.
  void Renew();

  // Forgets all workers and queued items, after fork(2) in the child, where no worker exists. Those
  // items must not be cancelled there: their threads do not exist either.
  void ResetAfterFork();

  // Runs what is queued, lets every worker leave and waits until they have; for tests and orderly
  // stop. The pool may be used again. Requires: nobody submits meanwhile. Blocks: this kernel
  // thread.
  void Stop();

  uint64_t calls() const;    // items submitted since start
  uint64_t queued() const;   // now
  uint64_t workers() const;  // now
  uint64_t busy();           // now: of workers(), those that are not idle

  static constexpr int kMaxPerLane = 256;
  // Of the lanes where calls are short, or wait for hardware that more workers would not make
  // faster.
  static constexpr int kMaxAutosized = 64;
  // The one signal that workers do not block: it ends the system call a worker is in with EINTR, if
  // whoever uses the pool has installed a handler for it. libc's SIGSETXID, which no kernel thread
  // gets otherwise.
  static constexpr int kInterrupt = 33;
  // A process with one kernel thread is served cheaper by Linux: each call on a descriptor of a
  // table that threads share takes and drops a reference. A worker costs less than that soon makes
  // up for.
  static constexpr int64_t kIdleNanoseconds = 1'000'000;
  // Beside a worker that is kept busy further ones cost nothing, and making them anew for each
  // burst costs much: those rest so many times as long before they leave.
  static constexpr int64_t kSpareTimes = 50;

 private:
  struct LaneState;

  // One worker's place. Fields are guarded by the lane's lock; the atomics are not.
  struct alignas(64) Worker {
    std::atomic<int32_t> tid{0};     // not 0 until the kernel has ended it: CLONE_CHILD_CLEARTID
    std::atomic<uint32_t> sleep{0};  // a futex: see Sleep() and Wake()
    WorkerPool* pool = nullptr;
    LaneState* lane = nullptr;
    uintptr_t stack = 0;        // mapped at first use and kept
    WorkItem* first = nullptr;  // handed to a worker that is being made for it
    Worker* next_idle = nullptr;
    bool taken = false;
    bool idle = false;        // in the lane's idle list
    bool coming = false;      // counted in the lane's `coming`
    bool spare = false;       // idle for longer, since the pool is at work
    uint64_t calls_seen = 0;  // of the pool when it went idle
    uint32_t age = 0;         // of the lane when its making began
  };

  struct LaneState {
    SpinLock lock;
    WorkItem* head = nullptr;  // oldest
    WorkItem* tail = nullptr;
    Worker* idle = nullptr;  // last idle first: the cold ones are left to leave
    int maximum = kMaxAutosized;
    uint32_t age = 0;          // how often the workers were renewed
    std::atomic<int> live{0};  // made, of this age, and not leaving; written under the lock
    int starting = 0;          // being made
    int coming = 0;            // woken or being made to look into the queue, and not there yet
    bool stopping = false;
    std::atomic<uint64_t> queued{0};
    std::atomic<uint64_t> calls{0};
    Worker workers[kMaxPerLane];
  };

  Worker* Reserve(LaneState* lane);
  bool Start(LaneState* lane, Worker* worker, uint32_t age);
  bool NextItem(Worker* worker, bool rested, WorkItem** item);
  void Work(Worker* worker);
  static Worker* TakeIdle(LaneState* lane);
  static void Unlist(LaneState* lane, Worker* worker);
  static bool Sleep(Worker* worker, int64_t timeout_ns);
  static void Wake(Worker* worker);
  static void Push(LaneState* lane, WorkItem* item);
  static void Unlink(LaneState* lane, WorkItem* item);
  static long MakeThread(Worker* worker);
  [[noreturn]] static void ThreadMain(Worker* worker);
  static void* SanitizedThreadMain(void* worker);

  LaneState lanes_[kLanes];
  int64_t idle_ns_ = kIdleNanoseconds;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_WORKER_POOL_H_
