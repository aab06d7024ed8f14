// Turns the system-call sites of a piece of machine code into jumps to stubs, and back.
//
// A site is a `syscall` instruction with its neighbours. One five-byte jump, written over the start
// of an instruction before the `syscall` (or over the `syscall` itself), leads to the site's stub.
// The stub
//   1. runs copies of the instructions from the jump up to the `syscall`, on the registers and the
//      stack as they are;
//   2. puts the address where execution continues into rcx and that of the site into r11 (a system
//      call destroys both) and jumps to bobbin_text_entry, which comes back to the address in rcx;
//   3. if the jump lies over instructions behind the `syscall`, runs copies of these and jumps
//      behind them.
// Shapes, in the order in which they are tried (`p` is where the jump is written):
//   kBefore  p + 5 <= syscall: only instructions before it are overwritten;
//   kOver    the jump ends with the `syscall`: nothing behind it is touched;
//   kBehind  instructions behind it are overwritten too.
// A window is used only if every instruction of it that has to be copied is on the list of
// instruction.h, and no jump in the text lands anywhere in it but on its start.
//
// A signal that arrives in a stub finds code without unwind information: a backtrace from its
// handler ends there. From bobbin_text_entry on, backtraces and forced unwinding (cancellation) go
// through the site.
//
// Callers: one thread, no other running the text. Blocks: never. Source: Intel SDM volume 2.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_TEXT_PATCH_H_
#define BOBBIN_WRAPPERS_WAYS_IN_TEXT_PATCH_H_

#include <cstddef>
#include <cstdint>

#include "wrappers/ways_in/libc_text.h"
#include "wrappers/ways_in/site.h"
#include "wrappers/ways_in/text_map.h"

namespace bobbin {

class TextPatch {
 public:
  static constexpr int kMaxSites = 1024;

  constexpr TextPatch() = default;
  TextPatch(const TextPatch&) = delete;
  TextPatch& operator=(const TextPatch&) = delete;

  // Patches the sites of `text` that are wanted or whose number cannot be seen. `text` must be
  // mapped readable and executable, and is so again afterwards. Requires: nothing is patched.
  // Returns: "" or why nothing was changed.
  const char* Apply(const CodeText& text, WantsCall wants);

  // Puts every byte back. Requires: no thread is inside a stub.
  void Undo();

  int site_count() const { return site_count_; }
  const SystemCallSite& site(int n) const { return sites_[n].site; }
  bool IsStub(uintptr_t address) const;

 private:
  struct PlannedSite {
    SystemCallSite site;
    uintptr_t window;              // where the jump is written
    uintptr_t resume;              // behind the last instruction that is copied or the `syscall`
    uint8_t original[kJumpBytes];  // what the jump replaced
    uintptr_t stub;
  };

  bool Plan(const TextMap& map, WantsCall wants);
  long ProtectText(int protection) const;
  void WriteJumps();

  CodeText text_;
  PlannedSite sites_[kMaxSites] = {};
  int site_count_ = 0;
  int patched_ = 0;
  uintptr_t stubs_ = 0;
  size_t stubs_bytes_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_TEXT_PATCH_H_
