// Serves by several processes: for more connections than one may have descriptors.
//
// The first process opens the listening sockets, a set for each of the others (SO_REUSEPORT), so
// that the kernel spreads connections evenly and none is woken for what another accepts. It starts
// the others by fork(2), serves nothing itself, and keeps all sockets: where a process dies, the
// connections that wait at its sockets are served by the one that is started in its place.
//
//   a process   after                         next
//   starting    fork                          it says that it serves, or why it cannot
//   serving     its announcement              told to stop, or it ends unasked
//   down        it ended unasked: a line      starting, a second after its last start at the
//                                             soonest
//   leaving     a successor of the first      gone, or stopping
//               serves; or, where processes
//               are confined, a reload has
//               started another in its place,
//               or could not start all of them
//   stopping    SIGTERM or SIGINT to the      gone
//               first, or the end of the first
#ifndef KNOT_PROCESSES_H_
#define KNOT_PROCESSES_H_

#include <functional>
#include <string>

#include "knot/announcement.h"
#include "knot/options.h"
#include "knot/orders.h"
#include "knot/server.h"
#include "knot/service.h"

namespace knot {

// Serves until it is ordered to stop. Returns: the exit status.
using ServePart =
    std::function<int(const Options&, const Part&, Orders, const Announce&, const Invocation&)>;

// Runs options.processes processes that call `serve`, and sees to it that as many go on.
//
// Requires:  one thread; BlockOrderSignals was called.
// Returns:   the exit status: 0 after a stop; 1 where a process failed at it; 2 where serving could
//            not begin, after one line on standard error.
int ServeByProcesses(const Options& options, const ServePart& serve, const Invocation& invocation);

}  // namespace knot

#endif  // KNOT_PROCESSES_H_
