#include "runtime/disk_aio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

constexpr size_t kBlock = 4096;
constexpr int kDepth = 40;

struct FreeDeleter {
  void operator()(void* memory) const { free(memory); }
};
using Buffer = std::unique_ptr<char, FreeDeleter>;

// Direct I/O wants its buffers on block boundaries.
Buffer MakeBuffer(char fill) {
  Buffer buffer(static_cast<char*>(aligned_alloc(kBlock, kBlock)));
  memset(buffer.get(), fill, kBlock);
  return buffer;
}

struct Request : DiskRequest {
  Request() {
    done = [](DiskRequest* self) { ++static_cast<Request*>(self)->dones; };
  }
  int dones = 0;
};

class DiskAioTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aio_.Init(kDepth), 0);
    char name[] = "disk_aio_test.XXXXXX";  // in the build folder: a tmpfs may refuse O_DIRECT
    int plain = mkstemp(name);
    ASSERT_GE(plain, 0);
    fd_ = open(name, O_RDWR | O_DIRECT);
    // Linux AIO works on cached files too.
    if (fd_ < 0 && errno == EINVAL) fd_ = open(name, O_RDWR);
    unlink(name);
    close(plain);
    ASSERT_GE(fd_, 0);
  }
  void TearDown() override { close(fd_); }

  bool EventFdReadable(int timeout_ms) {
    pollfd descriptor{aio_.event_fd(), POLLIN, 0};
    return poll(&descriptor, 1, timeout_ms) == 1;
  }

  // As a scheduler does: waits for the event descriptor, then reaps. The kernel makes a request's
  // result known before it makes the descriptor readable, so a Reap may find nothing.
  int ReapAll() {
    int reaped = 0;
    while (aio_.in_flight() > 0) {
      if (!EventFdReadable(10000)) {
        ADD_FAILURE() << "no event for a request in flight";
        break;
      }
      reaped += aio_.Reap();
    }
    return reaped;
  }

  DiskAio aio_;
  int fd_ = -1;
};

TEST(DiskAio, IsNotReadyBeforeInitAndRefusesRequests) {
  DiskAio aio;
  Request request;
  char byte;
  EXPECT_FALSE(aio.ready());
  EXPECT_EQ(aio.event_fd(), -1);
  EXPECT_EQ(aio.Submit(&request, 0, &byte, 1, 0, false), -EINVAL);
  EXPECT_EQ(aio.Reap(), 0);
}

TEST(DiskAio, InitWithAnImpossibleDepthFailsAndLeavesNothing) {
  DiskAio aio;
  EXPECT_LT(aio.Init(-1), 0);
  EXPECT_FALSE(aio.ready());
  EXPECT_EQ(aio.event_fd(), -1);
  EXPECT_EQ(aio.Init(1), 0);
}

TEST_F(DiskAioTest, SecondInitChangesNothing) {
  int event_fd = aio_.event_fd();
  EXPECT_EQ(aio_.Init(1000), 0);
  EXPECT_EQ(aio_.event_fd(), event_fd);
}

TEST_F(DiskAioTest, EventDescriptorIsClosedOnExecAndNeverBlocks) {
  EXPECT_EQ(fcntl(aio_.event_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(fcntl(aio_.event_fd(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  EXPECT_EQ(aio_.Reap(), 0);
}

TEST_F(DiskAioTest, WhatWasWrittenIsReadBack) {
  Buffer out = MakeBuffer('a'), in = MakeBuffer(0);
  Request write, read;
  ASSERT_EQ(aio_.Submit(&write, fd_, out.get(), kBlock, kBlock, true), 0);
  EXPECT_EQ(ReapAll(), 1);
  EXPECT_EQ(write.result, static_cast<long>(kBlock));
  ASSERT_EQ(aio_.Submit(&read, fd_, in.get(), kBlock, kBlock, false), 0);
  EXPECT_EQ(ReapAll(), 1);
  EXPECT_EQ(read.result, static_cast<long>(kBlock));
  EXPECT_EQ(memcmp(in.get(), out.get(), kBlock), 0);
}

// D1
TEST_F(DiskAioTest, DoneIsCalledOnceForEachRequestTaken) {
  std::vector<Request> requests(kDepth);
  std::vector<Buffer> buffers;
  for (int i = 0; i < kDepth; ++i) {
    buffers.push_back(MakeBuffer('a' + i % 26));
    ASSERT_EQ(aio_.Submit(&requests[i], fd_, buffers[i].get(), kBlock, i * kBlock, true), 0);
  }
  EXPECT_EQ(aio_.in_flight(), kDepth);
  EXPECT_EQ(ReapAll(), kDepth);
  EXPECT_EQ(aio_.in_flight(), 0);
  EXPECT_EQ(aio_.Reap(), 0);
  for (const Request& request : requests) {
    EXPECT_EQ(request.dones, 1);
    EXPECT_EQ(request.result, static_cast<long>(kBlock));
  }
}

TEST_F(DiskAioTest, ReapDrainsEventDescriptor) {
  Buffer buffer = MakeBuffer('a');
  Request request;
  ASSERT_EQ(aio_.Submit(&request, fd_, buffer.get(), kBlock, 0, true), 0);
  ReapAll();
  EXPECT_FALSE(EventFdReadable(0));
}

TEST_F(DiskAioTest, RequestBeyondTheDepthIsRefusedAndNotDone) {
  Buffer buffer = MakeBuffer('a');
  std::vector<Request> requests(kDepth);
  for (Request& request : requests) {
    ASSERT_EQ(aio_.Submit(&request, fd_, buffer.get(), kBlock, 0, true), 0);
  }
  Request extra;
  EXPECT_EQ(aio_.Submit(&extra, fd_, buffer.get(), kBlock, 0, true), -EAGAIN);
  EXPECT_EQ(ReapAll(), kDepth);
  EXPECT_EQ(extra.dones, 0);
  EXPECT_EQ(aio_.Submit(&extra, fd_, buffer.get(), kBlock, 0, true), 0);
  EXPECT_EQ(ReapAll(), 1);
  EXPECT_EQ(extra.dones, 1);
}

TEST_F(DiskAioTest, RefusedRequestReturnsItsErrorAndIsNotDone) {
  Buffer buffer = MakeBuffer('a');
  Request request;
  EXPECT_EQ(aio_.Submit(&request, -1, buffer.get(), kBlock, 0, false), -EBADF);
  EXPECT_EQ(aio_.in_flight(), 0);
  EXPECT_EQ(aio_.Reap(), 0);
  EXPECT_EQ(request.dones, 0);
}

TEST_F(DiskAioTest, ErrorOfTheTransferIsTheResult) {
  Request request;
  void* nowhere = reinterpret_cast<void*>(kBlock);
  Buffer buffer = MakeBuffer('a');
  ASSERT_EQ(pwrite(fd_, buffer.get(), kBlock, 0), static_cast<ssize_t>(kBlock));
  ASSERT_EQ(aio_.Submit(&request, fd_, nowhere, kBlock, 0, false), 0);
  ReapAll();
  EXPECT_EQ(request.dones, 1);
  EXPECT_EQ(request.result, -EFAULT);
}

TEST_F(DiskAioTest, ReadAtTheEndOfTheFileReturnsZero) {
  Buffer buffer = MakeBuffer('a');
  Request request;
  ASSERT_EQ(aio_.Submit(&request, fd_, buffer.get(), kBlock, 0, false), 0);
  ReapAll();
  EXPECT_EQ(request.result, 0);
}

TEST_F(DiskAioTest, DoneMaySubmitTheNextRequest) {
  struct Chained : DiskRequest {
    DiskAio* aio;
    int fd;
    char* buffer;
    int left = 5;
  } chain;
  Buffer buffer = MakeBuffer('a');
  chain.aio = &aio_;
  chain.fd = fd_;
  chain.buffer = buffer.get();
  chain.done = [](DiskRequest* self) {
    Chained* chained = static_cast<Chained*>(self);
    if (--chained->left == 0) return;
    EXPECT_EQ(chained->aio->Submit(chained, chained->fd, chained->buffer, kBlock,
                                   chained->left * kBlock, true),
              0);
  };
  ASSERT_EQ(aio_.Submit(&chain, fd_, buffer.get(), kBlock, 0, true), 0);
  EXPECT_EQ(ReapAll(), 5);
  EXPECT_EQ(chain.left, 0);
}

TEST_F(DiskAioTest, ForkedChildStartsAnew) {
  pid_t child = fork();
  if (child == 0) {
    aio_.ResetAfterFork();
    Buffer buffer = MakeBuffer('a');
    Request request;
    bool good = !aio_.ready() && aio_.Init(4) == 0 &&
                aio_.Submit(&request, fd_, buffer.get(), kBlock, 0, true) == 0 && ReapAll() == 1 &&
                request.result == static_cast<long>(kBlock);
    _exit(good ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace bobbin
