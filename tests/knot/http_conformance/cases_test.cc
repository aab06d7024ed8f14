// That the tables are read as they are meant, and that what is wrong with a reply is found.
#include "tests/knot/http_conformance/cases.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/knot/http_conformance/answers.h"
#include "tests/knot/http_conformance/exchange.h"
#include "tests/knot/http_conformance/judge.h"

namespace knot::test {
namespace {

const std::string kAbout = "about: something\n";
const std::string kWhole =
    "== a case\nrfc: 9112, 3\n> GET /\n> X\\r\\n\nreply: 200 x 2 HEAD\nhas: A\nhas: B: c: d\nno: "
    "E\nmatch: F: x+\nbody: \\x41\nreply: 404\nthen: closed\nnginx: 200 open -- why not\n";

std::string TagOf(const std::string& what) { return "<" + what + ">"; }

std::string Wrong(const std::string& text) {
  Table table;
  table.path = "t";
  return ParseTable(text, &table);
}

TEST(Cases, AreReadWhole) {
  Table table;
  ASSERT_EQ(ParseTable("# c\n" + kAbout + "flags: --a --b=c\n\n" + kWhole, &table), "");
  EXPECT_EQ(table.about, "something");
  EXPECT_EQ(table.flags, (std::vector<std::string>{"--a", "--b=c"}));
  ASSERT_EQ(table.cases.size(), 1u);
  const Case& c = table.cases[0];
  EXPECT_EQ(c.name, "a case");
  EXPECT_EQ(c.line, 5);
  EXPECT_EQ(c.request, "GET /X\\r\\n");
  ASSERT_EQ(c.replies.size(), 2u);
  EXPECT_EQ(c.replies[0].status, 200);
  EXPECT_EQ(c.replies[0].count, 2u);
  EXPECT_TRUE(c.replies[0].to_head);
  ASSERT_EQ(c.replies[0].fields.size(), 4u);
  EXPECT_EQ(c.replies[0].fields[1].name, "B");
  EXPECT_EQ(c.replies[0].fields[1].value, "c: d");
  EXPECT_EQ(c.replies[0].body, "A");
  EXPECT_EQ(ExpectedVerdict(c), "200 x 2 404 closed");
  EXPECT_EQ(c.nginx, "200 open");
  EXPECT_EQ(c.nginx_reason, "why not");
}

TEST(Cases, MistakesAreToldWithTheirLine) {
  const std::pair<std::string, std::string> kMistakes[] = {
      {kAbout, "t:1: no cases"},
      {kWhole, "t:13: no about:"},
      {kAbout + "colour: red\n", "t:2: unknown key before the first case: colour"},
      {kAbout + kWhole + kWhole, "t:15: a second case of this name"},
      {kAbout + kWhole + "== another\n", "t:15: the case before has no rfc:"},
      {kAbout + "== c\nrfc: 9112\n", "t:3: not an RFC and a section: 9112"},
      {kAbout + "== c\nrfc: 9112, 3\nthen: ajar\n", "t:4: then: open or closed"},
      {kAbout + "== c\nrfc: 9112, 3\nhas: x\n",
       "t:4: unknown key, or one of a reply before any: has"},
      {kAbout + "== c\nreply: twice\n", "t:3: not a reply: twice"},
      {kAbout + "== c\nreply: 200\nmatch: A: (\n", "t:4: match: without an expression"},
      {kAbout + "== c\nreply: 200\nlike: GET\n", "t:4: like: is only GET, of a reply to HEAD"},
      {kAbout + "== c\nreply: 200\n> x\n", "t:4: bytes after a reply"},
      {kAbout + "== c\nnginx: 200 open\n", "t:3: nginx: without a reason"},
      {kAbout + "== c\nnonsense\n", "t:3: neither a case nor key: value"},
  };
  for (const auto& [text, wrong] : kMistakes) EXPECT_EQ(Wrong(text).substr(0, wrong.size()), wrong);
}

TEST(Cases, EscapesAreWrittenOut) {
  const std::pair<std::string, std::string> kEscapes[] = {
      {"a\\r\\n\\t\\\\b", "a\r\n\t\\b"}, {"\\x0b\\xfF", "\x0b\xff"},
      {"\\(3*ab\\n)c", "ab\nab\nab\nc"}, {"\\(0*a)", ""},
      {"\\{etag /a gzip}", "</a gzip>"},
  };
  for (const auto& [text, bytes] : kEscapes) EXPECT_EQ(Unescape(text, TagOf), bytes);
  EXPECT_EQ(Unescape("\\0", TagOf), std::string(1, '\0'));
  for (const char* text :
       {"\\", "\\q", "\\x", "\\x4", "\\xg0", "\\(a)", "\\(x*a)", "\\(3*a", "\\{a}"}) {
    EXPECT_EQ(Unescape(text, TagOf), std::nullopt) << text;
  }
}

TEST(Cases, BytesAreCutWithoutLoss) {
  for (size_t size : {0, 1, 300, 599, 600, 601, 5000}) {
    std::string bytes(size, 'x'), together;
    for (const std::string& piece : ByteByByte(bytes)) together += piece;
    EXPECT_EQ(together, bytes);
  }
  EXPECT_EQ(ByteByByte("abc"), (std::vector<std::string>{"a", "b", "c"}));
}

const std::string kDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

TEST(Answers, AreTakenApart) {
  std::vector<Answer> answers;
  EXPECT_EQ(SplitAnswers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX:  y \r\n\r\nab"
                         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                         "HTTP/1.1 304 N\r\n\r\nHTTP/1.1 404 N F\r\nContent-Length: 1\r\n\r\n",
                         &answers),
            "");
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0].body, "ab");
  EXPECT_EQ(*answers[0].Find("x"), "y");
  EXPECT_FALSE(answers[0].bodiless);
  EXPECT_TRUE(answers[1].bodiless);
  EXPECT_EQ(answers[3].status, 404);
  EXPECT_EQ(SplitAnswers("nonsense\r\n\r\n", &answers), "no status line: nonsense");
  EXPECT_EQ(SplitAnswers("HTTP/1.1 200 OK\r\nno field\r\n\r\n", &answers), "no field: no field");
  EXPECT_EQ(SplitAnswers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", &answers).substr(0, 18),
            "a body ended early");
}

// The faults of a reply with this status line and these fields, without a body.
std::string FaultsIn(const std::string& head) {
  std::vector<Answer> answers;
  EXPECT_EQ(SplitAnswers("HTTP/1.1 " + head + "\r\n", &answers), "");
  return answers.empty() ? "" : FaultsOf(answers[0]);
}

TEST(Answers, FaultsAreFound) {
  const std::string kLength = "Content-Length: 0\r\n";
  EXPECT_EQ(FaultsIn("200 OK\r\n" + kDate + kLength), "");
  const std::pair<std::string, std::string> kFaults[] = {
      {"200 OK\r\n" + kLength, "no Date\n"},
      {"200 OK\r\nDate: Mon, 06 Nov 1994 08:49:37 GMT\r\n" + kLength, "no Date\n"},
      {"200 OK\r\nDate: Sun, 6 Nov 1994 08:49:37 GMT\r\n" + kLength, "no Date\n"},
      {"200 OK\r\n" + kDate, "no Content-Length\n"},
      {"200 OK\r\n" + kDate + "Transfer-Encoding: chunked\r\n", "Transfer-Encoding\n"},
      {"200 OK\r\n" + kDate + kDate + kLength, "Date twice\n"},
      {"204 No\r\n" + kDate + kLength, "Content-Length in a reply that cannot have a body\n"},
      {"206 Part\r\n" + kDate + kLength, "206 of neither one part nor several\n"},
      {"200 OK\r\n" + kDate + kLength + "Content-Range: bytes 0-0/1\r\n", "Content-Range\n"},
      {"301 Moved\r\n" + kDate + kLength, "301 without a Location on this host\n"},
      {"301 Moved\r\nLocation: //evil/\r\n" + kDate + kLength,
       "301 without a Location on this host\n"},
      {"405 No\r\n" + kDate + kLength, "405 without Allow\n"},
      {"416 No\r\n" + kDate + kLength, "416 without the length\n"},
      {"200 OK\r\nServer: knot/1.0\r\n" + kDate + kLength, "Server tells a version\n"},
      {"200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n" + kDate + kLength,
       "Last-Modified is no date, or in the future\n"},
      {"200 OK\r\nX: a\x01\r\n" + kDate + kLength, "a control byte in X\n"},
  };
  for (const auto& [head, fault] : kFaults) EXPECT_EQ(FaultsIn(head), fault) << head;
}

TEST(Answers, PartsAreCompared) {
  Answer answer;
  answer.fields = {{"Content-Type", "multipart/byteranges; boundary=B"}};
  auto part = [](const char* range, const char* body) {
    return std::string("--B\r\nContent-Type: a/b\r\nContent-Range: bytes ") + range + "\r\n\r\n" +
           body + "\r\n";
  };
  const std::string contents = "0123456789";
  answer.body = part("0-1/10", "01") + part("5-5/10", "5") + "--B--\r\n";
  EXPECT_EQ(ComparePartsOf(answer, "0-1 5-5", contents), "");
  for (const char* parts : {"0-1", "0-1 5-6", "5-5 0-1", "0-1 5-5 7-7", "0-2 5-5"}) {
    EXPECT_NE(ComparePartsOf(answer, parts, contents), "") << parts;
  }
  answer.body = part("0-1/10", "0x") + "--B--\r\n";
  EXPECT_NE(ComparePartsOf(answer, "0-1", contents), "");
  answer.body = part("0-1/11", "01") + "--B--\r\n";
  EXPECT_NE(ComparePartsOf(answer, "0-1", contents), "");
  answer.body = part("0-1/10", "01");
  EXPECT_NE(ComparePartsOf(answer, "0-1", contents), "");
}

// A server that has said its piece and closed.
Outcome Said(const std::string& text, bool open) {
  Outcome outcome;
  SplitAnswers(text, &outcome.answers);
  outcome.open = open;
  return outcome;
}

TEST(Answers, ClosingIsToBeSaid) {
  const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + kDate;
  const std::string kClose = "Connection: close\r\n";
  EXPECT_EQ(FaultsOf(Said(kOk + "\r\n", true)), "");
  EXPECT_EQ(FaultsOf(Said(kOk + "\r\n" + kOk + kClose + "\r\n", false)), "");
  EXPECT_EQ(FaultsOf(Said(kOk + "\r\n", false)), "closed unsaid\n");
  EXPECT_EQ(FaultsOf(Said(kOk + kClose + "\r\n", true)), "said to be closed\n");
  EXPECT_EQ(FaultsOf(Said(kOk + kClose + "\r\n" + kOk + "\r\n", true)), "said to be closed\n");
}

}  // namespace
}  // namespace knot::test
