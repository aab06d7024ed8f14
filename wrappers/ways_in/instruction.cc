#include "wrappers/ways_in/instruction.h"

#include <cstring>
#include <initializer_list>

namespace bobbin {
namespace {

using Flow = Instruction::Flow;

constexpr uint8_t kRexW = 8, kRexR = 4, kRexB = 1;
constexpr unsigned kMaxLength = 15;

uint8_t Reg(const Instruction& i) { return (i.modrm >> 3 & 7) | (i.rex & kRexR ? 8 : 0); }
uint8_t Rm(const Instruction& i) { return (i.modrm & 7) | (i.rex & kRexB ? 8 : 0); }
bool RmIsRegister(const Instruction& i) { return i.modrm >> 6 == 3; }
// The operation that opcodes of a group keep in the middle of ModRM.
uint8_t Group(const Instruction& i) { return i.modrm >> 3 & 7; }

// What an opcode byte alone tells of the length and the flow of its instruction.
enum class Immediate : uint8_t {
  kNone,
  kOne,
  kTwo,
  kThree,
  kWord,      // 4, or 2 with the prefix 66
  kDistance,  // 4, whatever the prefixes
  kFull,      // as kWord, but 8 with REX.W
  kAddress,   // 8, or 4 with the prefix 67
};

struct Opcode {
  bool valid = true, modrm = false, direct = false;
  Immediate immediate = Immediate::kNone;
  Flow flow = Flow::kNext;
};

struct OpcodeMap {
  Opcode of[256];

  constexpr void Modrm(int from, int to) {
    for (int op = from; op <= to; op++) of[op].modrm = true;
  }
  constexpr void Immediates(int from, int to, Immediate immediate) {
    for (int op = from; op <= to; op++) of[op].immediate = immediate;
  }
  constexpr void Jumps(int from, int to, Flow flow, Immediate distance) {
    Immediates(from, to, distance);
    for (int op = from; op <= to; op++) {
      of[op].flow = flow;
      of[op].direct = true;
    }
  }
};

constexpr OpcodeMap OneByteOpcodes() {
  OpcodeMap map = {};
  for (int op = 0; op < 0x40; op += 8) {  // the eight arithmetic operations
    map.Modrm(op, op + 3);
    map.of[op + 4].immediate = Immediate::kOne;
    map.of[op + 5].immediate = Immediate::kWord;
  }
  map.Modrm(0x63, 0x63);
  map.Modrm(0x69, 0x69);
  map.Modrm(0x6b, 0x6b);
  map.Modrm(0x80, 0x8f);
  map.Modrm(0xc0, 0xc1);
  map.Modrm(0xc6, 0xc7);
  map.Modrm(0xd0, 0xd3);
  map.Modrm(0xd8, 0xdf);
  map.Modrm(0xf6, 0xf7);
  map.Modrm(0xfe, 0xff);
  for (int op : {0x6a, 0x6b, 0x80, 0x83, 0xa8, 0xc0, 0xc1, 0xc6, 0xcd, 0xe4, 0xe5, 0xe6, 0xe7}) {
    map.of[op].immediate = Immediate::kOne;
  }
  for (int op : {0x68, 0x69, 0x81, 0xa9, 0xc7}) map.of[op].immediate = Immediate::kWord;
  map.Immediates(0xa0, 0xa3, Immediate::kAddress);
  map.Immediates(0xb0, 0xb7, Immediate::kOne);
  map.Immediates(0xb8, 0xbf, Immediate::kFull);
  map.of[0xc2].immediate = map.of[0xca].immediate = Immediate::kTwo;
  map.of[0xc8].immediate = Immediate::kThree;
  map.Jumps(0x70, 0x7f, Flow::kBranch, Immediate::kOne);
  map.Jumps(0xe0, 0xe3, Flow::kBranch, Immediate::kOne);
  map.Jumps(0xe8, 0xe8, Flow::kCall, Immediate::kDistance);
  map.Jumps(0xe9, 0xe9, Flow::kLeave, Immediate::kDistance);
  map.Jumps(0xeb, 0xeb, Flow::kLeave, Immediate::kOne);
  for (int op : {0xc2, 0xc3, 0xca, 0xcb, 0xcc, 0xcf, 0xf4}) map.of[op].flow = Flow::kLeave;
  for (int op : {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea}) {
    map.of[op].valid = false;
  }
  return map;
}

constexpr OpcodeMap TwoByteOpcodes() {
  OpcodeMap map = {};
  map.Modrm(0x00, 0xff);
  for (int op : {0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x30, 0x31, 0x32, 0x33, 0x34,
                 0x35, 0x36, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa}) {
    map.of[op].modrm = false;
  }
  for (int op = 0x80; op <= 0x8f; op++) map.of[op].modrm = false;
  for (int op = 0xc8; op <= 0xcf; op++) map.of[op].modrm = false;
  for (int op : {0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6}) {
    map.of[op].immediate = Immediate::kOne;
  }
  map.Jumps(0x80, 0x8f, Flow::kBranch, Immediate::kDistance);
  map.of[0x07].flow = map.of[0x0b].flow = Flow::kLeave;  // sysret, ud2
  map.of[0x04].valid = map.of[0x0a].valid = map.of[0x0f].valid = false;
  return map;
}

constexpr OpcodeMap kOneByte = OneByteOpcodes();
constexpr OpcodeMap kTwoByte = TwoByteOpcodes();

Opcode Look(const Instruction& i) {
  switch (i.map) {
    case 0:
      return kOneByte.of[i.opcode];
    case 1:
      if (i.vector_prefix && i.opcode >= 0x80 && i.opcode <= 0x9f) return {.modrm = true};  // kmov
      return kTwoByte.of[i.opcode];
    case 2:
      return {.modrm = true};
    case 3:
      return {.modrm = true, .immediate = Immediate::kOne};
    default:
      return {.valid = false};
  }
}

unsigned ImmediateSize(const Instruction& i, Immediate immediate, bool address_prefix) {
  const bool wide = i.rex & kRexW;
  const unsigned word = i.operand_prefix && !wide ? 2 : 4;
  switch (immediate) {
    case Immediate::kNone:
      return 0;
    case Immediate::kOne:
      return 1;
    case Immediate::kTwo:
      return 2;
    case Immediate::kThree:
      return 3;
    case Immediate::kWord:
      return word;
    case Immediate::kDistance:
      return 4;
    case Immediate::kFull:
      return wide ? 8 : word;
    case Immediate::kAddress:
      return address_prefix ? 4 : 8;
  }
  return 0;
}

// Bytes of SIB and displacement behind ModRM.
unsigned AddressSize(const Instruction& i, uint8_t sib, bool* rip_relative) {
  const uint8_t mode = i.modrm >> 6, rm = i.modrm & 7;
  if (mode == 3) return 0;
  *rip_relative = mode == 0 && rm == 5;
  if (*rip_relative) return 4;
  const unsigned sib_size = rm == 4 ? 1 : 0;
  if (mode == 1) return sib_size + 1;
  if (mode == 2) return sib_size + 4;
  return sib_size + (sib_size != 0 && (sib & 7) == 5 ? 4 : 0);
}

struct Cursor {
  uintptr_t at, limit;

  // Past the limit there are only zeros; whoever reads them finds out at the end.
  uint8_t Peek() const { return at < limit ? *reinterpret_cast<const uint8_t*>(at) : 0; }
  uint8_t Take() {
    const uint8_t byte = Peek();
    at++;
    return byte;
  }
};

// Takes legacy prefixes and REX. Returns whether there was an address-size prefix (67).
bool TakePrefixes(Cursor* cursor, Instruction* i) {
  bool address_prefix = false;
  for (unsigned n = 0; n < kMaxLength; n++) {
    const uint8_t byte = cursor->Peek();
    if ((byte & 0xf0) == 0x40) {
      i->rex = cursor->Take();
      return address_prefix;
    }
    switch (byte) {
      case 0x66:
        i->operand_prefix = true;
        break;
      case 0x67:
        address_prefix = true;
        break;
      case 0xf0:
      case 0xf2:
      case 0xf3:
        i->repeat_prefix = true;
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x64:
      case 0x65:
        break;
      default:
        return address_prefix;
    }
    cursor->Take();
  }
  return address_prefix;
}

// Takes the opcode with its escape bytes, and VEX or EVEX where there is one.
void TakeOpcode(Cursor* cursor, Instruction* i) {
  i->opcode = cursor->Take();
  if (i->opcode == 0x0f) {
    i->map = 1;
    i->opcode = cursor->Take();
    if (i->opcode == 0x38 || i->opcode == 0x3a) {
      i->map = i->opcode == 0x38 ? 2 : 3;
      i->opcode = cursor->Take();
    }
    return;
  }
  if (i->opcode != 0xc4 && i->opcode != 0xc5 && i->opcode != 0x62) return;
  constexpr uint8_t kNoMap = 0xff;
  i->vector_prefix = true;
  if (i->opcode == 0xc5) {
    cursor->Take();
    i->map = 1;
  } else {
    i->map = cursor->Take() & (i->opcode == 0xc4 ? 0x1f : 7);
    cursor->at += i->opcode == 0xc4 ? 1 : 2;
    if (i->map == 0) i->map = kNoMap;
  }
  i->opcode = cursor->Take();
}

// Corrects for the opcodes that keep the operation in ModRM.
void LookIntoGroup(const Instruction& i, Opcode* opcode) {
  if (i.map != 0 || i.opcode < 0xc7) return;
  if (i.opcode == 0xc7 && i.modrm == 0xf8) {  // xbegin
    *opcode = {
        .modrm = true, .direct = true, .immediate = Immediate::kDistance, .flow = Flow::kBranch};
  } else if ((i.opcode == 0xf6 || i.opcode == 0xf7) && Group(i) < 2) {  // test
    opcode->immediate = i.opcode == 0xf6 ? Immediate::kOne : Immediate::kWord;
  } else if (i.opcode == 0xff && Group(i) >= 2 && Group(i) <= 5) {
    opcode->flow = Group(i) < 4 ? Flow::kCall : Flow::kLeave;
  }
}

uintptr_t DirectTarget(uintptr_t next, Immediate distance_kind) {
  if (distance_kind == Immediate::kOne) return next + *reinterpret_cast<const int8_t*>(next - 1);
  int32_t distance;
  memcpy(&distance, reinterpret_cast<const void*>(next - 4), sizeof(distance));
  return next + distance;
}

// What the white list knows of an instruction.
struct Effect {
  bool known = false;
  bool writes_reg = false;  // the register in the middle of ModRM
  bool writes_rm = false;
  bool is_byte = false;  // operands are eight bits wide: without REX, 4 to 7 mean ah, ch, dh, bh
  int writes_register = -1;  // one that the opcode names
};

Effect ArithmeticEffect(const Instruction& i) {
  const bool writes = i.opcode >> 3 != 7;  // 7 is cmp
  switch (i.opcode & 7) {
    case 0:
      return {.known = true, .writes_rm = writes, .is_byte = true};
    case 1:
      return {.known = true, .writes_rm = writes};
    case 2:
      return {.known = true, .writes_reg = writes, .is_byte = true};
    case 3:
      return {.known = true, .writes_reg = writes};
    default:
      return {.known = true, .writes_register = writes ? 0 : -1};  // al or eax with an immediate
  }
}

Effect TwoByteEffect(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (op == 0x1f) return {.known = true};                                                    // nop
  if (op >= 0x40 && op <= 0x4f) return {.known = true, .writes_reg = true};                  // cmov
  if (op >= 0x90 && op <= 0x9f) return {.known = true, .writes_rm = true, .is_byte = true};  // set
  if (op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf) {  // movzx movsx
    return {.known = true, .writes_reg = true};
  }
  if (op == 0x10 || op == 0x11 || op == 0x28 || op == 0x29)
    return {.known = true};  // movups movaps
  return {};
}

Effect FindEffect(const Instruction& i) {
  const uint8_t op = i.opcode;
  if (i.length == 0 || i.vector_prefix || i.flow != Flow::kNext) return {};
  if (i.map == 1 && !i.repeat_prefix) return TwoByteEffect(i);
  if (i.map != 0 || i.repeat_prefix) return {};
  if (op < 0x40 && (op & 7) < 6) return ArithmeticEffect(i);
  if (op >= 0xb8 && op <= 0xbf) {
    return {.known = true, .writes_register = (op & 7) | (i.rex & kRexB ? 8 : 0)};
  }
  switch (op) {
    case 0x63:
    case 0x8b:
    case 0x8d:
      return {.known = true, .writes_reg = true};  // movsxd mov lea
    case 0x80:
      return {.known = true, .writes_rm = Group(i) != 7, .is_byte = true};
    case 0x81:
    case 0x83:
      return {.known = true, .writes_rm = Group(i) != 7};
    case 0x84:
    case 0x85:
    case 0xa8:
    case 0xa9:
    case 0x90:
      return {.known = true};  // test nop
    case 0x88:
      return {.known = true, .writes_rm = true, .is_byte = true};
    case 0x89:
      return {.known = true, .writes_rm = true};
    case 0x8a:
      return {.known = true, .writes_reg = true, .is_byte = true};
    case 0xc6:
      return {.known = Group(i) == 0, .writes_rm = true, .is_byte = true};
    case 0xc7:
      return {.known = Group(i) == 0, .writes_rm = true};
    case 0xc1:
    case 0xd1:
    case 0xd3:
      return {.known = true, .writes_rm = true};  // shifts
    case 0xf7:
      return {.known = Group(i) < 4, .writes_rm = Group(i) >= 2};  // test not neg
    default:
      return {};
  }
}

bool Writes(const Instruction& i, const Effect& effect, int number) {
  const auto is = [&](uint8_t found) {
    if (effect.is_byte && i.rex == 0 && found >= 4) found -= 4;
    return found == number;
  };
  return (effect.writes_reg && is(Reg(i))) || (effect.writes_rm && RmIsRegister(i) && is(Rm(i))) ||
         effect.writes_register == number;
}

}  // namespace

Instruction Decode(uintptr_t address, uintptr_t limit) {
  Instruction i = {};
  Cursor cursor = {.at = address, .limit = limit};
  const bool address_prefix = TakePrefixes(&cursor, &i);
  TakeOpcode(&cursor, &i);
  Opcode opcode = Look(i);
  if (!opcode.valid) return i;
  if (opcode.modrm) {
    i.modrm = cursor.Take();
    bool rip_relative = false;
    const uintptr_t operand = cursor.at;
    cursor.at += AddressSize(i, cursor.Peek(), &rip_relative);
    if (rip_relative) i.displacement = static_cast<uint8_t>(operand - address);
    LookIntoGroup(i, &opcode);
  }
  i.immediate = static_cast<uint8_t>(cursor.at - address);
  cursor.at += ImmediateSize(i, opcode.immediate, address_prefix);
  if (cursor.at > limit || cursor.at - address > kMaxLength) return i;
  i.length = static_cast<uint8_t>(cursor.at - address);
  i.flow = opcode.flow;
  if (opcode.direct) i.target = DirectTarget(cursor.at, opcode.immediate);
  return i;
}

bool IsCopyable(const Instruction& instruction) {
  const Effect effect = FindEffect(instruction);
  return effect.known && !Writes(instruction, effect, 4);
}

bool MayWriteRax(const Instruction& instruction) {
  const Effect effect = FindEffect(instruction);
  return !effect.known || Writes(instruction, effect, 0);
}

}  // namespace bobbin
