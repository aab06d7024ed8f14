// Puts a case to a server and judges what comes.
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_JUDGE_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_JUDGE_H_

#include <string>
#include <vector>

#include "tests/knot/http_conformance/answers.h"
#include "tests/knot/http_conformance/cases.h"
#include "tests/knot/http_conformance/site.h"

namespace knot::test {

// What a server made of a case.
struct Outcome {
  std::vector<Answer> answers;
  bool open = false;       // it answered another request after these
  std::string unreadable;  // why what follows the answers is none
  std::string verdict;     // "unreadable" in place of statuses, where something is
  std::string received;    // without what differs from time to time: dates, boundaries
};

// Sends the pieces, and after them a request for probe.txt unless the client ends.
Outcome Ask(const Target& target, std::vector<std::string> pieces, bool client_ends);

// Returns: what in the answers is not as the case asks for, beyond the verdict; one line a fault.
// Requires: the verdict is the expected one. `request` is that of the case, its escapes written
// out.
std::string Differences(const Case& c, const Outcome& outcome, const Target& target,
                        const std::string& request);

// Returns: what is wrong with Knot's answers whatever the case: each reply by itself, and that it
// says whether the connection is closed (RFC 9112, 9.6).
std::string FaultsOf(const Outcome& outcome);

// Puts a case to Knot: whole, byte by byte and, where the case says so, cut everywhere. Returns:
// what is wrong, or empty. `*received` is what came.
std::string CheckKnot(const Case& c, Target& target, std::string* received);

// Puts a case to nginx. Returns: where its verdict is not the one recorded, or, where none is, not
// Knot's.
std::string CheckNginx(const Case& c, Target& target);

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_JUDGE_H_
