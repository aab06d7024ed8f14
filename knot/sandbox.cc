#include "knot/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace knot {
namespace {

// From linux/landlock.h, which may be older than the kernel.
struct RulesetAttributes {
  uint64_t files;
  uint64_t network;  // from version 4 on
  uint64_t scoped;   // from version 6 on
};
struct PathAttributes {
  uint64_t allowed;
  int32_t descriptor;
} __attribute__((packed));
constexpr uint32_t kVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int kPathBeneath = 1;   // LANDLOCK_RULE_PATH_BENEATH
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3,
                   kRemoveFile = 1 << 5, kMakeRegular = 1 << 8, kRefer = 1 << 13,
                   kTruncate = 1 << 14, kDeviceIoctl = 1 << 15;
constexpr uint64_t kChanges = kWriteFile | 0x1ff0;  // writing, removing and making, of all kinds
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kDeviceIoctl;
constexpr uint64_t kNetwork = 3;  // bind and connect, of TCP
constexpr uint64_t kScoped = 3;   // abstract unix sockets, signals

// Returns: what this version of Landlock knows of the rights that are to be refused.
RulesetAttributes Refused(bool strict, int version) {
  RulesetAttributes attributes{};
  attributes.files = kChanges;
  if (version >= 2) attributes.files |= kRefer;
  if (version >= 3) attributes.files |= kTruncate;
  if (!strict) return attributes;
  attributes.files |= kExecute | kReadFile | kReadDir;
  if (version >= 5) attributes.files |= kDeviceIoctl;
  if (version >= 4) attributes.network = kNetwork;
  if (version >= 6) attributes.scoped = kScoped;
  return attributes;
}

// A path that is not there has nothing to be reached.
bool Allow(int ruleset, const std::string& path, uint64_t rights) {
  int descriptor = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0) return true;
  struct stat status;
  bool directory = fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
  PathAttributes rule{directory ? rights : rights & kOfFiles, descriptor};
  bool done =
      rule.allowed == 0 || syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &rule, 0) == 0;
  close(descriptor);
  return done;
}

absl::Status NoLandlock(int error) {
  return absl::ErrnoToStatus(error, "--sandbox=on: the kernel's Landlock cannot be used");
}

}  // namespace

absl::Status RestrictFiles(Sandbox sandbox, const Reachable& reachable) {
  if (sandbox == Sandbox::kOff) return absl::OkStatus();
  bool strict = sandbox == Sandbox::kOn;
  auto version = static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersion));
  if (version < 1) return strict ? NoLandlock(errno) : absl::OkStatus();
  RulesetAttributes refused = Refused(strict, version);
  size_t size = version >= 6 ? sizeof refused : version >= 4 ? 16 : 8;
  auto ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &refused, size, 0));
  if (ruleset < 0) return strict ? NoLandlock(errno) : absl::OkStatus();
  bool done = true;
  for (const std::string& path : reachable.read) {
    done = done && Allow(ruleset, path, refused.files & (kReadFile | kReadDir));
  }
  for (const std::string& path : reachable.write) {
    uint64_t rights = kWriteFile | kTruncate | kMakeRegular | kRemoveFile | kReadFile | kReadDir |
                      1 << 9 /* making sockets */;
    done = done && Allow(ruleset, path, refused.files & rights);
  }
  done = done && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  int error = errno;
  close(ruleset);
  return done || !strict ? absl::OkStatus() : NoLandlock(error);
}

namespace {

// Of use to who wants more than a server does: other processes, programs, mounts, modules, keys,
// the kernel's own interfaces, connections to elsewhere.
constexpr uint32_t kRefusedCalls[] = {
    SYS_acct,
    SYS_add_key,
    SYS_bpf,
    SYS_chroot,
    SYS_clock_settime,
    SYS_connect,
    SYS_delete_module,
    SYS_execve,
    SYS_execveat,
    SYS_finit_module,
    SYS_fork,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_init_module,
    SYS_ioperm,
    SYS_iopl,
    SYS_kexec_file_load,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_mount,
    SYS_move_mount,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_perf_event_open,
    SYS_pidfd_getfd,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vfork,
    SYS_vhangup,
};
constexpr size_t kCalls = std::size(kRefusedCalls);
constexpr uint32_t kFirstOfX32 = 0x40000000;  // the same calls once more, by other numbers

}  // namespace

absl::Status RestrictCalls() {
  constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
  constexpr size_t kHead = 5;
  static_assert(kCalls < 250, "a jump is of one byte");
  sock_filter filter[kHead + kCalls + 2] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      // Calls of other processors' programs are refused all.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstOfX32, kCalls + 1, 0),
  };
  for (size_t i = 0; i < kCalls; ++i) {
    auto to_end = static_cast<uint8_t>(kCalls - i);
    filter[kHead + i] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRefusedCalls[i], to_end, 0);
  }
  filter[kHead + kCalls] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[kHead + kCalls + 1] = BPF_STMT(BPF_RET | BPF_K, kRefuse);
  sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, "--sandbox=on: the kernel's seccomp cannot be used");
}

}  // namespace knot
