#include "knot/options.h"

#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <memory>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "knot/choice.h"
#include "knot/command_line.h"
#include "knot/config_file.h"
#include "knot/memory_budget.h"

namespace knot {
template <>
struct Names<Spawn> {
  static constexpr Name<Spawn> kList[] = {{Spawn::kPrefork, "prefork"},
                                          {Spawn::kOnDemand, "on_demand"}};
};

template <>
struct Names<Send> {
  static constexpr Name<Send> kList[] = {
      {Send::kAuto, "auto"},         {Send::kCache, "cache"}, {Send::kNonblocking, "nonblocking"},
      {Send::kBlocking, "blocking"}, {Send::kPoll, "poll"},   {Send::kInline, "inline"}};
};

template <>
struct Names<tuning::Poller> {
  static constexpr Name<tuning::Poller> kList[] = {{tuning::Poller::kEpoll, "epoll"},
                                                   {tuning::Poller::kPoll, "poll"}};
};

template <>
struct Names<tuning::Accept> {
  static constexpr Name<tuning::Accept> kList[] = {
      {tuning::Accept::kFavorConnections, "favor_connections"},
      {tuning::Accept::kFavorAccepts, "favor_accepts"}};
};

namespace {

// A count, or "auto", which is 0.
struct Count {
  int value = 0;
};

bool AbslParseFlag(absl::string_view text, Count* count, std::string* error) {
  if (text == "auto") {
    count->value = 0;
    return true;
  }
  if (absl::SimpleAtoi(text, &count->value) && count->value > 0) return true;
  *error = "must be a positive number or auto";
  return false;
}

// Codings, separated by commas, or "off".
struct Codings {
  CodingSet set;
};

bool AbslParseFlag(absl::string_view text, Codings* codings, std::string* error) {
  codings->set = CodingSet();
  if (text == "off") return true;
  for (absl::string_view name : absl::StrSplit(text, ',')) {
    bool known = false;
    for (size_t i = 0; i < kCodings; ++i) {
      auto coding = static_cast<Coding>(i);
      if (name != CodingName(coding)) continue;
      codings->set.Add(coding);
      known = true;
    }
    if (!known) {
      *error = absl::StrCat("'", name, "' is none of br, zstd, gzip");
      return false;
    }
  }
  return true;
}

std::string AbslUnparseFlag(const Codings& codings) {
  std::string text;
  for (size_t i = 0; i < kCodings; ++i) {
    auto coding = static_cast<Coding>(i);
    if (!codings.set.Has(coding)) continue;
    absl::StrAppend(&text, text.empty() ? "" : ",", CodingName(coding));
  }
  return text.empty() ? "off" : text;
}

std::string AbslUnparseFlag(Count count) {
  return count.value == 0 ? "auto" : absl::StrCat(count.value);
}

}  // namespace
}  // namespace knot

using knot::Choice;
using knot::Codings;
using knot::Count;
using knot::ListenAddresses;

ABSL_FLAG(
    ListenAddresses, listen, (ListenAddresses{{{"127.0.0.1", 8080}}}),
    "address to listen on, ADDR:PORT or [IPV6]:PORT; unix:/PATH[,mode=0660]; fd:N, a socket that "
    "was passed, or systemd, all that it passed; https:// in front for TLS; may be given more than "
    "once; port 0 lets the system choose");
ABSL_FLAG(int, threads, 1024, "threads, which is the most connections served at a time");
ABSL_FLAG(int, processes, 1,
          "processes that serve, and share the threads and the memory for files evenly: for more "
          "connections than one process may have open files");
ABSL_FLAG(Choice<knot::Spawn>, spawn, {knot::Spawn::kPrefork},
          "prefork: make all threads at start; on_demand: make one for each connection");
ABSL_FLAG(Choice<knot::Send>, send, {knot::Send::kAuto},
          "auto: small files from memory, larger ones by sendfile; cache: files from memory; "
          "nonblocking, blocking, poll, inline: sendfile with that policy of Bobbin");
ABSL_FLAG(Count, workers, {0}, "kernel threads for calls that block, or auto");
ABSL_FLAG(int, cache_mb, 64, "most memory for cached files, in MiB");
ABSL_FLAG(int, cache_valid, 1,
          "seconds for which a cached file is served before it is asked whether the file on disk "
          "has changed");
ABSL_FLAG(
    Codings, precompressed, {},
    "codings of which a file beside is sent to who accepts it, as style.css.br for style.css: "
    "some of br, zstd, gzip, or off; one that is older than its file is not");
ABSL_FLAG(Codings, compress, {},
          "codings made of text files that are kept in memory, for who accepts them: some of br, "
          "zstd, gzip, or off");
ABSL_FLAG(Choice<knot::tuning::Poller>, poller, {knot::tuning::Poller::kEpoll},
          "how Bobbin learns that a connection is ready: epoll or poll");
ABSL_FLAG(Count, schedulers, {1},
          "kernel threads that run Bobbin's threads, or auto: one a processor");
ABSL_FLAG(Choice<knot::tuning::Accept>, accept, {knot::tuning::Accept::kFavorConnections},
          "which goes first when both are ready: favor_connections or favor_accepts");
ABSL_FLAG(int, stack_kb, 64, "stack of a thread, in KiB");
ABSL_FLAG(std::string, access_log, "off", "file for the access log, - for standard output, or off");
ABSL_FLAG(int, header_timeout, 10,
          "seconds a client may take to send a request, from its first byte");
ABSL_FLAG(int, idle_timeout, 60, "seconds a connection may wait for its next request");
ABSL_FLAG(int, send_timeout, 30, "seconds a client may read nothing of a reply");
ABSL_FLAG(bool, print_config, false, "print the options in force as a config file, and exit");
ABSL_FLAG(bool, stats, false, "print the counters at exit, as SIGUSR1 does at any time");

namespace knot {
namespace {

// What is made once: sockets, how connections begin, threads, and what they run on and as.
constexpr absl::string_view kForLife[] = {
    "accept",       "admin",      "admin_hosts",    "admin_public",    "chroot",
    "crowded_rate", "kernel_tls", "listen",         "make_room_after", "pid_file",
    "poller",       "processes",  "proxy_protocol", "sandbox",         "schedulers",
    "send",         "spawn",      "stack_kb",       "takeover",        "threads",
    "user",         "workers"};

// Libraries define flags too; Knot's are those of the files knot/options*.cc.
bool IsKnotFlag(const absl::CommandLineFlag& flag) {
  return absl::StrContains(flag.Filename(), "knot/options");
}

absl::Status CheckRanges(const Options& options) {
  absl::Status status = CheckRange("threads", options.threads, 1, 100'000);
  status.Update(CheckRange("processes", options.processes, 1, 256));
  status.Update(CheckRange("cache_mb", options.cache_mb, 0, 1 << 20));
  status.Update(CheckRange("cache_valid", options.cache_valid, 1, 86'400));
  status.Update(CheckRange("stack_kb", options.stack_kb, 32, 1 << 20));
  status.Update(CheckRange("header_timeout", options.header_timeout, 1, 86'400));
  status.Update(CheckRange("idle_timeout", options.idle_timeout, 1, 86'400));
  status.Update(CheckRange("send_timeout", options.send_timeout, 1, 86'400));
  status.Update(CheckAdmin(options.admin));
  status.Update(CheckRoom(options.room));
  if (options.access_log.empty()) {
    status.Update(absl::InvalidArgumentError("--access_log= : must be a file, - or off"));
  }
  status.Update(CheckSite(options.site));
  status.Update(CheckPolicy(options.policy));
  status.Update(CheckOperate(options.operate));
  if (status.ok()) status = CheckMemory(options);
  return status;
}

tuning::Sendfile SendfileOf(Send send) {
  switch (send) {
    case Send::kNonblocking:
      return tuning::Sendfile::kNonblocking;
    case Send::kBlocking:
      return tuning::Sendfile::kBlocking;
    case Send::kPoll:
      return tuning::Sendfile::kPoll;
    default:
      return tuning::Sendfile::kInline;
  }
}

Options OptionsFromFlags() {
  Options options;
  if (absl::GetFlag(FLAGS_print_config)) options.action = Options::Action::kPrintConfig;
  options.listen = absl::GetFlag(FLAGS_listen).list;
  options.threads = absl::GetFlag(FLAGS_threads);
  options.processes = absl::GetFlag(FLAGS_processes);
  options.spawn = absl::GetFlag(FLAGS_spawn).value;
  options.send = absl::GetFlag(FLAGS_send).value;
  options.cache_mb = absl::GetFlag(FLAGS_cache_mb);
  options.cache_valid = absl::GetFlag(FLAGS_cache_valid);
  options.precompressed = absl::GetFlag(FLAGS_precompressed).set;
  options.compress = absl::GetFlag(FLAGS_compress).set;
  options.stack_kb = absl::GetFlag(FLAGS_stack_kb);
  options.access_log = absl::GetFlag(FLAGS_access_log);
  options.header_timeout = absl::GetFlag(FLAGS_header_timeout);
  options.idle_timeout = absl::GetFlag(FLAGS_idle_timeout);
  options.send_timeout = absl::GetFlag(FLAGS_send_timeout);
  options.stats = absl::GetFlag(FLAGS_stats);
  options.policy = PolicyOptionsFromFlags();
  options.admin = AdminOptionsFromFlags();
  options.room = RoomOptionsFromFlags();
  options.tuning.schedulers = absl::GetFlag(FLAGS_schedulers).value;
  options.tuning.workers = absl::GetFlag(FLAGS_workers).value;
  options.tuning.poller = absl::GetFlag(FLAGS_poller).value;
  options.tuning.accept = absl::GetFlag(FLAGS_accept).value;
  options.tuning.sendfile = SendfileOf(options.send);
  options.site = SiteOptionsFromFlags();
  options.tuning.apart = !options.policy.auth.empty();
  options.operate = OperateOptionsFromFlags();
  options.root = options.operate.root;
  if (options.operate.test_config) options.action = Options::Action::kTestConfig;
  if (options.operate.print_manual) options.action = Options::Action::kPrintManual;
  if (options.operate.print_completion) options.action = Options::Action::kPrintCompletion;
  return options;
}

// Gives every flag its default. By absl::FlagSaver each would be a line on standard error.
void ResetFlags() {
  for (absl::CommandLineFlag* flag : FlagsOf(IsKnotFlag)) {
    std::string error;
    if (flag->CurrentValue() != flag->DefaultValue()) flag->ParseFrom(flag->DefaultValue(), &error);
  }
}

// The directory to serve may stand on the command line without its flag.
absl::Status TakeDirectory(Arguments& arguments) {
  const std::vector<std::string>& directories = arguments.positional;
  if (directories.empty()) return absl::OkStatus();
  bool twice = directories.size() > 1;
  for (const Setting& setting : arguments.settings) twice |= setting.name == "root";
  if (twice) {
    return absl::InvalidArgumentError(
        absl::StrCat("one directory can be served, not also ", directories.back()));
  }
  arguments.settings.push_back({"root", directories[0], ""});
  return absl::OkStatus();
}

// Sets the flags from the config file that the other places, the first of least weight, name.
// Returns: what it says.
absl::StatusOr<std::vector<Setting>> SettingsOfFile(
    std::initializer_list<const std::vector<Setting>*> places) {
  std::vector<Setting> settings;
  std::string file;
  for (const std::vector<Setting>* place : places) {
    for (const Setting& setting : *place) {
      if (setting.name == "config") file = setting.value;
    }
  }
  if (file.empty()) return settings;
  absl::StatusOr<std::vector<Setting>> read = ReadConfigSettings(file, IsKnotFlag);
  if (!read.ok()) return read;
  absl::Status status = Apply(*read, IsKnotFlag);
  if (!status.ok()) return status;
  return read;
}

}  // namespace

absl::StatusOr<Options> ParseCommandLine(int argc, char** argv) {
  ResetFlags();
  absl::StatusOr<Arguments> arguments = ReadArguments(argc, argv, IsKnotFlag);
  if (!arguments.ok()) return arguments.status();
  if (arguments->help || arguments->version) {
    Options options;
    options.action = arguments->help ? Options::Action::kHelp : Options::Action::kVersion;
    return options;
  }
  absl::Status status = TakeDirectory(*arguments);
  if (!status.ok()) return status;
  Environment environment = ReadEnvironment(environ, IsKnotFlag);
  absl::StatusOr<std::vector<Setting>> settings =
      SettingsOfFile({&environment.settings, &arguments->settings});
  if (!settings.ok()) return settings.status();
  for (const std::vector<Setting>* place : {&environment.settings, &arguments->settings}) {
    status.Update(Apply(*place, IsKnotFlag));
    settings->insert(settings->end(), place->begin(), place->end());
  }
  if (!status.ok()) return status;
  Options options = OptionsFromFlags();
  for (const absl::CommandLineFlag* flag : FlagsOf(IsKnotFlag)) {
    options.flag_texts.emplace_back(flag->Name(), flag->CurrentValue());
  }
  for (const std::string& variable : environment.unknown) {
    options.warnings.push_back(absl::StrCat(variable, " in the environment names no flag"));
  }
  status = CheckRanges(options);
  absl::StatusOr<TransportOptions> transport = TransportOptionsFromFlags();
  status.Update(transport.status());
  if (status.ok()) status = CheckTransport(*transport, options.listen);
  if (!status.ok()) return WithPlace(status, *settings);
  options.transport = *std::move(transport);
  return options;
}

std::vector<std::string> NeedRestart(const Options& at_start, const Options& now) {
  std::vector<std::string> names;
  for (const auto& [name, text] : now.flag_texts) {
    if (std::find(std::begin(kForLife), std::end(kForLife), name) == std::end(kForLife)) continue;
    std::pair<std::string, std::string> same(name, text);
    auto found = std::find(at_start.flag_texts.begin(), at_start.flag_texts.end(), same);
    if (found == at_start.flag_texts.end()) names.push_back(name);
  }
  return names;
}

absl::Status CheckReload(const Options& at_start, const Options& now) {
  if (at_start.tuning.apart || !now.tuning.apart) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "--auth: there was none at the start, when the thread that checks passwords is given its "
      "place");
}

Options AfterReload(const Options& at_start, const Options& now) {
  Options options = now;
  options.listen = at_start.listen;
  options.threads = at_start.threads;
  options.processes = at_start.processes;
  options.spawn = at_start.spawn;
  options.send = at_start.send;
  options.stack_kb = at_start.stack_kb;
  options.admin = at_start.admin;
  options.room = at_start.room;
  options.transport.proxy_protocol = at_start.transport.proxy_protocol;
  options.transport.tls.kernel = at_start.transport.tls.kernel;
  options.tuning = at_start.tuning;
  options.operate.user = at_start.operate.user;
  options.operate.chroot = at_start.operate.chroot;
  options.operate.sandbox = at_start.operate.sandbox;
  return options;
}

std::string HelpText() {
  std::string text = absl::StrCat(
      "knot [FLAGS] [DIR]\n"
      "Serves the files under DIR (default: the current directory) by HTTP,\n"
      "one thread a connection.\n\n",
      FlagsHelp(IsKnotFlag));
  absl::StrAppend(&text, "  --version\n      print the version and exit\n");
  return text;
}

std::string ConfigText() {
  std::string text;
  for (const absl::CommandLineFlag* flag : FlagsOf(IsKnotFlag)) {
    if (IsOnlyOnTheCommandLine(flag->Name())) continue;
    for (const std::string& value : ValuesOf(*flag)) {
      absl::StrAppend(&text, FormatConfigLine(flag->Name(), value));
    }
  }
  return text;
}

std::vector<absl::CommandLineFlag*> AllFlags() { return FlagsOf(IsKnotFlag); }

const char* SendName(Send send) { return NameOf(send); }

}  // namespace knot
