#include "tests/knot/http_conformance/judge.h"

#include <regex>

namespace knot::test {
namespace {

constexpr const char* kProbe =
    "GET /probe.txt HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
constexpr const char* kProbeBody = "probe";

// Takes a line out of all heads, unless `keep` stands in it.
void TakeOut(const std::string& start, const std::string& keep, std::string* text) {
  for (size_t at = 0; (at = text->find("\r\n" + start, at)) != std::string::npos;) {
    size_t size = text->find("\r\n", at + 2) - at;
    if (!keep.empty() && text->substr(at, size).find(keep) != std::string::npos) {
      at += size;
    } else {
      text->erase(at, size);
    }
  }
}

// Takes out what differs from time to time. What is modified in the future has the time at which it
// was loaded, which differs between two servers.
std::string Settled(std::string text) {
  TakeOut("Date: ", "", &text);
  TakeOut("Last-Modified: ", " 1994 ", &text);
  const std::string kBoundary = "; boundary=";
  for (size_t at = text.find(kBoundary); at != std::string::npos; at = text.find(kBoundary, at)) {
    at += kBoundary.size();
    std::string boundary = text.substr(at, text.find("\r\n", at) - at);
    for (size_t i = 0; (i = text.find(boundary, i)) != std::string::npos;) {
      text.replace(i, boundary.size(), "BOUNDARY");
    }
  }
  return text;
}

std::string Shown(const std::string& text) {
  constexpr size_t kMost = 2000;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

std::string CheckField(const FieldCheck& check, const Answer& answer) {
  const std::string* value = answer.Find(check.name);
  if (check.kind == FieldCheck::Kind::kAbsent) {
    return value == nullptr ? "" : "there is " + check.name + ": " + *value + "\n";
  }
  if (value == nullptr) return "there is no " + check.name + "\n";
  bool good = check.kind == FieldCheck::Kind::kPresent ||
              (check.kind == FieldCheck::Kind::kEquals && *value == check.value) ||
              (check.kind == FieldCheck::Kind::kMatches &&
               std::regex_match(*value, std::regex(check.value)));
  return good ? "" : check.name + ": " + *value + ", not " + check.value + "\n";
}

std::string CheckParts(const std::string& parts, const Answer& answer, const Target& target) {
  size_t space = parts.find(' ');
  std::string contents = target.Contents(parts.substr(0, space));
  std::string wrong = ComparePartsOf(answer, parts.substr(space + 1), contents);
  return wrong.empty() ? "" : wrong + "\n";
}

std::string CheckReply(const ReplyCheck& check, const Answer& answer, const Target& target) {
  std::string faults;
  for (const FieldCheck& field : check.fields) faults += CheckField(field, answer);
  if (check.to_head && !answer.body.empty()) faults += "a reply to HEAD with a body\n";
  if (!check.to_head && answer.bodiless && answer.Find("Content-Length") != nullptr &&
      *answer.Find("Content-Length") != "0" && answer.status != 304) {
    faults += "a reply without its body\n";
  }
  if (check.body && answer.body != *check.body) faults += "the body is " + answer.body + "\n";
  if (!check.parts.empty()) faults += CheckParts(check.parts, answer, target);
  return faults;
}

// The reply to HEAD against that to the same request with GET.
std::string CompareWithGet(const Answer& answer, const Target& target, const std::string& request) {
  if (!request.starts_with("HEAD ")) return "like: GET, but the request is not HEAD\n";
  Outcome get = Ask(target, {"GET" + request.substr(4)}, false);
  if (get.answers.empty()) return "no reply to GET\n";
  std::string with_get = Settled(get.answers[0].head), with_head = Settled(answer.head);
  return with_get == with_head ? "" : "with GET it is\n" + with_get;
}

std::vector<std::vector<std::string>> CutEverywhere(const std::string& bytes) {
  std::vector<std::vector<std::string>> all;
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    all.push_back({bytes.substr(0, cut), bytes.substr(cut)});
  }
  return all;
}

std::string Explain(const std::string& wrong, const Outcome& outcome) {
  return wrong + "in\n" + Shown(outcome.received) + "\n";
}

}  // namespace

Outcome Ask(const Target& target, std::vector<std::string> pieces, bool client_ends) {
  if (!client_ends) pieces.push_back(kProbe);
  Exchanged exchanged = Exchange(target.connect(), pieces, client_ends);
  Outcome outcome;
  outcome.unreadable = SplitAnswers(exchanged.received, &outcome.answers);
  if (!exchanged.ended) outcome.unreadable = "it neither answers nor closes";
  outcome.received = Settled(exchanged.received);
  if (!client_ends && outcome.unreadable.empty() && !outcome.answers.empty()) {
    const Answer& last = outcome.answers.back();
    outcome.open = last.status == 200 && last.body == kProbeBody;
    if (outcome.open) outcome.answers.pop_back();
  }
  std::vector<int> statuses;
  for (const Answer& answer : outcome.answers) statuses.push_back(answer.status);
  outcome.verdict = outcome.unreadable.empty() ? VerdictOf(statuses, outcome.open) : "unreadable";
  return outcome;
}

std::string Differences(const Case& c, const Outcome& outcome, const Target& target,
                        const std::string& request) {
  std::string faults;
  size_t next = 0;
  for (const ReplyCheck& check : c.replies) {
    for (size_t i = 0; i < check.count; ++i) {
      const Answer& answer = outcome.answers[next++];
      faults += CheckReply(check, answer, target);
      if (check.like_get) faults += CompareWithGet(answer, target, request);
    }
  }
  return faults;
}

std::string FaultsOf(const Outcome& outcome) {
  std::string faults;
  for (size_t i = 0; i < outcome.answers.size(); ++i) {
    const Answer& answer = outcome.answers[i];
    faults += FaultsOf(answer);
    const std::string* connection = answer.Find("Connection");
    bool says_close = connection != nullptr && *connection == "close";
    bool last = i + 1 == outcome.answers.size() && !outcome.open;
    if (says_close != last) faults += last ? "closed unsaid\n" : "said to be closed\n";
  }
  return faults;
}

std::string CheckKnot(const Case& c, Target& target, std::string* received) {
  const std::string request =
      *Unescape(c.request, [&](const std::string& what) { return target.TagOf(what); });
  Outcome whole = Ask(target, {request}, c.client_ends);
  *received = whole.received;
  if (whole.verdict != ExpectedVerdict(c)) {
    return Explain(whole.verdict + ", not " + ExpectedVerdict(c) + ": " + whole.unreadable + "\n",
                   whole);
  }
  std::string faults = Differences(c, whole, target, request);
  // Where the client ends there is no probe that would tell.
  if (!c.client_ends) faults += FaultsOf(whole);
  if (!faults.empty()) return Explain(faults, whole);
  std::vector<std::vector<std::string>> deliveries = {ByteByByte(request)};
  if (c.cut_everywhere) {
    for (auto& pieces : CutEverywhere(request)) deliveries.push_back(pieces);
  }
  for (const std::vector<std::string>& pieces : deliveries) {
    Outcome cut = Ask(target, pieces, c.client_ends);
    if (cut.received == whole.received) continue;
    return Explain("cut into " + std::to_string(pieces.size()) + " pieces, the first of " +
                       std::to_string(pieces[0].size()) + ", it answers\n" + Shown(cut.received) +
                       "\nand whole, ",
                   whole);
  }
  return "";
}

std::string CheckNginx(const Case& c, Target& target) {
  const std::string request =
      *Unescape(c.request, [&](const std::string& what) { return target.TagOf(what); });
  Outcome outcome = Ask(target, {request}, c.client_ends);
  std::string expected = ExpectedVerdict(c), verdict = outcome.verdict, faults;
  if (verdict == expected) {
    faults = Differences(c, outcome, target, request);
    if (!faults.empty()) verdict += ", fields";
  }
  if (verdict == (c.nginx.empty() ? expected : c.nginx)) return "";
  return Explain("nginx: " + verdict + ", not " + (c.nginx.empty() ? expected : c.nginx) + "\n" +
                     faults + outcome.unreadable,
                 outcome);
}

}  // namespace knot::test
