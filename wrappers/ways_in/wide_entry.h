// Whether sites in code that may hold values in wide vector registers can be sent to the table
// directly.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_WIDE_ENTRY_H_
#define BOBBIN_WRAPPERS_WAYS_IN_WIDE_ENTRY_H_

#include <cpuid.h>

extern "C" __attribute__((visibility("hidden"))) void bobbin_text_entry_wide();

namespace bobbin {

// Tells whether the processor and the kernel have what bobbin_text_entry_wide uses. Source: Intel
// SDM volume 1, 13.2.
inline bool WideEntryAvailable() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  constexpr unsigned kOsxsave = 1u << 27, kAvx = 1u << 28;
  if ((c & kOsxsave) == 0 || (c & kAvx) == 0) return false;
  constexpr unsigned kXsavec = 1u << 1, kXgetbvInUse = 1u << 2;
  if (!__get_cpuid_count(0xd, 1, &a, &b, &c, &d)) return false;
  return (a & kXsavec) != 0 && (a & kXgetbvInUse) != 0;
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_WIDE_ENTRY_H_
