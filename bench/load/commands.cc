#include "bench/load/commands.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/load/check.h"
#include "bench/load/clock.h"
#include "bench/load/file_set.h"
#include "bench/load/flags.h"
#include "bench/load/run.h"
#include "bench/load/session_log.h"

ABSL_FLAG(int, directories, 680, "directories of the file set, each of 36 files and 5 MB");
ABSL_FLAG(bool, verify_files, false,
          "look at every byte of files that are there, not at their ends only");
ABSL_FLAG(double, rate, 1000, "requests a second");
ABSL_FLAG(int, sessions, 0,
          "sessions to write, or to run: each comes to its end, and neither --warmup nor "
          "--duration applies; 0: as many as the time says");
ABSL_FLAG(double, seconds, 0, "write the sessions that arrive in so many seconds at --rate");
ABSL_FLAG(int64_t, seed, 1, "the same seed draws the same sessions and arrivals");
ABSL_FLAG(double, single, 0.3, "part of the sessions that make one request only");
ABSL_FLAG(double, off_scale, 1,
          "all off-times are this times as long; 1 is the paper's workload, less needs fewer "
          "connections for the same rate");
ABSL_FLAG(std::string, out, "", "session log to write, - for standard output");
ABSL_FLAG(std::string, target, "127.0.0.1:8080", "the server, ADDR:PORT");
ABSL_FLAG(double, warmup, 5, "seconds before the measured window");
ABSL_FLAG(double, duration, 10, "seconds of the measured window");
ABSL_FLAG(double, drain, 16,
          "longest wait, in seconds, for replies to what was asked in the window");
ABSL_FLAG(std::string, log, "",
          "session log to replay from its first session on, over and over; empty: sessions are "
          "drawn as `workload sessions` draws them");
ABSL_FLAG(double, timeout, 15, "seconds for a connection, and for each whole reply");
ABSL_FLAG(int, processes, 0,
          "processes of the generator; 0: as many as --max_open asks for at this rate");
ABSL_FLAG(int, max_open, 19000,
          "most sessions of a process at a time; a further arrival is an error of the client");
ABSL_FLAG(std::string, verify, "heads",
          "heads: status, Content-Length and the number of bytes; all: every byte");
ABSL_FLAG(std::string, user_agent, "bobbin-workload", "value of the User-Agent field");
ABSL_FLAG(int, client_addresses, 200,
          "addresses 127.0.0.2 and up to connect from, where the target is on loopback");
ABSL_FLAG(bool, warm_start, true,
          "begin as if it had been running: sessions in progress join during the warm-up");
ABSL_FLAG(std::string, json, "", "file for the results, - for standard output");
ABSL_FLAG(std::string, part, "", "(internal) which process of a run this is");

namespace load {
namespace {

int Fail(int status, absl::string_view what) {
  fprintf(stderr, "workload: %s\n", std::string(what).c_str());
  return status;
}

int Fail(const absl::Status& status) {
  return Fail(absl::IsInvalidArgument(status) ? 2 : 1, status.message());
}

absl::Status CheckRange(const char* flag, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("--%s=%g: must be between %g and %g", flag, value, low, high));
}

absl::Status ReadSampler(SamplerOptions* options) {
  const int directories = absl::GetFlag(FLAGS_directories);
  options->single = absl::GetFlag(FLAGS_single);
  options->off_scale = absl::GetFlag(FLAGS_off_scale);
  absl::Status status = CheckRange("directories", directories, 1, kMaxDirectories);
  status.Update(CheckRange("single", options->single, 0, 1));
  status.Update(CheckRange("off_scale", options->off_scale, 0, 100));
  options->directories = static_cast<uint32_t>(std::max(directories, 1));
  return status;
}

absl::Status ReadTarget(Target* target) {
  absl::Status status = ParseTarget(absl::GetFlag(FLAGS_target), target);
  if (!status.ok()) return status;
  target->user_agent = absl::GetFlag(FLAGS_user_agent);
  const bool loopback = (ntohl(target->address.sin_addr.s_addr) >> 24) == 127;
  target->client_addresses = loopback ? absl::GetFlag(FLAGS_client_addresses) : 0;
  status = CheckRange("client_addresses", absl::GetFlag(FLAGS_client_addresses), 0, 60'000);
  status.Update(CheckRange("timeout", absl::GetFlag(FLAGS_timeout), 0.001, 3600));
  target->timeout = static_cast<uint64_t>(absl::GetFlag(FLAGS_timeout) * 1e9);
  const std::string verify = absl::GetFlag(FLAGS_verify);
  target->verify_contents = verify == "all";
  if (verify != "all" && verify != "heads") {
    status.Update(absl::InvalidArgumentError(
        absl::StrCat("--verify=", verify, ": must be one of heads, all")));
  }
  status.Update(RequestText().Set(*target));
  return status;
}

int FileSet(const std::vector<std::string>& arguments) {
  const int directories = absl::GetFlag(FLAGS_directories);
  absl::Status status = CheckRange("directories", directories, 1, kMaxDirectories);
  if (status.ok()) {
    status = MakeFileSet(arguments[0], static_cast<uint32_t>(directories),
                         absl::GetFlag(FLAGS_verify_files));
  }
  return status.ok() ? 0 : Fail(status);
}

int Sessions(const std::vector<std::string>&) {
  SamplerOptions options;
  absl::Status status = ReadSampler(&options);
  status.Update(CheckRange("sessions", absl::GetFlag(FLAGS_sessions), 0, kMaxLogSessions));
  status.Update(CheckRange("rate", absl::GetFlag(FLAGS_rate), 1e-3, 1e7));
  status.Update(CheckRange("seconds", absl::GetFlag(FLAGS_seconds), 0, 1e6));
  if (!status.ok()) return Fail(status);
  const Sampler sampler(options);
  double count = absl::GetFlag(FLAGS_sessions);
  if (count == 0) {
    count = absl::GetFlag(FLAGS_rate) / sampler.MeanRequests() * absl::GetFlag(FLAGS_seconds);
  }
  if (count < 1 || count > kMaxLogSessions) {
    return Fail(2, absl::StrCat("--sessions=N or --seconds=S with --rate=R must give 1 to ",
                                kMaxLogSessions, " sessions"));
  }
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) return Fail(2, "--out=LOG is needed; - is standard output");
  Random random(static_cast<uint64_t>(absl::GetFlag(FLAGS_seed)));
  std::vector<Session> sessions(static_cast<size_t>(count));
  for (Session& session : sessions) sampler.Draw(random, &session);
  const std::string text = SessionLogText(
      sessions, absl::StrFormat("workload sessions --sessions=%d --seed=%d --directories=%d "
                                "--single=%g --off_scale=%g\nhttperf --hog "
                                "--wsesslog=%d,0,LOG --rate=SESSIONS_PER_SECOND",
                                sessions.size(), absl::GetFlag(FLAGS_seed), options.directories,
                                options.single, options.off_scale, sessions.size()));
  if (out == "-") {
    fputs(text.c_str(), stdout);
    return fflush(stdout) == 0 ? 0 : 1;
  }
  status = WriteSessionLog(out, text);
  return status.ok() ? 0 : Fail(status);
}

// Each session holds a descriptor.
absl::Status RaiseDescriptors(int max_open) {
  constexpr rlim_t kOthers = 64;
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= static_cast<rlim_t>(max_open) + kOthers) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--max_open=", max_open, ": a process may have ",
                                                 limit.rlim_max, " descriptors only, of which ",
                                                 kOthers, " are for other things"));
}

absl::Status CheckRun() {
  absl::Status status = CheckRange("rate", absl::GetFlag(FLAGS_rate), 1e-3, 1e7);
  status.Update(CheckRange("sessions", absl::GetFlag(FLAGS_sessions), 0, 1e9));
  status.Update(CheckRange("warmup", absl::GetFlag(FLAGS_warmup), 0, 3600));
  status.Update(CheckRange("duration", absl::GetFlag(FLAGS_duration), 0.1, 86'400));
  status.Update(CheckRange("drain", absl::GetFlag(FLAGS_drain), 0, 3600));
  status.Update(CheckRange("processes", absl::GetFlag(FLAGS_processes), 0, kMaxProcesses));
  status.Update(CheckRange("max_open", absl::GetFlag(FLAGS_max_open), 1, 1'000'000));
  if (!status.ok()) return status;
  // The default gives way to a lower limit of the system; a number that was given does not.
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (!WasSet("max_open") && limit.rlim_max < 19'100 && limit.rlim_max > 200) {
    absl::SetFlag(&FLAGS_max_open, static_cast<int>(limit.rlim_max) - 100);
  }
  return RaiseDescriptors(absl::GetFlag(FLAGS_max_open));
}

absl::Status ReadRun(RunOptions* options) {
  absl::Status status = CheckRun();
  if (!status.ok()) return status;
  GeneratorOptions& generator = options->generator;
  status = ReadSampler(&generator.sampler);
  if (!status.ok()) return status;
  status = ReadTarget(&generator.target);
  if (!status.ok()) return status;
  options->rate = absl::GetFlag(FLAGS_rate);
  options->duration = absl::GetFlag(FLAGS_duration);
  options->processes = static_cast<unsigned>(absl::GetFlag(FLAGS_processes));
  options->json = absl::GetFlag(FLAGS_json);
  double mean = Sampler(generator.sampler).MeanRequests();
  if (std::string log = absl::GetFlag(FLAGS_log); !log.empty()) {
    absl::StatusOr<std::vector<Session>> sessions = ReadSessionLog(log);
    if (!sessions.ok()) return sessions.status();
    generator.log = *std::move(sessions);
    size_t requests = 0;
    for (const Session& session : generator.log) requests += session.size();
    mean = static_cast<double>(requests) / static_cast<double>(generator.log.size());
  }
  generator.session_rate = options->rate / mean;
  const int sessions = absl::GetFlag(FLAGS_sessions);
  if (sessions != 0) generator.max_sessions = static_cast<uint64_t>(sessions);
  generator.seed = static_cast<uint64_t>(absl::GetFlag(FLAGS_seed));
  generator.warm_start = absl::GetFlag(FLAGS_warm_start) && sessions == 0;
  generator.warmup = static_cast<uint64_t>(absl::GetFlag(FLAGS_warmup) * 1e9);
  generator.drain = static_cast<uint64_t>(absl::GetFlag(FLAGS_drain) * 1e9);
  generator.max_open = absl::GetFlag(FLAGS_max_open);
  return absl::OkStatus();
}

std::vector<std::string>& RunWords() {
  static auto* words = new std::vector<std::string>;
  return *words;
}

int RunCommand(const std::vector<std::string>&) {
  RunOptions options;
  if (absl::Status status = ReadRun(&options); !status.ok()) return Fail(status);
  const std::string part = absl::GetFlag(FLAGS_part);
  if (!part.empty()) RunPart(options, part);
  return Run(options, RunWords());
}

int CheckCommand(const std::vector<std::string>&) {
  Target target;
  SamplerOptions sampler;
  absl::Status status = ReadTarget(&target);
  status.Update(ReadSampler(&sampler));
  if (!status.ok()) return Fail(status);
  int failures = CheckServer(target, sampler.directories);
  if (failures == 0) return 0;
  return Fail(1, absl::StrCat(failures, " checks failed on ", absl::GetFlag(FLAGS_target)));
}

const std::vector<Command>& Commands() {
  static auto* commands = new std::vector<Command>{
      {"fileset",
       "[FLAGS] ROOT",
       "Makes the file set of SPECweb99's static part under ROOT, or completes it.",
       {"directories", "verify_files"},
       &FileSet,
       1},
      {"sessions",
       "--out=LOG [FLAGS]",
       "Writes sessions as httperf's --wsesslog reads them; httperf takes up to 1,000.",
       {"out", "sessions", "seconds", "rate", "seed", "directories", "single", "off_scale"},
       &Sessions},
      {"run",
       "--target=ADDR:PORT [FLAGS]",
       "Puts a partially open load on a server and measures it. Prints `begin` and `end` where "
       "the\n"
       "measured window opens and closes. Ends with status 0 whatever the server did.",
       {"target",     "rate",     "warmup",      "duration", "drain",      "sessions",
        "log",        "seed",     "directories", "single",   "off_scale",  "timeout",
        "processes",  "max_open", "verify",      "json",     "user_agent", "client_addresses",
        "warm_start", "part"},
       &RunCommand},
      {"check",
       "--target=ADDR:PORT [FLAGS]",
       "Compares every byte of every file size in several directories. Ends with status 1 where a\n"
       "reply is wrong.",
       {"target", "directories", "timeout"},
       &CheckCommand},
  };
  return *commands;
}

std::string Usage() {
  std::string text = "usage: workload COMMAND [FLAGS]\n\n";
  for (const Command& command : Commands()) {
    absl::StrAppendFormat(&text, "  %-9s %s\n", command.name,
                          command.what.substr(0, command.what.find('.')));
  }
  return absl::StrCat(text, "\nworkload COMMAND --help lists its flags.\n");
}

bool AsksForHelp(const std::string& word) { return word == "--help" || word == "-h"; }

}  // namespace

int Main(const std::vector<std::string>& words) {
  signal(SIGPIPE, SIG_IGN);
  if (words.empty() || AsksForHelp(words[0]) || words[0] == "help") {
    fputs(Usage().c_str(), words.empty() ? stderr : stdout);
    return words.empty() ? 2 : 0;
  }
  for (const Command& command : Commands()) {
    if (command.name != words[0]) continue;
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    if (std::any_of(rest.begin(), rest.end(), AsksForHelp)) {
      fputs(HelpText(command).c_str(), stdout);
      return 0;
    }
    absl::StatusOr<std::vector<std::string>> arguments = SetFlags(command, rest);
    if (!arguments.ok()) return Fail(arguments.status());
    RunWords() = rest;
    return command.run(*arguments);
  }
  return Fail(2,
              absl::StrCat("unknown command ", words[0], "; commands: fileset sessions run check"));
}

}  // namespace load
