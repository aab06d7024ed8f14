#include "bench/servers/common/program.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "knot/command_line.h"
#include "knot/descriptor_limit.h"
#include "knot/listener.h"

using knot::ListenAddresses;

ABSL_FLAG(
    ListenAddresses, listen, (ListenAddresses{{{"127.0.0.1", 8080}}}),
    "address to listen on, ADDR:PORT or [IPV6]:PORT; may be given more than once; port 0 lets "
    "the system choose");
ABSL_FLAG(int, header_timeout, 10,
          "seconds a client may take to send a request, from its first byte");
ABSL_FLAG(int, idle_timeout, 60, "seconds a connection may wait for its next request");
ABSL_FLAG(int, send_timeout, 30, "seconds a client may read nothing of a reply");
ABSL_FLAG(bool, stats, false, "print counters at exit");

namespace bench_server {
namespace {

bool IsOwn(const absl::CommandLineFlag& flag) {
  return absl::StrContains(flag.Filename(), "bench/servers/");
}

}  // namespace

void Program::Begin(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<knot::Arguments> arguments = knot::ParseArguments(argc, argv, IsOwn);
  FailUnless(arguments.status());
  if (arguments->help || arguments->version) {
    std::printf("%s [FLAGS] [DIR]\n%s\n\n%s", name_, does_, knot::FlagsHelp(IsOwn).c_str());
    std::exit(0);
  }
  if (arguments->positional.size() > 1) {
    Fail(absl::StrCat("one directory can be served, not also ", arguments->positional[1]));
  }
  directory_ = arguments->positional.empty() ? "." : arguments->positional[0];
  FailUnless(knot::CheckRange("header_timeout", absl::GetFlag(FLAGS_header_timeout), 1, 86'400));
  FailUnless(knot::CheckRange("idle_timeout", absl::GetFlag(FLAGS_idle_timeout), 1, 86'400));
  FailUnless(knot::CheckRange("send_timeout", absl::GetFlag(FLAGS_send_timeout), 1, 86'400));
  addresses_ = absl::GetFlag(FLAGS_listen).list;
  root_ = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root_ < 0) {
    Fail(absl::ErrnoToStatus(errno, absl::StrCat("cannot serve ", directory_)).message());
  }
  int self = knot::OpenBeneath(root_, ".");
  if (self < 0) Fail(absl::ErrnoToStatus(-self, "openat2, needed to stay in the root").message());
  close(self);
}

void Program::Listen(int count) {
  for (knot::ListenAddress& address : addresses_) {
    absl::StatusOr<std::vector<int>> sockets =
        knot::Listen(&address, count, absl::GetFlag(FLAGS_send_timeout));
    FailUnless(sockets.status());
    for (int socket : *sockets) {
      if (fcntl(socket, F_SETFL, O_NONBLOCK) != 0)
        Fail("cannot make a listening socket non-blocking");
    }
    sockets_.push_back(*std::move(sockets));
  }
}

std::vector<int> Program::ListenersOf(int i) const {
  std::vector<int> result;
  for (const std::vector<int>& sockets : sockets_) result.push_back(sockets[i]);
  return result;
}

void Program::Fail(absl::string_view reason) const {
  std::fprintf(stderr, "%s: %.*s\n", name_, static_cast<int>(reason.size()), reason.data());
  std::exit(kExitBadUsage);
}

int64_t Program::FitDescriptors(int64_t connections) const {
  int64_t needed = connections + knot::kOtherDescriptors + knot::kFileDescriptors;
  int64_t limit = knot::RaiseDescriptorLimit(needed);
  if (limit < needed) {
    Fail(absl::StrCat("the limit of ", limit, " open files is below the ", needed, " that ",
                      connections,
                      " connections in a process can need; raise it (ulimit -n), lower "
                      "--max_conn, or use more processes"));
  }
  return limit;
}

void Program::SetTimeouts(Serving* serving) const {
  serving->header_timeout_ms = absl::GetFlag(FLAGS_header_timeout) * 1000;
  serving->idle_timeout_ms = absl::GetFlag(FLAGS_idle_timeout) * 1000;
  serving->send_timeout_ms = absl::GetFlag(FLAGS_send_timeout) * 1000;
}

void Program::SayServing(absl::string_view how) const {
  std::string addresses =
      absl::StrJoin(addresses_, " ", [](std::string* out, const knot::ListenAddress& address) {
        absl::StrAppend(out, "http://", knot::AddressText(address), "/");
      });
  std::printf("%s: %s serves %s; %.*s\n", name_, addresses.c_str(), directory_.c_str(),
              static_cast<int>(how.size()), how.data());
  std::fflush(stdout);
}

bool Program::stats() const { return absl::GetFlag(FLAGS_stats); }

sigset_t BlockStopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

int SignalDescriptor(const sigset_t& set) { return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK); }

void WriteCounter(absl::string_view name, uint64_t value) {
  std::fprintf(stderr, "%.*s: %llu\n", static_cast<int>(name.size()), name.data(),
               static_cast<unsigned long long>(value));
}

void WriteCounters(const std::vector<const knot::Counters*>& counters) {
  auto write = [&](const char* name, knot::Counter knot::Counters::*member) {
    uint64_t sum = 0;
    for (const knot::Counters* each : counters) sum += (each->*member).Get();
    WriteCounter(name, sum);
  };
  write("connections", &knot::Counters::connections);
  write("requests", &knot::Counters::requests);
  write("body_bytes", &knot::Counters::body_bytes);
  write("refusals", &knot::Counters::refusals);
  write("cut_short", &knot::Counters::cut_short);
  write("idle_closed", &knot::Counters::idle_closed);
}

}  // namespace bench_server
