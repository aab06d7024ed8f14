// stdio, iostreams and the resolver: calls that block inside libc.
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <wchar.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// A stream over a descriptor it owns.
class Stream {
 public:
  Stream(Fd* fd, const char* mode) : file_(fdopen(fd->Release(), mode)) {}
  ~Stream() { Close(); }
  void Close() {
    if (file_ != nullptr) fclose(file_);
    file_ = nullptr;
  }
  operator FILE*() { return file_; }

 private:
  FILE* file_;
};

TEST(Stdio, FgetsBlocksInOneThreadWhileAnotherPrints) {
  Pair pair = MakeTcpPair();
  Stream input(&pair.a, "r");
  Stream output(&pair.b, "w");
  Thread reader([&] {
    char line[64];
    for (int i = 0; i < 20; ++i) {
      ASSERT_NE(nullptr, fgets(line, sizeof line, input));
      EXPECT_EQ("line " + std::to_string(i) + "\n", line);
    }
    EXPECT_EQ(nullptr, fgets(line, sizeof line, input));
    EXPECT_TRUE(feof(input));
  });
  for (int i = 0; i < 20; ++i) {
    if (i % 5 == 0) SleepMs(3);
    EXPECT_GT(fprintf(output, "line %d\n", i), 0);
    EXPECT_EQ(0, fflush(output));
  }
  output.Close();
}

TEST(Stdio, GetlineGrowsAndBlocksForTheRestOfALine) {
  Pair pipe = MakePipe();
  Stream input(&pipe.a, "r");
  const std::string part(5000, 'p');
  Thread writer([&] {
    EXPECT_TRUE(WriteAll(pipe.b, part));
    SleepMs(10);
    EXPECT_TRUE(WriteAll(pipe.b, part + "\n"));
  });
  char* line = nullptr;
  size_t capacity = 0;
  EXPECT_EQ(10001, getline(&line, &capacity, input));
  free(line);
}

TEST(Stdio, SecondThreadWaitsForTheStreamLockWithoutStoppingOthers) {
  Pair pair = MakeTcpPair();
  Stream input(&pair.a, "r");
  Event waiting;
  std::atomic<int> got{0};
  auto body = [&] {
    char line[16];
    waiting.Post();
    EXPECT_NE(nullptr, fgets(line, sizeof line, input));
    ++got;
  };
  Thread first(body);
  // Blocks in the lock that the first one holds over its read.
  Thread second(body);
  waiting.Wait(2);
  Settle();
  int rounds = 0;
  Thread([&] {
    for (; rounds < 5; ++rounds) SleepMs(1);
  }).Join();
  EXPECT_EQ(5, rounds);
  EXPECT_EQ(0, got);
  EXPECT_TRUE(WriteAll(pair.b, "a\n"));
  while (got < 1) SleepMs(1);
  EXPECT_TRUE(WriteAll(pair.b, "b\n"));
}

TEST(Stdio, LinesOfManyWritersAreNotTornApart) {
  Pair pipe = MakePipe();
  Stream input(&pipe.a, "r");
  {
    Stream output(&pipe.b, "w");
    Thread reader([&] {
      char line[256];
      int count = 0;
      while (fgets(line, sizeof line, input) != nullptr) {
        ++count;
        EXPECT_EQ(101u, strlen(line));
        EXPECT_EQ(std::string(100, line[0]) + "\n", line);
      }
      EXPECT_EQ(400, count);
    });
    {
      std::vector<std::unique_ptr<Thread>> writers;
      for (int i = 0; i < 8; ++i) {
        writers.push_back(std::make_unique<Thread>([&, i] {
          const std::string text(100, static_cast<char>('a' + i));
          for (int n = 0; n < 50; ++n) fprintf(output, "%s\n", text.c_str());
        }));
      }
    }
    output.Close();
  }
}

TEST(Stdio, FlockfileHoldsOthersOffOverABlockingCall) {
  TempDir directory;
  FILE* file = fopen(directory.File("f").c_str(), "w+");
  ASSERT_NE(nullptr, file);
  Event locked;
  Thread holder([&] {
    flockfile(file);
    locked.Post();
    fputs("a", file);
    SleepMs(20);
    fputs("a", file);
    funlockfile(file);
  });
  locked.Wait();
  EXPECT_NE(0, ftrylockfile(file));
  fputs("b", file);
  holder.Join();
  rewind(file);
  char text[8] = "";
  EXPECT_NE(nullptr, fgets(text, sizeof text, file));
  EXPECT_STREQ("aab", text);
  fclose(file);
}

TEST(Stdio, FwriteOfMoreThanTheSocketTakesWritesAll) {
  Pair pair = MakeTcpPair();
  const std::string data = Pattern(2 << 20);
  Thread writer([&] {
    Stream output(&pair.b, "w");
    EXPECT_EQ(data.size(), fwrite(data.data(), 1, data.size(), output));
    EXPECT_EQ(0, fflush(output));
  });
  Settle();
  EXPECT_TRUE(data == ReadToEnd(pair.a));
}

TEST(Stdio, FreadGathersUntilFullOrTheEnd) {
  Pair pair = MakeTcpPair();
  Stream input(&pair.a, "r");
  Thread writer([&] {
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(WriteAll(pair.b, std::string(100, 'x')));
      SleepMs(1);
    }
    pair.b.Reset();
  });
  char buffer[2000];
  EXPECT_EQ(900u, fread(buffer, 1, 900, input));
  EXPECT_EQ(100u, fread(buffer, 1, 900, input));
}

TEST(Stdio, InterruptedReadSetsTheErrorFlag) {
  Pair pipe = MakePipe();
  Stream input(&pipe.a, "r");
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread reader([&] {
    errno = 0;
    EXPECT_EQ(EOF, fgetc(input));
    EXPECT_EQ(EINTR, errno);
    EXPECT_TRUE(ferror(input));
    done.Post();
  });
  SignalUntil(reader.handle(), SIGUSR1, &done);
}

TEST(Stdio, NonBlockingStreamSaysAgain) {
  Pair pipe = MakePipe(O_NONBLOCK);
  Stream input(&pipe.a, "r");
  errno = 0;
  EXPECT_EQ(EOF, fgetc(input));
  EXPECT_EQ(EAGAIN, errno);
  clearerr(input);
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  EXPECT_EQ('x', fgetc(input));
}

TEST(Stdio, ScanfReadsNumbersAsTheyCome) {
  Pair pipe = MakePipe();
  Stream input(&pipe.a, "r");
  Thread writer([&] {
    EXPECT_TRUE(WriteAll(pipe.b, "12 3"));
    SleepMs(10);
    EXPECT_TRUE(WriteAll(pipe.b, "4 56\n"));
  });
  int a = 0, b = 0, c = 0;
  EXPECT_EQ(3, fscanf(input, "%d %d %d", &a, &b, &c));
  EXPECT_EQ(12, a);
  EXPECT_EQ(34, b);
  EXPECT_EQ(56, c);
}

TEST(Stdio, WideCharactersGoThrough) {
  Pair pipe = MakePipe();
  Stream input(&pipe.a, "r");
  Thread writer([&] {
    Stream output(&pipe.b, "w");
    EXPECT_EQ(5, fwprintf(output, L"wide\n"));
  });
  wchar_t line[16];
  ASSERT_NE(nullptr, fgetws(line, 16, input));
  EXPECT_EQ(0, wcscmp(L"wide\n", line));
}

TEST(Stdio, ManyThreadsReadTheirOwnFiles) {
  TempDir directory;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 20; ++i) {
    threads.push_back(std::make_unique<Thread>([&, i] {
      const std::string path = directory.File(std::to_string(i));
      FILE* file = fopen(path.c_str(), "w");
      ASSERT_NE(nullptr, file);
      for (int n = 0; n < 1000; ++n) fprintf(file, "%d\n", i * n);
      EXPECT_EQ(0, fclose(file));
      file = fopen(path.c_str(), "r");
      ASSERT_NE(nullptr, file);
      int value = -1;
      for (int n = 0; n < 1000; ++n) {
        ASSERT_EQ(1, fscanf(file, "%d", &value));
        ASSERT_EQ(i * n, value);
      }
      EXPECT_EQ(0, fclose(file));
    }));
  }
}

TEST(Iostream, FileStreamsInManyThreads) {
  TempDir directory;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(std::make_unique<Thread>([&, i] {
      const std::string path = directory.File(std::to_string(i));
      {
        std::ofstream out(path);
        for (int n = 0; n < 200; ++n) out << i << ' ' << n << std::endl;
      }
      std::ifstream in(path);
      int a, b, lines = 0;
      while (in >> a >> b) {
        EXPECT_EQ(i, a);
        EXPECT_EQ(lines++, b);
      }
      EXPECT_EQ(200, lines);
    }));
  }
}

TEST(Iostream, FifoStreamBlocksForData) {
  TempDir directory;
  const std::string path = directory.File("fifo");
  ASSERT_OK(mknod(path.c_str(), S_IFIFO | 0600, 0));
  std::string word;
  Thread reader([&] {
    std::ifstream in(path);
    in >> word;
  });
  std::ofstream out(path);
  Settle();
  out << "later" << std::endl;
  out.close();
  reader.Join();
  EXPECT_EQ("later", word);
}

TEST(Iostream, StandardInputOfAChildBlocksForALine) {
  Pair pipe = MakePipe();
  const pid_t child = StartChild([&] {
    dup2(pipe.a, 0);
    pipe.b.Reset();
    int other_rounds = 0;
    Thread other([&] {
      for (; other_rounds < 3; ++other_rounds) SleepMs(1);
    });
    std::string line;
    std::getline(std::cin, line);
    other.Join();
    return line == "typed" && other_rounds == 3 ? 0 : 1;
  });
  Settle();
  EXPECT_TRUE(WriteAll(pipe.b, "typed\n"));
  pipe.b.Reset();
  ExpectExited(0, WaitForChild(child));
}

// --- The resolver --------------------------------------------------------------------------------

std::string Resolve(const char* name, int family, int flags = 0) {
  addrinfo hints = {};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* result = nullptr;
  const int error = getaddrinfo(name, "80", &hints, &result);
  if (error != 0) return gai_strerror(error);
  char text[64] = "";
  EXPECT_EQ(0, getnameinfo(result->ai_addr, result->ai_addrlen, text, sizeof text, nullptr, 0,
                           NI_NUMERICHOST));
  freeaddrinfo(result);
  return text;
}

TEST(Resolver, NumericAddresses) {
  EXPECT_EQ("127.0.0.1", Resolve("127.0.0.1", AF_UNSPEC, AI_NUMERICHOST));
  EXPECT_EQ("::1", Resolve("::1", AF_INET6, AI_NUMERICHOST));
  EXPECT_EQ(gai_strerror(EAI_NONAME), Resolve("not numeric", AF_UNSPEC, AI_NUMERICHOST));
}

TEST(Resolver, LocalhostInManyThreads) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 30; ++i) {
    threads.push_back(std::make_unique<Thread>([] {
      for (int n = 0; n < 3; ++n) EXPECT_EQ("127.0.0.1", Resolve("localhost", AF_INET));
    }));
  }
}

TEST(Resolver, GethostbynameInManyThreads) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(std::make_unique<Thread>([] {
      char buffer[1024];
      hostent entry;
      hostent* result = nullptr;
      int error = 0;
      EXPECT_EQ(0, gethostbyname_r("localhost", &entry, buffer, sizeof buffer, &result, &error));
      EXPECT_NE(nullptr, result);
    }));
  }
}

TEST(Resolver, ConnectByName) {
  Listener listener;
  Thread acceptor([&] {
    Fd server(accept(listener.fd(), nullptr, nullptr));
    EXPECT_TRUE(WriteAll(server, "named"));
  });
  addrinfo hints = {};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* result = nullptr;
  ASSERT_EQ(0, getaddrinfo("localhost", std::to_string(listener.address().port()).c_str(), &hints,
                           &result));
  Fd client(socket(result->ai_family, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, result->ai_addr, result->ai_addrlen));
  freeaddrinfo(result);
  EXPECT_EQ("named", ReadToEnd(client));
}

}  // namespace
}  // namespace conformance
