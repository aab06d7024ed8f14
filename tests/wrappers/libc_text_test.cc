// Patching this process's libc: what is covered, what is left alone, and that it can be taken back.
#include "wrappers/ways_in/libc_text.h"

#include <gnu/libc-version.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tests/wrappers/pass_through.h"

namespace bobbin {
namespace {

// What the table needs of libc, wherever it stands.
const std::set<long> kNeeded = {SYS_futex,
                                SYS_read,
                                SYS_write,
                                SYS_close,
                                SYS_poll,
                                SYS_mmap,
                                SYS_mprotect,
                                SYS_munmap,
                                SYS_madvise,
                                SYS_rt_sigaction,
                                SYS_rt_sigprocmask,
                                SYS_readv,
                                SYS_writev,
                                SYS_select,
                                SYS_sched_yield,
                                SYS_pause,
                                SYS_nanosleep,
                                SYS_sendfile,
                                SYS_socket,
                                SYS_socketpair,
                                SYS_connect,
                                SYS_accept,
                                SYS_accept4,
                                SYS_sendto,
                                SYS_recvfrom,
                                SYS_sendmsg,
                                SYS_recvmsg,
                                SYS_recvmmsg,
                                SYS_sendmmsg,
                                SYS_clone,
                                SYS_clone3,
                                SYS_fork,
                                SYS_vfork,
                                SYS_exit,
                                SYS_wait4,
                                SYS_waitid,
                                SYS_fcntl,
                                SYS_dup,
                                SYS_dup2,
                                SYS_dup3,
                                SYS_pipe,
                                SYS_pipe2,
                                SYS_rt_sigtimedwait,
                                SYS_rt_sigsuspend,
                                SYS_rt_sigpending,
                                SYS_gettid,
                                SYS_tkill,
                                SYS_tgkill,
                                SYS_set_tid_address,
                                SYS_clock_nanosleep,
                                SYS_epoll_wait,
                                SYS_epoll_pwait,
                                SYS_epoll_create1,
                                SYS_ppoll,
                                SYS_pselect6,
                                SYS_set_robust_list,
                                SYS_rseq,
                                SYS_open,
                                SYS_openat,
                                SYS_openat2,
                                SYS_fsync,
                                SYS_fdatasync,
                                SYS_pread64,
                                SYS_pwrite64,
                                SYS_preadv,
                                SYS_pwritev,
                                SYS_getdents64,
                                SYS_flock,
                                SYS_splice,
                                SYS_tee,
                                SYS_close_range,
                                SYS_sigaltstack,
                                SYS_prctl,
                                SYS_ioctl,
                                SYS_execve};

bool IsNeeded(long nr) { return kNeeded.count(nr) != 0; }
bool WantAll(long) { return true; }
bool WantNone(long) { return false; }

bool IsTestedLibc() { return std::string(gnu_get_libc_version()) == "2.36"; }

std::vector<SystemCallSite> Sites() {
  std::vector<SystemCallSite> sites;
  ForEachLibcSite([](const SystemCallSite& site,
                     void* to) { static_cast<std::vector<SystemCallSite>*>(to)->push_back(site); },
                  &sites);
  return sites;
}

std::string TextOfLibc() {
  std::string text;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        if (strstr(info->dlpi_name, "libc.so.6") == nullptr) return 0;
        for (int n = 0; n < info->dlpi_phnum; n++) {
          const auto& header = info->dlpi_phdr[n];
          if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
          static_cast<std::string*>(to)->assign(
              reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr), header.p_memsz);
        }
        return 1;
      },
      &text);
  return text;
}

int MappingsOfText(const char* permissions) {
  FILE* maps = fopen("/proc/self/maps", "r");
  char line[512];
  int found = 0;
  while (fgets(line, sizeof(line), maps) != nullptr) {
    found += strstr(line, "libc.so.6") != nullptr && strstr(line, permissions) != nullptr;
  }
  fclose(maps);
  return found;
}

class LibcText : public testing::Test {
 protected:
  void TearDown() override { RestoreLibcText(); }
};

TEST_F(LibcText, NoSiteThatIsNeededIsLeftAlone) {
  const LibcTextReport report = PatchLibcText(IsNeeded);
  ASSERT_STREQ(report.error, "");
  EXPECT_EQ(report.sites, report.patched + report.skipped + report.unknown);
  std::set<long> seen;
  for (const SystemCallSite& site : Sites()) {
    if (site.status == SiteStatus::kPatched) seen.insert(site.nr);
    if (site.status != SiteStatus::kUnknown) continue;
    const bool asked =
        IsTestedLibc() || site.nr == SYS_futex || site.nr == SYS_clone3 || site.nr == SYS_exit;
    EXPECT_FALSE(asked) << "site of call " << site.nr << " at " << std::hex << site.address;
  }
  for (long nr : {SYS_futex, SYS_clone3, SYS_exit}) EXPECT_TRUE(seen.count(nr)) << nr;
  if (!IsTestedLibc()) return;
  EXPECT_EQ(report.unknown, 0);
  for (long nr : kNeeded) {
    // Calls that libc 2.36 makes by another number, or leaves to the dynamic linker or the program.
    const std::set<long> absent = {SYS_openat2, SYS_nanosleep, SYS_fork,  SYS_open,
                                   SYS_pipe,    SYS_select,    SYS_tkill, SYS_set_tid_address};
    EXPECT_TRUE(seen.count(nr) || absent.count(nr)) << "no site of call " << nr;
  }
}

TEST_F(LibcText, EverySiteButTheSignalRestorerCanBePatched) {
  const LibcTextReport report = PatchLibcText(WantAll);
  ASSERT_STREQ(report.error, "");
  for (const SystemCallSite& site : Sites()) {
    if (site.status == SiteStatus::kPatched) continue;
    EXPECT_TRUE(site.nr == SYS_rt_sigreturn || !IsTestedLibc()) << std::hex << site.address;
  }
}

TEST_F(LibcText, TheSignalRestorerKeepsItsBytes) {
  PatchLibcText(WantAll);
  int restorers = 0;
  for (const SystemCallSite& site : Sites()) {
    if (site.nr != SYS_rt_sigreturn) continue;
    restorers++;
    EXPECT_EQ(site.status, SiteStatus::kSkipped);
    EXPECT_EQ(memcmp(reinterpret_cast<char*>(site.address - 7),
                     "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9),
              0);
  }
  EXPECT_EQ(restorers, 1);
}

TEST_F(LibcText, CallsWhoseNumberIsVisibleAndUnwantedAreSkipped) {
  const LibcTextReport report = PatchLibcText(WantNone);
  ASSERT_STREQ(report.error, "");
  EXPECT_GT(report.skipped, report.patched);
  const long before = PassThroughCount(SYS_getppid);
  getppid();
  EXPECT_EQ(PassThroughCount(SYS_getppid), before);
  syscall(SYS_getppid);  // the number is the caller's
  EXPECT_EQ(PassThroughCount(SYS_getppid), before + 1);
}

TEST_F(LibcText, RestoringPutsEveryByteBack) {
  const std::string before = TextOfLibc();
  ASSERT_GT(before.size(), 1u << 20);
  ASSERT_STREQ(PatchLibcText(WantAll).error, "");
  EXPECT_NE(TextOfLibc(), before);
  const pid_t patched = getppid();
  RestoreLibcText();
  EXPECT_TRUE(TextOfLibc() == before);
  EXPECT_EQ(getppid(), patched);
}

TEST_F(LibcText, TextIsReadOnlyBeforeAndAfter) {
  EXPECT_EQ(MappingsOfText("r-xp"), 1);
  PatchLibcText(WantAll);
  EXPECT_EQ(MappingsOfText("r-xp"), 1);
  EXPECT_EQ(MappingsOfText("rwxp"), 0);
  RestoreLibcText();
  EXPECT_EQ(MappingsOfText("r-xp"), 1);
  EXPECT_EQ(MappingsOfText("rwxp"), 0);
}

// The patcher must not overwrite bytes other than the five of each jump.
TEST_F(LibcText, NothingButJumpsIsWritten) {
  const std::string before = TextOfLibc();
  const LibcTextReport report = PatchLibcText(WantAll);
  const std::string after = TextOfLibc();
  int jumps = 0;
  for (size_t n = 0; n < after.size(); n++) {
    if (after[n] == before[n]) continue;
    // The first byte may happen to be the same; the jump then began one byte before.
    const size_t start = static_cast<uint8_t>(after[n]) == 0xe9 ? n : n - 1;
    EXPECT_EQ(static_cast<uint8_t>(after[start]), 0xe9) << std::hex << n;
    jumps++;
    n = start + 4;
  }
  EXPECT_EQ(jumps, report.patched);
}

}  // namespace
}  // namespace bobbin
