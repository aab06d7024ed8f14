#include "wrappers/ways_in/trapped_sites.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "runtime/raw_syscall.h"
#include "wrappers/preemption.h"
#include "wrappers/ways_in/instruction.h"
#include "wrappers/ways_in/object_text.h"
#include "wrappers/ways_in/wide_entry.h"

namespace bobbin {
namespace {

constexpr uintptr_t kPage = 4096;

size_t Hash(uintptr_t address) { return (address * 0x9e3779b97f4a7c15u) >> 52; }
static_assert(TrappedSites::kCapacity == size_t{1} << (64 - 52));

long Protect(uintptr_t begin, uintptr_t end, int protection) {
  begin &= ~(kPage - 1);
  return RawSyscall(SYS_mprotect, begin, end - begin, protection);
}

bool StartsAChild(long nr) {
  return nr == SYS_clone || nr == SYS_clone3 || nr == SYS_fork || nr == SYS_vfork;
}

// A jump over one instruction only: nobody can stand between its bytes.
bool HasNoBoundaryInside(const Window& window, uintptr_t site) {
  return window.shape == SiteShape::kBefore && Decode(window.begin, site).length >= kJumpBytes;
}

}  // namespace

TrappedSite* TrappedSites::Note(uintptr_t address, long nr) {
  size_t at = Hash(address);
  while (sites_[at].address != 0 && sites_[at].address != address) at = (at + 1) % kCapacity;
  TrappedSite& site = sites_[at];
  if (site.address == 0) {
    if (count_ + 1 == kCapacity) return nullptr;
    ++count_;
    site.address = address;
    site.nr = nr;
  }
  ++site.traps;
  return &site;
}

uintptr_t TrappedSites::Patch(TrappedSite* site, bool alone) {
  const uintptr_t behind = site->address + kSyscallBytes;
  if (site->status == TrappedSite::Status::kPatched && !IsStillPatched(*site))
    site->status = TrappedSite::Status::kUntried;
  const auto may_be = [&] { return site->simple || (alone && !StartsAChild(site->nr)); };
  // A plan is made anew for the patch: meanwhile other code may have been loaded there.
  const bool planned = site->status == TrappedSite::Status::kPlanned;
  if (site->status == TrappedSite::Status::kUntried || (planned && may_be())) Plan(site);
  if (site->status != TrappedSite::Status::kPlanned || !may_be()) return behind;
  Arena* arena = ArenaFor(site->address);
  if (arena == nullptr) {
    site->status = TrappedSite::Status::kKept;
    return behind;
  }
  const OthersStandStill still;
  if (!still.all() || !Write(site, arena)) return behind;
  site->status = TrappedSite::Status::kPatched;
  return site->window.shape == SiteShape::kBehind ? site->stub.rest : behind;
}

void TrappedSites::Plan(TrappedSite* site) {
  site->status = TrappedSite::Status::kKept;
  if (!WideEntryAvailable()) return;
  CodeText text;
  TextMap map;
  if (!FindObjectText(site->address, &text) || !map.ReadAround(text, site->address)) return;
  if (!map.IsStart(site->address) || IsSignalRestorer(map, site->address)) return;
  const Window window = FindWindow(map, site->address, map.begin());
  if (window.shape == SiteShape::kNone || Overlaps(window)) return;
  site->window = window;
  site->simple = HasNoBoundaryInside(window, site->address);
  site->status = TrappedSite::Status::kPlanned;
}

// Also true near a jump over several instructions: what is left of those is not code, and may have
// been read as such.
bool TrappedSites::Overlaps(const Window& window) const {
  for (const TrappedSite& other : sites_) {
    if (other.address == 0 || other.status != TrappedSite::Status::kPatched) continue;
    const uintptr_t near = other.simple ? 0 : 64;
    if (window.begin < other.window.resume + near && other.window.begin < window.resume + near)
      return true;
  }
  return false;
}

bool TrappedSites::IsStillPatched(const TrappedSite& site) const {
  const auto* bytes = reinterpret_cast<const uint8_t*>(site.window.begin);
  int32_t distance;
  __builtin_memcpy(&distance, bytes + 1, sizeof distance);
  return bytes[0] == 0xe9 &&
         site.window.begin + kJumpBytes + static_cast<intptr_t>(distance) == site.stub.begin;
}

TrappedSites::Arena* TrappedSites::ArenaFor(uintptr_t site) {
  for (int i = 0; i < arena_count_; ++i) {
    Arena& arena = arenas_[i];
    const uintptr_t distance = arena.base < site ? site - arena.base : arena.base - site;
    if (distance < kStubReach - kArenaBytes && arena.used + kMaxStub + 16 <= kArenaBytes)
      return &arena;
  }
  if (arena_count_ == kMaxArenas) return nullptr;
  const uintptr_t base = MapStubs(site, site + kSyscallBytes, kArenaBytes);
  if (base == 0) return nullptr;
  *reinterpret_cast<uintptr_t*>(base) = reinterpret_cast<uintptr_t>(&bobbin_text_entry_wide);
  arenas_[arena_count_] = {base, sizeof(uintptr_t)};
  return &arenas_[arena_count_++];
}

bool TrappedSites::Write(TrappedSite* site, Arena* arena) {
  constexpr int kWritable = PROT_READ | PROT_WRITE | PROT_EXEC, kPlain = PROT_READ | PROT_EXEC;
  const uintptr_t begin = site->window.begin, end = begin + kJumpBytes;
  if (Protect(begin, end, kWritable) != 0) {
    site->status = TrappedSite::Status::kKept;
    return false;
  }
  if (Protect(arena->base, arena->base + kArenaBytes, kWritable) == 0) {
    const uintptr_t at = (arena->base + arena->used + 15) & ~uintptr_t{15};
    site->stub = EmitStub(site->window, site->address, arena->base, at);
    arena->used = site->stub.end - arena->base;
    Protect(arena->base, arena->base + kArenaBytes, kPlain);
    WriteJump(begin, at);
    Protect(begin, end, kPlain);
    return true;
  }
  Protect(begin, end, kPlain);
  return false;
}

}  // namespace bobbin
