// The table: what Bobbin makes of each system call of Linux.
//
// A call that Bobbin answers has a handler here. The others are in passed_calls.h: the kernel's as
// they are, or refused. Each line says how the call is answered and why, for docs/system_calls.md.
#ifndef BOBBIN_WRAPPERS_TABLE_H_
#define BOBBIN_WRAPPERS_TABLE_H_

#include "wrappers/call.h"
#include "wrappers/registers.h"

namespace bobbin {

enum class Answer : uint8_t {
  kHere,      // answered by the runtime, or by a call that does not wait
  kPark,      // tried, else parked on a descriptor, an address or a time
  kWorker,    // inline where it cannot block, else on a worker
  kPassed,    // the kernel's: waits for nobody
  kMayBlock,  // the kernel's: may hold up the scheduler, and nothing better is possible
  kRefused,   // fails, for what it asks cannot be given to a user thread
};

struct TableEntry {
  long nr;
  const char* name;
  Answer answer;  // one of the first three
  const char* note;
  long (*handler)(Scheduler* scheduler, Registers* registers);
};

// Returns: the entry with the handler for `nr`, or null.
const TableEntry* FindCall(long nr);

// Tells whether `nr` has a handler.
bool TableWants(long nr);

// Every entry, in the order of the table.
const TableEntry* TableBegin();
const TableEntry* TableEnd();

// Returns: how `nr` is answered; kMayBlock for a number nobody knows yet.
Answer AnswerOf(long nr);

// Returns: the name of `nr`; "unknown" where it has none here.
const char* CallName(long nr);

// Makes the call `nr` through the table with the arguments in `registers`. With BOBBIN_STRICT a
// call that may hold up the scheduler ends the process.
long Dispatch(Scheduler* scheduler, Registers* registers);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_TABLE_H_
