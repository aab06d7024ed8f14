#include "runtime/thread.h"

#include <sys/mman.h>

#include <new>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

// Ids of user threads lie above every id the kernel gives (PID_MAX_LIMIT is 2^22) and below 2^28:
// the clock of a thread (pthread_getcpuclockid(3)) has eight times its id in an int, and futexes of
// priority-inheriting mutexes hold 30 bits. A slot of 20 bits, and above it a count from 4 to 255
// that tells its uses apart. Both depend on the process: a mutex shared by two
// processes tells its owner by this id (recursive, error-checking, robust and priority-inheriting
// ones), so the first threads of each must not have the same.
constexpr int kSlotBits = 20;
constexpr int kSlotMask = (1 << kSlotBits) - 1;
constexpr int kLowestUse = 4;
constexpr int kUses = 256;

}  // namespace

const char* WaitingName(Waiting waiting) {
  static constexpr const char* kNames[] = {"nothing", "readable", "writable", "poll",   "accept",
                                           "address", "worker",   "time",     "signal", "disk"};
  return kNames[static_cast<int>(waiting)];
}

void ThreadTable::ChooseIds(int pid) {
  // Multiplication by an odd number keeps different process ids different.
  unsigned mixed = static_cast<unsigned>(pid) * 0x9e3779b1u;
  scramble_ = static_cast<int>(mixed & kSlotMask);
  first_use_ = kLowestUse + static_cast<int>(mixed >> kSlotBits) % (kUses - kLowestUse);
}

int ThreadTable::IdOf(size_t slot, int use) const {
  return use << kSlotBits | (static_cast<int>(slot) ^ scramble_);
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
    if (use == kUses) use = kLowestUse;
    if (use < kLowestUse) use = first_use_;  // it was the main thread's, or the parent's process's
    tid = IdOf(static_cast<size_t>(thread - blocks_), use);
  } else {
    if (used_ == kCapacity) return nullptr;
    thread = &blocks_[used_];
    tid = IdOf(used_, first_use_);
    ++used_;
  }
  new (thread) Thread;
  thread->tid = tid;
  Link(thread);
  return thread;
}

Thread* ThreadTable::AllocateMain(int tid) {
  ChooseIds(tid);
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

void ThreadTable::KeepOnly(Thread* keep, int pid) {
  // The lock may have been held by a scheduler that the child does not have.
  new (&lock_) SpinLock;
  // So may the free list be half changed: what was on it is given up.
  free_ = nullptr;
  for (Thread* thread = all_; thread != nullptr; thread = thread->all_next) {
    if (thread == keep) continue;
    thread->state = ThreadState::kFree;
    thread->tid = 0;
    thread->next = free_;
    free_ = thread;
  }
  keep->tid = pid;
  ChooseIds(pid);
  all_ = keep;
  keep->all_next = keep->all_previous = nullptr;
  alive_.store(1, std::memory_order_relaxed);
  main_ = keep;
}

Thread* ThreadTable::Find(int tid) {
  SpinLockHolder hold(&lock_);
  if (main_ != nullptr && main_->tid == tid) return main_;
  Thread* thread = BlockOf(tid);
  if (thread == nullptr || thread->state == ThreadState::kFree) return nullptr;
  return thread->state == ThreadState::kDone ? nullptr : thread;
}

Thread* ThreadTable::BlockOf(int tid) {
  if (tid < kLowestUse << kSlotBits) return nullptr;
  auto slot = static_cast<size_t>((tid & kSlotMask) ^ scramble_);
  return slot < used_ && blocks_[slot].tid == tid ? &blocks_[slot] : nullptr;
}

bool ThreadTable::AnnouncesEnd(const uint32_t* word, int tid) {
  SpinLockHolder hold(&lock_);
  Thread* thread = main_ != nullptr && main_->tid == tid ? main_ : BlockOf(tid);
  return thread != nullptr && thread->clear_tid == word;
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
