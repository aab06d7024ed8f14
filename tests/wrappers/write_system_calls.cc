// Writes docs/system_calls.md, the list of what the table answers, to standard output.
//
// Linked with the library's own objects: the table is not part of the public interface.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "wrappers/table.h"

namespace {

using bobbin::Answer;
using bobbin::TableEntry;

const char* HowAnswered(Answer answer) {
  switch (answer) {
    case Answer::kHere:
      return "here";
    case Answer::kPark:
      return "park";
    case Answer::kWorker:
      return "worker";
  }
  return "?";
}

constexpr char kIntroduction[] =
    "# System calls\n"
    "\n"
    "<!-- Written by tests/wrappers/write_system_calls from wrappers/table.cc; do not edit. -->\n"
    "\n"
    "What a user thread asks of these calls is answered by Bobbin. Everything not listed is "
    "passed\n"
    "to the kernel as it is, and holds up the other threads of its scheduler for as long as it\n"
    "takes. On a kernel thread that is no scheduler every call is plain Linux.\n"
    "\n"
    "| Answer | Meaning |\n"
    "|--------|---------|\n"
    "| here   | Answered at once, by the runtime or by a call that does not wait. |\n"
    "| park   | Tried without waiting; where it would wait, the user thread parks on the "
    "descriptor, the address or the time, and the others go on. |\n"
    "| worker | Done at once where the kernel can promise not to wait, else on a worker while the "
    "user thread parks. |\n"
    "\n"
    "The conformance tests that exercise each call: tests/wrappers/covered_calls.txt.\n"
    "\n"
    "| Number | Call | Answer |\n"
    "|-------:|------|--------|\n";

}  // namespace

int main() {
  std::vector<const TableEntry*> entries;
  for (const TableEntry* entry = bobbin::TableBegin(); entry != bobbin::TableEnd(); ++entry) {
    entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(), [](auto* a, auto* b) { return a->nr < b->nr; });
  std::fputs(kIntroduction, stdout);
  for (const TableEntry* entry : entries) {
    std::printf("| %ld | %s | %s |\n", entry->nr, entry->name, HowAnswered(entry->answer));
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
