#include "runtime/scheduler.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <new>

#include "runtime/high_descriptor.h"
#include "runtime/raw_syscall.h"
#include "runtime/runtime.h"

namespace bobbin {

namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;

constexpr size_t kIdleStack = 64 * 1024;
constexpr size_t kAlternateStack = 64 * 1024;
// With work at hand the poller is asked without waiting this often, so that a long ready queue
// cannot hide new events.
constexpr uint64_t kPollInterval = 10'000'000;  // cycles, some milliseconds: a kernel's quantum
constexpr size_t kTimerCapacity = ThreadTable::kCapacity + 1;

// What a new thread or kernel thread needs on its stack before its own frames begin: room for the
// registers that a clone's child is to start with, which StartClone keeps there.
constexpr uintptr_t kEntryRoom = 512;

constexpr size_t kCacheLine = 64;
constexpr size_t kFramesOfAPark = 12 * kCacheLine;
constexpr size_t kFramesToCome = 12 * kCacheLine;

// While another thread runs, what this one will touch first comes into the cache: where its own
// follower is, the rest of its control block, its frames from the switch to the program's call, and
// the lines that its next calls push into. Not libc's descriptor, which a mutex comes to: where its
// page is not in the TLB, the prefetch itself waits as long.
//
// Inlined always: GCC takes a function of nothing but prefetches for one without effect and drops
// the call.
[[gnu::always_inline]] inline void Prefetch(const Thread* thread) {
  if (thread->next != nullptr) __builtin_prefetch(thread->next);
  __builtin_prefetch(&thread->signal_mask);
  auto* frames = static_cast<const char*>(thread->context);
  for (size_t i = 0; i < kFramesOfAPark; i += kCacheLine) __builtin_prefetch(frames + i);
  for (size_t i = kCacheLine; i <= kFramesToCome; i += kCacheLine)
    __builtin_prefetch(frames - i, 1);
}

}  // namespace

long Scheduler::Init(int index, PollerKind poller) {
  index_ = index;
  views_capacity_ = runtime().descriptors.capacity();
  views_ = static_cast<View*>(MapLazily(views_capacity_ * sizeof(View)));
  events_ = static_cast<PollEvent*>(MapLazily(kEvents * sizeof(PollEvent)));
  auto* idle = static_cast<char*>(MapLazily(sizeof(Thread) + kIdleStack));
  if (views_ == nullptr || events_ == nullptr || idle == nullptr || !timers_.Init(kTimerCapacity))
    return -ENOMEM;
  if (void* alternate = MapLazily(kAlternateStack))
    own_alternate_stack = {alternate, 0, kAlternateStack};
  idle_ = new (idle) Thread;
  idle_->scheduler = this;
  idle_->signal_mask = ~uint64_t{0};
  idle_->stack_low = reinterpret_cast<uintptr_t>(idle) + sizeof(Thread);
  idle_->stack_top = idle_->stack_low + kIdleStack;
  idle_->context = make_fcontext(reinterpret_cast<void*>(idle_->stack_top), kIdleStack, &IdleEntry);
  return SetPoller(poller);
}

long Scheduler::WatchWakeup() {
  if (wakeup_fd_ < 0) {
    long fd = RawSyscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return fd;
    wakeup_fd_ = MoveDescriptorHigh(static_cast<int>(fd));
  }
  return poller_->Watch(wakeup_fd_, 0, POLLIN);
}

long Scheduler::SetPoller(PollerKind kind) {
  long result;
  if (kind == PollerKind::kEpoll) {
    poller_ = &epoll_poller_;
    result = epoll_poller_.Init();
  } else {
    poller_ = &poll_poller_;
    result = poll_poller_.Init(static_cast<int>(views_capacity_));
  }
  if (result == 0) result = WatchWakeup();
  if (result == 0 && disk_.ready()) result = poller_->Watch(disk_.event_fd(), 0, POLLIN);
  return result;
}

void Scheduler::Adopt(Thread* main) {
  WriteGsBase(reinterpret_cast<uint64_t>(this));
  kernel_tid_ = static_cast<int>(RawSyscall(SYS_gettid));
  RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &kernel_mask, sizeof kernel_mask);
  UseOwnAlternateStack();
  main->scheduler = this;
  main->fs_base = ReadFsBase();
  main->state = ThreadState::kRunning;
  idle_->fs_base = main->fs_base;
  current_ = main;
  StartAccounting();
  last_poll_ = accounting_.mark();
}

void Scheduler::StartAccounting() {
  accounting_ = Accounting();
  cpu_time_at_start_ = ReadKernelClock(CLOCK_THREAD_CPUTIME_ID);
  accounting_.Start();
}

void Scheduler::UseOwnAlternateStack() {
  if (own_alternate_stack.ss_sp == nullptr) return;
  RawSyscall(SYS_sigaltstack, &own_alternate_stack, nullptr);
  kernel_alternate_stack = own_alternate_stack;
}

void Scheduler::KernelThreadEntry(Scheduler* self) {
  WriteGsBase(reinterpret_cast<uint64_t>(self));
  self->kernel_tid_ = static_cast<int>(RawSyscall(SYS_gettid));
  self->SetKernelMask(~uint64_t{0});
  self->UseOwnAlternateStack();
  self->idle_->state = ThreadState::kRunning;
  self->current_ = self->idle_;
  self->depth_ = 1;
  self->StartAccounting();
  if (runtime().hooks.prepare != nullptr) runtime().hooks.prepare(self);
  for (;;) self->SwitchTo(self->NextThread());
}

// The child of the clone starts on the idle thread's stack and calls KernelThreadEntry(scheduler).
extern "C" long bobbin_start_kernel_thread(unsigned long flags, void* stack, void* entry,
                                           void* argument);
asm(R"(
.text
.hidden bobbin_start_kernel_thread
.type bobbin_start_kernel_thread,@function
bobbin_start_kernel_thread:
  .cfi_startproc
  mov %rdx, %r8
  mov %rcx, %r9
  xor %edx, %edx
  xor %r10d, %r10d
  mov $56, %eax
  syscall
  test %rax, %rax
  jz 1f
  ret
1:
  .cfi_undefined rip
  xor %ebp, %ebp
  mov %r9, %rdi
  call *%r8
  hlt
  .cfi_endproc
.size bobbin_start_kernel_thread, .-bobbin_start_kernel_thread
)");

long Scheduler::StartKernelThread() {
  // Signals stay blocked until the scheduler runs a thread that wants them.
  uint64_t all = ~uint64_t{0}, before;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  idle_->fs_base = ReadFsBase();
  long result = bobbin_start_kernel_thread(
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
      reinterpret_cast<void*>(idle_->stack_top), reinterpret_cast<void*>(&KernelThreadEntry), this);
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  return result < 0 ? result : 0;
}

long Scheduler::ResetAfterFork(Thread* survivor, PollerKind poller) {
  // The child shares the parent's epoll and eventfd descriptions: ours must be new.
  if (wakeup_fd_ >= 0) RawSyscall(SYS_close, wakeup_fd_);
  wakeup_fd_ = -1;
  ForgetViews();
  first_ = last_ = nullptr;
  timers_.Remove(&survivor->timer);
  timers_.Clear();
  inbox_.Take();
  sleeping_.store(false, std::memory_order_relaxed);
  disk_.ResetAfterFork();
  index_ = 0;
  suspended = survivor->suspended_frames;
  attention_ = false;
  tick_timer = -1;
  current_ = survivor;
  survivor->scheduler = this;
  survivor->state = ThreadState::kRunning;
  kernel_tid_ = static_cast<int>(RawSyscall(SYS_gettid));
  idle_->context = make_fcontext(reinterpret_cast<void*>(idle_->stack_top), kIdleStack, &IdleEntry);
  StartAccounting();
  return SetPoller(poller);
}

void Scheduler::ForgetViews() {
  for (unsigned fd = 0; fd < views_capacity_; ++fd) {
    // Views beyond the highest descriptor were never touched; reading them costs the shared zero
    // page only.
    if (views_[fd].generation != 0) views_[fd] = View();
  }
}

void Scheduler::SetKernelMask(uint64_t mask) {
  kernel_mask = mask;
  mask &= ~runtime().reserved_signals;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
}

void Scheduler::Spawn(Thread* thread, uintptr_t stack_top, void (*entry)(void*), void* argument) {
  thread->scheduler = this;
  thread->stack_top = stack_top;
  thread->entry = entry;
  thread->entry_argument = argument;
  thread->state = ThreadState::kParked;
  thread->context = make_fcontext(reinterpret_cast<void*>(stack_top - kEntryRoom), 0, &ThreadEntry);
  MakeReady(thread);
}

void Scheduler::ThreadEntry(Transfer transfer) {
  FinishSwitch(transfer);
  Scheduler* scheduler = Current();
  Thread* self = scheduler->current_;
  scheduler->accounting_.Charge(&scheduler->counters().threading_cycles);
  scheduler->depth_ = 1;
  scheduler->calls_in_a_row_ = 0;
  if (self->pending_signals.load(std::memory_order_relaxed) != 0) scheduler->attention_ = true;
  scheduler->LeaveRuntime();
  self->entry(self->entry_argument);
  __builtin_unreachable();
}

void Scheduler::IdleEntry(Transfer transfer) {
  FinishSwitch(transfer);
  Scheduler* scheduler = Current();
  for (;;) scheduler->SwitchTo(scheduler->NextThread());
}

Thread* Scheduler::Pop() {
  Thread* thread = first_;
  if (thread == nullptr) return nullptr;
  first_ = thread->next;
  if (first_ == nullptr) last_ = nullptr;
  return thread;
}

void Scheduler::FinishSwitch(Transfer transfer) {
  auto* previous = static_cast<Thread*>(transfer.data);
  previous->context = transfer.fctx;
  Scheduler* scheduler = previous->scheduler;
  if (__builtin_expect(scheduler->alternate_stack_due_, 0)) scheduler->FinishAlternateStack();
  if (__builtin_expect(previous->state == ThreadState::kDone, 0)) {
    // Off its stack at last: whoever joins it may have the memory.
    scheduler->suspended -= previous->suspended_frames;
    scheduler->timers_.Remove(&previous->timer);
    // An interruption posted while it was ending is a node in its block.
    while (previous->interruption_posted.load(std::memory_order_acquire)) scheduler->ReadInbox();
    runtime().masks.Remove(previous->mask_slot);
    previous->last_words(previous);
    runtime().threads.Free(previous);
  }
}

const stack_t& Scheduler::AlternateStackOf(const Thread* thread) const {
  return (thread->alternate_stack.ss_flags & SS_DISABLE) != 0 ? own_alternate_stack
                                                              : thread->alternate_stack;
}

void Scheduler::CarryAlternateStack(Thread* next) {
  const stack_t& wanted = AlternateStackOf(next);
  if (wanted.ss_sp == kernel_alternate_stack.ss_sp &&
      wanted.ss_size == kernel_alternate_stack.ss_size)
    return;
  if (RawSyscall(SYS_sigaltstack, &wanted, nullptr) == 0) {
    kernel_alternate_stack = wanted;
    return;
  }
  // Refused (EPERM) on the old one, where a handler waits. As soon as that is left, the kernel
  // would put the next frame over the handler's: none may come until the other is in place.
  uint64_t all = ~uint64_t{0};
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  alternate_stack_due_ = true;
}

// On the stack of the thread that goes on.
void Scheduler::FinishAlternateStack() {
  alternate_stack_due_ = false;
  const stack_t& wanted = AlternateStackOf(current_);
  if (RawSyscall(SYS_sigaltstack, &wanted, nullptr) == 0) kernel_alternate_stack = wanted;
  SetKernelMask(kernel_mask);
}

void Scheduler::SwitchTo(Thread* next) {
  Thread* previous = current_;
  ++accounting_.counters.switches;
  current_ = next;
  next->state = ThreadState::kRunning;
  if (Thread* following = first_) Prefetch(following);
  if (__builtin_expect(next->signal_mask != kernel_mask, 0) && next != idle_)
    SetKernelMask(next->signal_mask);
  if (__builtin_expect(runtime().alternate_stacks_used.load(std::memory_order_relaxed), 0))
    CarryAlternateStack(next);
  WriteFsBase(next->fs_base);
  FinishSwitch(jump_fcontext(next->context, previous));
}

Wake Scheduler::Park(const ParkRequest& request) {
  Thread* self = current_;
  int depth = depth_;
  uint64_t now = accounting_.Charge(&accounting_.counters.application_cycles, &self->cycles);
  ++accounting_.counters.parks;
  ++self->parks;
  self->parked_at = now;
  self->waiting = request.waiting;
  self->wait_argument = request.argument;
  self->withdraw = request.withdraw;
  self->wait_object = request.object;
  self->interruptible = request.interruptible;
  self->restart = true;
  self->handled = false;
  self->state = ThreadState::kParked;
  if (request.deadline != kNever) timers_.Arm(&self->timer, request.deadline);
  if (__builtin_expect(now - last_poll_ > kPollInterval, 0)) Poll(false);
  Thread* next = NextThread();
  if (next != self) {
    SwitchTo(next);
  } else {
    self->state = ThreadState::kRunning;
  }
  depth_ = depth;
  calls_in_a_row_ = 0;
  if (request.deadline != kNever) timers_.Disarm(&self->timer);
  self->waiting = Waiting::kNothing;
  if (__builtin_expect(self->pending_signals.load(std::memory_order_relaxed) != 0, 0))
    attention_ = true;
  accounting_.Charge(&accounting_.counters.threading_cycles);
  return self->wake;
}

void Scheduler::Yield() {
  RuntimeSection section(this);
  Thread* self = current_;
  int depth = depth_;
  calls_in_a_row_ = 0;
  uint64_t now = accounting_.Charge(&accounting_.counters.application_cycles, &self->cycles);
  // A thread that yields in a loop waits for somebody: also for those the poller or another kernel
  // thread would wake.
  if (first_ == nullptr || now - last_poll_ > kPollInterval || !inbox_.Empty()) Poll(false);
  if (first_ != nullptr) {
    Push(self);
    SwitchTo(Pop());
    depth_ = depth;
    if (__builtin_expect(self->pending_signals.load(std::memory_order_relaxed) != 0, 0))
      attention_ = true;
  }
  accounting_.Charge(&accounting_.counters.threading_cycles);
}

void Scheduler::Exit(void (*last_words)(Thread*)) {
  EnterRuntime();
  accounting_.Charge(&accounting_.counters.application_cycles, &current_->cycles);
  current_->last_words = last_words;
  current_->state = ThreadState::kDone;
  Thread* next = Pop();
  // With nobody ready somebody must poll, and this stack is no place to stay on.
  SwitchTo(next != nullptr ? next : idle_);
  __builtin_unreachable();
}

Thread* Scheduler::NextThread() {
  for (;;) {
    if (Thread* next = Pop()) return next;
    Poll(true);
  }
}

void Scheduler::Resume(Thread* thread, Wake wake) {
  thread->wake = wake;
  thread->scheduler->Push(thread);
}

void Scheduler::MakeReady(Thread* thread) {
  Scheduler* scheduler = thread->scheduler;
  if (scheduler == Current()) {
    Resume(thread, Wake::kWoken);
    return;
  }
  thread->message.deliver = [](InboxMessage* message) {
    Resume(reinterpret_cast<Thread*>(reinterpret_cast<char*>(message) -
                                     __builtin_offsetof(Thread, message)),
           Wake::kWoken);
  };
  scheduler->Post(&thread->message);
}

void Scheduler::Interrupt(Thread* thread) {
  Scheduler* scheduler = thread->scheduler;
  if (scheduler == Current()) {
    bool parked = thread->state == ThreadState::kParked && thread->interruptible &&
                  thread->withdraw != nullptr;
    if (parked && thread->withdraw(thread)) Resume(thread, Wake::kInterrupted);
    return;
  }
  if (thread->state == ThreadState::kDone || thread->interruption_posted.exchange(true)) return;
  thread->interruption.deliver = [](InboxMessage* message) {
    auto* target = reinterpret_cast<Thread*>(reinterpret_cast<char*>(message) -
                                             __builtin_offsetof(Thread, interruption));
    target->interruption_posted.store(false);
    Interrupt(target);
  };
  scheduler->Post(&thread->interruption);
  // Running, it would look at its inbox only when it next waits.
  const bool running = __atomic_load_n(&thread->state, __ATOMIC_RELAXED) == ThreadState::kRunning;
  if (running && runtime().hooks.nudge != nullptr) runtime().hooks.nudge(scheduler);
}

void Scheduler::Post(InboxMessage* message) {
  inbox_.Post(message);
  // Pairs with Poll: either it sees the message before it sleeps, or we see that it sleeps.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_relaxed) && sleeping_.exchange(false)) {
    uint64_t one = 1;
    RawSyscall(SYS_write, wakeup_fd_, &one, sizeof one);
  }
}

void Scheduler::ReadInbox() {
  if (inbox_.Empty()) return;
  for (InboxMessage* message = inbox_.Take(); message != nullptr;) {
    InboxMessage* next = message->next;
    message->deliver(message);
    message = next;
  }
}

void Scheduler::ExpireTimers(uint64_t now) {
  while (TimerEntry* entry = timers_.Expire(now)) {
    auto* thread = reinterpret_cast<Thread*>(reinterpret_cast<char*>(entry) -
                                             __builtin_offsetof(Thread, timer));
    ++accounting_.counters.timers_expired;
    if (thread->state != ThreadState::kParked) continue;
    if (thread->withdraw != nullptr && thread->withdraw(thread)) Resume(thread, Wake::kDeadline);
  }
}

void Scheduler::Poll(bool wait) {
  accounting_.Charge(&accounting_.counters.threading_cycles);
  Clock& clock = runtime().clock;
  int64_t timeout = 0;
  uint64_t mask = kernel_mask;
  if (wait) {
    sleeping_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint64_t next = timers_.NextTime();
    uint64_t now = next == kNever ? 0 : clock.Now();
    if (inbox_.Empty() && !attention_)
      timeout = next == kNever ? -1 : next > now ? static_cast<int64_t>(next - now) : 0;
    // Asleep, nobody runs: any signal that somebody wants may come. One scheduler is enough to hear
    // of it.
    mask = index_ == 0 ? runtime().masks.Intersection() : ~uint64_t{0};
    mask &= ~runtime().reserved_signals;
  }
#ifndef NDEBUG
  CheckInvariants();
#endif
  const uint64_t cpu = accounting_.MeasurePoll() ? ReadKernelClock(CLOCK_THREAD_CPUTIME_ID) : 0;
  int count = poller_->Wait(events_, kEvents, timeout, mask == kernel_mask ? nullptr : &mask);
  if (accounting_.MeasurePoll())
    accounting_.PollMeasured(ReadKernelClock(CLOCK_THREAD_CPUTIME_ID) - cpu);
  sleeping_.store(false, std::memory_order_relaxed);
  last_poll_ = accounting_.Charge(&accounting_.counters.polling_cycles);
  ++accounting_.counters.polls;
  if (index_ == 0) clock.Calibrate(last_poll_);
  if (count > 0) HandleEvents(count);
  ReadInbox();
  uint64_t next = timers_.NextTime();
  if (next != kNever) {
    uint64_t now = clock.At(last_poll_);
    if (now >= next) ExpireTimers(now);
  }
  if (__builtin_expect(attention_, 0) && runtime().hooks.route != nullptr) {
    attention_ = false;
    runtime().hooks.route(this);
  }
  accounting_.Charge(&accounting_.counters.event_cycles);
}

void Scheduler::Attend() {
  attention_ = false;
  if (runtime().hooks.attend != nullptr) runtime().hooks.attend(this);
}

void Scheduler::WakeFromHandler() {
  if (!sleeping_.load(std::memory_order_relaxed)) return;
  uint64_t one = 1;
  RawSyscall(SYS_write, wakeup_fd_, &one, sizeof one);
}

uint64_t Scheduler::ready_length() const {
  uint64_t length = 0;
  for (Thread* thread = first_; thread != nullptr; thread = thread->next) ++length;
  return length;
}

void Scheduler::CheckInvariants() const {
  if (current_ == nullptr || current_->scheduler != this)
    Die("scheduler: current is not one of its threads (S1)");
  Thread* last = nullptr;
  for (Thread* thread = first_; thread != nullptr; thread = thread->next) {
    if (thread->state != ThreadState::kReady)
      Die("scheduler: a thread on the ready queue is not ready (S2)");
    if (thread == current_) Die("scheduler: the running thread is on the ready queue (S2)");
    if (thread->scheduler != this)
      Die("scheduler: a thread of another scheduler is on the ready queue (S3)");
    last = thread;
  }
  if (last != last_) Die("scheduler: the ready queue has lost its end (S2)");
}

}  // namespace bobbin
