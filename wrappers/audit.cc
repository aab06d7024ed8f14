#include "wrappers/audit.h"

#include <dlfcn.h>
#include <link.h>
#include <unwind.h>

#include <atomic>

#include "runtime/text.h"
#include "wrappers/table.h"
#include "wrappers/ways_in/dispatch.h"
#include "wrappers/ways_in/trapped_sites.h"

namespace bobbin {

namespace {

std::atomic<uint64_t> passed[kCallNumbers];

const char* BaseName(const char* path) {
  const char* name = path;
  for (; *path != '\0'; ++path) {
    if (*path == '/') name = path + 1;
  }
  return name;
}

// libc.so.6+0x1234; an address in no object by itself.
void PutPlace(Text* text, uintptr_t address) {
  dl_find_object object;
  if (_dl_find_object(reinterpret_cast<void*>(address), &object) != 0) {
    text->Put("0x").Hex(address);
    return;
  }
  const char* name = BaseName(object.dlfo_link_map->l_name);
  text->Put(name[0] == '\0' ? "(program)" : name)
      .Put("+0x")
      .Hex(address - object.dlfo_link_map->l_addr);
}

const char* StatusName(TrappedSite::Status status) {
  switch (status) {
    case TrappedSite::Status::kPatched:
      return "then patched";
    case TrappedSite::Status::kPlanned:
    case TrappedSite::Status::kUntried:
      return "not patched yet";
    case TrappedSite::Status::kKept:
      return "cannot be patched";
  }
  return "";
}

// Visits in falling order of what `count` says of each, by repeated search: at the end of a process
// there is time, and nowhere to allocate.
template <typename Each>
void InFallingOrder(size_t size, uint64_t (*count)(size_t), Each each) {
  uint64_t below = ~uint64_t{0};
  for (;;) {
    uint64_t most = 0;
    for (size_t i = 0; i < size; ++i) {
      if (count(i) < below && count(i) > most) most = count(i);
    }
    if (most == 0) return;
    for (size_t i = 0; i < size; ++i) {
      if (count(i) == most) each(i);
    }
    below = most;
  }
}

_Unwind_Reason_Code PutFrame(struct _Unwind_Context* context, void* argument) {
  auto* text = static_cast<Text*>(argument);
  text->Put("  ");
  PutPlace(text, _Unwind_GetIP(context));
  text->Put("\n");
  return _URC_NO_REASON;
}

}  // namespace

void NotePassed(long nr) {
  if (static_cast<unsigned long>(nr) < kCallNumbers)
    passed[nr].fetch_add(1, std::memory_order_relaxed);
}

void WriteAudit(int fd) {
  Text text(fd);
  text.Put("trapped system calls, by site:\n");
  InFallingOrder(
      TrappedSites::kCapacity, [](size_t i) { return TrappedSiteAt(i).traps; },
      [&](size_t i) {
        const TrappedSite& site = TrappedSiteAt(i);
        text.Put("  ").Number(site.traps).Put(" ").Put(CallName(site.nr)).Put(" at ");
        PutPlace(&text, site.address);
        text.Put(", ").Put(StatusName(site.status)).Put("\n");
      });
  text.Put("system calls let through:\n");
  InFallingOrder(
      kCallNumbers, [](size_t i) { return passed[i].load(std::memory_order_relaxed); },
      [&](size_t i) {
        const auto nr = static_cast<long>(i);
        text.Put("  ").Number(passed[i].load(std::memory_order_relaxed)).Put(" ");
        text.Put(CallName(nr));
        if (AnswerOf(nr) == Answer::kMayBlock) text.Put(", may hold up its scheduler");
        text.Put("\n");
      });
  text.Flush();
}

void WriteBacktrace(int fd) {
  Text text(fd);
  text.Put("from:\n");
  _Unwind_Backtrace(&PutFrame, &text);
  text.Flush();
}

}  // namespace bobbin
