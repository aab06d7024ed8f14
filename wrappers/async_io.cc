#include "wrappers/async_io.h"

#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "wrappers/io.h"
#include "wrappers/own_descriptor.h"
#include "wrappers/passed_calls.h"
#include "wrappers/signal.h"

namespace bobbin {

namespace {

struct EventsWait {
  unsigned long context;
  long least, most;
  struct io_event* events;
  uint64_t deadline;  // monotonic; kNever: none
};

long WaitForEvents(void* argument) {
  const auto& w = *static_cast<const EventsWait*>(argument);
  uint64_t now = runtime().clock.Now();
  struct timespec left =
      ToTimespec(w.deadline > now && w.deadline != kNever ? w.deadline - now : 0);
  return RawSyscall(SYS_io_getevents, w.context, w.least, w.most, w.events,
                    w.deadline == kNever ? nullptr : &left);
}

long GetEvents(Scheduler* scheduler, EventsWait wait) {
  struct timespec now = {0, 0};
  long done = RawSyscall(SYS_io_getevents, wait.context, wait.least, wait.most, wait.events, &now);
  bool over = wait.deadline != kNever && runtime().clock.Now() >= wait.deadline;
  if (done < 0 || done >= wait.least || over) return done;
  wait.least -= done;
  wait.most -= done;
  wait.events += done;
  // signal(7): never restarted.
  long more = RunOnWorker(scheduler, Lane::kOther, &WaitForEvents, &wait, SignalEffect::kEnd);
  return more >= 0 ? done + more : done != 0 ? done : more;
}

}  // namespace

long IoGetevents(Scheduler* scheduler, unsigned long context, long least, long most,
                 struct io_event* events, struct timespec* timeout) {
  EventsWait wait = {context, least, most, events, kNever};
  if (timeout != nullptr) {
    struct timespec time;
    if (!LoadUserTime(timeout, &time)) return -EFAULT;
    // Not checked by the kernel: what is negative is over.
    bool past = time.tv_sec < 0 || time.tv_nsec < 0;
    wait.deadline = past ? 0 : runtime().clock.Now() + ToNanoseconds(time);
  }
  return GetEvents(scheduler, wait);
}

long IoPgetevents(Scheduler* scheduler, unsigned long context, long least, long most,
                  struct io_event* events, struct timespec* timeout, const MaskOfEvents* mask) {
  if (mask != nullptr && !Readable(mask, sizeof *mask)) return -EFAULT;
  const uint64_t* bits = mask == nullptr ? nullptr : mask->mask;
  if (bits != nullptr && mask->size != sizeof *bits) return -EINVAL;
  if (bits != nullptr && !Readable(bits, sizeof *bits)) return -EFAULT;
  TemporaryMask masked(scheduler, bits);
  if (!masked.delivered()) return IoGetevents(scheduler, context, least, most, events, timeout);
  struct timespec now = {0, 0};
  long done = RawSyscall(SYS_io_getevents, context, 0, most, events, &now);
  return done == 0 ? -EINTR : done;
}

namespace {

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif
#ifndef IORING_ENTER_EXT_ARG_REG
#define IORING_ENTER_EXT_ARG_REG (1U << 6)
#endif
#ifndef IORING_SETUP_REGISTERED_FD_ONLY
#define IORING_SETUP_REGISTERED_FD_ONLY (1U << 15)
#endif
#ifndef IORING_REGISTER_SYNC_CANCEL
#define IORING_REGISTER_SYNC_CANCEL 24
#endif
constexpr unsigned kDeferTaskrun = 1u << 13;        // IORING_SETUP_DEFER_TASKRUN
constexpr unsigned kRegisterRings = 20;             // IORING_REGISTER_RING_FDS
constexpr unsigned kByRegisteredNumber = 1u << 31;  // IORING_REGISTER_USE_REGISTERED_RING

// struct io_uring_getevents_arg, whose third field older headers call padding.
struct WaitArgument {
  uint64_t mask;
  uint32_t mask_size;
  uint32_t least_wait;  // microseconds after which one completion is enough
  uint64_t time;
};

// Where the completion queue of a ring has its words: the same in every ring of one kernel.
std::atomic<uint32_t> head_offset{0}, tail_offset{0}, entries_offset{0};

constexpr size_t kPage = 4096;

// Counts the completions of a ring. The kernel tells only whether there is any, so its queue is
// mapped while somebody waits for several.
class CompletionCount {
 public:
  CompletionCount(int ring, unsigned least) : least_(least) {
    if (least <= 1 || tail_offset.load(std::memory_order_relaxed) == 0) return;
    long at = RawSyscall(SYS_mmap, 0, kPage, PROT_READ, MAP_SHARED, ring, long{IORING_OFF_CQ_RING});
    if (at < 0 && at > -static_cast<long>(kPage)) return;
    page_ = reinterpret_cast<char*>(at);
    uint32_t entries = Word(entries_offset);
    if (least_ > entries) least_ = entries;
  }
  ~CompletionCount() {
    if (page_ != nullptr) RawSyscall(SYS_munmap, page_, kPage);
  }
  CompletionCount(const CompletionCount&) = delete;
  CompletionCount& operator=(const CompletionCount&) = delete;

  // Tells whether there are enough, of which there is one at least. A ring in the program's own
  // memory (IORING_SETUP_NO_MMAP) cannot be looked into: there one is enough.
  bool Enough() const {
    return page_ == nullptr || Word(tail_offset) - Word(head_offset) >= least_;
  }

 private:
  uint32_t Word(const std::atomic<uint32_t>& offset) const {
    auto* word = reinterpret_cast<uint32_t*>(page_ + offset.load(std::memory_order_relaxed));
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
  }

  unsigned least_;
  char* page_ = nullptr;
};

struct RingWait {
  int ring;
  unsigned least;
  unsigned flags;
  uint64_t deadline = kNever;
  uint64_t least_deadline = kNever;
  const uint64_t* mask = nullptr;
};

// Reads the last two arguments of io_uring_enter. Returns: 0 or -errno.
long ReadWaitArgument(const void* argument, size_t size, RingWait* wait) {
  if ((wait->flags & IORING_ENTER_EXT_ARG) == 0) {
    wait->mask = static_cast<const uint64_t*>(argument);
    if (wait->mask == nullptr) return 0;
    if (size != sizeof *wait->mask) return -EINVAL;
    return Readable(wait->mask, size) ? 0 : -EFAULT;
  }
  auto* given = static_cast<const WaitArgument*>(argument);
  if (size != sizeof *given) return -EINVAL;
  if (!Readable(given, size)) return -EFAULT;
  wait->mask = reinterpret_cast<const uint64_t*>(given->mask);
  if (wait->mask != nullptr) {
    if (given->mask_size != sizeof *wait->mask) return -EINVAL;
    if (!Readable(wait->mask, sizeof *wait->mask)) return -EFAULT;
  }
  uint64_t now = runtime().clock.Now();
  if (given->least_wait != 0) wait->least_deadline = now + uint64_t{given->least_wait} * 1000;
  if (given->time == 0) return 0;
  struct timespec time;
  if (!LoadUserTime(reinterpret_cast<const struct timespec*>(given->time), &time)) return -EFAULT;
  // Not checked by the kernel: what is negative is over.
  bool past = time.tv_sec < 0 || time.tv_nsec < 0;
  bool absolute = (wait->flags & IORING_ENTER_ABS_TIMER) != 0;
  wait->deadline = past ? 0 : (absolute ? 0 : now) + ToNanoseconds(time);
  return 0;
}

// Asks whether `least` completions are there. Returns: 0, -ETIME where not, or another -errno.
long Completed(const RingWait& wait, int ring, unsigned least) {
  struct timespec now = {0, 0};
  WaitArgument at_once = {0, 0, 0, reinterpret_cast<uint64_t>(&now)};
  unsigned flags = (wait.flags & ~(IORING_ENTER_ABS_TIMER | IORING_ENTER_SQ_WAIT)) |
                   IORING_ENTER_EXT_ARG | IORING_ENTER_GETEVENTS;
  return RawSyscall(SYS_io_uring_enter, ring, 0, least, flags, &at_once, sizeof at_once);
}

// What to park on for the completions of a ring: its own descriptor, or, where completing is left
// to the next call and the descriptor says nothing (IORING_SETUP_DEFER_TASKRUN), an eventfd
// registered for the time of the wait. Where the program has registered its own, there is only
// looking again.
class RingNotice {
 public:
  RingNotice(Scheduler* scheduler, int ring) : ring_(ring), event_(scheduler) {
    Descriptor* d = runtime().descriptors.Find(ring);
    if (!d->Has(Descriptor::kDeferringRing)) return;
    pause_ = kFirstPause;
    if (!event_.Take(RawSyscall(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC))) return;
    const int event = event_.fd();
    if (RawSyscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &event, 1) == 0) {
      pause_ = 0;
    } else {
      event_.Close();
    }
  }
  ~RingNotice() {
    if (separate()) RawSyscall(SYS_io_uring_register, ring_, IORING_UNREGISTER_EVENTFD, nullptr, 0);
  }
  RingNotice(const RingNotice&) = delete;
  RingNotice& operator=(const RingNotice&) = delete;

  int fd() const { return separate() ? event_.fd() : ring_; }
  bool separate() const { return event_.fd() >= 0; }
  // Returns: when to look again, whatever the descriptor says; grows with each call.
  uint64_t LookAgain(uint64_t now) {
    if (pause_ == 0) return kNever;
    uint64_t at = now + pause_;
    if (pause_ < kLongestPause) pause_ *= 2;
    return at;
  }

 private:
  static constexpr uint64_t kFirstPause = 100'000, kLongestPause = 10'000'000;

  int ring_;
  OwnDescriptor event_;
  uint64_t pause_ = 0;  // 0: the descriptor says all
};

long ParkOnRing(Scheduler* scheduler, const RingWait& wait) {
  TemporaryMask masked(scheduler, wait.mask);
  RingNotice notice(scheduler, wait.ring);
  DescriptorWait parked(scheduler, notice.fd());
  CompletionCount count(wait.ring, wait.least);
  bool one_is_enough = wait.least <= 1;
  for (;;) {
    scheduler->Expect(parked.fd(), POLLIN);
    int ring = notice.separate() ? wait.ring : parked.fd();
    long result = Completed(wait, ring, one_is_enough ? 1 : wait.least);
    bool some = result == 0;
    if (some && (one_is_enough || count.Enough())) return 0;
    if (result < 0 && result != -ETIME && result != -EINTR) return result;
    if (masked.delivered()) return some ? 0 : -EINTR;
    uint64_t now = runtime().clock.Now();
    if (now >= wait.deadline) return some ? 0 : -ETIME;
    one_is_enough = one_is_enough || now >= wait.least_deadline;
    if (some && one_is_enough) return 0;
    uint64_t until = notice.LookAgain(now);
    if (wait.deadline < until) until = wait.deadline;
    if (!one_is_enough && wait.least_deadline < until) until = wait.least_deadline;
    long waited = parked.Wait(POLLIN, Waiting::kReadable, until);
    if (waited == -EINTR && !GoesOnUnhandled(scheduler)) return some ? 0 : -EINTR;
    if (waited < 0 && waited != -ETIMEDOUT && waited != -EINTR) return waited;
  }
}

// Waits until the kernel's submission thread has made room: its ring says so to nobody but those
// inside this call.
long WaitForRoom(Scheduler* scheduler, int ring, unsigned flags) {
  return CallOnWorker(scheduler, Lane::kOther, SYS_io_uring_enter, ring, 0, 0,
                      static_cast<long>(flags));
}

}  // namespace

long IoUringSetup(Scheduler*, unsigned entries, struct io_uring_params* parameters) {
  if (!Writable(parameters, sizeof *parameters)) return -EFAULT;
  if ((parameters->flags & IORING_SETUP_REGISTERED_FD_ONLY) != 0) return -EINVAL;
  long ring = RawSyscall(SYS_io_uring_setup, entries, parameters);
  if (ring < 0) return ring;
  head_offset.store(parameters->cq_off.head, std::memory_order_relaxed);
  entries_offset.store(parameters->cq_off.ring_entries, std::memory_order_relaxed);
  tail_offset.store(parameters->cq_off.tail, std::memory_order_relaxed);
  runtime().descriptors.Reset(static_cast<int>(ring));
  Descriptor* d = runtime().descriptors.Find(static_cast<int>(ring));
  if (d == nullptr) return ring;
  if ((parameters->flags & IORING_SETUP_IOPOLL) != 0) d->Set(Descriptor::kBusyRing);
  if ((parameters->flags & kDeferTaskrun) != 0) d->Set(Descriptor::kDeferringRing);
  return ring;
}

long IoUringEnter(Scheduler* scheduler, int ring, unsigned submit, unsigned least, unsigned flags,
                  const void* argument, size_t size) {
  bool waits = (flags & IORING_ENTER_GETEVENTS) != 0 && least != 0;
  bool for_room = (flags & IORING_ENTER_SQ_WAIT) != 0;
  if (!waits && !for_room)
    return RawSyscall(SYS_io_uring_enter, ring, submit, least, flags, argument, size);
  Descriptor* d = runtime().descriptors.Find(ring);
  // Busy polling ends with the transfer, and only the caller does it; a registered region for the
  // time-out is not to be read here.
  bool busy = d != nullptr && d->Has(Descriptor::kBusyRing);
  if (d == nullptr || busy ||
      (flags & (IORING_ENTER_EXT_ARG_REG | IORING_ENTER_REGISTERED_RING)) != 0) {
    if (!busy) MayBlock("io_uring_enter");
    return RawSyscall(SYS_io_uring_enter, ring, submit, least, flags, argument, size);
  }
  long submitted = 0;
  constexpr unsigned kOfTheWait =
      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER;
  unsigned submit_flags = flags & ~kOfTheWait;
  if (for_room) submitted = WaitForRoom(scheduler, ring, submit_flags);
  if (submitted < 0) return submitted;
  submit_flags &= ~static_cast<unsigned>(IORING_ENTER_SQ_WAIT);
  if (submit != 0 || (flags & IORING_ENTER_SQ_WAKEUP) != 0) {
    submitted = RawSyscall(SYS_io_uring_enter, ring, submit, 0, submit_flags, nullptr, 0);
  }
  if (submitted < 0 || static_cast<unsigned>(submitted) != submit || !waits) return submitted;
  RingWait wait;
  wait.ring = ring;
  wait.least = least;
  wait.flags = flags & ~static_cast<unsigned>(IORING_ENTER_SQ_WAKEUP);
  long result = ReadWaitArgument(argument, size, &wait);
  if (result == 0) result = ParkOnRing(scheduler, wait);
  return submitted != 0 ? submitted : result;
}

long IoUringRegister(Scheduler*, int ring, unsigned operation, void* argument, unsigned count) {
  unsigned plain = operation & ~kByRegisteredNumber;
  if (plain == kRegisterRings) return -EINVAL;
  if (plain == IORING_REGISTER_SYNC_CANCEL) MayBlock("io_uring_register");
  return RawSyscall(SYS_io_uring_register, ring, operation, argument, count);
}

}  // namespace bobbin
