// Carries messages from any kernel thread to one scheduler: the only door into it.
//
// A message is an intrusive node owned by whoever posts it until it is taken; a message is in at
// most one inbox at a time. Take returns messages in the order they were posted. Never allocates,
// never blocks, no system call.
//
// Invariants
//   I1  A message posted before Take began is returned by that Take or an earlier one.
//   I2  Post returns true exactly for the message that made the inbox non-empty.
#ifndef BOBBIN_RUNTIME_INBOX_H_
#define BOBBIN_RUNTIME_INBOX_H_

#include <atomic>

namespace bobbin {

struct InboxMessage {
  InboxMessage* next = nullptr;
  // Called by the receiving scheduler, which then forgets the node.
  void (*deliver)(InboxMessage* self) = nullptr;
};

class Inbox {
 public:
  // Callers: any kernel thread, and signal handlers.
  bool Post(InboxMessage* message) {
    InboxMessage* head = head_.load(std::memory_order_relaxed);
    do {
      message->next = head;
    } while (!head_.compare_exchange_weak(head, message, std::memory_order_release,
                                          std::memory_order_relaxed));
    return head == nullptr;
  }

  // Callers: the owning scheduler.
  bool Empty() const { return head_.load(std::memory_order_acquire) == nullptr; }

  // Takes everything, oldest first, linked by `next`. Callers: the owning scheduler.
  InboxMessage* Take() {
    InboxMessage* newest = head_.exchange(nullptr, std::memory_order_acquire);
    InboxMessage* oldest = nullptr;
    while (newest != nullptr) {
      InboxMessage* next = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = next;
    }
    return oldest;
  }

 private:
  std::atomic<InboxMessage*> head_{nullptr};
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_INBOX_H_
