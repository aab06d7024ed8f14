#include "wrappers/table.h"

#include <sys/resource.h>

#include "wrappers/async_io.h"
#include "wrappers/futex.h"
#include "wrappers/io.h"
#include "wrappers/ioctl.h"
#include "wrappers/ipc.h"
#include "wrappers/kernel_thread.h"
#include "wrappers/memory.h"
#include "wrappers/metadata.h"
#include "wrappers/number_index.h"
#include "wrappers/passed_calls.h"
#include "wrappers/process.h"
#include "wrappers/scheduling.h"
#include "wrappers/sendfile.h"
#include "wrappers/signal.h"
#include "wrappers/signal_timers.h"
#include "wrappers/socket.h"
#include "wrappers/started.h"
#include "wrappers/table_handlers.h"
#include "wrappers/thread.h"
#include "wrappers/time.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

namespace bobbin {

namespace {

constexpr Answer kHere = Answer::kHere, kPark = Answer::kPark, kWorker = Answer::kWorker;

// Calls that a worker makes as they are; file systems and disks do not stop for signals.
constexpr auto kChange = &OnWorker<Lane::kMetadata, SignalEffect::kWait>;
constexpr auto kDiskCall = &OnWorker<Lane::kDisk, SignalEffect::kWait>;

// Where those that look at a path have it: see PathShape.
constexpr auto kLookAtPath = &LookAt<-1, 0, -1, true>;
constexpr auto kLookAtLink = &LookAt<-1, 0, -1, false>;
constexpr auto kLookIn = &LookAt<0, 1, -1, true>;
constexpr auto kLookInLink = &LookAt<0, 1, -1, false>;
constexpr auto kLookInFlagsThird = &LookAt<0, 1, 2, true>;
constexpr auto kLookInFlagsFourth = &LookAt<0, 1, 3, true>;
constexpr auto kLookInFlagsFifth = &LookAt<0, 1, 4, false>;
constexpr auto kLookAtSecond = &LookAt<-1, 1, -1, true>;

constexpr int kIoprioWhoProcess = 1;

// clang-format off
#define CALL(name, answer, note, handler) \
  { SYS_##name, #name, answer, note, handler }
constexpr TableEntry kTable[] = {
    CALL(read, kPark,
         "sockets, pipes, terminals: the descriptor; files: cached or read ahead, else a worker",
         kFit<Read>),
    CALL(write, kPark,
         "sockets, pipes, terminals: the descriptor; files: cached, else a worker",
         kFit<Write>),
    CALL(open, kWorker, "cached, else a worker", kFit<Open>),
    CALL(close, kHere, "who waits keeps the file", kFit<Close>),
    CALL(stat, kWorker, "at once where the path is cached, else a worker", kLookAtPath),
    CALL(lstat, kWorker, "at once where the path is cached, else a worker", kLookAtLink),
    CALL(poll, kPark,
         "asks with a time-out of zero, then parks on all descriptors",
         kFit<PollMilliseconds>),
    CALL(lseek, kHere, "data and holes are looked for by a worker", kFit<Lseek>),
    CALL(mmap, kHere, "stacks of threads come from the arena", kFit<Mmap>),
    CALL(mprotect, kHere, "stacks of threads come from the arena", kFit<Mprotect>),
    CALL(munmap, kHere, "stacks of threads come from the arena", kFit<Munmap>),
    CALL(rt_sigaction, kHere,
         "handlers run in the user thread that a signal is for",
         kFit<RtSigaction>),
    CALL(rt_sigprocmask, kHere, "the mask is the user thread's", kFit<RtSigprocmask>),
    CALL(ioctl, kHere,
         "the mode that the program sees is remembered; what waits for a terminal or a disk is a worker's",
         &Ioctl),
    CALL(pread64, kWorker, "cached or read ahead, else a worker", kFit<Pread>),
    CALL(pwrite64, kWorker, "cached, else a worker", kFit<Pwrite>),
    CALL(readv, kPark,
         "sockets, pipes, terminals: the descriptor; files: cached or read ahead, else a worker",
         kFit<Readv>),
    CALL(writev, kPark,
         "sockets, pipes, terminals: the descriptor; files: cached, else a worker",
         kFit<Writev>),
    CALL(access, kWorker, "at once where the path is cached, else a worker", kLookAtPath),
    CALL(select, kPark,
         "asks with a time-out of zero, then parks on all descriptors",
         kFit<Select>),
    CALL(sched_yield, kHere, "lets the others run", kFit<SchedYield>),
    CALL(msync, kWorker, "writes to the disk", kDiskCall),
    CALL(madvise, kWorker, "reads and writes of pages by a worker", &Madvise),
    CALL(dup, kHere, "a copy of a descriptor has its mode", kFit<Dup>),
    CALL(dup2, kHere, "a copy of a descriptor has its mode", kFit<Dup2>),
    CALL(pause, kPark, "until a signal comes", kFit<Pause>),
    CALL(nanosleep, kPark, "until the time comes", kFit<Nanosleep>),
    CALL(sendfile, kWorker, "resident pages, and those read ahead, from here; else a worker", kFit<Sendfile>),
    CALL(socket, kHere, "how the socket is waited for is known from its beginning", kFit<Socket>),
    CALL(connect, kPark, "until the peer has answered", kFit<Connect>),
    CALL(accept, kPark, "connections are handed to parked threads", kFit<Accept>),
    CALL(sendto, kPark, "until there is room", kFit<Sendto>),
    CALL(recvfrom, kPark, "until there is data", kFit<Recvfrom>),
    CALL(sendmsg, kPark, "until there is room", kFit<Sendmsg>),
    CALL(recvmsg, kPark, "until there is data", kFit<Recvmsg>),
    CALL(shutdown, kHere, "wakes who waits on the socket", kFit<Shutdown>),
    CALL(bind, kHere, "a socket's file is made by a worker", kFit<Bind>),
    CALL(setsockopt, kHere, "time-outs are learnt", kFit<Setsockopt>),
    CALL(clone, kHere, "a thread becomes a user thread", &Clone),
    CALL(fork, kHere, "the child goes on with the calling thread", kFit<Fork>),
    CALL(vfork, kHere, "as fork: the child may not return over its parent's frames", kFit<Fork>),
    CALL(execve, kHere, "descriptors get the mode back that the program gave them", &Execute),
    CALL(exit, kHere, "ends the user thread", kFit<Exit>),
    CALL(wait4, kPark, "until the child's pidfd says that it ended", kFit<Wait4>),
    CALL(kill, kHere, "the id of a user thread stands for its process", kFit<Kill>),
    CALL(semop, kWorker, "tried, else a worker waits", kFit<Semop>),
    CALL(msgsnd, kWorker, "tried, else a worker waits", kFit<Msgsnd>),
    CALL(msgrcv, kWorker, "tried, else a worker waits", kFit<Msgrcv>),
    CALL(fcntl, kHere, "the mode that the program sees; waits for a lock on a worker", kFit<Fcntl>),
    CALL(flock, kWorker, "waits for a lock on a worker", kFit<Flock>),
    CALL(fsync, kWorker, "writes to the disk", kFit<Fsync>),
    CALL(fdatasync, kWorker, "writes to the disk", kFit<Fdatasync>),
    CALL(truncate, kWorker, "changes the file system", kChange),
    CALL(ftruncate, kWorker, "changes the file system", kChange),
    CALL(getdents, kWorker, "looks at the file system by a worker", kChange),
    CALL(chdir, kWorker, "at once where the path is cached, else a worker", kLookAtPath),
    CALL(rename, kWorker, "changes the file system", kChange),
    CALL(mkdir, kWorker, "changes the file system", kChange),
    CALL(rmdir, kWorker, "changes the file system", kChange),
    CALL(creat, kWorker, "as open", kFit<Creat>),
    CALL(link, kWorker, "changes the file system", kChange),
    CALL(unlink, kWorker, "changes the file system", kChange),
    CALL(symlink, kWorker, "changes the file system", kChange),
    CALL(readlink, kWorker, "at once where the path is cached, else a worker", kLookAtLink),
    CALL(chmod, kWorker, "changes the file system", kChange),
    CALL(fchmod, kWorker, "changes the file system", kChange),
    CALL(chown, kWorker, "changes the file system", kChange),
    CALL(fchown, kWorker, "changes the file system", kChange),
    CALL(lchown, kWorker, "changes the file system", kChange),
    CALL(syslog, kWorker, "the kernel log is waited for by a worker", kFit<Syslog>),
    CALL(setuid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setgid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setreuid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setregid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setgroups, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setresuid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setresgid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setfsuid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(setfsgid, kHere, "changes every kernel thread of the process", &OnEveryKernelThread),
    CALL(capget, kHere,
         "capabilities are those of every kernel thread of the process",
         kFit<Capget>),
    CALL(capset, kHere, "changes every kernel thread of the process", kFit<Capset>),
    CALL(rt_sigpending, kHere, "the mask is the user thread's", kFit<RtSigpending>),
    CALL(rt_sigtimedwait, kPark, "pending signals, else a signalfd", kFit<RtSigtimedwait>),
    CALL(rt_sigsuspend, kPark, "the mask is the user thread's", kFit<RtSigsuspend>),
    CALL(sigaltstack, kHere, "the user thread's stack for handlers", kFit<Sigaltstack>),
    CALL(utime, kWorker, "changes the file system", kChange),
    CALL(mknod, kWorker, "changes the file system", kChange),
    CALL(personality, kHere, "changes every kernel thread of the process", &Personality),
    CALL(statfs, kWorker, "looks at the file system by a worker", kChange),
    CALL(fstatfs, kWorker, "looks at the file system by a worker", kChange),
    CALL(getpriority, kHere,
         "acts on the kernel thread that runs the thread named",
         &Priority<PRIO_PROCESS>),
    CALL(setpriority, kHere,
         "acts on the kernel thread that runs the thread named",
         &Priority<PRIO_PROCESS>),
    CALL(sched_setparam, kHere, "each thread has its own", kFit<SchedSetparam>),
    CALL(sched_getparam, kHere, "each thread has its own", kFit<SchedGetparam>),
    CALL(sched_setscheduler, kHere, "each thread has its own", kFit<SchedSetscheduler>),
    CALL(sched_getscheduler, kHere, "each thread has its own", kFit<SchedGetscheduler>),
    CALL(sched_rr_get_interval, kHere,
         "acts on the kernel thread that runs the thread named",
         &OnKernelThreadOf<0>),
    CALL(mlock, kWorker, "reads pages in by a worker", kDiskCall),
    CALL(mlockall, kWorker, "reads pages in by a worker", kDiskCall),
    CALL(pivot_root, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(prctl, kHere,
         "names are the user thread's; what Linux keeps for each kernel thread is set on all",
         &Prctl),
    CALL(arch_prctl, kHere, "FS is the user thread's, GS is the runtime's", kFit<ArchPrctl>),
    CALL(chroot, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(sync, kWorker, "writes to the disk", kDiskCall),
    CALL(acct, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(mount, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(umount2, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(swapon, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(swapoff, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(reboot, kWorker, "modules and machines: by a worker", kChange),
    CALL(init_module, kWorker, "modules and machines: by a worker", kChange),
    CALL(delete_module, kWorker, "modules and machines: by a worker", kChange),
    CALL(quotactl, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(gettid, kHere, "the user thread's id", kFit<Gettid>),
    CALL(readahead, kWorker, "reads ahead by a worker", kDiskCall),
    CALL(setxattr, kWorker, "changes the file system", kChange),
    CALL(lsetxattr, kWorker, "changes the file system", kChange),
    CALL(fsetxattr, kWorker, "changes the file system", kChange),
    CALL(getxattr, kWorker, "at once where the path is cached, else a worker", kLookAtPath),
    CALL(lgetxattr, kWorker, "at once where the path is cached, else a worker", kLookAtLink),
    CALL(listxattr, kWorker, "at once where the path is cached, else a worker", kLookAtPath),
    CALL(llistxattr, kWorker, "at once where the path is cached, else a worker", kLookAtLink),
    CALL(removexattr, kWorker, "changes the file system", kChange),
    CALL(lremovexattr, kWorker, "changes the file system", kChange),
    CALL(fremovexattr, kWorker, "changes the file system", kChange),
    CALL(tkill, kHere, "signals the user thread", kFit<Tkill>),
    CALL(futex, kPark, "parks on the address; shared ones on a worker", kFit<Futex>),
    CALL(sched_setaffinity, kHere,
         "acts on the kernel thread that runs the thread named",
         kFit<Sched<SYS_sched_setaffinity>>),
    CALL(sched_getaffinity, kHere,
         "acts on the kernel thread that runs the thread named",
         kFit<Sched<SYS_sched_getaffinity>>),
    CALL(io_destroy, kWorker, "submitting may wait for the disk, ending waits for it", kDiskCall),
    CALL(io_getevents, kWorker, "what is complete at once, else a worker waits", kFit<IoGetevents>),
    CALL(io_submit, kWorker, "submitting may wait for the disk, ending waits for it", kDiskCall),
    CALL(getdents64, kWorker, "looks at the file system by a worker", kChange),
    CALL(set_tid_address, kHere, "the user thread's id", kFit<SetTidAddress>),
    CALL(semtimedop, kWorker, "tried, else a worker waits", kFit<Semtimedop>),
    CALL(fadvise64, kWorker, "reads ahead by a worker", kFit<Fadvise64>),
    CALL(timer_create, kHere, "timers that signal a user thread", kFit<TimerCreate>),
    CALL(timer_delete, kHere, "timers that signal a user thread", kFit<TimerDelete>),
    CALL(clock_gettime, kHere, "CPU clocks of threads count their time on the scheduler",
         kFit<ClockGettime>),
    CALL(clock_getres, kHere, "CPU clocks of threads are known", kFit<ClockGetres>),
    CALL(clock_nanosleep, kPark, "until the time comes", kFit<ClockNanosleep>),
    CALL(exit_group, kHere, "reports what was asked for, then ends the process", kFit<ExitGroup>),
    CALL(epoll_wait, kPark,
         "the program's epoll is itself waited for",
         kFit<EpollWaitMilliseconds>),
    CALL(tgkill, kHere, "signals the user thread", kFit<Tgkill>),
    CALL(utimes, kWorker, "changes the file system", kChange),
    CALL(mq_timedsend, kWorker, "tried, else a worker waits", kFit<MqTimedsend>),
    CALL(mq_timedreceive, kWorker, "tried, else a worker waits", kFit<MqTimedreceive>),
    CALL(kexec_load, kWorker, "modules and machines: by a worker", kChange),
    CALL(waitid, kPark, "until the child's pidfd says that it ended", kFit<Waitid>),
    CALL(ioprio_set, kHere,
         "acts on the kernel thread that runs the thread named",
         &Priority<kIoprioWhoProcess>),
    CALL(ioprio_get, kHere,
         "acts on the kernel thread that runs the thread named",
         &Priority<kIoprioWhoProcess>),
    CALL(inotify_add_watch, kWorker,
         "at once where the path is cached, else a worker",
         kLookAtSecond),
    CALL(openat, kWorker, "cached, else a worker", kFit<Openat>),
    CALL(mkdirat, kWorker, "changes the file system", kChange),
    CALL(mknodat, kWorker, "changes the file system", kChange),
    CALL(fchownat, kWorker, "changes the file system", kChange),
    CALL(futimesat, kWorker, "changes the file system", kChange),
    CALL(newfstatat, kWorker,
         "at once where the path is cached, else a worker",
         kLookInFlagsFourth),
    CALL(unlinkat, kWorker, "changes the file system", kChange),
    CALL(renameat, kWorker, "changes the file system", kChange),
    CALL(linkat, kWorker, "changes the file system", kChange),
    CALL(symlinkat, kWorker, "changes the file system", kChange),
    CALL(readlinkat, kWorker, "at once where the path is cached, else a worker", kLookInLink),
    CALL(fchmodat, kWorker, "changes the file system", kChange),
    CALL(faccessat, kWorker, "at once where the path is cached, else a worker", kLookIn),
    CALL(pselect6, kPark,
         "asks with a time-out of zero, then parks on all descriptors",
         kFit<Pselect6>),
    CALL(ppoll, kPark, "asks with a time-out of zero, then parks on all descriptors", kFit<Ppoll>),
    CALL(unshare, kHere, "changes the scheduler's kernel thread; workers follow", &Unshare),
    CALL(set_robust_list, kHere, "kept for the user thread", kFit<SetRobustList>),
    CALL(get_robust_list, kHere, "kept for the user thread", kFit<GetRobustList>),
    CALL(splice, kWorker, "pipes and sockets are waited for, files are a worker's", kFit<Splice>),
    CALL(tee, kPark, "both pipes are waited for", kFit<Tee>),
    CALL(sync_file_range, kWorker, "writes to the disk", kDiskCall),
    CALL(vmsplice, kPark, "until the pipe has room, or data", kFit<Vmsplice>),
    CALL(utimensat, kWorker, "changes the file system", kChange),
    CALL(epoll_pwait, kPark, "the program's epoll is itself waited for", kFit<EpollPwait>),
    CALL(fallocate, kWorker, "changes the file system", kChange),
    CALL(accept4, kPark, "connections are handed to parked threads", kFit<Accept4>),
    CALL(dup3, kHere, "a copy of a descriptor has its mode", kFit<Dup3Flags>),
    CALL(preadv, kWorker, "cached or read ahead, else a worker", kFit<Preadv>),
    CALL(pwritev, kWorker, "cached, else a worker", kFit<Pwritev>),
    CALL(rt_tgsigqueueinfo, kHere, "signals the user thread", kFit<Tgsigqueueinfo>),
    CALL(recvmmsg, kPark, "until there is data", kFit<Recvmmsg>),
    CALL(fanotify_mark, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(prlimit64, kHere, "address space reserved for stacks does not count", &Prlimit),
    CALL(getrlimit, kHere, "address space reserved for stacks does not count", kFit<Getrlimit>),
    CALL(setrlimit, kHere, "address space reserved for stacks does not count", kFit<Setrlimit>),
    CALL(name_to_handle_at, kWorker,
         "at once where the path is cached, else a worker",
         kLookInFlagsFifth),
    CALL(open_by_handle_at, kWorker, "looks a handle up by a worker", kChange),
    CALL(syncfs, kWorker, "writes to the disk", kDiskCall),
    CALL(sendmmsg, kPark, "until there is room", kFit<Sendmmsg>),
    CALL(setns, kHere, "changes the scheduler's kernel thread; workers follow", &Setns),
    CALL(finit_module, kWorker, "modules and machines: by a worker", kChange),
    CALL(sched_setattr, kHere,
         "acts on the kernel thread that runs the thread named",
         &OnKernelThreadOf<0>),
    CALL(sched_getattr, kHere,
         "acts on the kernel thread that runs the thread named",
         &OnKernelThreadOf<0>),
    CALL(renameat2, kWorker, "changes the file system", kChange),
    CALL(seccomp, kHere, "changes every kernel thread of the process", kFit<Seccomp>),
    CALL(getrandom, kWorker,
         "at once, but before the machine has gathered randomness",
         kFit<Getrandom>),
    CALL(kexec_file_load, kWorker, "modules and machines: by a worker", kChange),
    CALL(execveat, kHere, "descriptors get the mode back that the program gave them", &Execute),
    CALL(mlock2, kWorker, "reads pages in by a worker", kDiskCall),
    CALL(copy_file_range, kWorker, "copies by a worker", kDiskCall),
    CALL(preadv2, kWorker, "cached or read ahead, else a worker", &Preadv2),
    CALL(pwritev2, kWorker, "cached, else a worker", &Pwritev2),
    CALL(statx, kWorker, "at once where the path is cached, else a worker", kLookInFlagsThird),
    CALL(io_pgetevents, kWorker,
         "what is complete at once, else a worker waits",
         kFit<IoPgetevents>),
    CALL(rseq, kHere, "libc is told to ask for the processor", kFit<Rseq>),
    CALL(io_uring_setup, kHere,
         "rings that only this kernel thread could name are refused",
         kFit<IoUringSetup>),
    CALL(io_uring_enter, kPark, "submits, then parks on the ring", kFit<IoUringEnter>),
    CALL(io_uring_register, kHere,
         "rings that only this kernel thread could name are refused",
         kFit<IoUringRegister>),
    CALL(open_tree, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(move_mount, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(fsopen, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(fsconfig, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(fsmount, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(fspick, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(clone3, kHere, "a thread becomes a user thread", &Clone3),
    CALL(close_range, kHere, "who waits keeps the file", kFit<CloseRange>),
    CALL(openat2, kWorker, "cached, else a worker", kFit<Openat2>),
    CALL(faccessat2, kWorker,
         "at once where the path is cached, else a worker",
         kLookInFlagsFourth),
    CALL(epoll_pwait2, kPark, "the program's epoll is itself waited for", kFit<EpollPwait2>),
    CALL(mount_setattr, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(quotactl_fd, kWorker, "mounts, quotas, swap: by a worker", kChange),
    CALL(landlock_restrict_self, kHere,
         "changes every kernel thread of the process",
         &OnEveryKernelThread),
    {452, "fchmodat2", kWorker, "changes the file system", kChange},
    {457, "statmount", kWorker, "looks at the file system by a worker", kChange},
    {463, "setxattrat", kWorker, "changes the file system", kChange},
    {464, "getxattrat", kWorker, "looks at the file system by a worker", kChange},
    {465, "listxattrat", kWorker, "looks at the file system by a worker", kChange},
    {466, "removexattrat", kWorker, "changes the file system", kChange},
    {467, "open_tree_attr", kWorker, "mounts, quotas, swap: by a worker", kChange},
    {468, "file_getattr", kWorker, "looks at the file system by a worker", kChange},
    {469, "file_setattr", kWorker, "changes the file system", kChange},
};
#undef CALL
// clang-format on

constexpr NumberIndex kIndex(kTable);

}  // namespace

const TableEntry* TableBegin() { return kTable; }
const TableEntry* TableEnd() { return kTable + sizeof kTable / sizeof kTable[0]; }

const TableEntry* FindCall(long nr) { return kIndex.Find(kTable, nr); }

bool TableWants(long nr) { return FindCall(nr) != nullptr; }

Answer AnswerOf(long nr) {
  if (const TableEntry* entry = FindCall(nr)) return entry->answer;
  const PassedCall* call = FindPassed(nr);
  return call == nullptr ? Answer::kMayBlock : call->answer;
}

const char* CallName(long nr) {
  if (const TableEntry* entry = FindCall(nr)) return entry->name;
  const PassedCall* call = FindPassed(nr);
  return call == nullptr ? "unknown" : call->name;
}

long Dispatch(Scheduler* scheduler, Registers* r) {
  const TableEntry* entry = FindCall(static_cast<long>(r->rax));
  return entry != nullptr ? entry->handler(scheduler, r) : Pass(r);
}

namespace {

// A kernel thread that is no scheduler, or the child of a vfork: plain Linux (W2).
long Foreign(Registers* r) {
  if (r->rax == SYS_futex) {
    return ForeignFutex(reinterpret_cast<uint32_t*>(r->rdi), static_cast<int>(r->rsi),
                        static_cast<uint32_t>(r->rdx),
                        reinterpret_cast<const struct timespec*>(r->r10),
                        reinterpret_cast<uint32_t*>(r->r8), static_cast<uint32_t>(r->r9));
  }
  bool clones = r->rax == SYS_clone3 || r->rax == SYS_clone || r->rax == SYS_vfork;
  if (clones) {
    // The child returns on another stack, or over this one: it must not come back through these
    // frames.
    Registers child = *r;
    if (r->rax == SYS_clone3) {
      const auto* args = reinterpret_cast<const uint64_t*>(r->rdi);
      if (args[5] != 0) child.rsp = args[5] + args[6];
    } else if (r->rax == SYS_clone && r->rsi != 0) {
      child.rsp = r->rsi;
    } else if (r->rax == SYS_vfork) {
      return RawSyscall(SYS_fork);
    }
    return bobbin_clone_with_registers(static_cast<long>(r->rax), r, &child);
  }
  return CallHere(*r);
}

}  // namespace

extern "C" long bobbin_enter_from_text(Registers* registers) {
  Scheduler* scheduler = Scheduler::Current();
  if (__builtin_expect(scheduler == nullptr, 0)) return Foreign(registers);
  return Dispatch(scheduler, registers);
}

}  // namespace bobbin
