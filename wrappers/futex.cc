#include "wrappers/futex.h"

#include <linux/futex.h>

namespace bobbin {

namespace {

constexpr uint32_t kAllBits = ~uint32_t{0};

// User threads waiting in the kernel now.
std::atomic<int> kernel_waiters{0};

// Monotonic time at which a wait gives up. Returns: 0, -EINVAL or -EFAULT.
long DeadlineOf(int operation, const struct timespec* timeout, uint64_t* deadline) {
  *deadline = kNever;
  if (timeout == nullptr) return 0;
  struct timespec time;
  if (!LoadUserTime(timeout, &time)) return -EFAULT;
  if (!ValidTime(time)) return -EINVAL;
  uint64_t now = runtime().clock.Now();
  int command = operation & FUTEX_CMD_MASK;
  if (command == FUTEX_WAIT) {
    *deadline = now + ToNanoseconds(time);
    return 0;
  }
  // FUTEX_LOCK_PI is on the realtime clock without saying so.
  bool realtime = (operation & FUTEX_CLOCK_REALTIME) != 0 || command == FUTEX_LOCK_PI;
  uint64_t wanted = ToNanoseconds(time);
  uint64_t clock = realtime ? ReadKernelClock(CLOCK_REALTIME) : now;
  *deadline = wanted > clock ? now + (wanted - clock) : now;
  return 0;
}

// Tells whether a futex is this process's alone: it says so, or it is the word that pthread_join
// waits on, which libc does not mark because on Linux the kernel wakes it.
bool OnlyOurs(Scheduler* scheduler, int operation, const uint32_t* address, uint32_t value) {
  if ((operation & FUTEX_PRIVATE_FLAG) != 0 || runtime().stacks.Contains(address)) return true;
  RuntimeSection section(scheduler);
  return runtime().threads.AnnouncesEnd(address, static_cast<int>(value));
}

long Wait(Scheduler* scheduler, uint32_t* address, uint32_t expected, uint32_t bits,
          uint64_t deadline) {
  for (;;) {
    long result = runtime().parking.Wait(address, expected, bits, deadline);
    if (result != -EINTR || !GoesOn(scheduler)) return result;
  }
}

// A futex that other processes may share is the kernel's: a worker waits there.
long WaitInKernel(Scheduler* scheduler, uint32_t* address, uint32_t expected, uint32_t bits,
                  uint64_t deadline) {
  // Counted before the word is looked at: see WakeForEndOf.
  struct Counted {
    Counted() { kernel_waiters.fetch_add(1, std::memory_order_seq_cst); }
    ~Counted() { kernel_waiters.fetch_sub(1, std::memory_order_relaxed); }
  } counted;
  uint32_t value;
  if (!LoadUserWord(address, &value)) return -EFAULT;
  if (value != expected) return -EAGAIN;
  struct timespec until = ToTimespec(deadline);
  return CallOnWorker(scheduler, Lane::kOther, SYS_futex, reinterpret_cast<long>(address),
                      FUTEX_WAIT_BITSET, expected,
                      deadline == kNever ? 0 : reinterpret_cast<long>(&until), 0, bits);
}

long FutexWait(Scheduler* scheduler, uint32_t* address, int operation, uint32_t expected,
               uint32_t bits, const struct timespec* timeout) {
  if (bits == 0) return -EINVAL;
  uint64_t deadline;
  if (long bad = DeadlineOf(operation, timeout, &deadline)) return bad;
  return OnlyOurs(scheduler, operation, address, expected)
             ? Wait(scheduler, address, expected, bits, deadline)
             : WaitInKernel(scheduler, address, expected, bits, deadline);
}

long WakeUp(uint32_t* address, int operation, int count, uint32_t bits) {
  if (bits == 0) return -EINVAL;
  long woken = runtime().parking.Wake(address, count, bits);
  bool others = (operation & FUTEX_PRIVATE_FLAG) == 0 ||
                runtime().foreign_threads.load(std::memory_order_relaxed);
  if (others && woken < count) {
    long more = RawSyscall(SYS_futex, address, operation, count - woken, nullptr, nullptr, bits);
    if (more > 0) woken += more;
  }
  return woken;
}

// FUTEX_WAKE_OP: futex(2).
long WakeOperation(uint32_t* address, int operation, int count, int count2, uint32_t* address2,
                   uint32_t encoded) {
  if (!Writable(address2, sizeof *address2)) return -EFAULT;
  auto op = encoded >> 28;
  auto compare = encoded >> 24 & 0xf;
  int32_t argument = static_cast<int32_t>(encoded << 8) >> 20;
  int32_t against = static_cast<int32_t>(encoded << 20) >> 20;
  if ((op & FUTEX_OP_OPARG_SHIFT) != 0) argument = 1 << (argument & 31);
  int32_t old;
  auto* word = reinterpret_cast<int32_t*>(address2);
  switch (op & 7) {
    case FUTEX_OP_SET:
      old = __atomic_exchange_n(word, argument, __ATOMIC_SEQ_CST);
      break;
    case FUTEX_OP_ADD:
      old = __atomic_fetch_add(word, argument, __ATOMIC_SEQ_CST);
      break;
    case FUTEX_OP_OR:
      old = __atomic_fetch_or(word, argument, __ATOMIC_SEQ_CST);
      break;
    case FUTEX_OP_ANDN:
      old = __atomic_fetch_and(word, ~argument, __ATOMIC_SEQ_CST);
      break;
    case FUTEX_OP_XOR:
      old = __atomic_fetch_xor(word, argument, __ATOMIC_SEQ_CST);
      break;
    default:
      return -ENOSYS;
  }
  bool second;
  switch (compare) {
    case FUTEX_OP_CMP_EQ:
      second = old == against;
      break;
    case FUTEX_OP_CMP_NE:
      second = old != against;
      break;
    case FUTEX_OP_CMP_LT:
      second = old < against;
      break;
    case FUTEX_OP_CMP_LE:
      second = old <= against;
      break;
    case FUTEX_OP_CMP_GT:
      second = old > against;
      break;
    case FUTEX_OP_CMP_GE:
      second = old >= against;
      break;
    default:
      return -ENOSYS;
  }
  int plain = FUTEX_WAKE | (operation & FUTEX_PRIVATE_FLAG);
  long woken = WakeUp(address, plain, count, kAllBits);
  if (second) woken += WakeUp(address2, plain, count2, kAllBits);
  return woken;
}

// Priority-inheriting locks: the word holds the owner's id; who waits sets FUTEX_WAITERS and parks
// on the word, and the owner hands over by writing the next owner's id for it.
//
// One shared with other processes is looked at again now and then: no wake-up of theirs reaches our
// table.
constexpr uint64_t kLookAgain = 2'000'000;  // nanoseconds

long LockPi(Scheduler* scheduler, uint32_t* address, int operation, const struct timespec* timeout,
            bool try_only) {
  uint64_t deadline;
  if (long bad = DeadlineOf(operation, timeout, &deadline)) return bad;
  bool shared = (operation & FUTEX_PRIVATE_FLAG) == 0;
  auto self = static_cast<uint32_t>(scheduler->current()->tid);
  for (;;) {
    uint32_t word;
    if (!LoadUserWord(address, &word)) return -EFAULT;
    uint32_t owner = word & FUTEX_TID_MASK;
    if (owner == self) return -EDEADLK;
    if (owner == 0) {
      RuntimeSection section(scheduler);
      uint32_t waiters = runtime().parking.HasWaiters(address) ? FUTEX_WAITERS : 0;
      uint32_t mine = self | waiters | (word & FUTEX_OWNER_DIED);
      if (__atomic_compare_exchange_n(address, &word, mine, false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST))
        return 0;
      continue;
    }
    if (try_only) return -EAGAIN;
    if (!shared && FindThread(scheduler, static_cast<int>(owner)) == nullptr) {
      // Ended with the lock held, unless it gave it away meanwhile.
      if (__atomic_load_n(address, __ATOMIC_SEQ_CST) == word) return -ESRCH;
      continue;
    }
    if ((word & FUTEX_WAITERS) == 0) {
      uint32_t marked = word | FUTEX_WAITERS;
      if (!__atomic_compare_exchange_n(address, &word, marked, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST))
        continue;
      word = marked;
    }
    uint64_t look = shared ? runtime().clock.Now() + kLookAgain : kNever;
    runtime().parking.Wait(address, word, kAllBits, look < deadline ? look : deadline);
    // Interrupted or not: FUTEX_LOCK_PI restarts always, as pthread_mutex_lock must not fail with
    // EINTR.
    if (deadline != kNever && runtime().clock.Now() >= deadline) return -ETIMEDOUT;
  }
}

long UnlockPi(Scheduler* scheduler, uint32_t* address, int operation) {
  if (!Writable(address, sizeof *address)) return -EFAULT;
  auto self = static_cast<uint32_t>(scheduler->current()->tid);
  uint32_t word = __atomic_load_n(address, __ATOMIC_SEQ_CST);
  if ((word & FUTEX_TID_MASK) != self) return -EPERM;
  // Waiters compete for the free word; the first in line is woken to do so.
  uint32_t released = runtime().parking.HasWaiters(address) ? FUTEX_WAITERS : 0;
  while (!__atomic_compare_exchange_n(address, &word, released, false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST)) {
  }
  WakeUp(address, FUTEX_WAKE | (operation & FUTEX_PRIVATE_FLAG), 1, kAllBits);
  return 0;
}

// A wait that CMP_REQUEUE_PI moves to a priority-inheriting lock: here it is woken, and takes the
// lock itself.
long WaitRequeuePi(Scheduler* scheduler, uint32_t* address, int operation, uint32_t expected,
                   const struct timespec* timeout, uint32_t* lock) {
  if (lock == address) return -EINVAL;
  uint64_t deadline;
  if (long bad = DeadlineOf(operation, timeout, &deadline)) return bad;
  long result = OnlyOurs(scheduler, operation, address, expected)
                    ? Wait(scheduler, address, expected, kAllBits, deadline)
                    : WaitInKernel(scheduler, address, expected, kAllBits, deadline);
  if (result < 0) return result;
  int take = FUTEX_LOCK_PI2 | (operation & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME));
  return LockPi(scheduler, lock, take, timeout, false);
}

long RequeuePi(uint32_t* address, int operation, int wake, int move, uint32_t expected,
               const uint32_t* lock) {
  if (wake != 1 || move < 0 || lock == address) return -EINVAL;
  uint32_t value;
  if (!LoadUserWord(address, &value)) return -EFAULT;
  if (value != expected) return -EAGAIN;
  int64_t most = int64_t{wake} + move;
  return WakeUp(address, FUTEX_WAKE | (operation & FUTEX_PRIVATE_FLAG),
                static_cast<int>(most < INT32_MAX ? most : INT32_MAX), kAllBits);
}

}  // namespace

long Futex(Scheduler* scheduler, uint32_t* address, int operation, uint32_t value,
           const struct timespec* timeout, uint32_t* address2, uint32_t value3) {
  if ((reinterpret_cast<uintptr_t>(address) & 3) != 0) return -EINVAL;
  auto count = static_cast<int>(value);
  auto count2 = static_cast<int>(reinterpret_cast<intptr_t>(timeout));
  int command = operation & FUTEX_CMD_MASK;
  // Waits have sections of their own: a signal that ends one is handled where that section ends.
  if (command == FUTEX_WAIT)
    return FutexWait(scheduler, address, operation, value, kAllBits, timeout);
  if (command == FUTEX_WAIT_BITSET)
    return FutexWait(scheduler, address, operation, value, value3, timeout);
  if (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2) {
    return LockPi(scheduler, address, operation, timeout, false);
  }
  if (command == FUTEX_WAIT_REQUEUE_PI)
    return WaitRequeuePi(scheduler, address, operation, value, timeout, address2);
  RuntimeSection section(scheduler);
  switch (command) {
    case FUTEX_WAKE:
      ++scheduler->counters().futex_wakes;
      return WakeUp(address, operation, count, kAllBits);
    case FUTEX_WAKE_BITSET:
      ++scheduler->counters().futex_wakes;
      return WakeUp(address, operation, count, value3);
    case FUTEX_REQUEUE:
      if (count < 0 || count2 < 0) return -EINVAL;
      if ((operation & FUTEX_PRIVATE_FLAG) == 0) break;
      return runtime().parking.Requeue(address, count, address2, count2, nullptr);
    case FUTEX_CMP_REQUEUE:
      if (count < 0 || count2 < 0) return -EINVAL;
      if ((operation & FUTEX_PRIVATE_FLAG) == 0) break;
      if (!Readable(address, sizeof *address)) return -EFAULT;
      return runtime().parking.Requeue(address, count, address2, count2, &value3);
    case FUTEX_WAKE_OP:
      return WakeOperation(address, operation, count, count2, address2, value3);
    case FUTEX_CMP_REQUEUE_PI:
      return RequeuePi(address, operation, count, count2, value3, address2);
    case FUTEX_TRYLOCK_PI:
      return LockPi(scheduler, address, operation, nullptr, true);
    case FUTEX_UNLOCK_PI:
      return UnlockPi(scheduler, address, operation);
    default:
      break;
  }
  return RawSyscall(SYS_futex, address, operation, value, timeout, address2, value3);
}

long ForeignFutex(uint32_t* address, int operation, uint32_t value, const struct timespec* timeout,
                  uint32_t* address2, uint32_t value3) {
  if (runtime().active) {
    runtime().foreign_threads.store(true, std::memory_order_seq_cst);
    int command = operation & FUTEX_CMD_MASK;
    if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) {
      int woken = runtime().parking.Wake(address, static_cast<int>(value),
                                         command == FUTEX_WAKE ? kAllBits : value3);
      if (woken >= static_cast<int>(value)) return woken;
      long more = RawSyscall(SYS_futex, address, operation, value - static_cast<uint32_t>(woken),
                             timeout, address2, value3);
      return more < 0 ? more : more + woken;
    }
  }
  return RawSyscall(SYS_futex, address, operation, value, timeout, address2, value3);
}

void WakeForEndOf(uint32_t* word) {
  runtime().parking.Wake(word, INT32_MAX, kAllBits);
  if (kernel_waiters.load(std::memory_order_seq_cst) != 0 ||
      runtime().foreign_threads.load(std::memory_order_relaxed))
    RawSyscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX);
}

namespace {

// Source: handle_futex_death() of the kernel. `pending`: the thread was about to take or had just
// released the lock.
void MarkDead(Scheduler* scheduler, Thread* thread, uint32_t* word, bool pending) {
  if (!Writable(word, sizeof *word)) return;
  uint32_t value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  // Released, but whoever waits not yet woken.
  if (pending && value == 0) Futex(scheduler, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  while ((value & FUTEX_TID_MASK) == static_cast<uint32_t>(thread->tid)) {
    uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    if (!__atomic_compare_exchange_n(word, &value, dead, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    if ((value & FUTEX_WAITERS) != 0) Futex(scheduler, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    return;
  }
}

}  // namespace

void ReleaseRobustList(Scheduler* scheduler, Thread* thread) {
  auto* head = static_cast<struct robust_list_head*>(thread->robust_list);
  if (head == nullptr || !Readable(head, sizeof *head)) return;
  constexpr uintptr_t kPi = 1;
  auto word_of = [&](struct robust_list* entry) {
    return reinterpret_cast<uint32_t*>((reinterpret_cast<uintptr_t>(entry) & ~kPi) +
                                       static_cast<uintptr_t>(head->futex_offset));
  };
  auto* pending = reinterpret_cast<struct robust_list*>(
      reinterpret_cast<uintptr_t>(head->list_op_pending) & ~kPi);
  struct robust_list* entry = head->list.next;
  // The list may be a broken program's: bounded, as in the kernel (ROBUST_LIST_LIMIT).
  for (int left = 2048; left > 0 && entry != nullptr; --left) {
    auto* clean = reinterpret_cast<struct robust_list*>(reinterpret_cast<uintptr_t>(entry) & ~kPi);
    if (clean == &head->list) break;
    if (!Readable(clean, sizeof *clean)) break;
    struct robust_list* next = clean->next;
    if (clean != pending) MarkDead(scheduler, thread, word_of(entry), false);
    entry = next;
  }
  if (pending != nullptr) MarkDead(scheduler, thread, word_of(pending), true);
}

void ReleaseEveryRobustList(Scheduler* scheduler) {
  size_t slot = 0;
  while (Thread* thread = runtime().threads.Next(&slot)) {
    if (thread->state != ThreadState::kDone) ReleaseRobustList(scheduler, thread);
  }
}

}  // namespace bobbin
