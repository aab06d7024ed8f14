// Reads the command line of Knot into one structure of checked values.
#ifndef KNOT_OPTIONS_H_
#define KNOT_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/codings.h"
#include "knot/listen_address.h"
#include "knot/options_admin.h"
#include "knot/options_policy.h"
#include "knot/options_room.h"
#include "knot/options_site.h"
#include "knot/options_transport.h"
#include "knot/tuning.h"

namespace knot {

enum class Spawn : uint8_t { kPrefork, kOnDemand };

// How a reply's body is sent. kAuto: small files from memory, larger ones by sendfile. kCache:
// everything from memory. The others: sendfile from open descriptors, with the runtime's policy of
// that name.
enum class Send : uint8_t { kAuto, kCache, kNonblocking, kBlocking, kPoll, kInline };

struct Options {
  enum class Action : uint8_t { kServe, kPrintConfig, kHelp, kVersion };

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
};

// Parses argv. Requires: called once.
// Errors: InvalidArgument, with one line that names the flag and what is wrong with it.
absl::StatusOr<Options> ParseCommandLine(int argc, char** argv);

// Returns: the text of --help.
std::string HelpText();

// Returns: every option in force as lines `--name=value`, the directory last.
std::string ConfigText(const Options& options);

// Returns: the name --send gives to `send`.
const char* SendName(Send send);

}  // namespace knot

#endif  // KNOT_OPTIONS_H_
