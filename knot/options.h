// Reads the command line of Knot into one structure of checked values.
#ifndef KNOT_OPTIONS_H_
#define KNOT_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/status/statusor.h"
#include "knot/codings.h"
#include "knot/listen_address.h"
#include "knot/options_admin.h"
#include "knot/options_operate.h"
#include "knot/options_policy.h"
#include "knot/options_room.h"
#include "knot/options_site.h"
#include "knot/options_transport.h"
#include "knot/tuning.h"

namespace knot {

class Predecessor;

enum class Spawn : uint8_t { kPrefork, kOnDemand };

// How a reply's body is sent. kAuto: small files from memory, larger ones by sendfile. kCache:
// everything from memory. The others: sendfile from open descriptors, with the runtime's policy of
// that name.
enum class Send : uint8_t { kAuto, kCache, kNonblocking, kBlocking, kPoll, kInline };

struct Options {
  enum class Action : uint8_t {
    kServe,
    kTestConfig,
    kPrintConfig,
    kPrintManual,
    kPrintCompletion,
    kHelp,
    kVersion
  };

  Action action = Action::kServe;
  std::string root;
  std::vector<ListenAddress> listen;
  int threads = 0;
  int processes = 1;
  Spawn spawn = Spawn::kPrefork;
  Send send = Send::kAuto;
  int cache_mb = 0;
  int cache_valid = 0;  // seconds
  CodingSet precompressed, compress;
  int stack_kb = 0;
  std::string access_log;  // "off", "-" or a file
  int header_timeout = 0;  // seconds, as the next two
  int idle_timeout = 0;
  int send_timeout = 0;
  bool stats = false;
  PolicyOptions policy;
  AdminOptions admin;
  TransportOptions transport;
  RoomOptions room;
  tuning::Settings tuning;
  SiteOptions site;
  OperateOptions operate;
  std::shared_ptr<Predecessor> predecessor;                     // null: takes no other Knot's place
  std::vector<std::string> warnings;                            // lines for people
  std::vector<std::pair<std::string, std::string>> flag_texts;  // name and value of each flag
};

// Reads the flags from argv, the environment and the config file, each time anew.
//
// Errors:  InvalidArgument, with one line that names the flag, what is wrong with it and, unless it
// stands on the command line, where it stands. Callers: one thread.
absl::StatusOr<Options> ParseCommandLine(int argc, char** argv);

// Returns: the flags, of those that a reload leaves as they were at the start, whose values differ.
std::vector<std::string> NeedRestart(const Options& at_start, const Options& now);

// Errors: FailedPrecondition `now` cannot follow `at_start` by a reload.
absl::Status CheckReload(const Options& at_start, const Options& now);

// Returns: `now`, with the values of `at_start` where a reload leaves them as they were.
Options AfterReload(const Options& at_start, const Options& now);

// Returns: the text of --help.
std::string HelpText();

// Returns: every option in force, as a config file that gives the same.
std::string ConfigText();

// Returns: all flags by name.
std::vector<absl::CommandLineFlag*> AllFlags();

// Returns: the name --send gives to `send`.
const char* SendName(Send send);

}  // namespace knot

#endif  // KNOT_OPTIONS_H_
