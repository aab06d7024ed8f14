// Sends libc's own system-call sites to the table by patching libc's text (way in 2).
//
// Each `syscall` instruction of libc.so.6 whose neighbourhood is of a known shape becomes a jump to
// a stub that saves the registers and calls bobbin_enter_from_text, then continues behind the site
// (shapes: text_patch.h). Every byte is checked before it is written. A site that is not of a known
// shape is left alone and reported.
//
// Left alone whatever is wanted: the signal restorer (`mov $15,%rax; syscall`), which unwinders
// know by its bytes.
//
// Requires: the table answers calls already; libc's next call goes to it. Callers: the process's
// only thread, at start. Blocks: never (about 7 ms for glibc 2.36). Source: System V psABI (red
// zone, registers), Intel SDM.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_LIBC_TEXT_H_
#define BOBBIN_WRAPPERS_WAYS_IN_LIBC_TEXT_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

struct LibcTextReport {
  const char* error = "";  // "" when libc was patched, else why nothing was changed (constant text)
  int sites = 0;           // `syscall` instructions found in libc's executable segment
  int patched = 0;         // of these, sent to the table
  int skipped = 0;  // of these, left alone because their number is known and not in the table
  int unknown = 0;  // of these, left alone because their shape is not known
};

// Tells whether the table wants call number `nr`. The patcher leaves sites alone whose number it
// can see and that are not wanted; a site whose number is in a register is patched.
using WantsCall = bool (*)(long nr);

// Patches libc.so.6. All or nothing where the text cannot be made writable or no room for stubs is
// within reach.
LibcTextReport PatchLibcText(WantsCall wants);

// Puts every patched byte back. Requires: no thread is inside a stub.
void RestoreLibcText();

enum class SiteStatus : uint8_t { kPatched, kSkipped, kUnknown };

// Which bytes the jump replaces, seen from the `syscall` instruction.
enum class SiteShape : uint8_t { kNone, kBefore, kOver, kBehind };

struct SystemCallSite {
  uintptr_t address = 0;  // of the `syscall` instruction
  long nr = -1;           // the call's number, -1 if it is not a constant at the site
  SiteStatus status = SiteStatus::kUnknown;
  SiteShape shape = SiteShape::kNone;
};

// Calls `visit` for each site that PatchLibcText found, in ascending order. For audits and tests.
void ForEachLibcSite(void (*visit)(const SystemCallSite& site, void* argument), void* argument);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_LIBC_TEXT_H_
