// Patching hand-made sites of each shape: what the handler and the code behind the site find in the
// registers.
#include "wrappers/ways_in/text_patch.h"

#include <asm/prctl.h>
#include <execinfo.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "runtime/raw_syscall.h"
#include "tests/wrappers/pass_through.h"
#include "wrappers/registers.h"

struct MachineState {
  uint64_t general[13];  // as in Registers: rax rdi rsi rdx r10 r8 r9 rbx rbp r12 r13 r14 r15
  uint64_t rsp;
  uint64_t shown;
  unsigned char vectors[16][16];
  unsigned char red_zone[128];
};
static_assert(offsetof(MachineState, vectors) == 120 && offsetof(MachineState, red_zone) == 376);

extern "C" {
using Probe = void(const MachineState*, MachineState*);
Probe before_adjacent, before_wide, before_registers, before_flags, before_memory, before_data,
    before_data_and_constant, before_vectors, over_register, over_two, behind_compare, behind_alone,
    behind_new_frame, before_frame_pointer, refused_jump_to_call, refused_jump_behind,
    refused_instruction, refused_stack, before_other_register, skipped, restorer, unreadable,
    pair_of_sites;
extern char probes_begin[], probes_end[], pair_begin[], pair_end[];
void child_starts_here();
__attribute__((visibility("hidden"))) void bobbin_text_entry();
}

namespace bobbin {
namespace {

enum { kRax, kRdi, kRsi, kRdx, kR10, kR8, kR9, kRbx, kRbp, kR12, kR13, kR14, kR15 };

struct ProbeCase {
  const char* name;
  Probe* run;
  SiteStatus status;
  SiteShape shape;
  long nr;
};

constexpr SiteStatus kPatched = SiteStatus::kPatched, kUnknown = SiteStatus::kUnknown,
                     kSkipped = SiteStatus::kSkipped;
using Shape = SiteShape;

// In the order of the text.
const ProbeCase kProbes[] = {
    {"before_adjacent", before_adjacent, kPatched, Shape::kBefore, 39},
    {"before_wide", before_wide, kPatched, Shape::kBefore, 39},
    {"before_registers", before_registers, kPatched, Shape::kBefore, 39},
    {"before_flags", before_flags, kPatched, Shape::kBefore, 39},
    {"before_memory", before_memory, kPatched, Shape::kBefore, 39},
    {"before_data", before_data, kPatched, Shape::kBefore, 39},
    {"before_data_and_constant", before_data_and_constant, kPatched, Shape::kBefore, 39},
    {"before_vectors", before_vectors, kPatched, Shape::kBefore, 39},
    {"over_register", over_register, kPatched, Shape::kOver, -1},
    {"over_two", over_two, kPatched, Shape::kOver, -1},
    {"behind_compare", behind_compare, kPatched, Shape::kBehind, 0},
    {"behind_alone", behind_alone, kPatched, Shape::kBehind, -1},
    {"behind_new_frame", behind_new_frame, kPatched, Shape::kBehind, -1},
    {"before_frame_pointer", before_frame_pointer, kPatched, Shape::kBefore, 39},
    {"refused_jump_to_call", refused_jump_to_call, kUnknown, Shape::kNone, -1},
    {"refused_jump_behind", refused_jump_behind, kUnknown, Shape::kNone, 0},
    {"refused_instruction", refused_instruction, kUnknown, Shape::kNone, -1},
    {"refused_stack", refused_stack, kUnknown, Shape::kNone, 39},
    {"before_other_register", before_other_register, kPatched, Shape::kBefore, -1},
    {"skipped", skipped, kSkipped, Shape::kNone, 110},
    {"restorer", restorer, kSkipped, Shape::kNone, 15},
    {"unreadable", unreadable, kUnknown, Shape::kNone, -1},
};

void PrintTo(const ProbeCase& probe, std::ostream* out) { *out << probe.name; }

bool IsRunnable(const ProbeCase& probe) { return probe.run != restorer && probe.run != unreadable; }

bool WantsAllButGetppid(long nr) { return nr != SYS_getppid; }

TextPatch patch;

const char* Patch() {
  static FunctionRow rows[std::size(kProbes)];
  const uintptr_t base = reinterpret_cast<uintptr_t>(probes_begin);
  for (size_t n = 0; n < std::size(kProbes); n++) {
    rows[n].start = static_cast<int32_t>(reinterpret_cast<uintptr_t>(kProbes[n].run) - base);
  }
  CodeText text;
  text.begin = base;
  text.end = reinterpret_cast<uintptr_t>(probes_end);
  text.functions_base = base;
  text.functions = rows;
  text.function_count = std::size(kProbes);
  return patch.Apply(text, WantsAllButGetppid);
}

const SystemCallSite& SiteOf(const ProbeCase& probe) {
  int n = 0;
  while (kProbes[n].run != probe.run) n++;
  return patch.site(n);
}

MachineState Input() {
  MachineState state = {};
  for (int n = 0; n < 13; n++) state.general[n] = 0x0101010101010101u * (n + 1) + n;
  state.general[kRdi] = ~uint64_t{0};  // a descriptor that nobody has
  state.general[kRdx] = state.general[kR9] = SYS_getpid;
  for (int n = 0; n < 256; n++)
    state.vectors[n / 16][n % 16] = static_cast<unsigned char>(n * 7 + 1);
  for (int n = 0; n < 128; n++) state.red_zone[n] = static_cast<unsigned char>(n * 3 + 5);
  return state;
}

Registers seen;
int seen_calls = 0;

// Spoils what a handler may spoil.
void Look(Registers* registers) {
  seen = *registers;
  seen_calls++;
  asm volatile(
      "pcmpeqd %%xmm0, %%xmm0\n movaps %%xmm0, %%xmm1\n movaps %%xmm0, %%xmm2\n"
      "movaps %%xmm0, %%xmm3\n movaps %%xmm0, %%xmm4\n movaps %%xmm0, %%xmm5\n"
      "movaps %%xmm0, %%xmm6\n movaps %%xmm0, %%xmm7\n movaps %%xmm0, %%xmm8\n"
      "movaps %%xmm0, %%xmm9\n movaps %%xmm0, %%xmm10\n movaps %%xmm0, %%xmm11\n"
      "movaps %%xmm0, %%xmm12\n movaps %%xmm0, %%xmm13\n movaps %%xmm0, %%xmm14\n"
      "movaps %%xmm0, %%xmm15\n" ::
          : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
            "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

class TextPatchTest : public testing::TestWithParam<ProbeCase> {
 protected:
  void TearDown() override {
    SetPassThroughHook(nullptr);
    patch.Undo();
  }
};

void ExpectSameState(const MachineState& got, const MachineState& want) {
  for (int n = 0; n < 13; n++) EXPECT_EQ(got.general[n], want.general[n]) << "register " << n;
  EXPECT_EQ(got.rsp, want.rsp);
  EXPECT_EQ(got.shown, want.shown);
  EXPECT_EQ(memcmp(got.vectors, want.vectors, sizeof(got.vectors)), 0);
  EXPECT_EQ(memcmp(got.red_zone, want.red_zone, sizeof(got.red_zone)), 0);
}

TEST_P(TextPatchTest, TheSiteIsFoundAndJudged) {
  ASSERT_STREQ(Patch(), "");
  ASSERT_EQ(patch.site_count(), static_cast<int>(std::size(kProbes)));
  const SystemCallSite& site = SiteOf(GetParam());
  EXPECT_EQ(site.status, GetParam().status);
  EXPECT_EQ(site.shape, GetParam().shape);
  EXPECT_EQ(site.nr, GetParam().nr);
}

// `noinline`: the two runs must have the same stack pointer. And the same r15, which lies where a
// probe looks at the stack.
__attribute__((noinline)) void RunProbe(const ProbeCase& probe, const MachineState& in,
                                        MachineState* out) {
  *out = {};
  asm volatile("xor %%r15d, %%r15d" ::: "r15");
  probe.run(&in, out);
  asm volatile("" ::: "memory");
}

// Whether the entry makes every call itself, or asks.
void PassDirectly(bool directly) {
  memset(bobbin_passed_directly, directly ? 1 : 0, sizeof bobbin_passed_directly);
}

void ExpectTheSameAsLinux(const ProbeCase& probe, bool directly) {
  PassDirectly(directly);
  for (const bool fails : {true, false}) {
    MachineState in = Input(), want, got;
    if (!fails) in.general[kRdi] = open("/dev/null", O_RDONLY);
    RunProbe(probe, in, &want);
    ASSERT_STREQ(Patch(), "");
    SetPassThroughHook(Look);
    seen_calls = 0;
    RunProbe(probe, in, &got);
    SetPassThroughHook(nullptr);
    EXPECT_EQ(seen_calls, probe.status == kPatched && !directly ? 1 : 0);
    ExpectSameState(got, want);
    patch.Undo();
    RunProbe(probe, in, &got);
    ExpectSameState(got, want);
    if (!fails) close(static_cast<int>(in.general[kRdi]));
  }
  PassDirectly(false);
}

TEST_P(TextPatchTest, TheCodeBehindTheSiteFindsWhatLinuxLeaves) {
  if (!IsRunnable(GetParam())) GTEST_SKIP();
  ExpectTheSameAsLinux(GetParam(), false);
  ExpectTheSameAsLinux(GetParam(), true);
}

TEST_P(TextPatchTest, TheHandlerFindsTheRegistersOfTheSystemCall) {
  if (GetParam().status != kPatched) GTEST_SKIP();
  ASSERT_STREQ(Patch(), "");
  SetPassThroughHook(Look);
  MachineState in = Input(), out;
  RunProbe(GetParam(), in, &out);
  SetPassThroughHook(nullptr);
  EXPECT_EQ(seen.rax, static_cast<uint64_t>(GetParam().nr >= 0 ? GetParam().nr : SYS_getpid));
  const bool has_frame = GetParam().run == behind_new_frame;
  EXPECT_EQ(seen.rsp, has_frame ? out.rsp - 256 : out.rsp);
  // Between the call and the end of a probe none of these changes, but rdx where copies stand
  // behind.
  uint64_t registers[13];
  memcpy(registers, &seen, sizeof(registers));
  for (int n = kRdi; n <= kR15; n++) {
    if (GetParam().shape == Shape::kBehind && n == kRdx) continue;
    EXPECT_EQ(registers[n], out.general[n]) << "register " << n;
  }
  EXPECT_EQ(patch.IsStub(seen.rip), GetParam().shape == Shape::kBehind);
}

// Backtraces.

void* frames[64];
int depth;
void TakeBacktrace(Registers*) { depth = backtrace(frames, 64); }

TEST_P(TextPatchTest, ABacktraceFromTheHandlerGoesThroughTheSite) {
  if (GetParam().status != kPatched) GTEST_SKIP();
  void* outer[64];
  const int outer_depth = backtrace(outer, 64);
  ASSERT_STREQ(Patch(), "");
  SetPassThroughHook(TakeBacktrace);
  const MachineState in = Input();
  MachineState out = {};
  GetParam().run(&in, &out);
  SetPassThroughHook(nullptr);
  ASSERT_EQ(depth, outer_depth + 4);  // hook, handler, entry, probe
  const uintptr_t in_probe = reinterpret_cast<uintptr_t>(frames[3]);
  EXPECT_EQ(in_probe, SiteOf(GetParam()).address);
  for (int n = 1; n < outer_depth; n++) EXPECT_EQ(frames[depth - n], outer[outer_depth - n]);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TextPatchTest, testing::ValuesIn(kProbes),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TextPatchPair, WindowsOfNeighboursDoNotOverlap) {
  const FunctionRow row = {
      static_cast<int32_t>(reinterpret_cast<char*>(pair_of_sites) - pair_begin), 0};
  CodeText text;
  text.begin = text.functions_base = reinterpret_cast<uintptr_t>(pair_begin);
  text.end = reinterpret_cast<uintptr_t>(pair_end);
  text.functions = &row;
  text.function_count = 1;
  const MachineState in = Input();
  MachineState want = {}, got = {};
  pair_of_sites(&in, &want);
  ASSERT_STREQ(patch.Apply(text, [](long) { return true; }), "");
  ASSERT_EQ(patch.site_count(), 2);
  EXPECT_EQ(patch.site(0).shape, Shape::kBehind);
  EXPECT_EQ(patch.site(1).shape, Shape::kBehind);
  SetPassThroughHook(Look);
  seen_calls = 0;
  pair_of_sites(&in, &got);
  SetPassThroughHook(nullptr);
  patch.Undo();
  EXPECT_EQ(seen_calls, 2);
  ExpectSameState(got, want);
}

// The instructions of bobbin_text_entry at which a signal's backtrace was and was not whole.
std::set<uintptr_t> whole, broken;
void* expected_outer[64];
int expected_depth;

void OnTrap(int, siginfo_t*, void* context) {
  const uintptr_t rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (rip < reinterpret_cast<uintptr_t>(&bobbin_text_entry) ||
      rip >= reinterpret_cast<uintptr_t>(&bobbin_load_registers)) {
    return;
  }
  void* now[64];
  const int count = backtrace(now, 64);
  bool same = count == expected_depth + 4;  // this, the signal's frame, entry, probe
  for (int n = 1; same && n < expected_depth; n++) {
    same = now[count - n] == expected_outer[expected_depth - n];
  }
  (same ? whole : broken).insert(rip - reinterpret_cast<uintptr_t>(&bobbin_text_entry));
}

void UnwindFromEveryInstruction(bool directly) {
  PassDirectly(directly);
  whole.clear();
  struct sigaction action = {}, old;
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, &old);
  expected_depth = backtrace(expected_outer, 64);
  ASSERT_STREQ(Patch(), "");
  const MachineState in = Input();
  MachineState out = {};
  asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
  before_adjacent(&in, &out);
  asm volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
  patch.Undo();
  sigaction(SIGTRAP, &old, nullptr);
  PassDirectly(false);
  EXPECT_GT(whole.size(), directly ? 10u : 60u);
  for (uintptr_t offset : broken) ADD_FAILURE() << "at +" << offset;
}

TEST(TextEntry, ASignalAtAnyInstructionOfItCanBeUnwound) {
  UnwindFromEveryInstruction(false);
  UnwindFromEveryInstruction(true);
}

// Children.

Registers ChildRegisters(char* stack) {
  Registers child = {};
  uint64_t* words = &child.rdi;
  for (int n = 0; n < 11; n++) words[n] = 0x1001 + n;
  child.rax = 99;
  child.r15 = child.rsp = reinterpret_cast<uintptr_t>(stack);
  child.rip = reinterpret_cast<uintptr_t>(&child_starts_here);
  return child;
}

int CloneAndWait(uint64_t flags, char* kernel_stack, uint64_t parent_rsp, char* child_stack) {
  Registers parent = {};
  parent.rdi = flags;
  parent.rsi = reinterpret_cast<uintptr_t>(kernel_stack);
  parent.rsp = parent_rsp;
  long child;
  {
    const Registers registers = ChildRegisters(child_stack);
    RawSyscall(SYS_arch_prctl, ARCH_SET_GS, 0x1234);
    child = bobbin_clone_with_registers(SYS_clone, &parent, &registers);
    RawSyscall(SYS_arch_prctl, ARCH_SET_GS, 0);
    memset(const_cast<Registers*>(&registers), 0, sizeof(registers));
  }
  int status = 0;
  EXPECT_EQ(waitpid(static_cast<pid_t>(child), &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

alignas(16) char stack[65536];

TEST(CloneWithRegisters, AChildWithACopyOfTheMemoryLoadsThem) {
  char* const top = stack + sizeof(stack);
  EXPECT_EQ(CloneAndWait(SIGCHLD, nullptr, reinterpret_cast<uintptr_t>(top), top), 42);
}

TEST(CloneWithRegisters, AChildOnAStackOfItsOwnLoadsThemThoughTheParentGoesOn) {
  char* const top = stack + sizeof(stack);
  for (int n = 0; n < 200; n++) ASSERT_EQ(CloneAndWait(CLONE_VM | SIGCHLD, top, 0, top), 42);
}

TEST(CloneWithRegisters, AFailureIsReturned) {
  Registers registers = {};
  registers.rdi = CLONE_THREAD;  // without CLONE_SIGHAND
  EXPECT_EQ(bobbin_clone_with_registers(SYS_clone, &registers, &registers), -EINVAL);
}

// Failures change nothing.

TEST(TextPatchFailure, TextThatCannotBeWrittenStaysAsItIs) {
  CodeText text;
  const FunctionRow row = {0, 0};
  text.functions = &row;
  text.function_count = 1;
  // A file that was opened read-only, mapped shared, may not become writable.
  char path[] = "/tmp/text_patch_test.XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_EQ(write(fd, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8), 8);
  const int read_only = open(path, O_RDONLY);
  unlink(path);
  char* const shared =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, read_only, 0));
  ASSERT_NE(shared, MAP_FAILED);
  text.begin = text.functions_base = reinterpret_cast<uintptr_t>(shared);
  text.end = text.begin + 8;
  EXPECT_STREQ(patch.Apply(text, [](long) { return true; }), "the text cannot be made writable");
  EXPECT_EQ(memcmp(shared, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8), 0);
  munmap(shared, 4096);
  close(fd);
  close(read_only);
}

}  // namespace
}  // namespace bobbin
