// The scheduler's side of descriptors: who waits on which, and what the poller's events mean for
// them.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "runtime/high_descriptor.h"
#include "runtime/raw_syscall.h"
#include "runtime/ready_now.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"

namespace bobbin {

namespace {

// New connections taken a poll while established ones are ready, when those are favoured: enough to
// keep accepting under overload, too few to let newcomers crowd out the others.
constexpr int kAcceptsBesideConnections = 16;
constexpr int kNoLimit = 1 << 30;

uint8_t ReadyBits(uint32_t events) {
  return static_cast<uint8_t>(((events & (POLLIN | POLLRDHUP)) != 0 ? View::kRead : 0) |
                              ((events & POLLOUT) != 0 ? View::kWrite : 0));
}

struct CallMessage : InboxMessage {
  Scheduler* target;
  void (*work)(Scheduler*, void*);
  void* argument;
  Thread* caller;
};

struct Move {
  int from, to;
};

// How many events before it is handled an event's memory is asked for.
constexpr int kViewsAhead = 6;
constexpr int kThreadsAhead = 3;

[[gnu::always_inline]] inline void PrefetchThread(const View* view) {
  if (view->thread == nullptr) return;
  __builtin_prefetch(view->thread);
  __builtin_prefetch(&view->thread->signal_mask);
  // Its stack, for the sake of the TLB: of several events the misses overlap here.
  __builtin_prefetch(view->sole);
}

// Of the thread that will run first nobody else's work hides the loading: its frames lie around
// its waiter, whose address is known before its context is.
[[gnu::always_inline]] inline void PrefetchFramesOf(const View* view) {
  auto* waiter = reinterpret_cast<const char*>(view->sole);
  if (waiter == nullptr) return;
  for (int line = -8; line <= 4; ++line) __builtin_prefetch(waiter + line * 64);
}

}  // namespace

View* Scheduler::ViewOf(int fd) {
  if (static_cast<unsigned>(fd) >= views_capacity_) return nullptr;
  View* view = &views_[fd];
  // Never 0, which is what a view has that nobody looked at yet.
  uint32_t generation =
      runtime().descriptors.Find(fd)->generation.load(std::memory_order_acquire) | 1;
  if (__builtin_expect(view->generation != generation, 0)) {
    if (view->watched != 0) poller_->Closed(fd);
    view->watched = 0;
    // Closed where we did not see it in time: they will find out by trying.
    WakeWaiters(view, POLLIN | POLLOUT | POLLERR | POLLHUP);
    while (Waiter* waiter = view->acceptors) {
      Unqueue(waiter);
      waiter->acceptance->result = -EBADF;
      if (waiter->thread->state == ThreadState::kParked) Resume(waiter->thread, Wake::kWoken);
    }
    view->generation = generation;
    view->ready = View::kRead | View::kWrite;
  }
  return view;
}

void Scheduler::Expect(int fd, uint32_t events) {
  if (View* view = ViewOf(fd)) view->ready &= static_cast<uint8_t>(~ReadyBits(events));
}

void Scheduler::Queue(Waiter** list, Waiter* waiter) {
  waiter->next = *list;
  waiter->link = list;
  if (*list != nullptr) (*list)->link = &waiter->next;
  *list = waiter;
}

void Scheduler::Unqueue(Waiter* waiter) {
  if (waiter->link == nullptr) return;
  *waiter->link = waiter->next;
  if (waiter->next != nullptr) waiter->next->link = waiter->link;
  waiter->link = nullptr;
}

// Notes that `waiter` waits for readiness. Requires: waiter->thread is set.
void Scheduler::Enlist(View* view, Waiter* waiter) {
  waiter->happened = 0;
  if (view->sole == nullptr && view->waiters == nullptr && view->woken == nullptr) {
    waiter->link = nullptr;
    view->sole_events = waiter->events;
    view->sole_happened = 0;
    view->thread = waiter->thread;
    view->sole = waiter;
  } else {
    Spread(view);
    Queue(&view->waiters, waiter);
  }
}

// Takes a waiter back, whatever became of it.
void Scheduler::Delist(Waiter* waiter) {
  View* view = &views_[waiter->fd];
  if (view->sole == waiter) {
    waiter->happened = view->sole_happened;
    view->sole = nullptr;
  } else {
    Unqueue(waiter);
  }
}

// Makes the sole waiter one of the lists, for what is about several.
void Scheduler::Spread(View* view) {
  Waiter* waiter = std::exchange(view->sole, nullptr);
  if (waiter == nullptr) return;
  waiter->happened = view->sole_happened;
  // Until it runs, its descriptor may still be closed under it.
  Queue(waiter->happened != 0 ? &view->woken : &view->waiters, waiter);
}

long Scheduler::Watch(View* view, int fd, uint32_t events) {
  uint8_t wanted = View::kRead | (ReadyBits(events) & View::kWrite);
  if ((wanted & ~view->watched) == 0 && poller_->persistent()) return 0;
  bool more = view->watched != 0 && poller_->persistent();
  long result = more ? poller_->WatchWriting(fd, view->generation)
                     : poller_->Watch(fd, view->generation, events);
  if (result == 0) view->watched = wanted;
  return result;
}

long Scheduler::WaitReady(Waiter* waiters, int count, ParkRequest request) {
  RuntimeSection section(this);
  if (request.interruptible && TakeInterruption()) return -EINTR;
  long result = 0;
  bool ready = false;
  int queued = 0;
  for (; queued < count; ++queued) {
    Waiter* waiter = &waiters[queued];
    View* view = ViewOf(waiter->fd);
    result = view == nullptr ? -ENOSPC : Watch(view, waiter->fd, waiter->events);
    if (result < 0) break;
    waiter->thread = current_;
    Enlist(view, waiter);
    // Became ready since the caller looked, in a signal handler that parked.
    ready = ready || (view->ready & ReadyBits(waiter->events)) != 0;
  }
  Wake wake = Wake::kWoken;
  if (result == 0 && !ready) {
    // The waits are this scheduler's own, so whoever ends the park may: they are unqueued below.
    request.withdraw = [](Thread*) { return true; };
    wake = Park(request);
  }
  for (int i = 0; i < queued; ++i) Delist(&waiters[i]);
  if (result < 0) return result;
  return wake == Wake::kWoken ? 0 : wake == Wake::kDeadline ? -ETIMEDOUT : -EINTR;
}

long Scheduler::WaitConnection(Waiter* waiter, ParkRequest request) {
  RuntimeSection section(this);
  if (request.interruptible && TakeInterruption()) return -EINTR;
  View* view = ViewOf(waiter->fd);
  long result = view == nullptr ? -ENOSPC : Watch(view, waiter->fd, POLLIN);
  if (result < 0) return result;
  if ((view->ready & View::kRead) != 0) return -EAGAIN;
  waiter->thread = current_;
  Queue(&view->acceptors, waiter);
  request.withdraw = [](Thread*) { return true; };
  request.waiting = Waiting::kAccept;
  Wake wake = Park(request);
  // A connection handed over before a deadline or signal was seen is the thread's and must not be
  // lost.
  bool served = waiter->link == nullptr;
  Unqueue(waiter);
  return served ? 0 : wake == Wake::kDeadline ? -ETIMEDOUT : -EINTR;
}

void Scheduler::WakeWaiters(View* view, uint32_t events) {
  if (view->sole != nullptr) {
    uint32_t hit = events & (view->sole_events | POLLERR | POLLHUP);
    view->sole_happened |= hit;
    // A thread that waits on several descriptors may be ready already.
    if (hit != 0 && view->thread->state == ThreadState::kParked) Resume(view->thread, Wake::kWoken);
    return;
  }
  for (Waiter* waiter = view->waiters; waiter != nullptr;) {
    Waiter* next = waiter->next;
    if (uint32_t hit = events & (waiter->events | POLLERR | POLLHUP)) {
      waiter->happened |= hit;
      Unqueue(waiter);
      Queue(&view->woken, waiter);
      if (waiter->thread->state == ThreadState::kParked) Resume(waiter->thread, Wake::kWoken);
    }
    waiter = next;
  }
}

void Scheduler::HandleEvent(const PollEvent& event) {
  if (event.fd == wakeup_fd_) {
    if (poller_->persistent()) return;
    uint64_t ignored;
    RawSyscall(SYS_read, wakeup_fd_, &ignored, sizeof ignored);
    poller_->Watch(wakeup_fd_, 0, POLLIN);
    return;
  }
  if (disk_.ready() && event.fd == disk_.event_fd()) {
    if (!poller_->persistent()) poller_->Watch(event.fd, 0, POLLIN);
    disk_.Reap();
    return;
  }
  View* view = &views_[event.fd];
  if (view->generation != event.generation) return;
  uint8_t ready = view->ready;
  uint32_t bits = event.events;
  if (bits & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) ready |= View::kRead;
  if (bits & (POLLOUT | POLLHUP | POLLERR)) ready |= View::kWrite;
  if (bits & (POLLRDHUP | POLLHUP)) ready |= View::kHangUp;
  if (bits & POLLERR) ready |= View::kError;
  if (bits & POLLPRI) ready |= View::kUrgent;
  view->ready = ready;
  if (!poller_->persistent()) view->watched = 0;
  if (view->sole != nullptr || view->waiters != nullptr) WakeWaiters(view, bits);
}

inline void Scheduler::PrefetchView(int fd) const {
  __builtin_prefetch(&views_[fd]);
  __builtin_prefetch(runtime().descriptors.Find(fd));
}

// Listening sockets come before or after the others, as the policy has it.
void Scheduler::HandleEvents(int count) {
  accounting_.counters.poll_events += static_cast<uint64_t>(count);
  bool accepts_first = runtime().options.accept == AcceptPolicy::kFavorAccepts;
  if (accepts_first) HandleListeners(count);
  int listeners = 0;
  // What the events to come will touch is on its way meanwhile: a view, then its thread.
  for (int i = 0; i < count && i < kViewsAhead; ++i) PrefetchView(events_[i].fd);
  for (int i = 0; i < count && i < kThreadsAhead; ++i) PrefetchThread(&views_[events_[i].fd]);
  if (first_ == nullptr && count > 0) PrefetchFramesOf(&views_[events_[0].fd]);
  for (int i = 0; i < count; ++i) {
    if (i + kViewsAhead < count) PrefetchView(events_[i + kViewsAhead].fd);
    if (i + kThreadsAhead < count) PrefetchThread(&views_[events_[i + kThreadsAhead].fd]);
    HandleEvent(events_[i]);
    listeners += views_[events_[i].fd].acceptors != nullptr;
  }
  if (!accepts_first && listeners != 0) HandleListeners(count);
}

void Scheduler::HandleListeners(int count) {
  bool favor_connections = runtime().options.accept == AcceptPolicy::kFavorConnections;
  for (int i = 0; i < count; ++i) {
    int fd = events_[i].fd;
    View* view = &views_[fd];
    if (view->acceptors == nullptr || view->generation != events_[i].generation) continue;
    bool others = first_ != nullptr;
    AcceptForWaiters(view, fd, favor_connections && others ? kAcceptsBesideConnections : kNoLimit);
  }
}

void Scheduler::NoteAccepted(int listener, int fd, int flags) {
  ++accounting_.counters.accepts;
  Descriptors& table = runtime().descriptors;
  Descriptor* d = table.Find(fd);
  if (d == nullptr) return;
  Descriptor* from = table.Find(listener);
  // A connection inherits its listener's protocol and time-outs.
  uint16_t known = Descriptor::kModeKnown;
  if (flags & SOCK_NONBLOCK) known |= Descriptor::kProgramNonblock;
  constexpr uint16_t kInherited = Descriptor::kNoReceiveTimeout | Descriptor::kNoSendTimeout;
  if (from != nullptr) known |= from->flags.load(std::memory_order_relaxed) & kInherited;
  bool tcp = from != nullptr && from->Has(Descriptor::kTcpListener);
  d->generation.fetch_add(2, std::memory_order_release);
  d->kind.store(tcp ? FileKind::kTcp : FileKind::kSocket, std::memory_order_relaxed);
  d->flags.store(known, std::memory_order_relaxed);
}

void Scheduler::AcceptForWaiters(View* view, int fd, int limit) {
  // For the first one the event vouches. For others an accept that fails is no way to find out:
  // Linux makes the socket first, and takes ten times as long as poll.
  for (bool known = true; view->acceptors != nullptr; known = false) {
    if (limit-- == 0) {
      // The rest when the others have had their turn: an edge will not come again, so ask for one.
      Backlog(fd);
      return;
    }
    Waiter* waiter = view->acceptors;
    Acceptance* wanted = waiter->acceptance;
    long result = -EAGAIN;
    if (known || ReadyNow(fd, POLLIN)) {
      result = RawSyscall(SYS_accept4, fd, wanted->address, wanted->address_length, wanted->flags);
      if (result == -EAGAIN) ++accounting_.counters.try_again;
    }
    if (result == -EAGAIN) {
      view->ready &= static_cast<uint8_t>(~View::kRead);
      if (view->ready & View::kHangUp) view->ready |= View::kRead;
      if (!poller_->persistent()) Watch(view, fd, POLLIN);
      return;
    }
    if (result == -ECONNABORTED || result == -EINTR) continue;
    if (result >= 0) NoteAccepted(fd, static_cast<int>(result), wanted->flags);
    wanted->result = result;
    Unqueue(waiter);
    // One that a signal or its deadline has made ready finds the answer when it runs.
    if (waiter->thread->state == ThreadState::kParked) Resume(waiter->thread, Wake::kWoken);
    // Out of descriptors or memory, or shut down: each such answer is for one waiter, and the next
    // attempt's business.
    bool shut_down = result == -EINVAL || (view->ready & View::kHangUp) != 0;
    if (result < 0 && !shut_down) return;
  }
}

// Has the next poll look at listening socket `fd` again.
void Scheduler::Backlog(int fd) {
  poller_->Forget(fd);
  View* view = &views_[fd];
  view->watched = 0;
  Watch(view, fd, POLLIN);
}

void Scheduler::MoveWaiters(int from, int to) {
  View* old = ViewOf(from);
  View* orphan = ViewOf(to);
  Spread(old);
  Spread(orphan);
  uint16_t users = 0;
  uint32_t events = 0;
  auto move = [&](Waiter** source, Waiter** target) {
    while (Waiter* waiter = *source) {
      Unqueue(waiter);
      waiter->fd = to;
      events |= waiter->events | POLLIN;
      Queue(target, waiter);
      ++users;
    }
  };
  move(&old->waiters, &orphan->waiters);
  move(&old->woken, &orphan->woken);
  move(&old->acceptors, &orphan->acceptors);
  orphan->orphan_users = users;
  // The file stays open, so the kernel would go on reporting it under its old number.
  poller_->Forget(from);
  old->watched = 0;
  Watch(orphan, to, events);
}

void Scheduler::CallOn(Scheduler* target, void (*work)(Scheduler*, void*), void* argument) {
  RuntimeSection section(this);
  if (target == this) {
    work(this, argument);
    return;
  }
  CallMessage message;
  message.deliver = [](InboxMessage* posted) {
    auto* call = static_cast<CallMessage*>(posted);
    call->work(call->target, call->argument);
    MakeReady(call->caller);
  };
  message.target = target;
  message.work = work;
  message.argument = argument;
  message.caller = current_;
  target->Post(&message);
  Park(ParkRequest());
}

void Scheduler::AfterShutdown(int fd, uint32_t events) {
  if (static_cast<unsigned>(fd) >= views_capacity_) return;
  struct Shutdown {
    int fd;
    uint32_t events;
  } shutdown = {fd, events};
  int schedulers = runtime().scheduler_count.load(std::memory_order_relaxed);
  for (int i = 0; i < schedulers; ++i) {
    Scheduler* scheduler = runtime().schedulers[i];
    if (scheduler != this &&
        __atomic_load_n(&scheduler->views_[fd].sole, __ATOMIC_RELAXED) == nullptr &&
        __atomic_load_n(&scheduler->views_[fd].waiters, __ATOMIC_RELAXED) == nullptr)
      continue;
    CallOn(
        scheduler,
        [](Scheduler* on, void* argument) {
          auto* what = static_cast<Shutdown*>(argument);
          View* view = on->ViewOf(what->fd);
          view->ready |= View::kRead | View::kWrite;
          on->WakeWaiters(view, what->events);
        },
        &shutdown);
  }
}

void Scheduler::BeforeClose(int fd) {
  Runtime& rt = runtime();
  if (static_cast<unsigned>(fd) >= views_capacity_) return;
  int schedulers = rt.scheduler_count.load(std::memory_order_relaxed);
  for (int i = 0; i < schedulers; ++i) {
    Scheduler* scheduler = rt.schedulers[i];
    View* view = &scheduler->views_[fd];
    bool waits = __atomic_load_n(&view->sole, __ATOMIC_RELAXED) != nullptr ||
                 __atomic_load_n(&view->waiters, __ATOMIC_RELAXED) != nullptr ||
                 __atomic_load_n(&view->woken, __ATOMIC_RELAXED) != nullptr ||
                 __atomic_load_n(&view->acceptors, __ATOMIC_RELAXED) != nullptr;
    if (__builtin_expect(!waits, 1)) continue;
    long hidden = RawSyscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
    if (hidden < 0) return;
    int orphan = MoveDescriptorHigh(static_cast<int>(hidden));
    Descriptor* from = rt.descriptors.Find(fd);
    Descriptor* to = rt.descriptors.Find(orphan);
    if (to == nullptr) {
      RawSyscall(SYS_close, orphan);
      return;
    }
    rt.descriptors.Reset(orphan);
    to->kind.store(from->kind.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to->flags.store(from->flags.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to->Set(Descriptor::kOrphan);
    Move move = {fd, orphan};
    CallOn(
        scheduler,
        [](Scheduler* on, void* argument) {
          auto* what = static_cast<Move*>(argument);
          on->MoveWaiters(what->from, what->to);
        },
        &move);
  }
}

void Scheduler::ReleaseOrphan(int fd) {
  View* view = ViewOf(fd);
  if (view == nullptr || --view->orphan_users != 0) return;
  RawSyscall(SYS_close, fd);
  runtime().descriptors.Reset(fd);
}

}  // namespace bobbin
