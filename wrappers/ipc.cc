#include "wrappers/ipc.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

namespace bobbin {

namespace {

constexpr unsigned kMostCopied = 64;  // operations of one semop that are tried here first

struct SemaphoreWait {
  int set;
  struct sembuf* operations;
  unsigned count;
  uint64_t deadline;  // monotonic; kNever: none
};

// What is left of the time is reckoned where the wait begins, for a wait may begin anew.
long WaitForSemaphores(void* argument) {
  const auto& w = *static_cast<const SemaphoreWait*>(argument);
  if (w.deadline == kNever) return RawSyscall(SYS_semop, w.set, w.operations, w.count);
  uint64_t now = runtime().clock.Now();
  struct timespec left = ToTimespec(w.deadline > now ? w.deadline - now : 0);
  return RawSyscall(SYS_semtimedop, w.set, w.operations, w.count, &left);
}

// Returns: the answer, or -EAGAIN where the kernel would have waited, or might.
long TrySemaphores(int set, const struct sembuf* operations, unsigned count) {
  struct sembuf now[kMostCopied];
  for (unsigned i = 0; i < count; ++i) {
    now[i].sem_num = operations[i].sem_num;
    now[i].sem_op = operations[i].sem_op;
    now[i].sem_flg = static_cast<short>(operations[i].sem_flg | IPC_NOWAIT);
  }
  return RawSyscall(SYS_semop, set, now, count);
}

long WaitOrFail(Scheduler* scheduler, SemaphoreWait* wait) {
  // signal(7): never restarted.
  return RunOnWorker(scheduler, Lane::kOther, &WaitForSemaphores, wait, SignalEffect::kEnd);
}

}  // namespace

long Semtimedop(Scheduler* scheduler, int set, struct sembuf* operations, unsigned count,
                const struct timespec* timeout) {
  SemaphoreWait wait = {set, operations, count, kNever};
  if (timeout != nullptr) {
    struct timespec time;
    if (!LoadUserTime(timeout, &time)) return -EFAULT;
    if (!ValidTime(time)) return -EINVAL;
    wait.deadline = runtime().clock.Now() + ToNanoseconds(time);
  }
  if (count == 0 || !Readable(operations, count * sizeof *operations))
    return RawSyscall(SYS_semop, set, operations, count);
  if (count > kMostCopied) return WaitOrFail(scheduler, &wait);
  long result = TrySemaphores(set, operations, count);
  if (result != -EAGAIN) return result;
  // Where the program's own IPC_NOWAIT was it that could not be done, the kernel says so again.
  return WaitOrFail(scheduler, &wait);
}

long Semop(Scheduler* scheduler, int set, struct sembuf* operations, unsigned count) {
  return Semtimedop(scheduler, set, operations, count, nullptr);
}

long Msgsnd(Scheduler* scheduler, int queue, const void* message, size_t size, int flags) {
  long result = RawSyscall(SYS_msgsnd, queue, message, size, flags | IPC_NOWAIT);
  if (result != -EAGAIN || (flags & IPC_NOWAIT) != 0) return result;
  return CallOnWorker(scheduler, Lane::kOther, SignalEffect::kEnd, SYS_msgsnd, queue,
                      reinterpret_cast<long>(message), static_cast<long>(size), flags);
}

long Msgrcv(Scheduler* scheduler, int queue, void* message, size_t size, long type, int flags) {
  long result = RawSyscall(SYS_msgrcv, queue, message, size, type, flags | IPC_NOWAIT);
  if (result != -ENOMSG || (flags & IPC_NOWAIT) != 0) return result;
  return CallOnWorker(scheduler, Lane::kOther, SignalEffect::kEnd, SYS_msgrcv, queue,
                      reinterpret_cast<long>(message), static_cast<long>(size), type, flags);
}

namespace {

// A time that has passed already makes a queue's call one that does not wait.
constexpr struct timespec kPast = {0, 0};

bool Tries(const struct timespec* timeout) {
  struct timespec time;
  // A bad time is for the kernel to refuse, where it looks at it at all.
  return timeout == nullptr || (LoadUserTime(timeout, &time) && ValidTime(time));
}

}  // namespace

long MqTimedsend(Scheduler* scheduler, int queue, const char* message, size_t size,
                 unsigned priority, const struct timespec* timeout) {
  if (!Tries(timeout)) return RawSyscall(SYS_mq_timedsend, queue, message, size, priority, timeout);
  long result = RawSyscall(SYS_mq_timedsend, queue, message, size, priority, &kPast);
  if (result != -ETIMEDOUT) return result;
  return CallOnWorker(scheduler, Lane::kOther, SYS_mq_timedsend, queue,
                      reinterpret_cast<long>(message), static_cast<long>(size),
                      static_cast<long>(priority), reinterpret_cast<long>(timeout));
}

long MqTimedreceive(Scheduler* scheduler, int queue, char* message, size_t size, unsigned* priority,
                    const struct timespec* timeout) {
  if (!Tries(timeout))
    return RawSyscall(SYS_mq_timedreceive, queue, message, size, priority, timeout);
  long result = RawSyscall(SYS_mq_timedreceive, queue, message, size, priority, &kPast);
  if (result != -ETIMEDOUT) return result;
  return CallOnWorker(scheduler, Lane::kOther, SYS_mq_timedreceive, queue,
                      reinterpret_cast<long>(message), static_cast<long>(size),
                      reinterpret_cast<long>(priority), reinterpret_cast<long>(timeout));
}

}  // namespace bobbin
