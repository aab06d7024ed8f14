#include "tests/knot/http_conformance/site.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>

#include "tests/knot/http_conformance/answers.h"

namespace knot::test {
namespace {

namespace fs = std::filesystem;

constexpr time_t kModified = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr time_t kYear2100 = 4102444800;

std::string Times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

void SetTime(const std::string& path, time_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  utimensat(AT_FDCWD, path.c_str(), times, 0);
}

void MakeDocuments(const std::string& root, const std::string& outside) {
  const std::pair<const char*, std::string> kDocuments[] = {
      {"index.html", "index"},
      {"file.txt", "contents"},
      {"empty.txt", ""},
      {"probe.txt", "probe"},
      {"digits.txt", Times(100, "0123456789")},
      {"large.txt", Times(20'000, "0123456789")},
      {"page.html", Times(100, "<p>a paragraph like the others</p>\n")},
      {"image.png", Times(100, "no image")},
      {"tiny.css", "p{}"},
      {"style.css", Times(20, "p { color: black }\n")},
      {"style.css.br", "style by br"},
      {"style.css.zst", "style by zstd"},
      {"style.css.gz", "style by gzip"},
      {"old.css", Times(20, "a { color: blue }\n")},
      {"old.css.gz", "old by gzip"},
      {"future.txt", "future"},
      {"a b.txt", "space"},
      {"%41.txt", "percent"},
      {"caf\xc3\xa9.txt", "utf8"},
      {"back\\slash.txt", "backslash"},
      {"semi;colon.txt", "semicolon"},
      {"...", "dots"},
      {"plain", "without an extension"},
      {".hidden", "hidden"},
      {"sub/.git/config", "hidden"},
      {".well-known/security.txt", "well known"},
      {".well-known/.hidden", "hidden"},
      {"sub/index.html", "sub index"},
      {"sub/file.txt", "sub contents"},
  };
  for (const auto& [name, contents] : kDocuments) {
    WriteFile(root + "/" + name, contents);
    SetTime(root + "/" + name, kModified);
  }
  SetTime(root + "/old.css.gz", kModified - 10);
  SetTime(root + "/future.txt", kYear2100);
  for (const char* name : {"bare", "\\evil", "evil.example"}) {
    fs::create_directories(root + "/" + name);
  }
  WriteFile(outside + "/secret", "secret");
  fs::create_symlink("file.txt", root + "/inside");
  fs::create_symlink(outside + "/secret", root + "/absolute");
  fs::create_symlink("../outside/secret", root + "/relative");
  fs::create_symlink("../outside", root + "/escape");
  mkfifo((root + "/fifo").c_str(), 0600);
}

// Leaves a child that has ended to be waited for; one that was waited for is no child any more.
bool HasEnded(pid_t pid) {
  siginfo_t info{};
  return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

constexpr const char* kNginx = "/usr/sbin/nginx";

// Asks nginx for what Knot does by default: its types and charset, its limits, strong conditions
// by date, redirects to the same host. Short time-outs, since it waits where Knot refuses.
std::string NginxConfiguration(const std::string& root, const std::string& directory) {
  std::string text = R"(
daemon off;
master_process off;
pid @directory@/pid;
error_log @directory@/log crit;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @directory@/body;
  proxy_temp_path @directory@/proxy;
  fastcgi_temp_path @directory@/fastcgi;
  uwsgi_temp_path @directory@/uwsgi;
  scgi_temp_path @directory@/scgi;
  types { text/html html; text/css css; text/plain txt; image/png png; application/gzip gz; }
  default_type application/octet-stream;
  charset utf-8;
  charset_types text/css text/plain;
  server_tokens off;
  absolute_redirect off;
  if_modified_since before;
  max_ranges 16;
  gzip_static on;
  gzip_vary on;
  client_header_timeout 2;
  client_body_timeout 2;
  lingering_timeout 1;
  client_max_body_size 1m;
  large_client_header_buffers 4 8k;
  server { listen unix:@directory@/socket; root @root@; index index.html; }
}
)";
  auto replace = [&](const std::string& name, const std::string& value) {
    for (size_t at; (at = text.find(name)) != std::string::npos;) {
      text.replace(at, name.size(), value);
    }
  };
  replace("@directory@", directory);
  replace("@root@", root);
  return text;
}

}  // namespace

std::string Target::TagOf(const std::string& what) {
  auto known = tags_.find(what);
  if (known != tags_.end()) return known->second;
  size_t space = what.find(' ');
  std::string request =
      "GET " + what.substr(0, space) + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
  if (space != std::string::npos) request += "Accept-Encoding:" + what.substr(space) + "\r\n";
  std::vector<Answer> answers;
  SplitAnswers(Exchange(connect_, {request + "\r\n"}, false).received, &answers);
  const std::string* tag = answers.empty() ? nullptr : answers[0].Find("ETag");
  EXPECT_NE(tag, nullptr) << what;
  return tags_[what] = tag == nullptr ? "none" : *tag;
}

Site::Site() : root_(directory_ / "root") {
  MakeDocuments(root_, directory_ / "outside");
  made_ = time(nullptr);
}

Site::~Site() = default;

// Knot's entity tags are weak while a file may still change within the same tick of its clock.
void Site::LetSettle() const {
  while (time(nullptr) - made_ < 3) usleep(10'000);
}

Target* Site::Knot(const std::string& binary, const std::vector<std::string>& flags) {
  std::string key = binary;
  for (const std::string& flag : flags) key += " " + flag;
  Running& running = running_[key];
  if (running.process != nullptr && HasEnded(running.process->pid())) {
    ADD_FAILURE() << "in the case before, it ended: " << running.process->Error();
    running = Running();
  }
  if (running.process == nullptr) {
    LetSettle();
    std::vector<std::string> arguments = flags;
    arguments.insert(arguments.end(), {"--threads=8", "--listen=127.0.0.1:0", root_});
    running.process = std::make_unique<ServerProcess>(binary, arguments);
    std::vector<uint16_t> ports = running.process->WaitForPorts();
    EXPECT_EQ(ports.size(), 1u) << running.process->Error();
    if (ports.size() == 1) running.target = std::make_unique<Target>(ToPort(ports[0]), root_);
  }
  return running.target.get();
}

Target* Site::Nginx() {
  Running& running = running_["nginx"];
  if (running.process == nullptr) {
    EXPECT_EQ(access(kNginx, X_OK), 0) << "Debian's nginx-light is not installed";
    std::string directory = directory_ / "nginx";
    WriteFile(directory + "/conf", NginxConfiguration(root_, directory));
    running.process = std::make_unique<ServerProcess>(
        kNginx, std::vector<std::string>{"-c", directory + "/conf", "-e", directory + "/log"});
    Connector connect = ToUnixSocket(directory + "/socket");
    for (int i = 0; i < 6000; ++i) {
      int socket = connect();
      if (socket >= 0) {
        close(socket);
        running.target = std::make_unique<Target>(connect, root_);
        break;
      }
      usleep(10'000);
    }
    EXPECT_NE(running.target, nullptr) << "nginx does not start: " << running.process->Error();
  }
  return running.target.get();
}

}  // namespace knot::test
