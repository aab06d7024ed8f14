// Listening, accepting, connecting.
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class Accept : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (GetParam() == AF_INET6 && !HasIpv6()) GTEST_SKIP() << "no IPv6 loopback";
  }
};

INSTANTIATE_TEST_SUITE_P(Families, Accept, testing::Values(AF_INET, AF_INET6));

TEST_P(Accept, BlocksUntilAConnectionComesAndGivesItsAddress) {
  Listener listener(GetParam());
  Address peer(GetParam());
  Fd server;
  Event waiting;
  Thread acceptor([&] {
    waiting.Post();
    server.Reset(accept(listener.fd(), peer.get(), &peer.size));
    EXPECT_OK(server);
  });
  waiting.Wait();
  Settle();
  Fd client = listener.Connect();
  acceptor.Join();
  Address local(GetParam());
  EXPECT_OK(getsockname(client, local.get(), &local.size));
  EXPECT_EQ(GetParam(), peer.storage.ss_family);
  EXPECT_EQ(local.port(), peer.port());
  Address server_side(GetParam());
  EXPECT_OK(getpeername(client, server_side.get(), &server_side.size));
  EXPECT_EQ(listener.address().port(), server_side.port());
}

TEST_P(Accept, TakesAConnectionThatIsAlreadyThere) {
  Listener listener(GetParam());
  Fd client = listener.Connect();
  Fd server(accept(listener.fd(), nullptr, nullptr));
  EXPECT_OK(server);
  EXPECT_TRUE(WriteAll(server, "hello"));
  EXPECT_EQ("hello", ReadExactly(client, 5));
}

TEST_P(Accept, AcceptedSocketShowsNoFlagsUnlessAskedFor) {
  Listener listener(GetParam());
  Fd client = listener.Connect();
  Fd server(accept(listener.fd(), nullptr, nullptr));
  EXPECT_EQ(0, fcntl(server, F_GETFL) & O_NONBLOCK);
  EXPECT_EQ(0, fcntl(server, F_GETFD) & FD_CLOEXEC);
}

TEST_P(Accept, AcceptedSocketDoesNotInheritNonBlockingFromTheListener) {
  Listener listener(GetParam());
  SetNonBlocking(listener.fd());
  EXPECT_ERRNO(EAGAIN, accept(listener.fd(), nullptr, nullptr));
  Fd client = listener.Connect();
  Fd server;
  while (server < 0) {
    server.Reset(accept(listener.fd(), nullptr, nullptr));
    if (server < 0) SleepMs(1);
  }
  EXPECT_EQ(0, fcntl(server, F_GETFL) & O_NONBLOCK);
}

TEST_P(Accept, Accept4SetsTheFlagsItIsGiven) {
  Listener listener(GetParam());
  Fd client = listener.Connect();
  Fd server(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  EXPECT_NE(0, fcntl(server, F_GETFL) & O_NONBLOCK);
  EXPECT_NE(0, fcntl(server, F_GETFD) & FD_CLOEXEC);
  char c;
  EXPECT_ERRNO(EAGAIN, recv(server, &c, 1, 0));
}

TEST_P(Accept, Accept4WithUnknownFlagsIsInvalid) {
  Listener listener(GetParam());
  EXPECT_ERRNO(EINVAL, accept4(listener.fd(), nullptr, nullptr, 1));
}

TEST_P(Accept, AddressLongerThanTheBufferIsCutAndItsSizeTold) {
  Listener listener(GetParam());
  Fd client = listener.Connect();
  sockaddr address = {};
  socklen_t size = 2;
  Fd server(accept(listener.fd(), &address, &size));
  EXPECT_OK(server);
  EXPECT_GT(size, 2u);
  EXPECT_EQ(GetParam(), address.sa_family);
}

TEST_P(Accept, SeveralThreadsOnOneListenerShareTheConnections) {
  Listener listener(GetParam());
  std::atomic<int> accepted{0};
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      Fd server(accept(listener.fd(), nullptr, nullptr));
      EXPECT_OK(server);
      ++accepted;
    }));
  }
  Settle();
  std::vector<Fd> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(listener.Connect());
  threads.clear();
  EXPECT_EQ(10, accepted);
}

TEST_P(Accept, ManyConnectionsInOneBurstAreAllAccepted) {
  Listener listener(GetParam(), 256);
  Event done;
  Thread acceptor([&] {
    for (int i = 0; i < 200; ++i) {
      Fd server(accept(listener.fd(), nullptr, nullptr));
      EXPECT_OK(server);
    }
    done.Post();
  });
  for (int i = 0; i < 200; ++i) listener.Connect();
  done.Wait();
}

TEST(AcceptErrors, BadDescriptorsAndSockets) {
  EXPECT_ERRNO(EBADF, accept(-1, nullptr, nullptr));
  Pair pipe = MakePipe();
  EXPECT_ERRNO(ENOTSOCK, accept(pipe.a, nullptr, nullptr));
  Fd idle(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(EINVAL, accept(idle, nullptr, nullptr));
  Fd udp(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(EOPNOTSUPP, accept(udp, nullptr, nullptr));
}

TEST(AcceptErrors, ReceiveTimeoutOfTheListenerGivesEagainNotEarly) {
  Listener listener;
  SetTimeout(listener.fd(), SO_RCVTIMEO, 40);
  Stopwatch watch;
  EXPECT_ERRNO(EAGAIN, accept(listener.fd(), nullptr, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 30);
}

TEST(AcceptErrors, ShutdownByAnotherThreadWakesItWithEinval) {
  Listener listener;
  Event waiting;
  Thread acceptor([&] {
    waiting.Post();
    EXPECT_ERRNO(EINVAL, accept(listener.fd(), nullptr, nullptr));
  });
  waiting.Wait();
  Settle();
  EXPECT_OK(shutdown(listener.fd(), SHUT_RDWR));
}

TEST(AcceptErrors, OutOfDescriptorsSaysEmfileAndLaterWorks) {
  Listener listener;
  Fd client = listener.Connect();
  ExpectExited(0, RunInChild([&] {
                 rlimit limit;
                 getrlimit(RLIMIT_NOFILE, &limit);
                 // Nothing above the highest descriptor in use can be had.
                 const int highest = dup(0);
                 close(highest);
                 const rlim_t old = limit.rlim_cur;
                 limit.rlim_cur = highest;
                 setrlimit(RLIMIT_NOFILE, &limit);
                 EXPECT_ERRNO(EMFILE, accept(listener.fd(), nullptr, nullptr));
                 limit.rlim_cur = old;
                 setrlimit(RLIMIT_NOFILE, &limit);
                 EXPECT_OK(accept(listener.fd(), nullptr, nullptr));
                 return 0;
               }));
}

TEST(Connect, ToAPortNobodyListensOnIsRefused) {
  Listener listener;
  const Address address = listener.address();
  listener.Close();
  Fd client(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(ECONNREFUSED, connect(client, address.get(), address.size));
}

TEST(Connect, TwiceIsAlreadyConnected) {
  Listener listener;
  Fd client = listener.Connect();
  EXPECT_ERRNO(EISCONN, connect(client, listener.address().get(), listener.address().size));
}

TEST(Connect, BadArguments) {
  Listener listener;
  EXPECT_ERRNO(EBADF, connect(-1, listener.address().get(), listener.address().size));
  Fd client(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(EINVAL, connect(client, listener.address().get(), 2));
  sockaddr wrong = {};
  wrong.sa_family = AF_UNIX;
  EXPECT_ERRNO(EAFNOSUPPORT, connect(client, &wrong, sizeof(sockaddr_in)));
}

TEST(Connect, NonBlockingIsInProgressOrDoneAndPollTellsTheOutcome) {
  Listener listener;
  Fd client(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const int result = connect(client, listener.address().get(), listener.address().size);
  if (result == -1) {
    EXPECT_EQ(EINPROGRESS, errno);
  }
  Fd server(accept(listener.fd(), nullptr, nullptr));
  int error = -1;
  socklen_t size = sizeof error;
  EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size));
  EXPECT_EQ(0, error);
  EXPECT_EQ(1, send(client, "x", 1, 0));
}

TEST(Connect, ToAFullBacklogTimesOutWithTheSendTimeout) {
  Listener listener(AF_INET, 0);
  std::vector<Fd> clients;
  bool timed_out = false;
  // A backlog of 0 still takes one or two; then the handshake stays unanswered.
  for (int i = 0; i < 4 && !timed_out; ++i) {
    Fd client(socket(AF_INET, SOCK_STREAM, 0));
    SetTimeout(client, SO_SNDTIMEO, 60);
    Stopwatch watch;
    if (connect(client, listener.address().get(), listener.address().size) == -1) {
      EXPECT_EQ(EINPROGRESS, errno);
      EXPECT_GE(watch.ElapsedMs(), 50);
      timed_out = true;
    }
    clients.push_back(std::move(client));
  }
  EXPECT_TRUE(timed_out);
}

TEST(Connect, BlocksOnAFullUnixBacklogUntilThereIsRoom) {
  TempDir directory;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, directory.File("s").c_str());
  Fd listener(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_OK(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address));
  ASSERT_OK(listen(listener, 0));
  auto connect_to = [&](int fd) {
    return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  };
  Fd first(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_OK(connect_to(first));
  Fd second(socket(AF_UNIX, SOCK_STREAM, 0));
  SetNonBlocking(second);
  EXPECT_ERRNO(EAGAIN, connect_to(second));
  SetNonBlocking(second, false);
  Event waiting;
  std::atomic<bool> connected{false};
  Thread connector([&] {
    waiting.Post();
    EXPECT_OK(connect_to(second));
    connected = true;
  });
  waiting.Wait();
  Settle();
  EXPECT_FALSE(connected);
  Fd server_of_first(accept(listener, nullptr, nullptr));
  connector.Join();
  EXPECT_TRUE(connected);
  Fd server_of_second(accept(listener, nullptr, nullptr));
  EXPECT_OK(server_of_second);
}

TEST(Connect, UnixErrors) {
  TempDir directory;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, directory.File("none").c_str());
  Fd client(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(ENOENT, connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address));
  {
    Fd bound(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_OK(bind(bound, reinterpret_cast<sockaddr*>(&address), sizeof address));
  }
  EXPECT_ERRNO(ECONNREFUSED,
               connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

TEST(Connect, ManyThreadsConnectAtOnce) {
  Listener listener(AF_INET, 256);
  std::vector<std::unique_ptr<Thread>> threads;
  Thread acceptor([&] {
    for (int i = 0; i < 100; ++i) {
      Fd server(accept(listener.fd(), nullptr, nullptr));
      EXPECT_TRUE(WriteAll(server, "ok"));
    }
  });
  for (int i = 0; i < 100; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      Fd client = listener.Connect();
      EXPECT_EQ("ok", ReadToEnd(client));
    }));
  }
}

TEST(SocketFlags, NonBlockingAtCreationIsSeenAndObeyed) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  EXPECT_NE(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_NE(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
  char c;
  EXPECT_ERRNO(EAGAIN, recv(fd, &c, 1, 0));
  int pair[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
  EXPECT_NE(0, fcntl(pair[0], F_GETFL) & O_NONBLOCK);
  EXPECT_ERRNO(EAGAIN, read(pair[0], &c, 1));
  close(pair[0]);
  close(pair[1]);
}

TEST(SocketFlags, PlainSocketsShowBlocking) {
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  Pair pair = MakeTcpPair();
  for (int end : {pair.a.get(), pair.b.get()}) {
    EXPECT_EQ(O_RDWR, fcntl(end, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  }
}

TEST(SocketFlags, FcntlTurnsNonBlockingOnAndOff) {
  Pair pair = MakeTcpPair();
  char c;
  SetNonBlocking(pair.a);
  EXPECT_NE(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  EXPECT_ERRNO(EAGAIN, recv(pair.a, &c, 1, 0));
  EXPECT_ERRNO(EAGAIN, read(pair.a, &c, 1));
  SetNonBlocking(pair.a, false);
  EXPECT_EQ(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  Thread writer([&] {
    Settle();
    EXPECT_EQ(1, write(pair.b, "x", 1));
  });
  EXPECT_EQ(1, recv(pair.a, &c, 1, 0));
}

TEST(SocketFlags, FionbioTurnsNonBlockingOnAndOff) {
  Pair pair = MakeTcpPair();
  char c;
  int on = 1;
  EXPECT_OK(ioctl(pair.a, FIONBIO, &on));
  EXPECT_NE(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  EXPECT_ERRNO(EAGAIN, recv(pair.a, &c, 1, 0));
  on = 0;
  EXPECT_OK(ioctl(pair.a, FIONBIO, &on));
  EXPECT_EQ(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  Thread writer([&] {
    Settle();
    EXPECT_EQ(1, write(pair.b, "x", 1));
  });
  EXPECT_EQ(1, recv(pair.a, &c, 1, 0));
}

TEST(SocketFlags, FlagsAfterBlockingStillShowBlocking) {
  // Whatever the runtime does to wait must not be seen.
  Pair pair = MakeTcpPair();
  Thread reader([&] {
    char c;
    EXPECT_EQ(1, read(pair.a, &c, 1));
  });
  Settle();
  EXPECT_EQ(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  EXPECT_EQ(1, write(pair.b, "x", 1));
  reader.Join();
  EXPECT_EQ(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
}

TEST(SocketFlags, NonBlockingIsSharedByDuplicates) {
  Pair pair = MakeSocketPair();
  Fd copy(dup(pair.a));
  SetNonBlocking(copy);
  EXPECT_NE(0, fcntl(pair.a, F_GETFL) & O_NONBLOCK);
  char c;
  EXPECT_ERRNO(EAGAIN, read(pair.a, &c, 1));
}

TEST(SocketFlags, BytesAvailableAreTold) {
  Pair pair = MakeSocketPair();
  EXPECT_TRUE(WriteAll(pair.b, "hello"));
  int available = -1;
  EXPECT_OK(ioctl(pair.a, FIONREAD, &available));
  EXPECT_EQ(5, available);
}

TEST(SocketOptions, TypeErrorAndAcceptingAreTold) {
  Listener listener;
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_OK(getsockopt(listener.fd(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
  EXPECT_EQ(1, value);
  EXPECT_OK(getsockopt(listener.fd(), SOL_SOCKET, SO_TYPE, &value, &size));
  EXPECT_EQ(SOCK_STREAM, value);
  EXPECT_ERRNO(ENOPROTOOPT, getsockopt(listener.fd(), SOL_SOCKET, 9999, &value, &size));
}

// --- Twenty thousand threads on one listener -----------------------------------------------------

TEST(ManyThreadsInAccept, EachConnectionWakesOneAndShutdownWakesTheRest) {
  // Half of the descriptors that one process may have: the other ends lie in a child.
  rlimit limit;
  ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
  // Linux reserves the new descriptor's number before it waits, so kernel threads need one each.
  const int kThreads = OnBobbin() ? 20000 : std::min<int>(20000, limit.rlim_cur - 100);
  constexpr int kConnections = 9000;
  Listener listener(AF_INET, 4096);
  Pair start = MakePipe();
  Pair finish = MakePipe();
  const pid_t child = StartChild([&] {
    start.b.Reset();
    finish.b.Reset();
    const int connections = atoi(ReadToEnd(start.a).c_str());
    std::vector<Fd> clients;
    for (int i = 0; i < connections; ++i) {
      clients.push_back(listener.Connect());
      // A reset instead of an ordinary end: thousands of ports would linger otherwise.
      const linger reset = {1, 0};
      setsockopt(clients.back(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    ReadToEnd(finish.a);
    return 0;
  });
  start.a.Reset();
  finish.a.Reset();

  static int listening;
  static std::atomic<int> accepted;
  static std::atomic<int> ended_with_einval;
  static std::atomic<int> other_outcomes;
  static std::atomic<int> last_error;
  static Event* connection;
  Event each_connection;
  listening = listener.fd();
  accepted = ended_with_einval = other_outcomes = 0;
  connection = &each_connection;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  std::vector<pthread_t> threads;
  for (int i = 0; i < kThreads; ++i) {
    pthread_t thread;
    const int error = pthread_create(
        &thread, &attributes,
        [](void*) -> void* {
          const int fd = accept(listening, nullptr, nullptr);
          if (fd >= 0) {
            ++accepted;
            connection->Post();
          } else if (errno == EINVAL) {
            ++ended_with_einval;
          } else {
            ++other_outcomes;
            last_error = errno;
          }
          return reinterpret_cast<void*>(static_cast<intptr_t>(fd));
        },
        nullptr);
    // Kernel threads may be fewer where the machine limits them.
    if (error == EAGAIN && !OnBobbin()) break;
    ASSERT_EQ(0, error) << "thread " << i;
    threads.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
  const int count = threads.size();
  const int connections = std::min(kConnections, count / 2);
  EXPECT_TRUE(WriteAll(start.b, std::to_string(connections)));
  start.b.Reset();
  for (int i = 0; i < connections; ++i) each_connection.Wait();
  Settle();
  EXPECT_EQ(connections, accepted);
  EXPECT_EQ(0, ended_with_einval);
  EXPECT_EQ(0, other_outcomes) << strerror(last_error);

  EXPECT_OK(shutdown(listener.fd(), SHUT_RDWR));
  int descriptors = 0;
  for (pthread_t thread : threads) {
    void* result = nullptr;
    ASSERT_EQ(0, pthread_join(thread, &result));
    const int fd = static_cast<int>(reinterpret_cast<intptr_t>(result));
    if (fd >= 0) {
      ++descriptors;
      close(fd);
    }
  }
  EXPECT_EQ(connections, descriptors);
  EXPECT_EQ(count - connections, ended_with_einval);
  EXPECT_EQ(0, other_outcomes);
  finish.b.Reset();
  ExpectExited(0, WaitForChild(child));
}

}  // namespace
}  // namespace conformance
