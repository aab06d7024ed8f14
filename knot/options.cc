#include "knot/options.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

// A count, or "auto", which is 0.
struct Count {
  int value = 0;
};

struct ListenAddresses {
  std::vector<ListenAddress> list;
};

template <typename Enum>
struct Name {
  Enum value;
  const char* text;
};

// The words of each flag that takes one of a few.
constexpr Name<Spawn> NamesOf(Spawn*, size_t i) {
  constexpr Name<Spawn> names[] = {{Spawn::kPrefork, "prefork"}, {Spawn::kOnDemand, "on_demand"}};
  return i < std::size(names) ? names[i] : Name<Spawn>{{}, nullptr};
}

constexpr Name<Send> NamesOf(Send*, size_t i) {
  constexpr Name<Send> names[] = {
      {Send::kAuto, "auto"},         {Send::kCache, "cache"}, {Send::kNonblocking, "nonblocking"},
      {Send::kBlocking, "blocking"}, {Send::kPoll, "poll"},   {Send::kInline, "inline"}};
  return i < std::size(names) ? names[i] : Name<Send>{{}, nullptr};
}

constexpr Name<tuning::Poller> NamesOf(tuning::Poller*, size_t i) {
  constexpr Name<tuning::Poller> names[] = {{tuning::Poller::kEpoll, "epoll"},
                                            {tuning::Poller::kPoll, "poll"}};
  return i < std::size(names) ? names[i] : Name<tuning::Poller>{{}, nullptr};
}

constexpr Name<tuning::Accept> NamesOf(tuning::Accept*, size_t i) {
  constexpr Name<tuning::Accept> names[] = {
      {tuning::Accept::kFavorConnections, "favor_connections"},
      {tuning::Accept::kFavorAccepts, "favor_accepts"}};
  return i < std::size(names) ? names[i] : Name<tuning::Accept>{{}, nullptr};
}

// A flag's value as one of its words; wraps the enumerations so that flags of those in knot::tuning
// are found too.
template <typename Enum>
struct Choice {
  Enum value;
};

template <typename Enum>
const char* NameOf(Enum value) {
  for (size_t i = 0;; ++i) {
    Name<Enum> name = NamesOf(static_cast<Enum*>(nullptr), i);
    if (name.text == nullptr || name.value == value) return name.text;
  }
}

template <typename Enum>
bool AbslParseFlag(absl::string_view text, Choice<Enum>* choice, std::string* error) {
  std::string words;
  for (size_t i = 0;; ++i) {
    Name<Enum> name = NamesOf(static_cast<Enum*>(nullptr), i);
    if (name.text == nullptr) break;
    if (text == name.text) {
      choice->value = name.value;
      return true;
    }
    absl::StrAppend(&words, i == 0 ? "" : ", ", name.text);
  }
  *error = absl::StrCat("must be one of ", words);
  return false;
}

template <typename Enum>
std::string AbslUnparseFlag(Choice<Enum> choice) {
  return NameOf(choice.value);
}

bool AbslParseFlag(absl::string_view text, Count* count, std::string* error) {
  if (text == "auto") {
    count->value = 0;
    return true;
  }
  if (absl::SimpleAtoi(text, &count->value) && count->value > 0) return true;
  *error = "must be a positive number or auto";
  return false;
}

std::string AbslUnparseFlag(Count count) {
  return count.value == 0 ? "auto" : absl::StrCat(count.value);
}

bool ParseListenAddress(absl::string_view text, ListenAddress* address) {
  size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return false;
  absl::string_view host = text.substr(0, colon);
  int family = AF_INET;
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return false;
    family = AF_INET6;
  }
  uint32_t port;
  unsigned char binary[sizeof(in6_addr)];
  address->host = std::string(host);
  absl::string_view port_text = text.substr(colon + 1);
  if (port_text.empty() || !absl::ascii_isdigit(port_text[0]) ||
      !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return false;
  }
  address->port = static_cast<uint16_t>(port);
  return inet_pton(family, address->host.c_str(), binary) == 1;
}

bool AbslParseFlag(absl::string_view text, ListenAddresses* addresses, std::string* error) {
  addresses->list.clear();
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    ListenAddress address;
    if (!ParseListenAddress(part, &address)) {
      *error = "must be a numeric ADDR:PORT such as 127.0.0.1:8080 or [::1]:8080";
      return false;
    }
    addresses->list.push_back(address);
  }
  return true;
}

std::string AbslUnparseFlag(const ListenAddresses& addresses) {
  return absl::StrJoin(addresses.list, ",", [](std::string* out, const ListenAddress& address) {
    absl::StrAppend(out, AddressText(address));
  });
}

}  // namespace
}  // namespace knot

using knot::Choice;
using knot::Count;
using knot::ListenAddresses;

ABSL_FLAG(
    ListenAddresses, listen, (ListenAddresses{{{"127.0.0.1", 8080}}}),
    "address to listen on, ADDR:PORT or [IPV6]:PORT; may be given more than once; port 0 lets "
    "the system choose");
ABSL_FLAG(int, threads, 1024, "threads, which is the most connections served at a time");
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
ABSL_FLAG(Choice<knot::tuning::Poller>, poller, {knot::tuning::Poller::kEpoll},
          "how Bobbin learns that a connection is ready: epoll or poll");
ABSL_FLAG(Count, schedulers, {1},
          "kernel threads that run Bobbin's threads, or auto: one a processor");
ABSL_FLAG(Choice<knot::tuning::Accept>, accept, {knot::tuning::Accept::kFavorConnections},
          "which goes first when both are ready: favor_connections or favor_accepts");
ABSL_FLAG(int, stack_kb, 64, "stack of a thread, in KiB");
ABSL_FLAG(std::string, access_log, "off",
          "file for the access log in combined format, - for standard output, or off");
ABSL_FLAG(int, header_timeout, 10,
          "seconds a client may take to send a request, from its first byte");
ABSL_FLAG(int, idle_timeout, 60, "seconds a connection may wait for its next request");
ABSL_FLAG(int, send_timeout, 30, "seconds a client may read nothing of a reply");
ABSL_FLAG(bool, print_config, false, "print the options in force and exit");
ABSL_FLAG(bool, stats, false, "print the counters at exit, as SIGUSR1 does at any time");

namespace knot {
namespace {

// Libraries define flags too; Knot's are those of this file.
bool IsKnotFlag(const absl::CommandLineFlag& flag) {
  return absl::EndsWith(flag.Filename(), "knot/options.cc");
}

std::vector<absl::CommandLineFlag*> KnotFlags() {
  std::vector<absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (IsKnotFlag(*flag)) flags.push_back(flag);
  }
  std::sort(flags.begin(), flags.end(), [](auto* a, auto* b) { return a->Name() < b->Name(); });
  return flags;
}

// Splits off and sets one flag, `--name=value`, `--name value`, `--name` or `--noname`; `next` is
// the argument after it, taken when it is the value.
absl::Status SetFlag(absl::string_view argument, const char* next, bool* took_next,
                     std::string* listen) {
  *took_next = false;
  absl::string_view body = argument.substr(absl::StartsWith(argument, "--") ? 2 : 1);
  size_t equals = body.find('=');
  bool has_value = equals != absl::string_view::npos;
  absl::string_view name = body.substr(0, equals);
  std::string value(has_value ? body.substr(equals + 1) : "");
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  if ((flag == nullptr || !IsKnotFlag(*flag)) && !has_value && absl::ConsumePrefix(&name, "no")) {
    flag = absl::FindCommandLineFlag(name);
    if (flag != nullptr && !flag->IsOfType<bool>()) flag = nullptr;
    value = "false";
    has_value = true;
  }
  if (flag == nullptr || !IsKnotFlag(*flag)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", argument, "; see --help"));
  }
  if (!has_value) {
    *took_next = !flag->IsOfType<bool>();
    if (*took_next && next == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    }
    value = *took_next ? next : "true";
  }
  if (name == "listen") {  // the one flag whose values add up
    absl::StrAppend(listen, listen->empty() ? "" : ",", value);
    value = *listen;
  }
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  size_t reason = error.find("; ");  // Abseil: "Illegal value '…' specified for flag '…'; reason"
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, "=", value, ": ",
                   reason == std::string::npos ? "not a valid value" : error.substr(reason + 2)));
}

absl::Status CheckRange(const char* flag, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be between ", low, " and ", high));
}

absl::Status CheckRanges(const Options& options) {
  absl::Status status = CheckRange("threads", options.threads, 1, 100'000);
  status.Update(CheckRange("cache_mb", options.cache_mb, 0, 1 << 20));
  status.Update(CheckRange("cache_valid", options.cache_valid, 1, 86'400));
  status.Update(CheckRange("stack_kb", options.stack_kb, 32, 1 << 20));
  status.Update(CheckRange("header_timeout", options.header_timeout, 1, 86'400));
  status.Update(CheckRange("idle_timeout", options.idle_timeout, 1, 86'400));
  status.Update(CheckRange("send_timeout", options.send_timeout, 1, 50));  // see knot/clock.h
  if (options.access_log.empty()) {
    status.Update(absl::InvalidArgumentError("--access_log= : must be a file, - or off"));
  }
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
  options.spawn = absl::GetFlag(FLAGS_spawn).value;
  options.send = absl::GetFlag(FLAGS_send).value;
  options.cache_mb = absl::GetFlag(FLAGS_cache_mb);
  options.cache_valid = absl::GetFlag(FLAGS_cache_valid);
  options.stack_kb = absl::GetFlag(FLAGS_stack_kb);
  options.access_log = absl::GetFlag(FLAGS_access_log);
  options.header_timeout = absl::GetFlag(FLAGS_header_timeout);
  options.idle_timeout = absl::GetFlag(FLAGS_idle_timeout);
  options.send_timeout = absl::GetFlag(FLAGS_send_timeout);
  options.stats = absl::GetFlag(FLAGS_stats);
  options.tuning.schedulers = absl::GetFlag(FLAGS_schedulers).value;
  options.tuning.workers = absl::GetFlag(FLAGS_workers).value;
  options.tuning.poller = absl::GetFlag(FLAGS_poller).value;
  options.tuning.accept = absl::GetFlag(FLAGS_accept).value;
  options.tuning.sendfile = SendfileOf(options.send);
  return options;
}

}  // namespace

absl::StatusOr<Options> ParseCommandLine(int argc, char** argv) {
  std::vector<std::string> directories;
  std::string listen;
  bool only_directories = false;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (only_directories || argument.size() < 2 || argument[0] != '-') {
      directories.emplace_back(argument);
    } else if (argument == "--") {
      only_directories = true;
    } else if (argument == "--help" || argument == "-h" || argument == "--version") {
      Options options;
      options.action = argument == "--version" ? Options::Action::kVersion : Options::Action::kHelp;
      return options;
    } else {
      bool took_next;
      absl::Status status =
          SetFlag(argument, i + 1 < argc ? argv[i + 1] : nullptr, &took_next, &listen);
      if (!status.ok()) return status;
      if (took_next) ++i;
    }
  }
  Options options = OptionsFromFlags();
  if (directories.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("one directory can be served, not also ", directories[1]));
  }
  options.root = directories.empty() ? "." : directories[0];
  absl::Status status = CheckRanges(options);
  if (!status.ok()) return status;
  return options;
}

std::string HelpText() {
  std::string text =
      "knot [FLAGS] [DIR]\n"
      "Serves the files under DIR (default: the current directory) by HTTP,\n"
      "one thread a connection.\n\n";
  for (const absl::CommandLineFlag* flag : KnotFlags()) {
    absl::StrAppend(&text, "  --", flag->Name(), " (default ", flag->DefaultValue(), ")\n      ",
                    flag->Help(), "\n");
  }
  absl::StrAppend(&text, "  --version\n      print the version and exit\n");
  return text;
}

std::string ConfigText(const Options& options) {
  std::string text;
  for (const absl::CommandLineFlag* flag : KnotFlags()) {
    if (flag->Name() == "print_config") continue;
    absl::StrAppend(&text, "--", flag->Name(), "=", flag->CurrentValue(), "\n");
  }
  return absl::StrCat(text, options.root, "\n");
}

const char* SendName(Send send) { return NameOf(send); }

std::string AddressText(const ListenAddress& address) {
  bool ipv6 = absl::StrContains(address.host, ':');
  return absl::StrCat(ipv6 ? "[" : "", address.host, ipv6 ? "]:" : ":", address.port);
}

}  // namespace knot
