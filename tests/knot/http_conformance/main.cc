// HTTP conformance: every case of the tables, put to every binary of Knot and to nginx.
//
// A test is TOPIC/BINARY.CASE. With --summary the program writes docs/knot/conformance.md instead.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/http_conformance/cases.h"
#include "tests/knot/http_conformance/judge.h"
#include "tests/knot/http_conformance/site.h"
#include "tests/knot/http_conformance/summary.h"

namespace knot::test {
namespace {

// The servers, made when the first test begins and gone with the last.
std::unique_ptr<Site> site;

class SiteEnvironment : public testing::Environment {
 public:
  void SetUp() override { site = std::make_unique<Site>(); }
  void TearDown() override { site.reset(); }
};

// A case put to a binary. What comes must be what came from the binary before.
class KnotCase : public testing::Test {
 public:
  KnotCase(const Table& table, const Case& c, std::string binary)
      : table_(table), case_(c), binary_(std::move(binary)) {}

  void TestBody() override {
    Target* target = site->Knot(binary_, table_.flags);
    ASSERT_NE(target, nullptr);
    std::string received;
    EXPECT_EQ(CheckKnot(case_, *target, &received), "") << "RFC " << case_.rfc;
    auto first = received_.try_emplace(&case_, received).first;
    EXPECT_EQ(received, first->second) << "other than another binary";
  }

 private:
  static inline std::map<const Case*, std::string> received_;

  const Table& table_;
  const Case& case_;
  const std::string binary_;
};

class NginxCase : public testing::Test {
 public:
  explicit NginxCase(const Case& c) : case_(c) {}

  void TestBody() override {
    Target* target = site->Nginx();
    ASSERT_NE(target, nullptr);
    EXPECT_EQ(CheckNginx(case_, *target), "");
  }

 private:
  const Case& case_;
};

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void Register(const std::vector<Table>& tables) {
  for (const Table& table : tables) {
    for (const std::string& binary : Binaries()) {
      for (const Case& c : table.cases) {
        testing::RegisterTest(
            (table.topic + "/" + BaseName(binary)).c_str(), TestName(c.name).c_str(), nullptr,
            nullptr, table.path.c_str(), c.line,
            [&table, &c, binary]() -> KnotCase* { return new KnotCase(table, c, binary); });
      }
    }
    for (const Case& c : table.cases) {
      testing::RegisterTest((table.topic + "/nginx").c_str(), TestName(c.name).c_str(), nullptr,
                            nullptr, table.path.c_str(), c.line,
                            [&c]() -> NginxCase* { return new NginxCase(c); });
    }
  }
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::vector<Table> tables;
  std::string wrong = ReadTables(KNOT_CASES, &tables);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    return 2;
  }
  if (argc == 2 && std::strcmp(argv[1], "--summary") == 0) {
    std::fputs(Summary(tables).c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
  Register(tables);
  testing::AddGlobalTestEnvironment(new SiteEnvironment);
  int status = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() > 0) return status;
  std::fputs("no test has such a name\n", stderr);
  return 2;
}

}  // namespace
}  // namespace knot::test

int main(int argc, char** argv) { return knot::test::Main(argc, argv); }
