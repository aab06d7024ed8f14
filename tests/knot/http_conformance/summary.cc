#include "tests/knot/http_conformance/summary.h"

#include <algorithm>

namespace knot::test {
namespace {

constexpr const char* kIntroduction = R"(# HTTP conformance

<!-- Written by `knot_http_conformance --summary` from tests/knot/http_conformance/*.cases; do not edit. -->

Each case of [tests/knot/http_conformance](../../tests/knot/http_conformance/) sends bytes over a socket of its own and
says what must come back: statuses, fields, bodies, whether the connection serves on. It cites the section of the RFC
that asks for it. The test puts each to `knot` and to `knot-kernel-threads`, whole and byte by byte; all of that must
give the same bytes back, but for dates and boundaries. Every reply is checked besides for what holds of all: a
well-formed head, no field twice, Date, the length, Connection: close where it is closed and only there, and what its
status calls for.

The same cases are put to Debian's nginx (nginx-light 1.22), configured to do what Knot does by default. Where it
answers otherwise, the case records what, and why; a test fails where that is no longer so. Most differences are no
faults: the RFC leaves room, and Knot is the stricter one where two servers in a row could disagree on where a request
ends.

```sh
./dev test -R http_conformance                                        # all
build/release/bin/knot_http_conformance --gtest_filter='framing/*'     # a topic; framing/nginx.* is nginx
build/release/bin/knot_http_conformance --summary > docs/knot/conformance.md
```

)";

// In a cell of a table.
std::string Cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.replace(at, 1, "\\|");
  }
  return text;
}

std::string Row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) row += " " + Cell(cell) + " |";
  return row + "\n";
}

size_t NginxDiffers(const Table& table) {
  return std::count_if(table.cases.begin(), table.cases.end(),
                       [](const Case& c) { return !c.nginx.empty(); });
}

std::string Topics(const std::vector<Table>& tables) {
  std::string text =
      "## Topics\n\n| topic | about | cases | nginx differs in |\n|---|---|---|---|\n";
  size_t cases = 0, differ = 0;
  for (const Table& table : tables) {
    text += Row({table.topic, table.about, std::to_string(table.cases.size()),
                 std::to_string(NginxDiffers(table))});
    cases += table.cases.size();
    differ += NginxDiffers(table);
  }
  return text +
         Row({"**all**", "", "**" + std::to_string(cases) + "**",
              "**" + std::to_string(differ) + "**"}) +
         "\n";
}

std::string Choices(const std::vector<Table>& tables) {
  std::string text =
      "## Choices\n\n"
      "Where the RFC leaves a choice, or recommends what Knot does not do.\n\n"
      "| topic | case | RFC | Knot | why |\n|---|---|---|---|---|\n";
  for (const Table& table : tables) {
    for (const Case& c : table.cases) {
      if (!c.choice.empty()) {
        text += Row({table.topic, c.name, c.rfc, ExpectedVerdict(c), c.choice});
      }
    }
  }
  return text + "\n";
}

std::string Differences(const std::vector<Table>& tables) {
  std::string text =
      "## Where nginx differs\n\n"
      "A verdict is the statuses of the replies, and whether the connection is open or closed "
      "after "
      "them; *fields*: the verdict is\nthe same, but not what the case asks of fields or bodies.\n";
  for (const Table& table : tables) {
    if (NginxDiffers(table) == 0) continue;
    text +=
        "\n### " + table.topic + "\n\n| case | RFC | Knot | nginx | why |\n|---|---|---|---|---|\n";
    for (const Case& c : table.cases) {
      if (c.nginx.empty()) continue;
      text += Row({c.name, c.rfc, ExpectedVerdict(c), c.nginx, c.nginx_reason});
    }
  }
  return text;
}

}  // namespace

std::string Summary(const std::vector<Table>& tables) {
  return kIntroduction + Topics(tables) + Choices(tables) + Differences(tables);
}

}  // namespace knot::test
