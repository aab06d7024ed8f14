// Finds where instructions begin and where jumps land in a piece of machine code.
//
// The code is read instruction by instruction from the function starts that its unwind table names,
// so a byte is taken for an instruction only where one begins. A function that cannot be read
// through is mapped the cautious way: none of its instructions is known, and whatever looks like a
// jump at any of its bytes counts as one. Targets of jump tables are not seen: they are whole
// cases, and begin before the arguments of a system call are loaded.
//
// Callers: one thread. Blocks: never. Source: LSB Core, 10.6 (.eh_frame_hdr).
#ifndef BOBBIN_WRAPPERS_WAYS_IN_TEXT_MAP_H_
#define BOBBIN_WRAPPERS_WAYS_IN_TEXT_MAP_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

// One row of the search table of .eh_frame_hdr; both fields are relative to the start of that
// section.
struct FunctionRow {
  int32_t start;
  int32_t description;
};

struct CodeText {
  uintptr_t begin = 0, end = 0;
  uintptr_t functions_base = 0;            // what FunctionRow::start is relative to
  const FunctionRow* functions = nullptr;  // in ascending order
  size_t function_count = 0;
};

class TextMap {
 public:
  TextMap() = default;
  ~TextMap();
  TextMap(const TextMap&) = delete;
  TextMap& operator=(const TextMap&) = delete;

  // Reads `text`. Returns: false if there is no memory for the map.
  bool Read(const CodeText& text);

  // Reads only the function that holds `address`, and finds what looks like a jump into it anywhere
  // in `text`. Returns: false if there is no memory, or no function known there.
  bool ReadAround(const CodeText& text, uintptr_t address);

  // Tells whether a known instruction begins at `address`.
  bool IsStart(uintptr_t address) const { return Test(starts_, address); }
  // Tells whether a function begins or a jump may land at `address`.
  bool IsTarget(uintptr_t address) const { return Test(targets_, address); }
  // Tells whether a known instruction begins at `address` or before it and reaches over it.
  bool IsInside(uintptr_t address) const;
  // The known instruction before the one at `address`, 0 if there is none next to it.
  uintptr_t Previous(uintptr_t address) const;

  uintptr_t begin() const { return text_.begin; }
  uintptr_t end() const { return text_.end; }

 private:
  bool Test(const uint8_t* bits, uintptr_t address) const;
  void Set(uint8_t* bits, uintptr_t address);
  bool Allocate(const CodeText& text);
  void ReadFunction(uintptr_t from, uintptr_t to);
  void MarkWhateverLooksLikeAJump(uintptr_t from, uintptr_t to);
  void MarkJumpsFrom(uintptr_t from, uintptr_t to);

  CodeText text_;
  size_t map_bytes_ = 0;
  uint8_t* starts_ = nullptr;  // one bit a byte of text
  uint8_t* targets_ = nullptr;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_TEXT_MAP_H_
