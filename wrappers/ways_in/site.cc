#include "wrappers/ways_in/site.h"

#include <sys/mman.h>

#include <cstring>

#include "runtime/raw_syscall.h"
#include "wrappers/ways_in/instruction.h"

namespace bobbin {
namespace {

constexpr int kMaxCopies = 10;

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

// Tries to let the window that begins at `begin` reach over a jump, behind the site where it
// has to.
bool ReachBehind(const TextMap& map, uintptr_t begin, uintptr_t site, Window* window) {
  uintptr_t end = site + kSyscallBytes;
  while (end < begin + kJumpBytes) {
    if (!map.IsStart(end) || map.IsTarget(end)) return false;
    const Instruction next = Decode(end, map.end());
    if (!IsCopyable(next)) return false;
    end += next.length;
  }
  *window = {.begin = begin, .resume = end, .shape = SiteShape::kBehind};
  return true;
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

bool IsSyscall(uintptr_t at) { return memcmp(reinterpret_cast<void*>(at), "\x0f\x05", 2) == 0; }

bool IsSignalRestorer(const TextMap& map, uintptr_t site) {
  return site - map.begin() >= 7 &&
         memcmp(reinterpret_cast<void*>(site - 7), "\x48\xc7\xc0\x0f\x00\x00\x00", 7) == 0;
}

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

Window FindWindow(const TextMap& map, uintptr_t site, uintptr_t floor) {
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
    if (starts[n] + kJumpBytes <= site)
      return {starts[n], site + kSyscallBytes, SiteShape::kBefore};
  }
  for (int n = 1; n < count; n++) {
    if (starts[n] + kJumpBytes <= site + kSyscallBytes) {
      return {starts[n], site + kSyscallBytes, SiteShape::kOver};
    }
  }
  for (int n = count - 1; n >= 0; n--) {
    Window window;
    if (starts[n] >= floor && ReachBehind(map, starts[n], site, &window)) return window;
  }
  return {};
}

Stub EmitStub(const Window& window, uintptr_t site, uintptr_t entry, uintptr_t at) {
  const uintptr_t begin = at, behind = site + kSyscallBytes;
  constexpr uintptr_t kJumpToEntry = 6, kLea = 7;
  PutCopies(&at, window.begin, site);
  const bool copies_behind = window.resume != behind;
  const uintptr_t rest = copies_behind ? at + kLea + kLea + kJumpToEntry : behind;
  PutRelative(&at, "\x48\x8d\x0d", 3, rest);  // lea rest(%rip),%rcx
  PutRelative(&at, "\x4c\x8d\x1d", 3, site);  // lea site(%rip),%r11
  PutRelative(&at, "\xff\x25", 2, entry);     // jmp *entry
  if (copies_behind) {
    PutCopies(&at, behind, window.resume);
    PutRelative(&at, "\xe9", 1, window.resume);
  }
  return {begin, at, rest};
}

// Looks for free addresses in ever greater distance.
uintptr_t MapStubs(uintptr_t begin, uintptr_t end, size_t bytes) {
  constexpr uintptr_t kStep = 1 << 20;
  const uintptr_t low = begin & ~(kStep - 1);
  const uintptr_t high = (end + kStep) & ~(kStep - 1);
  for (uintptr_t distance = kStep; distance < kStubReach - (high - low); distance += kStep) {
    const uintptr_t places[] = {low - distance, high + distance};
    for (const uintptr_t place : places) {
      const long got = RawSyscall(SYS_mmap, place, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
      if (got == static_cast<long>(place)) return place;
      if (got > 0) RawSyscall(SYS_munmap, got, bytes);  // a kernel without the flag
    }
  }
  return 0;
}

void WriteJump(uintptr_t window, uintptr_t stub) { PutRelative(&window, "\xe9", 1, stub); }

}  // namespace bobbin
