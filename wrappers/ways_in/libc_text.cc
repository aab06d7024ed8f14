#include "wrappers/ways_in/libc_text.h"

#include <link.h>

#include <cstring>

#include "wrappers/ways_in/text_patch.h"

namespace bobbin {
namespace {

TextPatch libc_patch;

// The start of .eh_frame_hdr with the encodings that every linker writes.
struct UnwindTableHeader {
  uint8_t version, frame_encoding, count_encoding, table_encoding;
  int32_t frame;
  uint32_t count;
};

const char* FindUnwindTable(uintptr_t address, Text* text) {
  UnwindTableHeader header;
  memcpy(&header, reinterpret_cast<const void*>(address), sizeof(header));
  constexpr uint8_t kUnsigned4 = 0x03, kSigned4 = 0x0b, kFromHere = 0x10, kFromHeader = 0x30;
  if (header.version != 1 || header.frame_encoding != (kFromHere | kSigned4) ||
      header.count_encoding != kUnsigned4 || header.table_encoding != (kFromHeader | kSigned4)) {
    return "libc's unwind table is of an unknown form";
  }
  text->functions_base = address;
  text->functions = reinterpret_cast<const FunctionRow*>(address + sizeof(header));
  text->function_count = header.count;
  return "";
}

struct Search {
  Text text;
  const char* error = "libc.so.6 is not loaded";
};

int LookForLibc(dl_phdr_info* info, size_t, void* argument) {
  auto* search = static_cast<Search*>(argument);
  const char* base_name = strrchr(info->dlpi_name, '/');
  if (strcmp(base_name != nullptr ? base_name + 1 : info->dlpi_name, "libc.so.6") != 0) return 0;
  search->error = "libc has no executable segment or no unwind table";
  uintptr_t table = 0;
  for (int n = 0; n < info->dlpi_phnum; n++) {
    const ElfW(Phdr)& header = info->dlpi_phdr[n];
    const uintptr_t address = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0) {
      search->text.begin = address;
      search->text.end = address + header.p_memsz;
    } else if (header.p_type == PT_GNU_EH_FRAME) {
      table = address;
    }
  }
  if (search->text.begin != 0 && table != 0) search->error = FindUnwindTable(table, &search->text);
  return 1;
}

}  // namespace

LibcTextReport PatchLibcText(WantsCall wants) {
  LibcTextReport report;
  Search search;
  dl_iterate_phdr(LookForLibc, &search);
  report.error = search.error;
  if (report.error[0] == '\0') report.error = libc_patch.Apply(search.text, wants);
  report.sites = libc_patch.site_count();
  for (int n = 0; n < libc_patch.site_count(); n++) {
    switch (libc_patch.site(n).status) {
      case SiteStatus::kPatched:
        report.patched++;
        break;
      case SiteStatus::kSkipped:
        report.skipped++;
        break;
      case SiteStatus::kUnknown:
        report.unknown++;
        break;
    }
  }
  if (report.error[0] != '\0') report.patched = 0;
  return report;
}

void RestoreLibcText() { libc_patch.Undo(); }

void ForEachLibcSite(void (*visit)(const SystemCallSite& site, void* argument), void* argument) {
  for (int n = 0; n < libc_patch.site_count(); n++) visit(libc_patch.site(n), argument);
}

}  // namespace bobbin
