#include "runtime/descriptors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

class DescriptorsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(descriptors_.Init()); }
  void TearDown() override {
    for (int fd : opened_) close(fd);
  }

  // Takes over a descriptor that must have been made.
  int Own(int fd) {
    EXPECT_GE(fd, 0) << strerror(errno);
    if (fd >= 0) opened_.push_back(fd);
    return fd;
  }

  FileKind KindOf(int fd) { return descriptors_.Kind(Own(fd)); }

  Descriptors descriptors_;

 private:
  std::vector<int> opened_;
};

TEST_F(DescriptorsTest, TcpSocketsAreTcpAndOthersAreSockets) {
  EXPECT_EQ(KindOf(socket(AF_INET, SOCK_STREAM, 0)), FileKind::kTcp);
  EXPECT_EQ(KindOf(socket(AF_INET, SOCK_DGRAM, 0)), FileKind::kSocket);
  EXPECT_EQ(KindOf(socket(AF_UNIX, SOCK_STREAM, 0)), FileKind::kSocket);
  EXPECT_EQ(KindOf(socket(AF_UNIX, SOCK_DGRAM, 0)), FileKind::kSocket);
  int ipv6 = socket(AF_INET6, SOCK_STREAM, 0);
  if (ipv6 >= 0) {
    EXPECT_EQ(KindOf(ipv6), FileKind::kTcp);
  }
}

TEST_F(DescriptorsTest, ListeningSocketsOfAnyFamilyAreListening) {
  int tcp = Own(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(listen(tcp, 1), 0);
  EXPECT_EQ(descriptors_.Kind(tcp), FileKind::kListening);
  int local = Own(socket(AF_UNIX, SOCK_STREAM, 0));
  sa_family_t family = AF_UNIX;  // autobind
  ASSERT_EQ(bind(local, reinterpret_cast<sockaddr*>(&family), sizeof family), 0);
  ASSERT_EQ(listen(local, 1), 0);
  EXPECT_EQ(descriptors_.Kind(local), FileKind::kListening);
}

TEST_F(DescriptorsTest, PipesAndFifosArePipes) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(KindOf(ends[0]), FileKind::kPipe);
  EXPECT_EQ(KindOf(ends[1]), FileKind::kPipe);
  std::string path = testing::TempDir() + "descriptors_fifo." + std::to_string(getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(KindOf(open(path.c_str(), O_RDWR)), FileKind::kPipe);
  unlink(path.c_str());
}

TEST_F(DescriptorsTest, CharacterDevicesAndNamelessFilesArePollable) {
  EXPECT_EQ(KindOf(open("/dev/null", O_RDWR)), FileKind::kPollable);
  EXPECT_EQ(KindOf(posix_openpt(O_RDWR | O_NOCTTY)), FileKind::kPollable);
  EXPECT_EQ(KindOf(eventfd(0, 0)), FileKind::kPollable);
  EXPECT_EQ(KindOf(timerfd_create(CLOCK_MONOTONIC, 0)), FileKind::kPollable);
  EXPECT_EQ(KindOf(epoll_create1(0)), FileKind::kPollable);
  EXPECT_EQ(KindOf(inotify_init1(0)), FileKind::kPollable);
  sigset_t none;
  sigemptyset(&none);
  EXPECT_EQ(KindOf(signalfd(-1, &none, 0)), FileKind::kPollable);
}

TEST_F(DescriptorsTest, FilesAndDirectories) {
  char path[] = "/tmp/descriptors_test.XXXXXX";
  EXPECT_EQ(KindOf(mkstemp(path)), FileKind::kRegular);
  unlink(path);
  EXPECT_EQ(KindOf(open("/", O_RDONLY | O_DIRECTORY)), FileKind::kDirectory);
}

TEST_F(DescriptorsTest, WhatIsNotOpenIsUnknownAndStaysToBeAsked) {
  int fd = eventfd(0, 0);
  ASSERT_GE(fd, 0);
  close(fd);
  EXPECT_EQ(descriptors_.Kind(fd), FileKind::kUnknown);
  EXPECT_EQ(descriptors_.Kind(-1), FileKind::kUnknown);
  int again = Own(open("/", O_RDONLY));
  ASSERT_EQ(again, fd);
  EXPECT_EQ(descriptors_.Kind(fd), FileKind::kDirectory);
}

TEST_F(DescriptorsTest, KindIsRememberedUntilReset) {
  int fd = Own(eventfd(0, 0));
  EXPECT_EQ(descriptors_.Kind(fd), FileKind::kPollable);
  int root = Own(open("/", O_RDONLY));
  ASSERT_EQ(dup2(root, fd), fd);  // behind the table's back
  EXPECT_EQ(descriptors_.Kind(fd), FileKind::kPollable);
  descriptors_.Reset(fd);
  EXPECT_EQ(descriptors_.Kind(fd), FileKind::kDirectory);
}

TEST_F(DescriptorsTest, ResetForgetsEverythingAndMakesANewGeneration) {
  int fd = Own(eventfd(0, 0));
  Descriptor* d = descriptors_.Find(fd);
  ASSERT_NE(d, nullptr);
  descriptors_.Kind(fd);
  d->Set(Descriptor::kShared | Descriptor::kDirect);
  uint32_t generation = d->generation.load();
  descriptors_.Reset(fd);
  EXPECT_EQ(d->kind.load(), FileKind::kUnknown);
  EXPECT_EQ(d->flags.load(), 0);
  EXPECT_EQ(d->generation.load(), generation + 2) << "bit 0 is the views'";
}

TEST_F(DescriptorsTest, FlagsAreSetClearedAndAskedForTogether) {
  Descriptor* d = descriptors_.Find(0);
  d->Set(Descriptor::kShared | Descriptor::kLingers);
  EXPECT_TRUE(d->Has(Descriptor::kShared));
  EXPECT_TRUE(d->Has(Descriptor::kShared | Descriptor::kLingers));
  d->Clear(Descriptor::kShared);
  EXPECT_FALSE(d->Has(Descriptor::kShared | Descriptor::kLingers));
  EXPECT_TRUE(d->Has(Descriptor::kLingers));
}

TEST_F(DescriptorsTest, ProgramNonblockIsTheFilesFlagWhereItIsNotOurs) {
  int fd = Own(eventfd(0, EFD_NONBLOCK));
  EXPECT_TRUE(descriptors_.ProgramNonblock(fd));
  // Another process that shares the open file may change it at any time.
  ASSERT_EQ(fcntl(fd, F_SETFL, 0), 0);
  EXPECT_FALSE(descriptors_.ProgramNonblock(fd));
}

TEST_F(DescriptorsTest, ProgramNonblockIsWhatTheProgramSaidWhereTheFlagIsOurs) {
  int fd = Own(eventfd(0, EFD_NONBLOCK));
  Descriptor* d = descriptors_.Find(fd);
  d->Set(Descriptor::kRuntimeNonblock);
  EXPECT_FALSE(descriptors_.ProgramNonblock(fd));
  d->Set(Descriptor::kProgramNonblock);
  EXPECT_TRUE(descriptors_.ProgramNonblock(fd));
}

TEST_F(DescriptorsTest, ProgramNonblockOfAClosedOneIsFalse) {
  EXPECT_FALSE(descriptors_.ProgramNonblock(-1));
  EXPECT_FALSE(descriptors_.ProgramNonblock(static_cast<int>(descriptors_.capacity()) - 1));
}

TEST_F(DescriptorsTest, RoomIsForAllThatTheHardLimitAllows) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  unsigned wanted = limit.rlim_max > Descriptors::kMaxCapacity
                        ? Descriptors::kMaxCapacity
                        : static_cast<unsigned>(limit.rlim_max);
  EXPECT_EQ(descriptors_.capacity(), wanted);
  EXPECT_NE(descriptors_.Find(static_cast<int>(wanted) - 1), nullptr);
  EXPECT_EQ(descriptors_.Find(static_cast<int>(wanted)), nullptr);
  EXPECT_EQ(descriptors_.Find(-1), nullptr);
  descriptors_.Reset(-1);  // and others out of range are no matter
}

TEST(MapLazily, GivesZeroesAndNullForTheImpossible) {
  auto* bytes = static_cast<char*>(MapLazily(1 << 20));
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[(1 << 20) - 1], 0);
  EXPECT_EQ(MapLazily(size_t{1} << 62), nullptr);
}

}  // namespace
}  // namespace bobbin
