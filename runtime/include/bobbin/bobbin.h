// Tune, name and observe the user-level threads of this process.
//
// A program needs none of this: linked with libbobbin (or started under it) it runs unchanged on
// user threads. These calls are for programs that want to choose the number of schedulers, place
// threads, or read what threading costs.
//
// Every function may be called whether or not user threads are active (see Active); where they are
// not, Configure and PlaceNextThread fail with ENOTSUP and the statistics are zero.
#ifndef BOBBIN_BOBBIN_H_
#define BOBBIN_BOBBIN_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

// How readiness of descriptors is learnt from the kernel.
enum class PollerKind : uint8_t { kEpoll, kPoll };

// What sendfile(2) to a socket does; the program's code is the same for all. Source: Pariag et al.,
// EuroSys 2007, 4.3.
enum class SendfilePolicy : uint8_t {
  kInline,  // resident pages are sent from the scheduler; for others a read is begun and waited
            // for, and only what does not come that way is a worker's
  kPoll,    // wait for writability in the poller, then a worker sends what fits
  kNonblocking,  // a worker sends; where the socket is full it polls it for up to one second
  kBlocking,     // the socket is put in blocking mode and one worker call sends everything
};

// Which goes first when both established connections and new ones are ready.
enum class AcceptPolicy : uint8_t { kFavorConnections, kFavorAccepts };

struct Options {
  int schedulers = 1;  // kernel threads that run user threads; 0: one per online processor; at most
                       // kMaxSchedulers
  int workers = 0;     // kernel threads that run blocking calls; 0: autosized between limits
  PollerKind poller = PollerKind::kEpoll;
  SendfilePolicy sendfile = SendfilePolicy::kInline;
  AcceptPolicy accept = AcceptPolicy::kFavorConnections;
  int quantum_ms = 0;  // CPU time after which a running thread yields to ready ones, in
                       // milliseconds; 0: never, threads are cooperative; at most kMaxQuantumMs
};

inline constexpr int kMaxSchedulers = 64;
inline constexpr int kMaxWorkers = 256;
inline constexpr int kMaxQuantumMs = 1000;

// Tells whether this process runs on user threads. False after an honest fall-back to kernel
// threads.
bool Active();

// Returns: why the process runs on kernel threads, "" when Active(). Never null; the text is
// constant.
const char* InactiveReason();

// Returns: the options in force. `schedulers` and `workers` are the effective numbers, workers 0
// meaning autosized.
Options CurrentOptions();

// Replaces the options. The environment (BOBBIN_SCHEDULERS, BOBBIN_WORKERS, BOBBIN_POLLER,
// BOBBIN_SENDFILE, BOBBIN_ACCEPT, BOBBIN_QUANTUM) gives the initial ones.
//
// Requires:  nothing; call it from main before threads are made.
// Returns:   0, or an errno value with nothing changed.
// Errors:    EINVAL a value out of range; EBUSY schedulers or poller would change after a second
// thread was made;
//            ENOTSUP not Active(); EAGAIN a kernel thread could not be made.
int Configure(const Options& options);

// Places the next thread made by the calling thread on scheduler `index` (0-based) instead of the
// next in turn. Returns: 0, EINVAL no such scheduler, ENOTSUP not Active().
int PlaceNextThread(int index);

// Counters since start, summed over schedulers. Each is monotonic except those marked "now". A
// snapshot is not atomic across fields.
struct Statistics {
  // CPU cycles (time-stamp counter) of scheduler kernel threads by category; idle is waiting in the
  // poller.
  uint64_t application_cycles, threading_cycles, event_cycles, idle_cycles;
  uint64_t switches;  // user-level context switches
  uint64_t parks;     // times a thread gave up its scheduler to wait
  uint64_t threads_created;
  uint64_t threads;      // now: user threads alive, main included
  uint64_t polls;        // calls to epoll_wait or poll by the pollers
  uint64_t poll_events;  // events they returned
  uint64_t poll_set;     // now: descriptors registered
  uint64_t accepts;      // connections accepted
  uint64_t futex_waits, futex_wakes;
  uint64_t try_again;     // attempts the kernel answered with EAGAIN
  uint64_t worker_calls;  // calls handed to workers
  uint64_t worker_queue;  // now: calls queued for a worker
  uint64_t workers;       // now: worker kernel threads alive
  uint64_t workers_busy;  // now: of them, those that are not idle
  uint64_t inline_sendfiles, worker_sendfiles;
  uint64_t timers_expired;
  uint64_t signals_delivered;
  uint64_t preemptions;  // threads that had to yield after their quantum
  uint64_t traps;        // system calls that reached the runtime by dispatch (bobbin run)
  uint64_t stacks;       // now: thread stacks held by the arena, in use or kept for reuse
  // Now: how many of the cycles above are a second; 0 until that has been measured. It is refined
  // as time goes by, so that a number of cycles may be told as slightly fewer seconds later.
  uint64_t cycles_per_second;
};

// Fills `out`. Callers: any thread. Never blocks.
void GetStatistics(Statistics* out);

// User threads alive, by what they do now: run, are ready to, or wait for what the other names say.
struct ThreadStates {
  uint64_t running, ready;
  uint64_t readable, writable;  // descriptors
  uint64_t poll;                // several descriptors, or one by poll(2), select(2), epoll_wait(2)
  uint64_t accept;              // a connection
  uint64_t address;             // a futex: locks, conditions, semaphores, joins
  uint64_t worker;              // a call that a worker makes for them, or is to make
  uint64_t time, signal, disk, other;
};

// Fills `out` by a look at each thread, while those of other schedulers run on.
// Callers: any thread. Never blocks, but the caller's scheduler runs nothing else meanwhile: about
// a tenth of a microsecond a thread.
void GetThreadStates(ThreadStates* out);

// Writes the counters and the threading/event/application/idle shares as text lines to descriptor
// `fd`. Returns: 0 or an errno value of write(2).
int WriteStatistics(int fd);

// Writes one line per user thread to `fd`: id, name, state, what it waits for, for how long, stack
// size and use. Returns: 0 or an errno value of write(2).
int DumpThreads(int fd);

}  // namespace bobbin

#endif  // BOBBIN_BOBBIN_H_
