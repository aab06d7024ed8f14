// Plans and writes the way from one system-call site to the table: which bytes a jump may replace,
// and the stub it leads to. Shapes and rules: text_patch.h.
//
// Callers: one thread at a time. Blocks: never. Source: Intel SDM volume 2.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_SITE_H_
#define BOBBIN_WRAPPERS_WAYS_IN_SITE_H_

#include <cstddef>
#include <cstdint>

#include "wrappers/ways_in/libc_text.h"
#include "wrappers/ways_in/text_map.h"

namespace bobbin {

inline constexpr uintptr_t kSyscallBytes = 2;
inline constexpr uintptr_t kJumpBytes = 5;
// The largest stub: eleven instructions before and five behind, each of fifteen bytes, and four of
// ours.
inline constexpr size_t kMaxStub = 16 * 15 + 32;
// Of a 32-bit distance, less what copied instructions may reach beyond the text they are in.
inline constexpr uintptr_t kStubReach = 0x70000000;

// The bytes from `begin` up to `resume` are the jump's and its copies'.
struct Window {
  uintptr_t begin = 0, resume = 0;
  SiteShape shape = SiteShape::kNone;
};

// Tells whether the bytes at `at` are those of a `syscall` instruction.
bool IsSyscall(uintptr_t at);

// Tells whether the `syscall` at `site` returns from a signal handler (mov $15,%rax; syscall).
bool IsSignalRestorer(const TextMap& map, uintptr_t site);

// The call's number if every way to the site sets the same one, else -1.
long FindNumber(const TextMap& map, uintptr_t site);

// Finds the window for `site` that touches least, at or behind `floor` (where the window of the
// site before ended). Returns: shape kNone where there is none.
Window FindWindow(const TextMap& map, uintptr_t site, uintptr_t floor);

struct Stub {
  uintptr_t begin;
  uintptr_t end;   // behind its last byte
  uintptr_t rest;  // where execution goes on after the call: in the stub, or behind the window
};

// Writes the stub for `site` at `at`, which has room for kMaxStub. `entry` is the address of the
// address of what it jumps to: bobbin_text_entry or bobbin_text_entry_wide.
Stub EmitStub(const Window& window, uintptr_t site, uintptr_t entry, uintptr_t at);

// Maps `bytes` of writable memory within reach of the text from `begin` to `end`. Returns: its
// address, 0 where there is no room.
uintptr_t MapStubs(uintptr_t begin, uintptr_t end, size_t bytes);

// Writes the jump over the beginning of a window.
void WriteJump(uintptr_t window, uintptr_t stub);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_SITE_H_
