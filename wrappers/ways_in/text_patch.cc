#include "wrappers/ways_in/text_patch.h"

#include <sys/mman.h>

#include <cstring>

#include "runtime/raw_syscall.h"
#include "wrappers/ways_in/instruction.h"

extern "C" __attribute__((visibility("hidden"))) void bobbin_text_entry();

namespace bobbin {
namespace {

constexpr uintptr_t kSyscallBytes = 2;
constexpr int kMaxCopies = 10;
// The largest stub: eleven instructions before and five behind, each of fifteen bytes, and four of
// ours.
constexpr size_t kMaxStub = 16 * 15 + 32;
constexpr size_t kPage = 4096;
// Of a 32-bit distance, less what copied instructions may reach beyond the text they are in.
constexpr uintptr_t kReach = 0x70000000;

struct Window {
  uintptr_t begin = 0, resume = 0;
  SiteShape shape = SiteShape::kNone;
};

bool IsSyscall(uintptr_t at) { return memcmp(reinterpret_cast<void*>(at), "\x0f\x05", 2) == 0; }

// mov $15,%rax; syscall
bool IsSignalRestorer(const TextMap& map, uintptr_t site) {
  return site - map.begin() >= 7 &&
         memcmp(reinterpret_cast<void*>(site - 7), "\x48\xc7\xc0\x0f\x00\x00\x00", 7) == 0;
}

// The number that the instruction at `at` puts into eax, -1 if it is not such an instruction.
long ConstantInEax(uintptr_t at, const Instruction& i) {
  int32_t value;
  memcpy(&value, reinterpret_cast<const void*>(at + i.immediate), sizeof(value));
  if (i.operand_prefix || i.repeat_prefix || i.map != 0 || i.vector_prefix) return -1;
  if (i.opcode == 0xb8 && i.rex == 0) return value;                       // mov $nr,%eax
  if (i.opcode == 0xc7 && i.modrm == 0xc0 && !(i.rex & 7)) return value;  // mov $nr,%rax
  if ((i.opcode == 0x31 || i.opcode == 0x33) && i.modrm == 0xc0 && !(i.rex & 7)) return 0;  // xor
  return -1;
}

// The call's number if every way to the site sets the same one, else -1.
long FindNumber(const TextMap& map, uintptr_t site) {
  uintptr_t at = site;
  for (int n = 0; n < 2 * kMaxCopies; n++) {
    if (map.IsTarget(at)) return -1;
    at = map.Previous(at);
    if (at == 0) return -1;
    const Instruction instruction = Decode(at, map.end());
    const long constant = ConstantInEax(at, instruction);
    if (constant >= 0) return constant;
    if (MayWriteRax(instruction)) return -1;
  }
  return -1;
}

// Tries to let the window that begins at `begin` reach over `bytes` bytes, behind the site where it
// has to.
bool ReachBehind(const TextMap& map, uintptr_t begin, uintptr_t site, uintptr_t bytes,
                 Window* window) {
  uintptr_t end = site + kSyscallBytes;
  while (end < begin + bytes) {
    if (!map.IsStart(end) || map.IsTarget(end)) return false;
    const Instruction next = Decode(end, map.end());
    if (!IsCopyable(next)) return false;
    end += next.length;
  }
  *window = {.begin = begin, .resume = end, .shape = SiteShape::kBehind};
  return true;
}

// Finds the window for `site` that touches least, at or behind `floor` (where the window of the
// site before ended).
Window FindWindow(const TextMap& map, uintptr_t site, uintptr_t floor, uintptr_t bytes) {
  // The instructions that may come into it: starts[0] is the `syscall`, the others go back from
  // there.
  uintptr_t starts[kMaxCopies + 1] = {site};
  int count = 1;
  while (count <= kMaxCopies && !map.IsTarget(starts[count - 1])) {
    const uintptr_t before = map.Previous(starts[count - 1]);
    if (before < floor || before == 0 || !IsCopyable(Decode(before, map.end()))) break;
    starts[count++] = before;
  }
  for (int n = 1; n < count; n++) {
    if (starts[n] + bytes <= site) return {starts[n], site + kSyscallBytes, SiteShape::kBefore};
  }
  for (int n = 1; n < count; n++) {
    if (starts[n] + bytes <= site + kSyscallBytes) {
      return {starts[n], site + kSyscallBytes, SiteShape::kOver};
    }
  }
  for (int n = count - 1; n >= 0; n--) {
    Window window;
    if (starts[n] >= floor && ReachBehind(map, starts[n], site, bytes, &window)) return window;
  }
  return {};
}

long Protect(uintptr_t address, size_t bytes, int protection) {
  return RawSyscall(SYS_mprotect, address, bytes, protection);
}

void Put(uintptr_t* at, const void* bytes, size_t count) {
  memcpy(reinterpret_cast<void*>(*at), bytes, count);
  *at += count;
}

// Puts an opcode and the distance from behind it to `target`.
void PutRelative(uintptr_t* at, const char* opcode, size_t opcode_bytes, uintptr_t target) {
  Put(at, opcode, opcode_bytes);
  const int32_t distance = static_cast<int32_t>(target - (*at + 4));
  Put(at, &distance, sizeof(distance));
}

// Puts copies of the instructions from `from` to `to`.
void PutCopies(uintptr_t* at, uintptr_t from, uintptr_t to) {
  while (from < to) {
    const Instruction instruction = Decode(from, to);
    uintptr_t copy = *at;
    Put(at, reinterpret_cast<void*>(from), instruction.length);
    if (instruction.displacement != 0) {
      int32_t displacement;
      memcpy(&displacement, reinterpret_cast<void*>(from + instruction.displacement), 4);
      displacement += static_cast<int32_t>(from - copy);
      copy += instruction.displacement;
      Put(&copy, &displacement, 4);
    }
    from += instruction.length;
  }
}

}  // namespace

const char* TextPatch::Apply(const Text& text, WantsCall wants) {
  text_ = text;
  site_count_ = patched_ = 0;
  {
    TextMap map;
    if (!map.Read(text)) return "no memory for a map of the text";
    if (!Plan(map, wants)) return "more system-call sites than expected";
  }
  if (!MapStubs()) return "no room for stubs within reach of the text";
  uintptr_t at = stubs_ + sizeof(void*);
  const uintptr_t entry = reinterpret_cast<uintptr_t>(&bobbin_text_entry);
  memcpy(reinterpret_cast<void*>(stubs_), &entry, sizeof(entry));
  for (int n = 0; n < site_count_; n++) {
    PlannedSite& planned = sites_[n];
    if (planned.site.status != SiteStatus::kPatched) continue;
    planned.stub = at = (at + 15) & ~uintptr_t{15};
    at = EmitStub(planned, at);
  }
  if (Protect(stubs_, stubs_bytes_, PROT_READ | PROT_EXEC) != 0 ||
      ProtectText(PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
    RawSyscall(SYS_munmap, stubs_, stubs_bytes_);
    stubs_ = 0;
    return "the text cannot be made writable";
  }
  WriteJumps();
  if (ProtectText(PROT_READ | PROT_EXEC) != 0) {
    Undo();
    return "the text cannot be made read-only again";
  }
  return "";
}

bool TextPatch::Plan(const TextMap& map, WantsCall wants) {
  uintptr_t floor = text_.begin;
  for (uintptr_t at = text_.begin; at + kSyscallBytes <= text_.end; at++) {
    if (!IsSyscall(at) || (!map.IsStart(at) && map.IsInside(at))) continue;
    if (site_count_ == kMaxSites) return false;
    PlannedSite& planned = sites_[site_count_++];
    planned = {};
    planned.site.address = at;
    if (IsSignalRestorer(map, at)) {
      planned.site.nr = 15;
      planned.site.status = SiteStatus::kSkipped;
      continue;
    }
    if (!map.IsStart(at)) continue;
    planned.site.nr = FindNumber(map, at);
    if (planned.site.nr >= 0 && !wants(planned.site.nr)) {
      planned.site.status = SiteStatus::kSkipped;
      continue;
    }
    const Window window = FindWindow(map, at, floor, kJumpBytes);
    if (window.shape == SiteShape::kNone) continue;
    planned.site.status = SiteStatus::kPatched;
    planned.site.shape = window.shape;
    planned.window = window.begin;
    planned.resume = floor = window.resume;
    memcpy(planned.original, reinterpret_cast<void*>(window.begin), kJumpBytes);
    patched_++;
  }
  return true;
}

// Looks for free addresses within reach of the whole text.
bool TextPatch::MapStubs() {
  constexpr uintptr_t kStep = 1 << 20;
  stubs_bytes_ = (patched_ * kMaxStub + 2 * kPage) & ~(kPage - 1);
  const uintptr_t low = text_.begin & ~(kStep - 1);
  const uintptr_t high = (text_.end + kStep) & ~(kStep - 1);
  for (uintptr_t distance = kStep; distance < kReach - (high - low); distance += kStep) {
    const uintptr_t places[] = {low - distance, high + distance};
    for (const uintptr_t place : places) {
      const long got = RawSyscall(SYS_mmap, place, stubs_bytes_, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
      if (got == static_cast<long>(place)) {
        stubs_ = place;
        return true;
      }
      if (got > 0) RawSyscall(SYS_munmap, got, stubs_bytes_);  // a kernel without the flag
    }
  }
  return false;
}

uintptr_t TextPatch::EmitStub(const PlannedSite& planned, uintptr_t at) const {
  const uintptr_t site = planned.site.address, behind = site + kSyscallBytes;
  constexpr uintptr_t kJumpToEntry = 6, kLea = 7;
  PutCopies(&at, planned.window, site);
  const bool copies_behind = planned.resume != behind;
  const uintptr_t rest = at + kLea + kLea + kJumpToEntry;
  PutRelative(&at, "\x48\x8d\x0d", 3, copies_behind ? rest : behind);  // lea resume(%rip),%rcx
  PutRelative(&at, "\x4c\x8d\x1d", 3, site);                           // lea site(%rip),%r11
  PutRelative(&at, "\xff\x25", 2, stubs_);                             // jmp *bobbin_text_entry
  if (copies_behind) {
    PutCopies(&at, behind, planned.resume);
    PutRelative(&at, "\xe9", 1, planned.resume);
  }
  return at;
}

long TextPatch::ProtectText(int protection) const {
  const uintptr_t start = text_.begin & ~(kPage - 1);
  return Protect(start, text_.end - start, protection);
}

void TextPatch::WriteJumps() {
  for (int n = 0; n < site_count_; n++) {
    if (sites_[n].site.status != SiteStatus::kPatched) continue;
    uintptr_t at = sites_[n].window;
    PutRelative(&at, "\xe9", 1, sites_[n].stub);
  }
}

void TextPatch::Undo() {
  if (stubs_ == 0) return;
  if (ProtectText(PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return;
  for (int n = 0; n < site_count_; n++) {
    if (sites_[n].site.status != SiteStatus::kPatched) continue;
    memcpy(reinterpret_cast<void*>(sites_[n].window), sites_[n].original, kJumpBytes);
  }
  ProtectText(PROT_READ | PROT_EXEC);
  RawSyscall(SYS_munmap, stubs_, stubs_bytes_);
  stubs_ = 0;
  site_count_ = patched_ = 0;
}

bool TextPatch::IsStub(uintptr_t address) const { return address - stubs_ < stubs_bytes_; }

}  // namespace bobbin
