// Writes docs/system_calls.md, the list of all system calls and what becomes of each, to standard
// output.
//
// Linked with the library's own objects: the table is not part of the public interface.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "wrappers/passed_calls.h"
#include "wrappers/table.h"

namespace {

using bobbin::Answer;

const char* HowAnswered(Answer answer) {
  switch (answer) {
    case Answer::kHere:
      return "here";
    case Answer::kPark:
      return "park";
    case Answer::kWorker:
      return "worker";
    case Answer::kPassed:
      return "passed";
    case Answer::kMayBlock:
      return "may block";
    case Answer::kRefused:
      return "refused";
  }
  return "?";
}

struct Line {
  long nr;
  const char* name;
  Answer answer;
  const char* note;
};

constexpr char kIntroduction[] =
    "# System calls\n"
    "\n"
    "<!-- Written by tests/wrappers/write_system_calls from wrappers/table.cc and\n"
    "     wrappers/passed_calls.cc; do not edit. -->\n"
    "\n"
    "What becomes of each system call of a user thread. On a kernel thread that is no scheduler "
    "every call\n"
    "is plain Linux. A call newer than this list is passed, and counts as one that may block.\n"
    "\n"
    "| Answer | Meaning |\n"
    "|--------|---------|\n"
    "| here | Answered at once, by the runtime or by a call that does not wait. |\n"
    "| park | Tried without waiting; where it would wait, the user thread parks on the descriptor, "
    "the address or the time, and the others go on. |\n"
    "| worker | Done at once where the kernel can promise not to wait, else on a worker while the "
    "user thread parks. |\n"
    "| passed | The kernel's as it is: it computes, and waits for nobody. |\n"
    "| may block | The kernel's as it is, for want of better: it may hold up the threads of its "
    "scheduler. With `BOBBIN_STRICT=on` the process ends there, naming the call. |\n"
    "| refused | Fails with the error given: a user thread cannot have it. |\n"
    "\n"
    "The conformance tests that exercise the calls of the first three kinds:\n"
    "tests/wrappers/covered_calls.txt.\n"
    "\n"
    "| Number | Call | Answer | How, or why |\n"
    "|-------:|------|--------|-------------|\n";

}  // namespace

int main() {
  std::vector<Line> lines;
  for (auto* entry = bobbin::TableBegin(); entry != bobbin::TableEnd(); ++entry)
    lines.push_back({entry->nr, entry->name, entry->answer, entry->note});
  for (auto* call = bobbin::PassedBegin(); call != bobbin::PassedEnd(); ++call)
    lines.push_back({call->nr, call->name, call->answer, call->note});
  std::sort(lines.begin(), lines.end(), [](auto& a, auto& b) { return a.nr < b.nr; });
  std::fputs(kIntroduction, stdout);
  for (const Line& line : lines) {
    std::printf("| %ld | %s | %s | %s |\n", line.nr, line.name, HowAnswered(line.answer),
                line.note);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
