#include "knot/options_room.h"

#include "absl/flags/flag.h"
#include "knot/command_line.h"

ABSL_FLAG(int, make_room_after, 2,
          "seconds of silence, or of service, after which a connection may be closed while every "
          "thread serves and others wait, the longest silent first; 0: none is");
ABSL_FLAG(int, crowded_rate, 8192,
          "bytes a second that a connection must move, both ways together, while every thread "
          "serves and others wait: one that moved fewer for twice make_room_after may be cut off, "
          "the slowest first; 0: any");

namespace knot {

RoomOptions RoomOptionsFromFlags() {
  return {absl::GetFlag(FLAGS_make_room_after), absl::GetFlag(FLAGS_crowded_rate)};
}

absl::Status CheckRoom(const RoomOptions& options) {
  absl::Status status = CheckRange("make_room_after", options.make_room_after, 0, 86'400);
  status.Update(CheckRange("crowded_rate", options.crowded_rate, 0, 1 << 30));
  return status;
}

}  // namespace knot
