#include "runtime/thread.h"

#include <sys/mman.h>

#include <new>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

// Ids of user threads lie above every id the kernel gives (PID_MAX_LIMIT is 2^22) and below 2^30,
// which futexes of priority-inheriting mutexes can hold: a slot of 20 bits, and above it a count
// from 4 to 1023 that tells its uses apart.
constexpr int kSlotBits = 20;
constexpr int kFirstUse = 4;
constexpr int kUses = 1024;

}  // namespace

const char* WaitingName(Waiting waiting) {
  static constexpr const char* kNames[] = {"nothing", "readable", "writable", "poll",   "accept",
                                           "address", "worker",   "time",     "signal", "disk"};
  return kNames[static_cast<int>(waiting)];
}

bool ThreadTable::Init() {
  if (blocks_ != nullptr) return true;
  long at = RawSyscall(SYS_mmap, 0, kCapacity * sizeof(Thread), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at < 0 && at > -4096) return false;
  blocks_ = reinterpret_cast<Thread*>(at);
  return true;
}

void ThreadTable::Link(Thread* thread) {
  thread->all_previous = nullptr;
  thread->all_next = all_;
  if (all_ != nullptr) all_->all_previous = thread;
  all_ = thread;
  alive_.fetch_add(1, std::memory_order_relaxed);
  created_.fetch_add(1, std::memory_order_relaxed);
}

void ThreadTable::Unlink(Thread* thread) {
  (thread->all_previous != nullptr ? thread->all_previous->all_next : all_) = thread->all_next;
  if (thread->all_next != nullptr) thread->all_next->all_previous = thread->all_previous;
  alive_.fetch_sub(1, std::memory_order_relaxed);
}

Thread* ThreadTable::Allocate() {
  SpinLockHolder hold(&lock_);
  Thread* thread = free_;
  int tid;
  if (thread != nullptr) {
    free_ = thread->next;
    int use = (thread->tid >> kSlotBits) + 1;
    if (use >= kUses || use < kFirstUse) use = kFirstUse;  // the latter: it was the main thread's
    tid = use << kSlotBits | static_cast<int>(thread - blocks_);
  } else {
    if (used_ == kCapacity) return nullptr;
    thread = &blocks_[used_];
    tid = kFirstUse << kSlotBits | static_cast<int>(used_);
    ++used_;
  }
  new (thread) Thread;
  thread->tid = tid;
  Link(thread);
  return thread;
}

Thread* ThreadTable::AllocateMain(int tid) {
  Thread* thread = Allocate();
  if (thread == nullptr) return nullptr;
  thread->tid = tid;
  main_ = thread;
  return thread;
}

void ThreadTable::Free(Thread* thread) {
  SpinLockHolder hold(&lock_);
  Unlink(thread);
  thread->state = ThreadState::kFree;
  if (thread == main_) {  // its id is the process's and stays taken
    main_ = nullptr;
    return;
  }
  thread->next = free_;
  free_ = thread;
}

void ThreadTable::KeepOnly(Thread* keep) {
  // The lock may have been held by a scheduler that the child does not have.
  new (&lock_) SpinLock;
  // So may the free list be half changed: what was on it is given up.
  free_ = nullptr;
  for (Thread* thread = all_; thread != nullptr; thread = thread->all_next) {
    if (thread == keep) continue;
    thread->state = ThreadState::kFree;
    thread->next = free_;
    free_ = thread;
  }
  all_ = keep;
  keep->all_next = keep->all_previous = nullptr;
  alive_.store(1, std::memory_order_relaxed);
  main_ = keep;
}

Thread* ThreadTable::Find(int tid) {
  SpinLockHolder hold(&lock_);
  if (main_ != nullptr && main_->tid == tid) return main_;
  if (tid < kFirstUse << kSlotBits) return nullptr;
  size_t slot = static_cast<size_t>(tid) & ((size_t{1} << kSlotBits) - 1);
  if (slot >= used_) return nullptr;
  Thread* thread = &blocks_[slot];
  bool alive = thread->tid == tid && thread->state != ThreadState::kFree &&
               thread->state != ThreadState::kDone;
  return alive ? thread : nullptr;
}

Thread* ThreadTable::FindByFsBase(uint64_t fs_base) {
  SpinLockHolder hold(&lock_);
  for (Thread* thread = all_; thread != nullptr; thread = thread->all_next) {
    if (thread->fs_base == fs_base && thread->state != ThreadState::kDone) return thread;
  }
  return nullptr;
}

Thread* ThreadTable::Next(size_t* slot) {
  SpinLockHolder hold(&lock_);
  while (*slot < used_) {
    Thread* thread = &blocks_[(*slot)++];
    if (thread->state != ThreadState::kFree) return thread;
  }
  return nullptr;
}

void ThreadTable::ForEach(bool (*visit)(Thread*, void*), void* argument) {
  SpinLockHolder hold(&lock_);
  for (Thread* thread = all_; thread != nullptr; thread = thread->all_next) {
    if (!visit(thread, argument)) return;
  }
}

}  // namespace bobbin
