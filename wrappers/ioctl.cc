#include "wrappers/ioctl.h"

#include <asm/ioctls.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "wrappers/passed_calls.h"

namespace bobbin {

namespace {

long SetNonblock(const Registers& r) {
  auto fd = static_cast<int>(r.rdi);
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d == nullptr) return CallHere(r);
  uint32_t on;
  if (!LoadUserWord(reinterpret_cast<const uint32_t*>(r.rdx), &on)) return -EFAULT;
  bool managed = d->Has(Descriptor::kRuntimeNonblock);
  long result = managed ? 0 : CallHere(r);
  if (result == 0) NoteProgramMode(d, on != 0);
  return result;
}

// TCSETSW2 and TCSETSF2, whose structure no header of libc has.
constexpr unsigned long kSetWhenDrained2 = 0x402c542c, kSetAndFlush2 = 0x402c542d;

// Those of a terminal that wait until its output has drained, or for its lines.
bool WaitsForTerminal(unsigned long request) {
  return request == TCSBRK || request == TCSBRKP || request == TCSETSW || request == TCSETSF ||
         request == TCSETAW || request == TCSETAF || request == kSetWhenDrained2 ||
         request == kSetAndFlush2 || request == TIOCMIWAIT;
}

// Those of any file that only ask or set something in memory.
bool ActsAtOnce(unsigned long request) {
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
    case FIOASYNC:
    case FIONREAD:
    case FIOQSIZE:
    case FIGETBSZ:
      return true;
    default:
      break;
  }
  constexpr unsigned long kTerminals = 'T', kSockets = 0x89, kNamespaces = 0xb7, kEvents = 0x24,
                          kEpoll = 0x8a, kPidfd = 0xff;
  unsigned long kind = request >> 8 & 0xff;
  return kind == kTerminals || kind == kSockets || kind == kNamespaces || kind == kEvents ||
         kind == kEpoll || kind == kPidfd;
}

}  // namespace

long Ioctl(Scheduler* scheduler, Registers* registers) {
  auto request = static_cast<unsigned long>(static_cast<uint32_t>(registers->rsi));
  if (request == FIONBIO) return SetNonblock(*registers);
  if (WaitsForTerminal(request))
    return CallOnWorker(scheduler, Lane::kOther, SignalEffect::kRestart, *registers);
  if (ActsAtOnce(request)) return CallHere(*registers);
  FileKind kind = runtime().descriptors.Kind(static_cast<int>(registers->rdi));
  if (kind == FileKind::kRegular || kind == FileKind::kDirectory)
    return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, *registers);
  if (kind == FileKind::kPollable) MayBlock("ioctl");
  return CallHere(*registers);
}

}  // namespace bobbin
