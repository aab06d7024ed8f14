#include "wrappers/fault_frame.h"

#include <signal.h>

namespace bobbin {

namespace {

void PutNumber(char** at, uint64_t value) {
  char digits[20];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (n > 0) *(*at)++ = digits[--n];
}

void PutText(char** at, const char* text) {
  while (*text != '\0') *(*at)++ = *text++;
}

// What the kernel puts on a stack for a handler: this, and the vector state above it.
struct KernelFrame {
  void (*restorer)();
  // The kernel's own struct ucontext ends with the mask, which is smaller there.
  char context[offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t)];
  siginfo_t info;
};

// The size of the saved vector state (struct _fpx_sw_bytes, asm/sigcontext.h), 0 if unknown.
size_t VectorStateSize(const void* state) {
  constexpr size_t kSoftwareBytes = 464;
  uint32_t words[2];
  __builtin_memcpy(words, static_cast<const char*>(state) + kSoftwareBytes, sizeof words);
  return words[0] == FP_XSTATE_MAGIC1 ? words[1] : 0;
}

}  // namespace

void ReportOverflow(Thread* thread, const StackBlock& block) {
  char line[160];
  char* at = line;
  PutText(&at, "stack overflow in thread ");
  if (thread->name[0] != '\0') {
    PutText(&at, "'");
    PutText(&at, thread->name);
    PutText(&at, "' ");
  }
  PutText(&at, "(id ");
  PutNumber(&at, static_cast<uint64_t>(thread->tid));
  PutText(&at, "): its stack of ");
  PutNumber(&at, (block.size - block.guard) / 1024);
  PutText(&at, " KiB is used up");
  *at = '\0';
  Warn(line);
}

bool MoveFrameToOwnStack(int signal, ucontext_t* context, KernelHandler handler,
                         void (*restorer)()) {
  auto* from = reinterpret_cast<KernelFrame*>(reinterpret_cast<char*>(context) -
                                              offsetof(KernelFrame, context));
  auto& registers = context->uc_mcontext.gregs;
  constexpr uintptr_t kRedZone = 128;
  auto stack = static_cast<uintptr_t>(registers[REG_RSP]) - kRedZone;
  char* state = reinterpret_cast<char*>(context->uc_mcontext.fpregs);
  const size_t size = state == nullptr ? 0 : VectorStateSize(state);
  if (state != nullptr && size == 0) return false;
  auto* moved_state = reinterpret_cast<char*>((stack - size) & ~uintptr_t{63});
  auto* to = reinterpret_cast<KernelFrame*>(
      ((reinterpret_cast<uintptr_t>(moved_state) - sizeof(KernelFrame)) & ~uintptr_t{15}) - 8);
  // Room for the handler too, or it would only fault again.
  constexpr size_t kRoom = 2048;
  char* lowest = reinterpret_cast<char*>(to) - kRoom;
  if (!Writable(lowest, stack - reinterpret_cast<uintptr_t>(lowest))) return false;
  __builtin_memcpy(to, from, sizeof *to);
  if (state != nullptr) __builtin_memcpy(moved_state, state, size);
  auto* moved = reinterpret_cast<ucontext_t*>(to->context);
  moved->uc_mcontext.fpregs =
      state == nullptr ? nullptr : reinterpret_cast<fpregset_t>(moved_state);
  to->restorer = restorer;
  registers[REG_RIP] = reinterpret_cast<greg_t>(handler);
  registers[REG_RSP] = reinterpret_cast<greg_t>(to);
  registers[REG_RDI] = signal;
  registers[REG_RSI] = reinterpret_cast<greg_t>(&to->info);
  registers[REG_RDX] = reinterpret_cast<greg_t>(to->context);
  constexpr greg_t kTrapFlag = 1 << 8, kDirectionFlag = 1 << 10;
  registers[REG_EFL] &= ~(kTrapFlag | kDirectionFlag);
  context->uc_mcontext.fpregs = nullptr;  // the initial state, as at any handler's start
  RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &context->uc_sigmask, sizeof(uint64_t));
  return true;
}

}  // namespace bobbin
