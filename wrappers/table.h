// The table: system-call number → handler. What is not in it is the kernel's.
//
// Each line also says how the call is answered, for docs/system_calls.md.
#ifndef BOBBIN_WRAPPERS_TABLE_H_
#define BOBBIN_WRAPPERS_TABLE_H_

#include "wrappers/call.h"
#include "wrappers/registers.h"

namespace bobbin {

enum class Answer : uint8_t {
  kHere,    // answered by the runtime, without waiting
  kPark,    // tried, else parked on a descriptor, an address or a time
  kWorker,  // inline where it cannot block, else on a worker
};

struct TableEntry {
  long nr;
  const char* name;
  Answer answer;
  long (*handler)(Scheduler* scheduler, Registers* registers);
};

// Returns: the entry for `nr`, or null.
const TableEntry* FindCall(long nr);

bool TableWants(long nr);

// Every entry, in the order of the table.
const TableEntry* TableBegin();
const TableEntry* TableEnd();

// Makes the call `nr` through the table with the arguments in `registers`.
long Dispatch(Scheduler* scheduler, Registers* registers);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_TABLE_H_
