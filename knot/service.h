// Runs a process that serves, from its start to its end, by the orders it gets.
//
//   state      order                                       next
//   serving    statistics, reload                          serving
//              hand over, and a successor serves; leave    leaving
//              stop                                        stopping
//   leaving    --drain_timeout over                        leaving, without connections that wait
//              all replies sent                            ended
//              stop                                        stopping
//   stopping   all replies sent, --drain_timeout over, or stop    ended
#ifndef KNOT_SERVICE_H_
#define KNOT_SERVICE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "knot/announcement.h"
#include "knot/options.h"
#include "knot/orders.h"
#include "knot/server.h"
#include "knot/service_manager.h"
#include "knot/takeover.h"

namespace knot {

inline constexpr int kExitCannotServe = 2;

// How this program was started.
struct Invocation {
  int argc;
  char** argv;
  std::string program;  // its file; empty: not known
};

// Serves until it is ordered to end. Returns: the exit status.
//
// Requires:  BlockOrderSignals was called; no threads yet.
int Serve(const Options& options, const Part& part, Orders orders, const Announce& announce,
          const Invocation& invocation);

// What the process that takes orders for all does, be it that which serves or the first of several.

// Writes a line to standard error, "knot: " before it.
void Say(const std::string& line);

// What others find Knot by: the socket of --takeover, the file of --pid_file. Prepared before
// anything is served, since what is wrong with them would cost connections later, and published
// after. Where this process is killed between the two, NAME.PID is left behind.
struct Names {
  // Errors: those of the parts.
  absl::Status Prepare(const OperateOptions& options);
  absl::Status Publish();
  void Remove();

  Doorbell doorbell;
  PidFile pid_file;
};

// Returns: that this process cannot serve, and why.
Announcement Refusal(const absl::Status& status);

// Says to the predecessor, where there is one, what is to be announced; not as one of several
// processes, whose first one does.
// Returns: false where it does not want to be replaced any more; `said` is then that.
bool AnnounceToPredecessor(const Options& options, const Part& part, Announcement* said);

// Says so, to the predecessor, too, where there is one. Returns: the exit status.
int RefuseToServe(const Options& options, const absl::Status& status);

// Reads the configuration anew, for one that began with `at_start`.
// Returns: nothing where it has an error; that was said then.
std::optional<Options> ReadAgain(const Invocation& invocation, const Options& at_start,
                                 std::shared_ptr<Predecessor> predecessor);

// Says what became of a reload.
void SayReloaded(const Options& at_start, const Options& now);
void SayNotReloaded(const absl::Status& status);

// Hands the sockets to a successor and waits until it serves. Orders that come meanwhile are kept,
// but for a stop.
//
// Returns: whether it serves; if not, that was said. Blocks: up to a minute.
bool HandOver(Successor& successor, const std::vector<Listening>& sockets, Orders& orders,
              ServiceManager& manager, bool* stop);

// Runs HandOver with a successor that it starts, for Order::kHandOver, or that has come to the
// doorbell, for Order::kKnock. Returns: one that serves, or null.
std::unique_ptr<Successor> HandOverTo(Order order, int doorbell, const Invocation& invocation,
                                      const std::vector<Listening>& sockets, Orders& orders,
                                      ServiceManager& manager, bool* stop);

// Returns: the shorter of two time-outs, of which negative ones are endless.
int Shorter(int one_ms, int other_ms);

}  // namespace knot

#endif  // KNOT_SERVICE_H_
