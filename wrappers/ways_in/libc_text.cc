#include "wrappers/ways_in/libc_text.h"

#include <link.h>

#include <cstring>

#include "wrappers/ways_in/object_text.h"
#include "wrappers/ways_in/text_patch.h"

namespace bobbin {
namespace {

TextPatch libc_patch;

struct Search {
  CodeText text;
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
  if (search->text.begin != 0 && table != 0) search->error = ReadUnwindTable(table, &search->text);
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
