#include "runtime/context.h"

#include <sys/auxv.h>

namespace bobbin {

bool FsGsBaseAvailable() {
  constexpr unsigned long kHwcap2FsGsBase = 1ul << 1;
  return (getauxval(AT_HWCAP2) & kHwcap2FsGsBase) != 0;
}

}  // namespace bobbin
