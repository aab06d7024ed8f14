#include "knot/pace.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace knot {

int SendPace::Wait() {
  int left = pace_.Left();
  if (left > 0) return left;
  int64_t now = Unacknowledged();
  pace_.Moved(given_ - now);
  given_ = now;
  return pace_.Wait();
}

// Source: tcp(7), unix(7), SIOCOUTQ.
int64_t SendPace::Unacknowledged() const {
  int bytes = 0;
  return ioctl(socket_, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace knot
