#include "tests/knot/http_conformance/answers.h"

#include <strings.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <set>
#include <sstream>

namespace knot::test {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

// Returns: empty, or why the head is none.
std::string ReadHead(const std::string& head, Answer* answer) {
  static const std::regex kStatusLine(R"(HTTP/1\.[01] (\d{3}) [^\r\n]*)");
  static const std::regex kFieldLine(R"(([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*?)[ \t]*)");
  std::smatch match;
  size_t at = head.find("\r\n");
  std::string line = head.substr(0, at);
  if (!std::regex_match(line, match, kStatusLine)) return "no status line: " + line;
  answer->status = std::atoi(match[1].str().c_str());
  answer->head = head;
  for (at += 2; at < head.size() - 2;) {
    size_t end = head.find("\r\n", at);
    line = head.substr(at, end - at);
    if (!std::regex_match(line, match, kFieldLine)) return "no field: " + line;
    answer->fields.emplace_back(match[1], match[2]);
    at = end + 2;
  }
  return "";
}

std::string FaultsOfBody(const Answer& answer) {
  const std::string* length = answer.Find("Content-Length");
  if (HasNoBody(answer.status)) {
    bool told = length != nullptr && answer.status != 304;
    return told ? "Content-Length in a reply that cannot have a body\n" : "";
  }
  if (answer.Find("Transfer-Encoding") != nullptr) return "Transfer-Encoding\n";
  if (length == nullptr) return "no Content-Length\n";
  bool wrong = !answer.bodiless && std::to_string(answer.body.size()) != *length;
  return wrong ? "Content-Length is not the body's\n" : "";
}

std::string FaultsOfStatus(const Answer& answer) {
  auto matches = [&](const char* field, const char* regex) {
    const std::string* value = answer.Find(field);
    return value != nullptr && std::regex_match(*value, std::regex(regex));
  };
  std::string faults;
  if (answer.status == 405 && answer.Find("Allow") == nullptr) faults += "405 without Allow\n";
  if (answer.status == 301 && !matches("Location", "/|/[^/].*")) {
    faults += "301 without a Location on this host\n";
  }
  if (answer.status == 416 && !matches("Content-Range", R"(bytes \*/\d+)")) {
    faults += "416 without the length\n";
  }
  bool one = matches("Content-Range", R"(bytes \d+-\d+/\d+)");
  bool several = matches("Content-Type", "multipart/byteranges; boundary=.+");
  if (answer.status == 206 && one == several) faults += "206 of neither one part nor several\n";
  if (answer.status != 206 && answer.status != 416 && answer.Find("Content-Range") != nullptr) {
    faults += "Content-Range\n";
  }
  return faults;
}

}  // namespace

const std::string* Answer::Find(const std::string& name) const {
  for (const auto& [key, value] : fields) {
    if (strcasecmp(key.c_str(), name.c_str()) == 0) return &value;
  }
  return nullptr;
}

std::string SplitAnswers(const std::string& stream, std::vector<Answer>* answers) {
  for (size_t at = 0; at < stream.size();) {
    size_t end = stream.find("\r\n\r\n", at);
    if (end == std::string::npos) return "no head: " + stream.substr(at, 200);
    Answer answer;
    if (std::string wrong = ReadHead(stream.substr(at, end + 4 - at), &answer); !wrong.empty()) {
      return wrong;
    }
    at = end + 4;
    const std::string* length = answer.Find("Content-Length");
    size_t size = length == nullptr || HasNoBody(answer.status)
                      ? 0
                      : std::strtoull(length->c_str(), nullptr, 10);
    answer.bodiless = at == stream.size() || stream.compare(at, 7, "HTTP/1.") == 0;
    if (!answer.bodiless) {
      if (stream.size() - at < size) return "a body ended early: " + answer.head;
      answer.body = stream.substr(at, size);
      at += size;
    }
    answers->push_back(std::move(answer));
  }
  return "";
}

std::string FaultsOf(const Answer& answer) {
  std::string faults;
  std::set<std::string> names;
  for (const auto& [name, value] : answer.fields) {
    if (!names.insert(Lower(name)).second) faults += name + " twice\n";
    for (unsigned char c : value) {
      if (c < 32 || c == 127) faults += "a control byte in " + name + "\n";
    }
  }
  if (answer.head.compare(0, 9, "HTTP/1.1 ") != 0) faults += "a reply of another version\n";
  const std::string* date = answer.Find("Date");
  const std::string* modified = answer.Find("Last-Modified");
  const std::string* server = answer.Find("Server");
  const long now = date == nullptr ? -1 : ReadDate(*date);
  if (answer.status >= 200 && now < 0) faults += "no Date\n";
  if (modified != nullptr && (ReadDate(*modified) < 0 || ReadDate(*modified) > now)) {
    faults += "Last-Modified is no date, or in the future\n";
  }
  // RFC 9110, 10.2.4: fine-grained detail helps an attacker.
  if (server != nullptr && server->find_first_of("0123456789") != std::string::npos) {
    faults += "Server tells a version\n";
  }
  return faults + FaultsOfBody(answer) + FaultsOfStatus(answer);
}

long ReadDate(const std::string& text) {
  static const std::regex kForm(
      R"((Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)");
  tm date{};
  if (!std::regex_match(text, kForm)) return -1;
  if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) return -1;
  tm checked = date;
  long seconds = timegm(&checked);
  return checked.tm_wday == date.tm_wday ? seconds : -1;
}

std::string ComparePartsOf(const Answer& answer, const std::string& parts,
                           const std::string& contents) {
  const std::string kStart = "multipart/byteranges; boundary=";
  const std::string* type = answer.Find("Content-Type");
  if (type == nullptr || !type->starts_with(kStart)) return "not multipart/byteranges";
  const std::string line = "--" + type->substr(kStart.size());
  std::string rest = answer.body;
  if (rest.starts_with("\r\n")) rest.erase(0, 2);  // an empty preamble
  std::istringstream wanted(parts);
  for (std::string part; wanted >> part; rest.erase(0, 2)) {
    size_t first = 0, last = 0;
    if (std::sscanf(part.c_str(), "%zu-%zu", &first, &last) != 2) return "not a part: " + part;
    size_t end = rest.find("\r\n\r\n");
    if (!rest.starts_with(line + "\r\n") || end == std::string::npos) return "no head of " + part;
    // A line is put before, so that the head can be read as that of a reply.
    Answer head;
    std::string wrong =
        ReadHead("HTTP/1.1 206 Part" + rest.substr(line.size(), end + 4 - line.size()), &head);
    const std::string* range = head.Find("Content-Range");
    if (!wrong.empty() || range == nullptr || head.Find("Content-Type") == nullptr) {
      return "no Content-Range or Content-Type in the head of " + part + " " + wrong;
    }
    if (*range != "bytes " + part + "/" + std::to_string(contents.size())) return "not " + part;
    std::string body = contents.substr(first, last - first + 1) + "\r\n";
    if (rest.compare(end + 4, body.size(), body) != 0) return "other bytes in " + part;
    rest.erase(0, end + 4 + body.size() - 2);
  }
  return rest == line + "--\r\n" || rest == line + "--" ? ""
                                                        : "not the end: " + rest.substr(0, 200);
}

}  // namespace knot::test
