#include "wrappers/ways_in/text_map.h"

#include <sys/mman.h>

#include "runtime/raw_syscall.h"
#include "wrappers/ways_in/instruction.h"

namespace bobbin {
namespace {

constexpr uintptr_t kMaxInstruction = 15;

}  // namespace

TextMap::~TextMap() {
  if (starts_ != nullptr) RawSyscall(SYS_munmap, starts_, 2 * map_bytes_);
}

bool TextMap::Allocate(const CodeText& text) {
  map_bytes_ = (text.end - text.begin + 7) / 8;
  const long memory = RawSyscall(SYS_mmap, 0, 2 * map_bytes_, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0) return false;
  text_ = text;
  starts_ = reinterpret_cast<uint8_t*>(memory);
  targets_ = starts_ + map_bytes_;
  return true;
}

bool TextMap::ReadAround(const CodeText& text, uintptr_t address) {
  size_t low = 0, high = text.function_count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (text.functions_base + text.functions[middle].start <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return false;
  CodeText function = text;
  function.begin = text.functions_base + text.functions[low - 1].start;
  if (low < text.function_count) function.end = text.functions_base + text.functions[low].start;
  if (function.begin < text.begin || function.end > text.end || address >= function.end)
    return false;
  if (!Allocate(function)) return false;
  ReadFunction(function.begin, function.end);
  MarkJumpsFrom(text.begin, function.begin);
  MarkJumpsFrom(function.end, text.end);
  return true;
}

// Looks at every byte, for nobody has read that code: what is taken for a jump and is none costs a
// patch, never a wrong one.
void TextMap::MarkJumpsFrom(uintptr_t from, uintptr_t to) {
  constexpr uintptr_t kShortReach = 130, kNearJump = 6;
  for (uintptr_t at = from; at + kNearJump <= to; ++at) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(at);
    uintptr_t displacement = 0;
    if (bytes[0] == 0xe9 || bytes[0] == 0xe8) {
      displacement = at + 1;
    } else if (bytes[0] == 0x0f && (bytes[1] & 0xf0) == 0x80) {
      displacement = at + 2;
    }
    if (displacement != 0) {
      int32_t distance;
      __builtin_memcpy(&distance, reinterpret_cast<const void*>(displacement), sizeof distance);
      Set(targets_, displacement + sizeof distance + static_cast<intptr_t>(distance));
    }
    const bool near = at + kShortReach >= text_.begin && at <= text_.end + kShortReach;
    const bool is_short =
        (bytes[0] & 0xf0) == 0x70 || bytes[0] == 0xeb || (bytes[0] & 0xfc) == 0xe0;
    if (near && is_short)
      Set(targets_, at + 2 + static_cast<intptr_t>(static_cast<int8_t>(bytes[1])));
  }
}

bool TextMap::Read(const CodeText& text) {
  if (!Allocate(text)) return false;
  for (size_t n = 0; n < text.function_count; n++) {
    const uintptr_t from = text.functions_base + text.functions[n].start;
    uintptr_t to = text.end;
    if (n + 1 < text.function_count) to = text.functions_base + text.functions[n + 1].start;
    if (from < text.begin || from >= text.end) continue;
    ReadFunction(from, to < text.end ? to : text.end);
  }
  return true;
}

void TextMap::ReadFunction(uintptr_t from, uintptr_t to) {
  Set(targets_, from);
  for (uintptr_t at = from; at < to;) {
    const Instruction instruction = Decode(at, text_.end);
    if (instruction.length == 0) {
      for (uintptr_t undo = from; undo < at; undo++) {
        const uintptr_t bit = undo - text_.begin;
        starts_[bit / 8] &= ~(1 << bit % 8);
      }
      MarkWhateverLooksLikeAJump(from, to);
      return;
    }
    Set(starts_, at);
    if (instruction.target != 0) Set(targets_, instruction.target);
    at += instruction.length;
  }
}

void TextMap::MarkWhateverLooksLikeAJump(uintptr_t from, uintptr_t to) {
  for (uintptr_t at = from; at < to; at++) {
    const Instruction instruction = Decode(at, text_.end);
    if (instruction.length != 0 && instruction.target != 0) Set(targets_, instruction.target);
  }
}

bool TextMap::IsInside(uintptr_t address) const {
  for (uintptr_t back = 0; back < kMaxInstruction; back++) {
    if (IsStart(address - back)) return Decode(address - back, text_.end).length > back;
  }
  return false;
}

uintptr_t TextMap::Previous(uintptr_t address) const {
  for (uintptr_t back = 1; back <= kMaxInstruction; back++) {
    if (IsStart(address - back)) {
      return address - back + Decode(address - back, text_.end).length == address ? address - back
                                                                                  : 0;
    }
  }
  return 0;
}

bool TextMap::Test(const uint8_t* bits, uintptr_t address) const {
  if (address < text_.begin || address >= text_.end) return false;
  const uintptr_t bit = address - text_.begin;
  return bits[bit / 8] >> bit % 8 & 1;
}

void TextMap::Set(uint8_t* bits, uintptr_t address) {
  if (address < text_.begin || address >= text_.end) return;
  const uintptr_t bit = address - text_.begin;
  bits[bit / 8] |= 1 << bit % 8;
}

}  // namespace bobbin
