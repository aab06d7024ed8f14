// What the decoder says of single instructions. That it agrees with a disassembler on all of libc
// is tested by hand.
#include "wrappers/ways_in/instruction.h"

#include <gtest/gtest.h>

#include <string>

namespace bobbin {
namespace {

Instruction DecodeBytes(const std::string& bytes) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(bytes.data());
  Instruction instruction = Decode(at, at + bytes.size());
  if (instruction.target != 0) instruction.target -= at;
  return instruction;
}

#define BYTES(literal) std::string(literal, sizeof(literal) - 1)

struct LengthCase {
  const char* text;
  std::string bytes;
};

TEST(Instruction, LengthsAreThoseOfTheManual) {
  const LengthCase cases[] = {
      {"nop", BYTES("\x90")},
      {"syscall", BYTES("\x0f\x05")},
      {"mov $202,%eax", BYTES("\xb8\xca\x00\x00\x00")},
      {"mov $1,%ax", BYTES("\x66\xb8\x01\x00")},
      {"movabs $1,%rax", BYTES("\x48\xb8\x01\x00\x00\x00\x00\x00\x00\x00")},
      {"mov $15,%rax", BYTES("\x48\xc7\xc0\x0f\x00\x00\x00")},
      {"xor $0x81,%sil", BYTES("\x40\x80\xf6\x81")},
      {"mov %r9d,%eax", BYTES("\x44\x89\xc8")},
      {"movl $0,8(%r8,%rdx,4)", BYTES("\x41\xc7\x44\x90\x08\x00\x00\x00\x00")},
      {"lea 0x10(%rip),%rsi", BYTES("\x48\x8d\x35\x10\x00\x00\x00")},
      {"movl $1,0x10(%rip)", BYTES("\xc7\x05\x10\x00\x00\x00\x01\x00\x00\x00")},
      {"mov %fs:0x28,%rax", BYTES("\x64\x48\x8b\x04\x25\x28\x00\x00\x00")},
      {"test $1,%al of a group", BYTES("\xf6\xc0\x01")},
      {"not %eax of the same group", BYTES("\xf7\xd0")},
      {"test $imm32,%eax of it", BYTES("\xf7\xc0\x01\x00\x00\x00")},
      {"nopw 0(%rax,%rax,1)", BYTES("\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00")},
      {"ret $8", BYTES("\xc2\x08\x00")},
      {"enter", BYTES("\xc8\x00\x00\x00")},
      {"pshufb", BYTES("\x66\x0f\x38\x00\xc1")},
      {"palignr", BYTES("\x66\x0f\x3a\x0f\xc1\x04")},
      {"vzeroupper", BYTES("\xc5\xf8\x77")},
      {"vpcmpeqb 32(%rsi),%ymm0,%ymm1", BYTES("\xc5\xfd\x74\x4e\x20")},
      {"bzhi", BYTES("\xc4\xe2\x68\xf5\xc9")},
      {"rorx $6", BYTES("\xc4\xe3\x7b\xf0\xc8\x06")},
      {"vpternlogd of EVEX", BYTES("\x62\xf3\x75\x20\x25\xd2\xde")},
      {"kmovd of VEX", BYTES("\xc5\xfb\x93\xc0")},
      {"xbegin", BYTES("\xc7\xf8\x10\x00\x00\x00")},
  };
  for (const LengthCase& c : cases) {
    EXPECT_EQ(DecodeBytes(c.bytes).length, c.bytes.size()) << c.text;
    EXPECT_EQ(DecodeBytes(c.bytes + std::string(16, '\x90')).length, c.bytes.size()) << c.text;
    EXPECT_EQ(DecodeBytes(c.bytes.substr(0, c.bytes.size() - 1)).length, 0)
        << c.text << ", cut off";
  }
}

TEST(Instruction, WhatIsNoneInThisModeHasNoLength) {
  for (const char byte : BYTES("\x06\x27\x60\x9a\xd4\xea")) {
    EXPECT_EQ(DecodeBytes(byte + std::string(15, '\0')).length, 0) << static_cast<int>(byte);
  }
  EXPECT_EQ(DecodeBytes(std::string(16, '\x66')).length, 0);
}

TEST(Instruction, TargetsOfDirectJumpsAreFound) {
  using Flow = Instruction::Flow;
  const auto expect = [](const std::string& bytes, Flow flow, uintptr_t target) {
    const Instruction instruction = DecodeBytes(bytes);
    EXPECT_EQ(instruction.flow, flow);
    EXPECT_EQ(instruction.target, target);
  };
  expect(BYTES("\x74\x10"), Flow::kBranch, 0x12);
  expect(BYTES("\x75\xfe"), Flow::kBranch, 0);
  expect(BYTES("\xe3\x05"), Flow::kBranch, 7);
  expect(BYTES("\xeb\x05"), Flow::kLeave, 7);
  expect(BYTES("\xe9\x00\x01\x00\x00"), Flow::kLeave, 0x105);
  expect(BYTES("\xe8\x00\x01\x00\x00"), Flow::kCall, 0x105);
  expect(BYTES("\x0f\x87\x00\x01\x00\x00"), Flow::kBranch, 0x106);
  expect(BYTES("\xc7\xf8\x10\x00\x00\x00"), Flow::kBranch, 0x16);
  expect(BYTES("\xff\xe0"), Flow::kLeave, 0);
  expect(BYTES("\xff\xd0"), Flow::kCall, 0);
  expect(BYTES("\xc3"), Flow::kLeave, 0);
  expect(BYTES("\x89\xc8"), Flow::kNext, 0);
}

TEST(Instruction, CopiesAreMadeOfTheListOnly) {
  for (const std::string& yes :
       {BYTES("\x40\x80\xf6\x81"), BYTES("\x44\x89\xc8"),
        BYTES("\x41\xc7\x44\x90\x08\x00\x00\x00\x00"), BYTES("\x48\x8d\x35\x10\x00\x00\x00"),
        BYTES("\xc1\xe6\x07"), BYTES("\x40\x0f\x95\xc6"), BYTES("\x48\x3d\x00\xf0\xff\xff"),
        BYTES("\x48\x8b\x74\x24\x10"), BYTES("\x0f\x29\x04\x24")}) {
    EXPECT_TRUE(IsCopyable(DecodeBytes(yes)));
  }
  for (const std::string& no :
       {BYTES("\x50"), BYTES("\xc3"), BYTES("\x0f\x05"), BYTES("\xe8\x00\x00\x00\x00"),
        BYTES("\x74\x10"), BYTES("\x48\x83\xec\x10"), BYTES("\x48\x89\xc4"), BYTES("\x48\x8b\xe0"),
        BYTES("\xf0\xff\x00"), BYTES("\xc5\xf8\x77"), BYTES("\x0f\xa2"), BYTES("\x5f"),
        BYTES("\xbc\x00\x00\x00\x00")}) {
    EXPECT_FALSE(IsCopyable(DecodeBytes(no)));
  }
}

TEST(Instruction, WritesOfRaxAreSeen) {
  for (const std::string& yes :
       {BYTES("\xb8\x01\x00\x00\x00"), BYTES("\x89\xc8"), BYTES("\x31\xc0"), BYTES("\x8b\x06"),
        BYTES("\x88\xcc"), BYTES("\x0f\x94\xc0"), BYTES("\x04\x01"), BYTES("\x83\xc0\x01"),
        BYTES("\x0f\xa2"), BYTES("\xe8\x00\x00\x00\x00"), BYTES("\xf7\xd8")}) {
    EXPECT_TRUE(MayWriteRax(DecodeBytes(yes)));
  }
  for (const std::string& no :
       {BYTES("\x41\xb8\x01\x00\x00\x00"), BYTES("\x44\x89\xc1"), BYTES("\x89\x06"),
        BYTES("\x40\x88\xcc"), BYTES("\x83\xf8\x01"), BYTES("\x3d\x00\xf0\xff\xff"),
        BYTES("\x85\xc0"), BYTES("\x41\x89\xc0"), BYTES("\xc7\x00\x01\x00\x00\x00")}) {
    EXPECT_FALSE(MayWriteRax(DecodeBytes(no)));
  }
}

}  // namespace
}  // namespace bobbin
