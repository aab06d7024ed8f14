#include "wrappers/ways_in/text_patch.h"

#include <sys/mman.h>

#include <cstring>

#include "runtime/raw_syscall.h"
#include "wrappers/ways_in/site.h"

extern "C" __attribute__((visibility("hidden"))) void bobbin_text_entry();

namespace bobbin {
namespace {

constexpr size_t kPage = 4096;

long Protect(uintptr_t address, size_t bytes, int protection) {
  return RawSyscall(SYS_mprotect, address, bytes, protection);
}

}  // namespace

const char* TextPatch::Apply(const CodeText& text, WantsCall wants) {
  text_ = text;
  site_count_ = patched_ = 0;
  {
    TextMap map;
    if (!map.Read(text)) return "no memory for a map of the text";
    if (!Plan(map, wants)) return "more system-call sites than expected";
  }
  stubs_bytes_ = (patched_ * kMaxStub + 2 * kPage) & ~(kPage - 1);
  stubs_ = MapStubs(text_.begin, text_.end, stubs_bytes_);
  if (stubs_ == 0) return "no room for stubs within reach of the text";
  uintptr_t at = stubs_ + sizeof(void*);
  const uintptr_t entry = reinterpret_cast<uintptr_t>(&bobbin_text_entry);
  memcpy(reinterpret_cast<void*>(stubs_), &entry, sizeof(entry));
  for (int n = 0; n < site_count_; n++) {
    PlannedSite& planned = sites_[n];
    if (planned.site.status != SiteStatus::kPatched) continue;
    planned.stub = at = (at + 15) & ~uintptr_t{15};
    const Window window = {planned.window, planned.resume, planned.site.shape};
    at = EmitStub(window, planned.site.address, stubs_, at).end;
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
    const Window window = FindWindow(map, at, floor);
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

long TextPatch::ProtectText(int protection) const {
  const uintptr_t start = text_.begin & ~(kPage - 1);
  return Protect(start, text_.end - start, protection);
}

void TextPatch::WriteJumps() {
  for (int n = 0; n < site_count_; n++) {
    if (sites_[n].site.status != SiteStatus::kPatched) continue;
    WriteJump(sites_[n].window, sites_[n].stub);
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
