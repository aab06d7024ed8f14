// The flags that say when connections that are silent, or slow, make room for others.
#ifndef KNOT_OPTIONS_ROOM_H_
#define KNOT_OPTIONS_ROOM_H_

#include "absl/status/status.h"

namespace knot {

struct RoomOptions {
  int make_room_after = 0;  // seconds; 0: never
  int crowded_rate = 0;     // bytes a second; 0: any
};

RoomOptions RoomOptionsFromFlags();

// Errors: InvalidArgument, with one line that names the flag and what is wrong with it.
absl::Status CheckRoom(const RoomOptions& options);

}  // namespace knot

#endif  // KNOT_OPTIONS_ROOM_H_
