#include "wrappers/ways_in/object_text.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstring>

namespace bobbin {
namespace {

// The start of .eh_frame_hdr with the encodings that every linker writes.
struct UnwindTableHeader {
  uint8_t version, frame_encoding, count_encoding, table_encoding;
  int32_t frame;
  uint32_t count;
};

bool FindSegment(const dl_find_object& object, uintptr_t address, uintptr_t* begin,
                 uintptr_t* end) {
  const auto* header = static_cast<const ElfW(Ehdr)*>(object.dlfo_map_start);
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
  const auto base = reinterpret_cast<uintptr_t>(object.dlfo_map_start);
  const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(base + header->e_phoff);
  uintptr_t first = ~uintptr_t{0};
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD && segments[i].p_vaddr < first) first = segments[i].p_vaddr;
  }
  // An executable that is not position-independent has its addresses in the file.
  const uintptr_t bias = base - (first & ~uintptr_t{4095});
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type != PT_LOAD || (segments[i].p_flags & PF_X) == 0) continue;
    *begin = bias + segments[i].p_vaddr;
    *end = *begin + segments[i].p_filesz;
    if (address >= *begin && address < *end) return true;
  }
  return false;
}

}  // namespace

const char* ReadUnwindTable(uintptr_t table, CodeText* text) {
  UnwindTableHeader header;
  memcpy(&header, reinterpret_cast<const void*>(table), sizeof(header));
  constexpr uint8_t kUnsigned4 = 0x03, kSigned4 = 0x0b, kFromHere = 0x10, kFromHeader = 0x30;
  if (header.version != 1 || header.frame_encoding != (kFromHere | kSigned4) ||
      header.count_encoding != kUnsigned4 || header.table_encoding != (kFromHeader | kSigned4)) {
    return "libc's unwind table is of an unknown form";
  }
  text->functions_base = table;
  text->functions = reinterpret_cast<const FunctionRow*>(table + sizeof(header));
  text->function_count = header.count;
  return "";
}

bool FindExecutableSegment(uintptr_t address, uintptr_t* begin, uintptr_t* end) {
  dl_find_object object;
  return _dl_find_object(reinterpret_cast<void*>(address), &object) == 0 &&
         FindSegment(object, address, begin, end);
}

bool FindObjectText(uintptr_t address, CodeText* text) {
  dl_find_object object;
  if (_dl_find_object(reinterpret_cast<void*>(address), &object) != 0) return false;
  if (!FindSegment(object, address, &text->begin, &text->end)) return false;
  if (object.dlfo_eh_frame == nullptr) return false;
  return ReadUnwindTable(reinterpret_cast<uintptr_t>(object.dlfo_eh_frame), text)[0] == '\0';
}

}  // namespace bobbin
