// What is known of each descriptor: its kind, whose O_NONBLOCK it carries, and, for each scheduler,
// its readiness and who waits on it.
//
// Two tables indexed by descriptor. `Descriptor` is shared by all schedulers and holds facts that
// change seldom. `View` belongs to one scheduler: each scheduler registers a descriptor with its
// own poller the first time one of its threads has to wait, and remembers readiness for itself, so
// the hot path shares nothing.
//
// Invariants
//   P1  A view is watched at most once in a generation and direction (persistent pollers): for
//       reading whoever waits first, for writing once somebody has to wait for that.
//   P2  `ready` bits mean "may be ready": a direction whose bit is clear is known not to be,
//       because an attempt drained it after the view was watched for it or because watching it
//       will report it. Hang-up and error are sticky.
//   P3  A view of an older generation counts for nothing: ViewOf makes it new before anyone sees
//       it.
//   P4  Who waits for readiness is in a view's `sole`, `waiters` or `woken`; while there is a sole
//       one the lists are empty.
#ifndef BOBBIN_RUNTIME_DESCRIPTORS_H_
#define BOBBIN_RUNTIME_DESCRIPTORS_H_

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bobbin {

struct Thread;

enum class FileKind : uint8_t {
  kUnknown,    // not looked at yet
  kTcp,        // connected or unconnected TCP socket: a short read has drained it
  kSocket,     // any other socket that is read and written
  kListening,  // a socket on which accept was called
  kPipe,       // pipe, FIFO
  kPollable,   // tty, eventfd, timerfd, signalfd, inotify, epoll, other character devices
  kRegular,    // regular file, block device
  kDirectory,
};

// Facts about a descriptor. All are learnt, none is promised by the kernel to stay; a call that
// closes or duplicates a descriptor resets what it must.
struct Descriptor {
  // Bits of `flags`.
  static constexpr uint16_t kRuntimeNonblock =
      1;  // O_NONBLOCK is set by us, the program believes it is not
  static constexpr uint16_t kProgramNonblock = 2;  // the program set O_NONBLOCK
  // kProgramNonblock says the truth without asking the kernel: the open file description is known
  // from its beginning and nobody else has it.
  static constexpr uint16_t kModeKnown = 4;
  static constexpr uint16_t kNoReceiveTimeout = 8;  // SO_RCVTIMEO is known to be 0
  static constexpr uint16_t kNoSendTimeout = 512;   // SO_SNDTIMEO likewise
  static constexpr uint16_t kShared = 16;        // its open file description has other descriptors
  static constexpr uint16_t kDirect = 32;        // O_DIRECT
  static constexpr uint16_t kTcpListener = 128;  // connections accepted here are TCP
  static constexpr uint16_t kLingers = 256;      // SO_LINGER: close may wait
  static constexpr uint16_t kOrphan =
      64;  // our own: keeps a closed descriptor alive for those who wait on it
  static constexpr uint16_t kForked = 1024;  // O_NONBLOCK is set by us, and a child has it too
  static constexpr uint16_t kRestored =
      2048;  // O_NONBLOCK was taken back for execve, which may fail
  static constexpr uint16_t kBusyRing = 4096;       // an io_uring with IORING_SETUP_IOPOLL
  static constexpr uint16_t kDeferringRing = 8192;  // one with IORING_SETUP_DEFER_TASKRUN

  std::atomic<uint32_t> generation{0};  // grows by 2 at each close
  std::atomic<FileKind> kind{FileKind::kUnknown};
  std::atomic<uint16_t> flags{0};

  bool Has(uint16_t bits) const { return (flags.load(std::memory_order_relaxed) & bits) == bits; }
  void Set(uint16_t bits) { flags.fetch_or(bits, std::memory_order_relaxed); }
  void Clear(uint16_t bits) {
    flags.fetch_and(static_cast<uint16_t>(~bits), std::memory_order_relaxed);
  }
};

// accept4's arguments for a parked thread, and the answer.
struct Acceptance {
  void* address;
  void* address_length;
  int flags;
  long result;
};

// One thread's wait on one descriptor; lives on the waiting thread's stack.
struct Waiter {
  Waiter* next = nullptr;
  Waiter** link = nullptr;  // what points to it; null when not queued
  Thread* thread = nullptr;
  int fd = -1;  // changes when the descriptor is closed meanwhile: see Scheduler::BeforeClose
  uint32_t events = 0;               // what it waits for
  uint32_t happened = 0;             // what came
  Acceptance* acceptance = nullptr;  // set: waits for a connection rather than for readiness
};

// Fresh: both directions may be ready, nobody waits, not watched. A cache line of its own: what an
// event touches first.
struct alignas(64) View {
  static constexpr uint8_t kRead = 1;
  static constexpr uint8_t kWrite = 2;
  static constexpr uint8_t kUrgent =
      4;  // out-of-band data was seen: short reads prove nothing any more
  static constexpr uint8_t kHangUp = 8;  // sticky
  static constexpr uint8_t kError = 16;  // sticky until an attempt reported it

  uint32_t generation = 0;
  uint8_t ready = 0;
  uint8_t watched = 0;        // directions; kRead is among them if any is
  uint16_t orphan_users = 0;  // waits that keep an orphan open
  // The one who waits for readiness, if nobody else does, with all that an event has to know of it:
  // its stack, a cold page, is then first touched when it runs.
  uint32_t sole_events = 0;
  uint32_t sole_happened = 0;  // not 0: made ready, and not running yet
  Waiter* sole = nullptr;
  Waiter* waiters = nullptr;  // where there are several; all that match are woken
  Waiter* woken = nullptr;    // made ready, and not running yet
  Waiter* acceptors =
      nullptr;  // for a connection; the latest comer, whose memory is warm, is served first
  Thread* thread = nullptr;  // of the sole waiter
};

// The shared table. Descriptors at or above capacity() are served without memory of them: see
// FileKind::kUnknown.
class Descriptors {
 public:
  // Makes room for as many descriptors as RLIMIT_NOFILE may ever allow, at most kMaxCapacity.
  bool Init();

  Descriptor* Find(int fd) { return static_cast<unsigned>(fd) < capacity_ ? &table_[fd] : nullptr; }
  unsigned capacity() const { return capacity_; }

  // Forgets everything about `fd`, whose number may now name another file.
  void Reset(int fd) {
    Descriptor* d = Find(fd);
    if (d == nullptr) return;
    d->kind.store(FileKind::kUnknown, std::memory_order_relaxed);
    d->flags.store(0, std::memory_order_relaxed);
    d->generation.fetch_add(2, std::memory_order_release);
  }

  // Learns the kind of `fd` from the kernel. Returns: kUnknown when it is not open.
  FileKind Kind(int fd);

  // Tells whether the program set O_NONBLOCK on `fd`, asking the kernel at most once.
  bool ProgramNonblock(int fd);

  // Trusts no descriptor's mode any more: after fork(2), which shares them all.
  void ForgetModes();

  static constexpr unsigned kMaxCapacity = 1u << 20;

 private:
  Descriptor* table_ = nullptr;
  unsigned capacity_ = 0;
};

// Maps zeroed memory that is committed when touched. Returns: null when refused.
void* MapLazily(size_t bytes);

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_DESCRIPTORS_H_
