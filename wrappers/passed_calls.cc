#include "wrappers/passed_calls.h"

#include "wrappers/audit.h"
#include "wrappers/number_index.h"

namespace bobbin {

namespace {

constexpr Answer kPassed = Answer::kPassed, kMayBlock = Answer::kMayBlock,
                 kRefused = Answer::kRefused;

// clang-format off
constexpr PassedCall kCalls[] = {
    {5, kPassed, 0, "fstat", "answers from the inode in memory"},
    {12, kPassed, 0, "brk", "changes the address space"},
    {15, kPassed, 0, "rt_sigreturn",
     "the end of a signal handler: the kernel restores what it saved"},
    {22, kPassed, 0, "pipe", "makes descriptors"},
    {25, kPassed, 0, "mremap", "changes the address space"},
    {27, kPassed, 0, "mincore", "looks at page tables"},
    {29, kPassed, 0, "shmget", "makes a System V object"},
    {30, kPassed, 0, "shmat", "changes the address space"},
    {31, kPassed, 0, "shmctl", "reads or sets a System V object"},
    {36, kPassed, 0, "getitimer", "timers of the process"},
    {37, kPassed, 0, "alarm", "timers of the process"},
    {38, kPassed, 0, "setitimer", "timers of the process"},
    {39, kPassed, 0, "getpid", "the process's"},
    {50, kPassed, 0, "listen", "a socket's addresses and options"},
    {51, kPassed, 0, "getsockname", "a socket's addresses and options"},
    {52, kPassed, 0, "getpeername", "a socket's addresses and options"},
    {53, kPassed, 0, "socketpair", "makes descriptors"},
    {55, kPassed, 0, "getsockopt", "a socket's addresses and options"},
    {63, kPassed, 0, "uname", "tells about the machine"},
    {64, kPassed, 0, "semget", "makes a System V object"},
    {66, kPassed, 0, "semctl", "reads or sets a System V object"},
    {67, kPassed, 0, "shmdt", "changes the address space"},
    {68, kPassed, 0, "msgget", "makes a System V object"},
    {71, kPassed, 0, "msgctl", "reads or sets a System V object"},
    {79, kPassed, 0, "getcwd", "the process's"},
    {81, kPassed, 0, "fchdir", "moves to another directory that is open"},
    {95, kPassed, 0, "umask", "the process's"},
    {96, kPassed, 0, "gettimeofday", "reads or sets clocks"},
    {98, kPassed, 0, "getrusage",
     "counts for the kernel thread, that is for the scheduler, where it is asked about a thread"},
    {99, kPassed, 0, "sysinfo", "tells about the machine"},
    {100, kPassed, 0, "times", "the process's"},
    {101, kPassed, 0, "ptrace", "acts at once; tracer and tracee meet in wait4"},
    {102, kPassed, 0, "getuid", "credentials are those of every kernel thread of the process"},
    {104, kPassed, 0, "getgid", "credentials are those of every kernel thread of the process"},
    {107, kPassed, 0, "geteuid", "credentials are those of every kernel thread of the process"},
    {108, kPassed, 0, "getegid", "credentials are those of every kernel thread of the process"},
    {109, kPassed, 0, "setpgid", "the process's"},
    {110, kPassed, 0, "getppid", "the process's"},
    {111, kPassed, 0, "getpgrp", "the process's"},
    {112, kPassed, 0, "setsid", "the process's"},
    {115, kPassed, 0, "getgroups", "credentials are those of every kernel thread of the process"},
    {118, kPassed, 0, "getresuid", "credentials are those of every kernel thread of the process"},
    {120, kPassed, 0, "getresgid", "credentials are those of every kernel thread of the process"},
    {121, kPassed, 0, "getpgid", "the process's"},
    {124, kPassed, 0, "getsid", "the process's"},
    {129, kPassed, 0, "rt_sigqueueinfo", "queues a signal for a process"},
    {134, kPassed, 0, "uselib", "system calls that Linux no longer has (ENOSYS)"},
    {136, kPassed, 0, "ustat", "tells about the machine"},
    {139, kPassed, 0, "sysfs", "tells about the machine"},
    {146, kPassed, 0, "sched_get_priority_max", "tells about the machine"},
    {147, kPassed, 0, "sched_get_priority_min", "tells about the machine"},
    {150, kPassed, 0, "munlock", "unlocks pages"},
    {152, kPassed, 0, "munlockall", "unlocks pages"},
    {153, kPassed, 0, "vhangup", "hangs up a terminal"},
    {154, kPassed, 0, "modify_ldt", "of the kernel thread, that is of its scheduler's threads"},
    {156, kPassed, 0, "_sysctl", "system calls that Linux no longer has (ENOSYS)"},
    {159, kPassed, 0, "adjtimex", "reads or sets clocks"},
    {164, kPassed, 0, "settimeofday", "reads or sets clocks"},
    {170, kPassed, 0, "sethostname", "sets what the machine says of itself"},
    {171, kPassed, 0, "setdomainname", "sets what the machine says of itself"},
    {172, kPassed, 0, "iopl", "of the kernel thread, that is of its scheduler's threads"},
    {173, kPassed, 0, "ioperm", "of the kernel thread, that is of its scheduler's threads"},
    {174, kPassed, 0, "create_module", "system calls that Linux no longer has (ENOSYS)"},
    {177, kPassed, 0, "get_kernel_syms", "system calls that Linux no longer has (ENOSYS)"},
    {178, kPassed, 0, "query_module", "system calls that Linux no longer has (ENOSYS)"},
    {180, kPassed, 0, "nfsservctl", "system calls that Linux no longer has (ENOSYS)"},
    {181, kPassed, 0, "getpmsg", "system calls that Linux no longer has (ENOSYS)"},
    {182, kPassed, 0, "putpmsg", "system calls that Linux no longer has (ENOSYS)"},
    {183, kPassed, 0, "afs_syscall", "system calls that Linux no longer has (ENOSYS)"},
    {184, kPassed, 0, "tuxcall", "system calls that Linux no longer has (ENOSYS)"},
    {185, kPassed, 0, "security", "system calls that Linux no longer has (ENOSYS)"},
    {193, kPassed, 0, "fgetxattr", "reads attributes of an open file"},
    {196, kPassed, 0, "flistxattr", "reads attributes of an open file"},
    {201, kPassed, 0, "time", "reads or sets clocks"},
    {205, kPassed, 0, "set_thread_area",
     "of the kernel thread, that is of its scheduler's threads"},
    {206, kPassed, 0, "io_setup",
     "queues or cancels; what is queued is waited for by io_getevents"},
    {210, kPassed, 0, "io_cancel",
     "queues or cancels; what is queued is waited for by io_getevents"},
    {211, kPassed, 0, "get_thread_area",
     "of the kernel thread, that is of its scheduler's threads"},
    {212, kPassed, 0, "lookup_dcookie", "tells about the machine"},
    {213, kPassed, 0, "epoll_create", "makes descriptors"},
    {214, kPassed, 0, "epoll_ctl_old", "system calls that Linux no longer has (ENOSYS)"},
    {215, kPassed, 0, "epoll_wait_old", "system calls that Linux no longer has (ENOSYS)"},
    {216, kPassed, 0, "remap_file_pages", "changes the address space"},
    {219, kPassed, 0, "restart_syscall",
     "only the kernel makes it, to go on with what a signal interrupted"},
    {223, kPassed, 0, "timer_settime", "timers of the process"},
    {224, kPassed, 0, "timer_gettime", "timers of the process"},
    {225, kPassed, 0, "timer_getoverrun", "timers of the process"},
    {227, kPassed, 0, "clock_settime", "reads or sets clocks"},
    {233, kPassed, 0, "epoll_ctl", "changes a set that poll looks at"},
    {236, kPassed, 0, "vserver", "system calls that Linux no longer has (ENOSYS)"},
    {237, kPassed, 0, "mbind", "of the kernel thread, that is of its scheduler's threads"},
    {238, kPassed, 0, "set_mempolicy", "of the kernel thread, that is of its scheduler's threads"},
    {239, kPassed, 0, "get_mempolicy", "of the kernel thread, that is of its scheduler's threads"},
    {240, kPassed, 0, "mq_open", "makes descriptors"},
    {241, kPassed, 0, "mq_unlink", "removes a name of a queue"},
    {244, kPassed, 0, "mq_notify", "registers or forgets a notice of a queue"},
    {245, kPassed, 0, "mq_getsetattr", "reads or sets attributes of a queue"},
    {248, kPassed, 0, "add_key", "keys from memory"},
    {249, kMayBlock, 0, "request_key", "the kernel asks a program in user space for the key"},
    {250, kPassed, 0, "keyctl", "keys from memory"},
    {253, kPassed, 0, "inotify_init", "makes descriptors"},
    {255, kPassed, 0, "inotify_rm_watch", "forgets a watch"},
    {256, kPassed, 0, "migrate_pages", "moves pages between memory nodes: computes"},
    {279, kPassed, 0, "move_pages", "moves pages between memory nodes: computes"},
    {282, kPassed, 0, "signalfd", "makes descriptors"},
    {283, kPassed, 0, "timerfd_create", "makes descriptors"},
    {284, kPassed, 0, "eventfd", "makes descriptors"},
    {286, kPassed, 0, "timerfd_settime", "timers of the process"},
    {287, kPassed, 0, "timerfd_gettime", "timers of the process"},
    {289, kPassed, 0, "signalfd4", "makes descriptors"},
    {290, kPassed, 0, "eventfd2", "makes descriptors"},
    {291, kPassed, 0, "epoll_create1", "makes descriptors"},
    {293, kPassed, 0, "pipe2", "makes descriptors"},
    {294, kPassed, 0, "inotify_init1", "makes descriptors"},
    {298, kPassed, 0, "perf_event_open",
     "a descriptor for counters; reading them waits for nobody"},
    {300, kPassed, 0, "fanotify_init", "makes descriptors"},
    {305, kPassed, 0, "clock_adjtime", "reads or sets clocks"},
    {309, kPassed, 0, "getcpu", "tells about the machine"},
    {310, kPassed, 0, "process_vm_readv", "copies between address spaces: computes"},
    {311, kPassed, 0, "process_vm_writev", "copies between address spaces: computes"},
    {312, kPassed, 0, "kcmp", "the process's"},
    {319, kPassed, 0, "memfd_create", "makes descriptors"},
    {321, kPassed, 0, "bpf", "loads and asks programs: computes"},
    {323, kMayBlock, 0, "userfaultfd",
     "a page fault that it reports stops the scheduler of the thread that faulted until it is served: serve it from another process"},
    {324, kPassed, 0, "membarrier", "affects every kernel thread"},
    {329, kPassed, 0, "pkey_mprotect", "changes the address space"},
    {330, kPassed, 0, "pkey_alloc", "changes the address space"},
    {331, kPassed, 0, "pkey_free", "changes the address space"},
    {424, kPassed, 0, "pidfd_send_signal", "queues a signal for a process"},
    {434, kPassed, 0, "pidfd_open", "a descriptor for a process"},
    {438, kPassed, 0, "pidfd_getfd", "makes descriptors"},
    {440, kPassed, 0, "process_madvise", "the process's"},
    {444, kPassed, 0, "landlock_create_ruleset", "makes a set of rules"},
    {445, kPassed, 0, "landlock_add_rule", "makes a set of rules"},
    {447, kPassed, 0, "memfd_secret", "makes descriptors"},
    {448, kPassed, 0, "process_mrelease", "the process's"},
    {449, kRefused, ENOSYS, "futex_waitv",
     "waits on several words at once: libc 2.36 does without"},
    {450, kPassed, 0, "set_mempolicy_home_node",
     "of the kernel thread, that is of its scheduler's threads"},
    {451, kPassed, 0, "cachestat", "looks at cached pages"},
    {453, kPassed, 0, "map_shadow_stack", "changes the address space"},
    {454, kRefused, ENOSYS, "futex_wake", "the newer form of futex: programs fall back to futex"},
    {455, kRefused, ENOSYS, "futex_wait", "the newer form of futex: programs fall back to futex"},
    {456, kRefused, ENOSYS, "futex_requeue",
     "the newer form of futex: programs fall back to futex"},
    {458, kPassed, 0, "listmount", "lists mounts from memory"},
    {459, kPassed, 0, "lsm_get_self_attr", "names Linux security modules"},
    {460, kPassed, 0, "lsm_set_self_attr", "names Linux security modules"},
    {461, kPassed, 0, "lsm_list_modules", "names Linux security modules"},
    {462, kPassed, 0, "mseal", "changes the address space"},
};
// clang-format on

constexpr NumberIndex kIndex(kCalls);

}  // namespace

const PassedCall* PassedBegin() { return kCalls; }
const PassedCall* PassedEnd() { return kCalls + sizeof kCalls / sizeof kCalls[0]; }

const PassedCall* FindPassed(long nr) { return kIndex.Find(kCalls, nr); }

long Pass(const Registers* r) {
  const PassedCall* call = FindPassed(static_cast<long>(r->rax));
  if (__builtin_expect(runtime().run.audit, 0)) NotePassed(static_cast<long>(r->rax));
  if (call == nullptr || call->answer == kMayBlock) {
    MayBlock(call == nullptr ? "a system call newer than this library" : call->name);
  } else if (call->answer == kRefused) {
    return -call->error;
  }
  return RawSyscall6(static_cast<long>(r->rax), static_cast<long>(r->rdi),
                     static_cast<long>(r->rsi), static_cast<long>(r->rdx),
                     static_cast<long>(r->r10), static_cast<long>(r->r8), static_cast<long>(r->r9));
}

void FillPassedDirectly() {
  if (runtime().run.audit) return;
  for (const PassedCall& call : kCalls) {
    bobbin_passed_directly[call.nr] =
        call.answer == kPassed || (call.answer == kMayBlock && !runtime().run.strict);
  }
}

void DieStrict(const char* call) {
  Warn("BOBBIN_STRICT: this call may hold up every thread of its scheduler:");
  Warn(call);
  WriteBacktrace(2);
  Die("aborting");
}

}  // namespace bobbin
