// Files that change while they are sent, names that lead elsewhere, and things that are no files.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class HostileFiles : public KnotTest {
 protected:
  // Asks for `target` and takes the beginning of the reply, so that it is under way.
  void Begin(Client& client, const std::string& target) {
    client.Send("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
    begun_ = client.ReadBytes(100'000);
    ASSERT_EQ(begun_.size(), 100'000u);
  }

  // Returns: the body of the reply that Begin began. Requires: it is of `size` bytes.
  std::string End(Client& client, size_t size) {
    size_t head = begun_.find("\r\n\r\n") + 4;
    return begun_.substr(head) + client.ReadBytes(size - (begun_.size() - head));
  }

  void ExpectRefused(const std::string& target, int status = 403) {
    SCOPED_TRACE(target);
    Reply reply = Client(port_).Get(target);
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.body.find("secret"), std::string::npos) << reply.body;
  }

  TempDirectory outside_;
  std::string begun_;
};

// By rename, by removal and by growing, a file changes without the bytes that are being sent.
TEST_P(HostileFiles, ThatChangeWhileSentArriveAsTheyWere) {
  const std::string contents = Pattern(20'000'000);
  for (const char* policy : {"auto", "cache", "nonblocking", "blocking", "poll"}) {
    SCOPED_TRACE(policy);
    for (const char* name : {"grown", "removed", "replaced"}) WriteFile(root_ / name, contents);
    Start({"--threads=8", std::string("--send=") + policy, "--cache_mb=200"});
    for (const char* name : {"grown", "removed", "replaced"}) {
      SCOPED_TRACE(name);
      Client slow(port_, 16384);
      Begin(slow, std::string("/") + name);
      if (name == std::string("grown")) {
        std::ofstream(root_ / name, std::ios::app) << contents;
      } else if (name == std::string("removed")) {
        std::filesystem::remove(root_ / name);
      } else {
        WriteFile(root_ / "new", "new");
        std::filesystem::rename(root_ / "new", root_ / name);
      }
      EXPECT_TRUE(End(slow, contents.size()) == contents);
      EXPECT_EQ(slow.Get("/none").status, 404) << "out of step";
    }
  }
}

TEST_P(HostileFiles, OverwrittenWhileSentFromMemoryArriveAsTheyWere) {
  const std::string contents = Pattern(20'000'000);
  WriteFile(root_ / "file", contents);
  Start({"--threads=8", "--send=cache", "--cache_mb=200"});
  Client slow(port_, 16384);
  Begin(slow, "/file");
  WriteFile(root_ / "file", std::string(contents.size(), 'x'));
  EXPECT_TRUE(End(slow, contents.size()) == contents);
}

// A descriptor kept in the cache is of a file that is shorter by now: the length that was promised
// cannot be kept, which only the end of the connection can say.
TEST_P(HostileFiles, CutShortBetweenTwoRequestsEndTheConnection) {
  WriteFile(root_ / "file", Pattern(1'000'000));
  Start({"--threads=8", "--send=inline", "--cache_valid=600"});
  Client client(port_);
  EXPECT_EQ(client.Get("/file").body.size(), 1'000'000u);
  std::filesystem::resize_file(root_ / "file", 1000);
  Reply reply = client.Get("/file");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.failure, "the body ended early");
  EXPECT_TRUE(reply.body == Pattern(1'000'000).substr(0, 1000));
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(HostileFiles, OutOfTheRootAreNotServedByAnyName) {
  WriteFile(outside_ / "file", "secret");
  WriteFile(outside_ / "index.html", "secret");
  WriteFile(root_ / "inside/file", "inside");
  const std::string up = "../" + std::filesystem::path(outside_.path()).filename().string();
  const std::string name = up.substr(3);
  struct Link {
    std::string name, to;
  };
  const Link kLinks[] = {
      {"absolute", outside_ / "file"},
      {"absolute_directory", outside_.path()},
      {"relative", up + "/file"},
      {"relative_directory", up},
      {"parent", ".."},
      {"inside/far", "../" + up},
      {"chain", "relative"},
      {"chain_of_two", "chain"},
      {"directory_of_chain", "relative_directory/../" + name},
      {"there_and_back", "../" + std::filesystem::path(root_.path()).filename().string()},
      {"self", "/proc/self/root" + outside_ / "file"},
      {"process", "/proc/self/cwd"},
      {"device", "/dev/zero"},
      {"loop", "loop"},
      {"other_loop", "loop/x"}};
  for (const Link& link : kLinks) std::filesystem::create_symlink(link.to, root_ / link.name);
  Start({"--threads=8"});
  for (const char* target :
       {"/absolute", "/absolute_directory/file", "/absolute_directory/", "/relative",
        "/relative_directory/file", "/relative_directory/", "/chain", "/chain_of_two",
        "/directory_of_chain/file", "/there_and_back/inside/file", "/self", "/process/",
        "/process/file", "/device", "/loop", "/other_loop"}) {
    ExpectRefused(target);
  }
  ExpectRefused("/parent/" + name + "/file");
  ExpectRefused("/inside/far/file");
  for (const std::string& dots :
       {std::string("/../"), std::string("/%2e%2e/"), std::string("/.%2E/"), std::string("/%2e./"),
        std::string("/inside/../../"), std::string("/inside/%2e%2e/%2e%2e/"), std::string("//../"),
        std::string("/./../")}) {
    ExpectRefused(dots + name + "/file", 400);
  }
  // An encoded slash or backslash separates nothing; what is decoded once is not decoded again.
  ExpectRefused("/..%2f" + name + "/file", 404);
  ExpectRefused("/..%5c" + name + "%5cfile", 404);
  ExpectRefused("/%252e%252e/" + name + "/file", 404);
  ExpectRefused("/%c0%ae%c0%ae/" + name + "/file", 404);
  ExpectRefused("/" + outside_ / "file", 404);
  ExpectRefused("/inside/file%00.html", 400);
}

TEST_P(HostileFiles, WithinTheRootAreServedByLinks) {
  WriteFile(root_ / "inside/file", "inside");
  std::filesystem::create_symlink("inside/file", root_ / "link");
  std::filesystem::create_symlink("inside", root_ / "directory");
  std::filesystem::create_symlink("../link", root_ / "inside/up");
  Start({"--threads=8"});
  for (const char* target : {"/link", "/directory/file", "/inside/up", "/directory/up",
                             "/inside/../inside/file", "/./inside/./file"}) {
    EXPECT_EQ(Client(port_).Get(target).body, "inside") << target;
  }
}

// With one thread, whatever blocks it would be noticed by the next request.
TEST_P(HostileFiles, ThatAreNoFilesAreRefusedWithoutWaiting) {
  WriteFile(root_ / "file", "contents");
  ASSERT_EQ(mkfifo((root_ / "fifo").c_str(), 0666), 0);
  ASSERT_EQ(mkfifo((root_ / "fifo_in_use").c_str(), 0666), 0);
  int both_ends = open((root_ / "fifo_in_use").c_str(), O_RDWR | O_CLOEXEC);
  int socket_there = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", (root_ / "socket").c_str());
  ASSERT_EQ(bind(socket_there, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::vector<std::string> targets = {"/fifo", "/fifo_in_use", "/socket", "/link_to_fifo"};
  std::filesystem::create_symlink("fifo", root_ / "link_to_fifo");
  if (mknod((root_ / "zero").c_str(), S_IFCHR | 0666, makedev(1, 5)) == 0) {
    targets.push_back("/zero");  // only some users may
  }
  Start({"--threads=1", "--idle_timeout=600"});
  for (const std::string& target : targets) {
    ExpectRefused(target);
    EXPECT_EQ(Client(port_).Get("/file").body, "contents") << "after " << target;
  }
  for (const char* path : {"/fifo/", "/fifo/x", "/file/", "/file/x"}) ExpectRefused(path, 404);
  close(both_ends);
  close(socket_there);
}

TEST_P(HostileFiles, OfImpossibleNamesAreNotThere) {
  WriteFile(root_ / "file", "contents");
  Start({"--threads=2"});
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "/a";
  std::string up;
  for (int i = 0; i < 1000; ++i) up += "/..";
  ExpectRefused("/" + std::string(300, 'x'), 404);
  ExpectRefused(deep, 404);
  ExpectRefused(up + "/etc/passwd", 400);
  ExpectRefused("/%01%02%7f%ff", 404);
  ExpectRefused("/-", 404);
  EXPECT_EQ(Client(port_).Get("/" + std::string(1000, '/') + "file").body, "contents");
}

// While a directory and a symbolic link out of the root change places without a pause, each file is
// looked up once in each: none is ever that of outside.
TEST_P(HostileFiles, AreNotReachedByARace) {
  constexpr int kFiles = 1500;
  for (int i = 0; i < kFiles; ++i) {
    WriteFile(root_ / "place/" + std::to_string(i), "inside");
    WriteFile(outside_ / std::to_string(i), "secret");
  }
  std::filesystem::create_symlink(outside_.path(), root_ / "link");
  Start({"--threads=8", "--cache_mb=0"});
  std::atomic<bool> over{false};
  std::thread swapper([&] {
    while (!over.load()) {
      renameat2(AT_FDCWD, (root_ / "place").c_str(), AT_FDCWD, (root_ / "link").c_str(),
                RENAME_EXCHANGE);
    }
  });
  std::atomic<int> inside{0}, refused{0};
  std::vector<std::thread> clients;
  for (const char* directory : {"/place/", "/link/", "/place/../place/", "/link/../place/"}) {
    clients.emplace_back([&, directory] {
      for (int i = 0; i < kFiles; ++i) {
        Client client(port_);
        Reply reply = client.Get(directory + std::to_string(i));
        if (reply.status == 200) {
          ASSERT_EQ(reply.body, "inside");
          ++inside;
        } else {
          // 503: renames went on for too long while a ".." was followed.
          ASSERT_TRUE(reply.status == 403 || reply.status == 503) << reply.status;
          ++refused;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  over = true;
  swapper.join();
  EXPECT_GT(inside.load(), 0);
  EXPECT_GT(refused.load(), 0);
}

TEST_P(HostileFiles, ThatComeAndGoAreThereOrNot) {
  Start({"--threads=8"});
  std::atomic<bool> over{false};
  std::thread changer([&] {
    for (int i = 0; !over.load(); ++i) {
      switch (i % 4) {
        case 0:
          WriteFile(root_ / "new", std::string(100'000, 'a'));
          std::filesystem::rename(root_ / "new", root_ / "thing");
          break;
        case 1:
          WriteFile(root_ / "new", "short");
          std::filesystem::rename(root_ / "new", root_ / "thing");
          break;
        case 2:
          std::filesystem::remove(root_ / "thing");
          std::filesystem::create_directory(root_ / "thing");
          break;
        default:
          std::filesystem::remove(root_ / "thing");
      }
    }
  });
  for (int i = 0; i < 2000; ++i) {
    // Each name is looked up once, as many as there are.
    Reply reply = Client(port_).Get("/" + std::string(i % 2000, '/') + "thing");
    if (reply.status == 200) {
      EXPECT_TRUE(reply.body == "short" || reply.body == std::string(100'000, 'a'));
    } else {
      EXPECT_TRUE(reply.status == 404 || reply.status == 301 || reply.status == 403)
          << reply.status << reply.failure;
    }
  }
  over = true;
  changer.join();
}

TEST_P(HostileFiles, AreServedThoughTheRootIsMoved) {
  const std::string moved = root_.path() + "_moved";
  WriteFile(root_ / "file", "contents");
  Start({"--threads=2", "--cache_mb=0"});
  std::filesystem::rename(root_.path(), moved);
  EXPECT_EQ(Client(port_).Get("/file").body, "contents");
  std::filesystem::rename(moved, root_.path());
}

TEST_P(HostileFiles, OfTheLogThatAreFullHoldUpNobody) {
  WriteFile(root_ / "file", "contents");
  Start({"--threads=8", "--access_log=/dev/full"});
  Client client(port_);
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(client.Get("/file").body, "contents");
  EXPECT_TRUE(server_->WaitForError("the access log cannot be written: No space left on device"));
  EXPECT_EQ(client.Get("/file").body, "contents");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string error = server_->Error(), says = "cannot be written";
  EXPECT_EQ(error.find(says), error.rfind(says)) << "said more than once: " << error;
}

// A limit on the size of files is told by a signal that ends whoever does not ignore it.
TEST_P(HostileFiles, OfTheLogThatMayNotGrowHoldUpNobody) {
  TempDirectory logs;
  WriteFile(root_ / "file", "contents");
  Start({"--threads=8", "--access_log=" + logs / "log"});
  const rlimit limit{10'000, 10'000};
  ASSERT_EQ(prlimit(server_->pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  Client client(port_);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.Get("/file").body, "contents");
  EXPECT_TRUE(server_->WaitForError("the access log cannot be written: File too large"));
  EXPECT_EQ(client.Get("/file").body, "contents");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_LE(std::filesystem::file_size(logs / "log"), 10'000u);
}

INSTANTIATE_FOR_BINARIES(HostileFiles);

}  // namespace
}  // namespace knot::test
