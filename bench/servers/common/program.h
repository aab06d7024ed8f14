// What every server does before and after it serves: flags, directory, listening sockets, signals,
// counters.
//
// A server defines flags of its own with ABSL_FLAG in its sources under bench/servers/. Every
// mistake is one line on standard error, and exit status 2.
#ifndef BENCH_SERVERS_COMMON_PROGRAM_H_
#define BENCH_SERVERS_COMMON_PROGRAM_H_

#include <signal.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/servers/common/connection.h"
#include "knot/file_cache.h"
#include "knot/listen_address.h"
#include "knot/mime_types.h"

namespace bench_server {

inline constexpr int kExitBadUsage = 2;

// The process, as its command line asks for it. The flags --listen, --stats, --header_timeout,
// --idle_timeout and --send_timeout are those of every server.
class Program {
 public:
  // `does` is a line or two for --help.
  Program(const char* name, const char* does) : name_(name), does_(does) {}

  // Reads the command line and opens the directory. Ends the process where it asks for help or is
  // wrong. SIGPIPE is ignored from then on.
  void Begin(int argc, char** argv);

  // Opens `count` non-blocking listening sockets for each address; with more than one, for the
  // i-th loop those of ListenersOf(i). Ends the process where it cannot.
  void Listen(int count = 1);
  std::vector<int> ListenersOf(int i) const;

  // Ends the process with one line on standard error.
  [[noreturn]] void Fail(absl::string_view reason) const;
  void FailUnless(const absl::Status& status) const {
    if (!status.ok()) Fail(status.message());
  }

  // Raises the limit of open files to what `connections` need, or says that they are too many.
  // Returns: the limit.
  int64_t FitDescriptors(int64_t connections) const;

  // Sets the time-outs of the flags.
  void SetTimeouts(Serving* serving) const;

  // Prints the line that says that connections are accepted; `how` are the server's own settings.
  void SayServing(absl::string_view how) const;

  const char* name() const { return name_; }
  int root() const { return root_; }
  const knot::MimeTypes& types() const { return types_; }
  bool stats() const;

 private:
  const char* const name_;
  const char* const does_;
  std::string directory_;
  int root_ = -1;
  knot::MimeTypes types_ = knot::MimeTypes::FromSystem();
  std::vector<knot::ListenAddress> addresses_;
  std::vector<std::vector<int>> sockets_;  // by address
};

// Returns: the value of --max_conn, of which each process or loop takes its share, at least one.
// Ends the process where it is less than `least`.
int MaxConnections(const Program& program, int least);
int ShareOf(int total, int count, int i);

// Blocks SIGTERM and SIGINT, for the calling thread and those it makes. Returns: their set.
sigset_t BlockStopSignals();

// Returns: a descriptor that becomes readable when a signal of `set` arrives.
int SignalDescriptor(const sigset_t& set);

// Writes the counters, which are added up, as lines `name: value` to standard error.
void WriteCounters(const std::vector<const knot::Counters*>& counters);
void WriteCounter(absl::string_view name, uint64_t value);

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_PROGRAM_H_
