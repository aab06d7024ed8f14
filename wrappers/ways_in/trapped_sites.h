// The system-call sites that dispatch has trapped: how often, and each sent to the table directly
// once that is safe.
//
// State of a site   untried --Plan--> planned (a window was found) --Patch--> patched
//                                 \--> kept (no window: it goes on trapping, which is correct)
//                   patched --trap: other code lies there now--> untried
//
// Invariants
//   D1  A byte of text is replaced only where no thread of the process is about to execute it: a
//       window whose first instruction is as long as the jump has no boundary inside; any other is
//       written only while this thread is the only one that is inside a trap and nobody is
//       suspended by a signal. Other schedulers stand still meanwhile.
//   D2  Windows of different sites do not overlap.
//   D3  A site that is not patched is answered by its trap, with the same result.
//
// Callers: the trap handler, on any scheduler, inside the runtime. Blocks: for as long as other
// schedulers take to stand still.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_TRAPPED_SITES_H_
#define BOBBIN_WRAPPERS_WAYS_IN_TRAPPED_SITES_H_

#include <cstddef>
#include <cstdint>

#include "wrappers/ways_in/site.h"

namespace bobbin {

struct TrappedSite {
  enum class Status : uint8_t { kUntried, kPlanned, kPatched, kKept };

  uintptr_t address = 0;  // of the `syscall` instruction; 0: a free place
  long nr = -1;           // of the call first seen there
  uint64_t traps = 0;
  Status status = Status::kUntried;
  bool simple = false;  // the window's first instruction is as long as the jump
  Window window;
  Stub stub = {};
};

class TrappedSites {
 public:
  static constexpr size_t kCapacity = 4096;

  // Counts a trap at `address`. Returns: the site; null when kCapacity sites are known.
  TrappedSite* Note(uintptr_t address, long nr);

  // Patches `site` if it may be. `alone`: no other thread is inside a trap or suspended by a
  // signal. Returns: where the trapped thread continues after the call.
  uintptr_t Patch(TrappedSite* site, bool alone);

  size_t count() const { return count_; }
  const TrappedSite* begin() const { return sites_; }
  const TrappedSite* end() const { return sites_ + kCapacity; }

 private:
  static constexpr int kMaxArenas = 32;
  static constexpr size_t kArenaBytes = 64 * 1024;

  // Stubs for the text that is within reach of it; the address of the entry stands first.
  struct Arena {
    uintptr_t base = 0;
    size_t used = 0;
  };

  void Plan(TrappedSite* site);
  bool Overlaps(const Window& window) const;
  bool IsStillPatched(const TrappedSite& site) const;
  Arena* ArenaFor(uintptr_t site);
  bool Write(TrappedSite* site, Arena* arena);

  TrappedSite sites_[kCapacity];
  size_t count_ = 0;
  Arena arenas_[kMaxArenas];
  int arena_count_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_TRAPPED_SITES_H_
