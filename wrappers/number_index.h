// Finds an entry of a constant list by the number of its system call.
#ifndef BOBBIN_WRAPPERS_NUMBER_INDEX_H_
#define BOBBIN_WRAPPERS_NUMBER_INDEX_H_

#include <cstddef>
#include <cstdint>

#include "wrappers/registers.h"

namespace bobbin {

class NumberIndex {
 public:
  // `entries` have a field nr, each number once, below kCallNumbers.
  template <typename Entry, size_t n>
  explicit constexpr NumberIndex(const Entry (&entries)[n]) {
    static_assert(n < 256);
    for (size_t i = 0; i < n; ++i) place_[entries[i].nr] = static_cast<uint8_t>(i + 1);
  }

  // Returns: null where no entry has the number. Requires: `entries` are those it was made of.
  template <typename Entry>
  const Entry* Find(const Entry* entries, long nr) const {
    if (static_cast<unsigned long>(nr) >= kCallNumbers || place_[nr] == 0) return nullptr;
    return &entries[place_[nr] - 1];
  }

 private:
  uint8_t place_[kCallNumbers] = {};  // of the entry, plus one
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_NUMBER_INDEX_H_
