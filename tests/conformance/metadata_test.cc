// Calls on names, directories and attributes of files, made as bare system calls: the ones libc no
// longer makes too.
#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

#include <set>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Expects -1 with one of these: what a kernel, a file system or missing privileges answer differs.
void ExpectOneOf(const std::set<int>& codes, long result, const char* call) {
  const int code = errno;
  EXPECT_EQ(-1, result) << call;
  EXPECT_TRUE(codes.count(code)) << call << ": " << strerror(code);
}
#define EXPECT_ONE_OF(call, ...) ExpectOneOf({__VA_ARGS__}, call, #call)

mode_t ModeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(0, syscall(SYS_lstat, path.c_str(), &status)) << path;
  return status.st_mode;
}

off_t SizeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(0, syscall(SYS_stat, path.c_str(), &status)) << path;
  return status.st_size;
}

class Metadata : public testing::Test {
 protected:
  std::string Path(const char* name) { return directory_.File(name); }
  TempDir directory_;
};

TEST_F(Metadata, StatAndItsLikesSeeTheSameFile) {
  const std::string path = directory_.MakeFile("file", "twelve bytes");
  const std::string link = Path("link");
  ASSERT_OK(syscall(SYS_symlink, "file", link.c_str()));
  Fd at(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  struct stat one = {}, two = {};
  struct statx three = {};
  EXPECT_OK(syscall(SYS_stat, link.c_str(), &one));
  EXPECT_EQ(12, one.st_size);
  EXPECT_OK(syscall(SYS_lstat, link.c_str(), &two));
  EXPECT_TRUE(S_ISLNK(two.st_mode));
  EXPECT_OK(syscall(SYS_newfstatat, at.get(), "link", &two, 0));
  EXPECT_EQ(one.st_ino, two.st_ino);
  EXPECT_OK(syscall(SYS_newfstatat, at.get(), "link", &two, AT_SYMLINK_NOFOLLOW));
  EXPECT_TRUE(S_ISLNK(two.st_mode));
  EXPECT_OK(syscall(SYS_newfstatat, at.get(), "", &two, AT_EMPTY_PATH));
  EXPECT_TRUE(S_ISDIR(two.st_mode));
  EXPECT_OK(syscall(SYS_statx, at.get(), "file", 0, STATX_BASIC_STATS, &three));
  EXPECT_EQ(one.st_ino, three.stx_ino);
  EXPECT_ERRNO(ENOENT, syscall(SYS_stat, Path("none").c_str(), &one));
  EXPECT_ERRNO(ENOTDIR, syscall(SYS_lstat, Path("file/below").c_str(), &one));
  EXPECT_ERRNO(ENOENT, syscall(SYS_newfstatat, at.get(), "", &one, 0));
  EXPECT_ERRNO(EBADF, syscall(SYS_newfstatat, -5, "file", &one, 0));
  EXPECT_ERRNO(EINVAL, syscall(SYS_statx, at.get(), "file", -1, 0, &three));
  EXPECT_ERRNO(EFAULT, syscall(SYS_stat, 1, &one));
  EXPECT_ERRNO(EFAULT, syscall(SYS_stat, path.c_str(), 1));
  const std::string loop = Path("loop");
  ASSERT_OK(syscall(SYS_symlinkat, "loop", AT_FDCWD, loop.c_str()));
  EXPECT_ERRNO(ELOOP, syscall(SYS_stat, loop.c_str(), &one));
  EXPECT_ERRNO(ENAMETOOLONG, syscall(SYS_stat, std::string(5000, 'a').c_str(), &one));
}

TEST_F(Metadata, StatWorksWithNoDescriptorLeft) {
  const std::string path = directory_.MakeFile("file", "x");
  ExpectExited(0, RunInChild([&] {
                 while (open("/dev/null", O_RDONLY) >= 0) {
                 }
                 EXPECT_EQ(EMFILE, errno);
                 struct stat status;
                 EXPECT_OK(syscall(SYS_stat, path.c_str(), &status));
                 EXPECT_OK(syscall(SYS_access, path.c_str(), R_OK));
                 return 0;
               }));
}

TEST_F(Metadata, AccessAndReadlinkAnswerForFilesAndLinks) {
  const std::string path = directory_.MakeFile("file", "x");
  const std::string link = Path("link");
  ASSERT_OK(syscall(SYS_symlink, "gone", link.c_str()));
  Fd at(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  EXPECT_OK(syscall(SYS_access, path.c_str(), R_OK | W_OK));
  EXPECT_ERRNO(ENOENT, syscall(SYS_access, link.c_str(), F_OK));
  EXPECT_OK(syscall(SYS_faccessat, at.get(), "file", R_OK));
  EXPECT_ERRNO(ENOENT, syscall(SYS_faccessat, at.get(), "link", F_OK));
  EXPECT_OK(syscall(SYS_faccessat2, at.get(), "link", F_OK, AT_SYMLINK_NOFOLLOW));
  EXPECT_ERRNO(EINVAL, syscall(SYS_faccessat2, at.get(), "file", F_OK, -1));
  char text[16] = {};
  EXPECT_EQ(4, syscall(SYS_readlink, link.c_str(), text, sizeof text));
  EXPECT_STREQ("gone", text);
  EXPECT_EQ(2, syscall(SYS_readlinkat, at.get(), "link", text, 2));
  EXPECT_ERRNO(EINVAL, syscall(SYS_readlink, path.c_str(), text, sizeof text));
  EXPECT_ERRNO(EINVAL, syscall(SYS_readlinkat, at.get(), "link", text, 0));
}

TEST_F(Metadata, NamesAreMadeMovedAndRemoved) {
  Fd at(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  const std::string a = directory_.MakeFile("a", "a"), b = Path("b"), c = Path("c"), d = Path("d");
  EXPECT_OK(syscall(SYS_rename, a.c_str(), b.c_str()));
  EXPECT_ERRNO(ENOENT, syscall(SYS_rename, a.c_str(), b.c_str()));
  EXPECT_OK(syscall(SYS_renameat, at.get(), "b", at.get(), "c"));
  EXPECT_OK(syscall(SYS_link, c.c_str(), b.c_str()));
  EXPECT_ERRNO(EEXIST, syscall(SYS_link, c.c_str(), b.c_str()));
  EXPECT_ERRNO(EEXIST, syscall(SYS_renameat2, at.get(), "b", at.get(), "c", RENAME_NOREPLACE));
  EXPECT_OK(syscall(SYS_linkat, at.get(), "c", at.get(), "a", 0));
  EXPECT_OK(syscall(SYS_unlink, a.c_str()));
  EXPECT_ERRNO(ENOENT, syscall(SYS_unlink, a.c_str()));
  EXPECT_OK(syscall(SYS_unlinkat, at.get(), "b", 0));
  EXPECT_OK(syscall(SYS_mkdir, d.c_str(), 0700));
  EXPECT_ERRNO(EEXIST, syscall(SYS_mkdir, d.c_str(), 0700));
  EXPECT_OK(syscall(SYS_mkdirat, at.get(), "d/e", 0700));
  EXPECT_ERRNO(ENOTEMPTY, syscall(SYS_rmdir, d.c_str()));
  EXPECT_OK(syscall(SYS_unlinkat, at.get(), "d/e", AT_REMOVEDIR));
  EXPECT_OK(syscall(SYS_rmdir, d.c_str()));
  EXPECT_OK(syscall(SYS_mknod, d.c_str(), S_IFIFO | 0600, 0));
  EXPECT_TRUE(S_ISFIFO(ModeOf(d)));
  EXPECT_OK(syscall(SYS_mknodat, at.get(), "e", S_IFREG | 0600, 0));
  EXPECT_TRUE(S_ISREG(ModeOf(Path("e"))));
  EXPECT_ERRNO(EFAULT, syscall(SYS_symlink, 1, 1));
  Fd made(static_cast<int>(syscall(SYS_creat, Path("f").c_str(), 0640)));
  ASSERT_OK(made.get());
  EXPECT_TRUE(WriteAll(made, "text"));
  EXPECT_ERRNO(EBADF, read(made, &at, 1));
}

TEST_F(Metadata, ModesOwnersAndTimesAreSet) {
  Fd at(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  const std::string path = directory_.MakeFile("file", "x");
  Fd file(open(path.c_str(), O_RDWR));
  EXPECT_OK(syscall(SYS_chmod, path.c_str(), 0600));
  EXPECT_EQ(0600u, ModeOf(path) & 07777);
  EXPECT_OK(syscall(SYS_fchmod, file.get(), 0640));
  EXPECT_OK(syscall(SYS_fchmodat, at.get(), "file", 0644));
  EXPECT_EQ(0644u, ModeOf(path) & 07777);
  constexpr long kFchmodat2 = 452;
  EXPECT_ONE_OF(syscall(kFchmodat2, at.get(), "none", 0600, 0), ENOENT, ENOSYS);
  const uid_t user = getuid();
  const gid_t group = getgid();
  EXPECT_OK(syscall(SYS_chown, path.c_str(), user, group));
  EXPECT_OK(syscall(SYS_fchown, file.get(), user, group));
  EXPECT_OK(syscall(SYS_lchown, path.c_str(), user, group));
  EXPECT_OK(syscall(SYS_fchownat, at.get(), "file", user, group, 0));
  const utimbuf seconds = {1000, 2000};
  EXPECT_OK(syscall(SYS_utime, path.c_str(), &seconds));
  const timeval micros[2] = {{1001, 0}, {2001, 0}};
  EXPECT_OK(syscall(SYS_utimes, path.c_str(), micros));
  EXPECT_OK(syscall(SYS_futimesat, at.get(), "file", micros));
  const timespec nanos[2] = {{1002, 5}, {2002, 6}};
  EXPECT_OK(syscall(SYS_utimensat, at.get(), "file", nanos, 0));
  EXPECT_OK(syscall(SYS_utimensat, file.get(), nullptr, nanos, 0));
  struct stat status = {};
  EXPECT_OK(fstat(file, &status));
  EXPECT_EQ(2002, status.st_mtim.tv_sec);
  EXPECT_ERRNO(ENOENT, syscall(SYS_chmod, Path("none").c_str(), 0600));
  EXPECT_ERRNO(EBADF, syscall(SYS_fchmod, -1, 0600));
}

TEST_F(Metadata, SizesAreSetAndDataIsCopied) {
  const std::string path = directory_.MakeFile("file", "0123456789");
  Fd file(open(path.c_str(), O_RDWR));
  EXPECT_OK(syscall(SYS_truncate, path.c_str(), 6));
  EXPECT_EQ(6, SizeOf(path));
  EXPECT_OK(syscall(SYS_ftruncate, file.get(), 4));
  EXPECT_EQ(4, SizeOf(path));
  EXPECT_OK(syscall(SYS_fallocate, file.get(), 0, 0, 8192));
  EXPECT_EQ(8192, SizeOf(path));
  EXPECT_ERRNO(EINVAL, syscall(SYS_ftruncate, file.get(), -1L));
  EXPECT_ERRNO(EBADF, syscall(SYS_fallocate, -1, 0, 0, 1));
  EXPECT_EQ(0, syscall(SYS_lseek, file.get(), 0, SEEK_DATA));
  EXPECT_EQ(8192, syscall(SYS_lseek, file.get(), 0, SEEK_END));
  EXPECT_ERRNO(ENXIO, syscall(SYS_lseek, file.get(), 8192, SEEK_HOLE));
  Fd copy(open(Path("copy").c_str(), O_RDWR | O_CREAT, 0600));
  int64_t from = 1;
  EXPECT_EQ(3, syscall(SYS_copy_file_range, file.get(), &from, copy.get(), nullptr, 3, 0));
  EXPECT_EQ(4, from);
  EXPECT_EQ(0, lseek(copy, 0, SEEK_SET));
  EXPECT_EQ("123", ReadToEnd(copy));
  EXPECT_OK(syscall(SYS_readahead, file.get(), 0, 4096));
  EXPECT_OK(syscall(SYS_fadvise64, file.get(), 0, 0, POSIX_FADV_WILLNEED));
  EXPECT_OK(syscall(SYS_fadvise64, file.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  EXPECT_ERRNO(EINVAL, syscall(SYS_fadvise64, file.get(), 0, 0, 77));
  EXPECT_OK(syscall(SYS_sync_file_range, file.get(), 0, 0, 2));
  EXPECT_OK(syscall(SYS_syncfs, file.get()));
  EXPECT_EQ(0, syscall(SYS_sync));
}

TEST_F(Metadata, VectorCallsWithFlagsReadAndWrite) {
  const std::string path = directory_.MakeFile("file", "0123456789");
  Fd file(open(path.c_str(), O_RDWR));
  char one[2], two[3];
  const iovec to[2] = {{one, 2}, {two, 3}};
  EXPECT_EQ(5, syscall(SYS_preadv2, file.get(), to, 2, 4L, 0L, 0));
  EXPECT_EQ("45678", std::string(one, 2) + std::string(two, 3));
  EXPECT_EQ(5, syscall(SYS_preadv2, file.get(), to, 2, -1L, -1L, 0));
  EXPECT_EQ(5, lseek(file, 0, SEEK_CUR));
  char text[] = "ab";
  const iovec from = {text, 2};
  EXPECT_EQ(2, syscall(SYS_pwritev2, file.get(), &from, 1, 0L, 0L, RWF_DSYNC));
  EXPECT_EQ(2, syscall(SYS_pwritev2, file.get(), &from, 1, 0L, 0L, RWF_APPEND));
  EXPECT_EQ(12, SizeOf(path));
  EXPECT_ERRNO(EOPNOTSUPP, syscall(SYS_preadv2, file.get(), to, 2, 0L, 0L, 1 << 30));
  EXPECT_ERRNO(EBADF, syscall(SYS_preadv2, -1, to, 2, 0L, 0L, 0));
  Pair pipe = MakePipe();
  EXPECT_ERRNO(EAGAIN, syscall(SYS_preadv2, pipe.a.get(), to, 2, -1L, -1L, RWF_NOWAIT));
  EXPECT_ERRNO(ESPIPE, syscall(SYS_preadv2, pipe.a.get(), to, 2, 3L, 0L, 0));
  Event read;
  Thread reader([&] {
    EXPECT_EQ(2, syscall(SYS_preadv2, pipe.a.get(), to, 2, -1L, -1L, 0));
    read.Post();
  });
  Settle();
  EXPECT_EQ(2, syscall(SYS_pwritev2, pipe.b.get(), &from, 1, -1L, -1L, 0));
  read.Wait();
}

TEST_F(Metadata, DirectoriesAreListed) {
  directory_.MakeFile("file", "x");
  Fd at(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  alignas(8) char entries[1024];
  EXPECT_GT(syscall(SYS_getdents64, at.get(), entries, sizeof entries), 0);
  EXPECT_EQ(0, syscall(SYS_getdents64, at.get(), entries, sizeof entries));
  EXPECT_EQ(0, lseek(at, 0, SEEK_SET));
  EXPECT_GT(syscall(SYS_getdents, at.get(), entries, sizeof entries), 0);
  EXPECT_EQ(0, lseek(at, 0, SEEK_SET));
  EXPECT_ERRNO(EINVAL, syscall(SYS_getdents64, at.get(), entries, 1));
  Pair pipe = MakePipe();
  EXPECT_ERRNO(ENOTDIR, syscall(SYS_getdents64, pipe.a.get(), entries, sizeof entries));
}

TEST_F(Metadata, FileSystemsTellOfThemselves) {
  const std::string path = directory_.MakeFile("file", "x");
  Fd file(open(path.c_str(), O_RDONLY));
  struct statfs one = {}, two = {};
  EXPECT_OK(syscall(SYS_statfs, path.c_str(), &one));
  EXPECT_OK(syscall(SYS_fstatfs, file.get(), &two));
  EXPECT_EQ(one.f_type, two.f_type);
  EXPECT_ERRNO(ENOENT, syscall(SYS_statfs, Path("none").c_str(), &one));
  EXPECT_ERRNO(EBADF, syscall(SYS_fstatfs, -1, &one));
}

TEST_F(Metadata, ExtendedAttributesAreSetReadListedAndRemoved) {
  const std::string path = directory_.MakeFile("file", "x");
  Fd file(open(path.c_str(), O_RDWR));
  char value[8] = {};
  const char* const name = "user.bobbin";
  // A file system without them says so to each of these.
  const bool none = syscall(SYS_setxattr, path.c_str(), name, "v1", 2, 0) < 0;
  if (none) {
    EXPECT_EQ(EOPNOTSUPP, errno);
  }
  if (!none) {
    EXPECT_EQ(2, syscall(SYS_getxattr, path.c_str(), name, value, sizeof value));
    EXPECT_STREQ("v1", value);
    EXPECT_OK(syscall(SYS_lsetxattr, path.c_str(), name, "v2", 2, XATTR_REPLACE));
    EXPECT_OK(syscall(SYS_fsetxattr, file.get(), "user.other", "v3", 2, XATTR_CREATE));
    EXPECT_EQ(2, syscall(SYS_lgetxattr, path.c_str(), name, value, sizeof value));
    EXPECT_STREQ("v2", value);
    EXPECT_GT(syscall(SYS_listxattr, path.c_str(), nullptr, 0), 0);
    EXPECT_GT(syscall(SYS_llistxattr, path.c_str(), nullptr, 0), 0);
    EXPECT_OK(syscall(SYS_removexattr, path.c_str(), name));
    EXPECT_OK(syscall(SYS_fremovexattr, file.get(), "user.other"));
  }
  EXPECT_ONE_OF(syscall(SYS_lremovexattr, path.c_str(), name), ENODATA, EOPNOTSUPP);
  EXPECT_ONE_OF(syscall(SYS_getxattr, path.c_str(), name, value, 8), ENODATA, EOPNOTSUPP);
  constexpr long kSet = 463, kGet = 464, kList = 465, kRemove = 466;
  for (long nr : {kSet, kGet, kList, kRemove})
    EXPECT_ONE_OF(syscall(nr, -5, "none", 0, name, nullptr, 0), EBADF, ENOSYS, EINVAL, EFAULT);
}

TEST_F(Metadata, HandlesNameFilesAndOpenThem) {
  const std::string path = directory_.MakeFile("file", "handle");
  struct {
    file_handle head;
    char rest[MAX_HANDLE_SZ];
  } handle = {};
  int mount = 0;
  handle.head.handle_bytes = 0;
  EXPECT_ONE_OF(syscall(SYS_name_to_handle_at, AT_FDCWD, path.c_str(), &handle, &mount, 0),
                EOVERFLOW, EOPNOTSUPP);
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  if (syscall(SYS_name_to_handle_at, AT_FDCWD, path.c_str(), &handle, &mount, 0) < 0) {
    EXPECT_EQ(EOPNOTSUPP, errno);
  }
  EXPECT_ERRNO(ENOENT, syscall(SYS_name_to_handle_at, AT_FDCWD, "", &handle, &mount, 0));
  EXPECT_ONE_OF(syscall(SYS_open_by_handle_at, -5, &handle, O_RDONLY), EBADF, EPERM);
  constexpr long kGetattr = 468, kSetattr = 469;
  EXPECT_ONE_OF(syscall(kGetattr, -5, "none", nullptr, 0, 0), EBADF, EINVAL, EFAULT, ENOSYS);
  EXPECT_ONE_OF(syscall(kSetattr, -5, "none", nullptr, 0, 0), EBADF, EINVAL, EFAULT, ENOSYS);
}

TEST_F(Metadata, WatchesAreSetByPathAndTellOfChanges) {
  Fd watcher(inotify_init1(IN_CLOEXEC));
  ASSERT_OK(syscall(SYS_inotify_add_watch, watcher.get(), directory_.path().c_str(), IN_CREATE));
  EXPECT_ERRNO(ENOENT, syscall(SYS_inotify_add_watch, watcher.get(), Path("none").c_str(), 1));
  Event read_one;
  Thread reader([&] {
    alignas(inotify_event) char events[512];
    const ssize_t size = read(watcher, events, sizeof events);
    ASSERT_GE(size, static_cast<ssize_t>(sizeof(inotify_event)));
    EXPECT_STREQ("new", reinterpret_cast<inotify_event*>(events)->name);
    read_one.Post();
  });
  Settle();
  directory_.MakeFile("new", "x");
  read_one.Wait();
}

TEST_F(Metadata, WorkingDirectoryAndRootAreTheProcesss) {
  ExpectExited(0, RunInChild([&] {
                 EXPECT_OK(syscall(SYS_mkdir, Path("below").c_str(), 0700));
                 EXPECT_OK(syscall(SYS_chdir, directory_.path().c_str()));
                 EXPECT_ERRNO(ENOENT, syscall(SYS_chdir, "none"));
                 Thread([] {
                   EXPECT_OK(syscall(SYS_mkdir, "here", 0700));
                   struct stat status;
                   EXPECT_OK(syscall(SYS_stat, "below", &status));
                   EXPECT_OK(syscall(SYS_chdir, "here"));
                 }).Join();
                 EXPECT_OK(syscall(SYS_rmdir, "../below"));
                 if (geteuid() != 0) {
                   EXPECT_ERRNO(EPERM, syscall(SYS_chroot, "."));
                 } else if (syscall(SYS_chroot, ".") == 0) {
                   Thread([] {
                     struct stat status;
                     EXPECT_ERRNO(ENOENT, syscall(SYS_stat, "/etc", &status));
                     EXPECT_OK(syscall(SYS_mkdir, "/in-the-root", 0700));
                   }).Join();
                 }
                 return 0;
               }));
}

TEST_F(Metadata, CallsOfTheAdministratorFailAsTheyShould) {
  const char* const none = "/no/such/place";
  EXPECT_ONE_OF(syscall(SYS_pivot_root, none, none), EPERM, ENOENT);
  EXPECT_ONE_OF(syscall(SYS_acct, none), EPERM, ENOENT, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_mount, none, none, "tmpfs", 0, nullptr), EPERM, ENOENT);
  EXPECT_ONE_OF(syscall(SYS_umount2, none, 0), EPERM, ENOENT);
  EXPECT_ONE_OF(syscall(SYS_swapon, none, 0), EPERM, ENOENT, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_swapoff, none), EPERM, ENOENT, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), none, 0, nullptr), EPERM, ENOENT,
                ENOTBLK, ENODEV, ENOSYS, EOPNOTSUPP);
  EXPECT_ONE_OF(syscall(SYS_quotactl_fd, -5, QCMD(Q_GETINFO, USRQUOTA), 0, nullptr), EBADF, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_init_module, nullptr, 0, ""), EPERM, ENOEXEC, EFAULT, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_finit_module, -5, "", 0), EPERM, EBADF, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_delete_module, "no-such-module", O_NONBLOCK), EPERM, ENOENT, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_reboot, 1, 2, 3, nullptr), EPERM, EINVAL);
  EXPECT_ONE_OF(syscall(SYS_kexec_load, 0, 0, nullptr, ~0ul), EPERM, EINVAL, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_kexec_file_load, -5, -5, 0, nullptr, ~0ul), EPERM, EINVAL, ENOSYS,
                EBADF);
  constexpr long kStatmount = 457, kOpenTreeAttr = 467;
  EXPECT_ONE_OF(syscall(SYS_open_tree, -5, "none", 0), EBADF, EPERM, ENOSYS);
  EXPECT_ONE_OF(syscall(kOpenTreeAttr, -5, "none", 0, nullptr, 0), EBADF, EPERM, ENOSYS, EINVAL);
  EXPECT_ONE_OF(syscall(SYS_move_mount, -5, "a", -5, "b", 0), EBADF, EPERM, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_fsopen, "no-such-type", 0), ENODEV, EPERM, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_fsconfig, -5, 0, "a", "b", 0), EINVAL, EBADF, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_fsmount, -5, 0, 0), EBADF, EPERM, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_fspick, -5, "none", 0), EBADF, EPERM, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_mount_setattr, -5, "none", 0, nullptr, 0), EINVAL, EBADF, ENOSYS,
                EPERM);
  EXPECT_ONE_OF(syscall(kStatmount, nullptr, nullptr, 0, 0), EFAULT, EINVAL, ENOSYS);
  EXPECT_ONE_OF(syscall(SYS_fanotify_mark, -5, 1, 1, -5, "none"), EBADF, ENOSYS);
}

TEST_F(Metadata, UnixSocketsAreBoundToNames) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  const std::string path = Path("socket");
  strcpy(name.sun_path, path.c_str());
  Fd first(socket(AF_UNIX, SOCK_STREAM, 0)), second(socket(AF_UNIX, SOCK_STREAM, 0));
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  EXPECT_OK(syscall(SYS_bind, first.get(), address, sizeof name));
  EXPECT_TRUE(S_ISSOCK(ModeOf(path)));
  EXPECT_ERRNO(EADDRINUSE, syscall(SYS_bind, second.get(), address, sizeof name));
  strcpy(name.sun_path, Path("other").c_str());
  EXPECT_ERRNO(EINVAL, syscall(SYS_bind, first.get(), address, sizeof name));
  EXPECT_ERRNO(EFAULT, syscall(SYS_bind, second.get(), 1, sizeof name));
}

TEST_F(Metadata, MemoryIsLockedAdvisedAndWrittenBack) {
  const std::string path = directory_.MakeFile("file", std::string(8192, 'x'));
  Fd file(open(path.c_str(), O_RDWR));
  void* memory = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ASSERT_NE(MAP_FAILED, memory);
  EXPECT_OK(syscall(SYS_madvise, memory, 8192, MADV_WILLNEED));
  EXPECT_OK(syscall(SYS_madvise, memory, 8192, MADV_NORMAL));
  EXPECT_ERRNO(EINVAL, syscall(SYS_madvise, memory, 8192, 12345));
  EXPECT_OK(syscall(SYS_mlock, memory, 4096));
  EXPECT_OK(syscall(SYS_mlock2, memory, 4096, 0));
  EXPECT_OK(munlock(memory, 8192));
  EXPECT_ERRNO(EINVAL, syscall(SYS_mlockall, 0));
  *static_cast<char*>(memory) = 'y';
  EXPECT_OK(syscall(SYS_msync, memory, 8192, MS_SYNC));
  EXPECT_ERRNO(EINVAL, syscall(SYS_msync, memory, 8192, MS_SYNC | MS_ASYNC));
  munmap(memory, 8192);
  EXPECT_ERRNO(ENOMEM, syscall(SYS_msync, memory, 8192, MS_SYNC));
}

// What changes a file system is done whatever signals come.
TEST_F(Metadata, ChangesAreNotInterrupted) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread changer([&] {
    for (int i = 0; i < 200; ++i) {
      EXPECT_OK(syscall(SYS_mkdir, Path("d").c_str(), 0700));
      EXPECT_OK(syscall(SYS_rmdir, Path("d").c_str()));
    }
    done.Post();
  });
  SignalUntil(changer.handle(), SIGUSR1, &done);
}

}  // namespace
}  // namespace conformance
