// Apart, so that a server without a limit of connections has no such flag.

#include <algorithm>

#include "absl/flags/flag.h"
#include "bench/servers/common/program.h"
#include "knot/command_line.h"

ABSL_FLAG(int, max_conn, 1024,
          "most connections served at a time, in all; further ones wait in the system's queue");

namespace bench_server {

int MaxConnections(const Program& program, int least) {
  int value = absl::GetFlag(FLAGS_max_conn);
  program.FailUnless(knot::CheckRange("max_conn", value, least, 1'000'000));
  return value;
}

int ShareOf(int total, int count, int i) { return total / count + (i < total % count ? 1 : 0); }

}  // namespace bench_server
