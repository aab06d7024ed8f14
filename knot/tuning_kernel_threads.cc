#include "knot/tuning.h"

namespace knot::tuning {

absl::Status Apply(const Settings&) { return absl::OkStatus(); }

Effective Describe() { return {"kernel threads", "none", "none", ""}; }

absl::Status Check(const Settings&) { return absl::OkStatus(); }

int Groups() { return 1; }

int ExpectedGroups(const Settings&) { return 1; }

void PlaceNextThread(int) {}
void PlaceNextThreadApart() {}

bool Sample(ThreadingNow*) { return false; }

void WriteStatistics(int) {}

}  // namespace knot::tuning
