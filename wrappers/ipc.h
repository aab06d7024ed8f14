// Handlers of System V messages and semaphores and of POSIX message queues: tried without waiting,
// else a worker waits, so that order and hand-over among waiters are the kernel's.
//
// Source: msgop(2), semop(2), mq_send(3), mq_receive(3), signal(7) for what restarts.
#ifndef BOBBIN_WRAPPERS_IPC_H_
#define BOBBIN_WRAPPERS_IPC_H_

#include "wrappers/call.h"

struct sembuf;

namespace bobbin {

long Msgsnd(Scheduler* scheduler, int queue, const void* message, size_t size, int flags);
long Msgrcv(Scheduler* scheduler, int queue, void* message, size_t size, long type, int flags);
long Semop(Scheduler* scheduler, int set, struct sembuf* operations, unsigned count);
long Semtimedop(Scheduler* scheduler, int set, struct sembuf* operations, unsigned count,
                const struct timespec* timeout);
long MqTimedsend(Scheduler* scheduler, int queue, const char* message, size_t size,
                 unsigned priority, const struct timespec* timeout);
long MqTimedreceive(Scheduler* scheduler, int queue, char* message, size_t size, unsigned* priority,
                    const struct timespec* timeout);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_IPC_H_
