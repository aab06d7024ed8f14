#include "knot/options_room.h"

#include "absl/flags/flag.h"
#include "knot/command_line.h"

ABSL_FLAG(int, make_room_after, 2,
          "seconds of silence, or of service, after which a connection may be closed while every "
          "thread serves and others wait, the longest silent first; 0: none is");

namespace knot {

RoomOptions RoomOptionsFromFlags() { return {absl::GetFlag(FLAGS_make_room_after)}; }

absl::Status CheckRoom(const RoomOptions& options) {
  return CheckRange("make_room_after", options.make_room_after, 0, 86'400);
}

}  // namespace knot
