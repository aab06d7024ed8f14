#include "wrappers/pending_signals.h"

#include "runtime/spin_lock.h"

namespace bobbin {

struct PendingSignal {
  PendingSignal* next;
  siginfo_t info;
};

namespace {

constexpr int kPool = 1024;

PendingSignal pool[kPool];
PendingSignal* free_nodes = nullptr;
int used_nodes = 0;
SpinLock pool_lock;

}  // namespace

void AddPending(Thread* thread, const siginfo_t& info) {
  SpinLockHolder hold(&pool_lock);
  uint64_t bit = SignalBit(info.si_signo);
  uint64_t pending = thread->pending_signals.load(std::memory_order_relaxed);
  if (info.si_signo < 32 && (pending & bit) != 0) return;
  PendingSignal* node = free_nodes;
  if (node != nullptr) {
    free_nodes = node->next;
  } else if (used_nodes < kPool) {
    node = &pool[used_nodes++];
  }
  // With the pool used up the signal is kept, its particulars are not.
  if (node != nullptr) {
    node->info = info;
    node->next = nullptr;
    PendingSignal** end = &thread->pending;
    while (*end != nullptr) end = &(*end)->next;
    *end = node;
  }
  thread->pending_signals.store(pending | bit, std::memory_order_release);
}

int TakePending(Thread* thread, uint64_t wanted, siginfo_t* info) {
  if ((thread->pending_signals.load(std::memory_order_relaxed) & wanted) == 0) return 0;
  SpinLockHolder hold(&pool_lock);
  uint64_t pending = thread->pending_signals.load(std::memory_order_relaxed);
  if ((pending & wanted) == 0) return 0;
  int signal = __builtin_ctzll(pending & wanted) + 1;
  *info = siginfo_t();
  info->si_signo = signal;
  bool found = false, more = false;
  for (PendingSignal** link = &thread->pending; *link != nullptr;) {
    PendingSignal* node = *link;
    if (node->info.si_signo != signal) {
      link = &node->next;
      continue;
    }
    if (found) {
      more = true;
      break;
    }
    found = true;
    *info = node->info;
    *link = node->next;
    node->next = free_nodes;
    free_nodes = node;
  }
  if (!more) thread->pending_signals.store(pending & ~SignalBit(signal), std::memory_order_release);
  return signal;
}

void ForgetPendingSignals() {
  pool_lock.Unlock();
  free_nodes = nullptr;
  used_nodes = 0;
}

}  // namespace bobbin
