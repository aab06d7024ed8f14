#include "tests/knot/http_conformance/cases.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace knot::test {
namespace {

// Takes what stands before `separator` off the front. Returns: false where it is not there.
bool TakeBefore(std::string* text, const std::string& separator, std::string* before) {
  size_t at = text->find(separator);
  if (at == std::string::npos) return false;
  *before = text->substr(0, at);
  text->erase(0, at + separator.size());
  return true;
}

bool ReadNumber(const std::string& text, size_t* number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

bool IsCitation(const std::string& text) {
  static const std::regex kCitation(R"(\d{4}, [0-9A-Z][0-9.]*(; \d{4}, [0-9A-Z][0-9.]*)*)");
  return std::regex_match(text, kCitation);
}

bool ReadReply(const std::string& value, ReplyCheck* reply) {
  std::istringstream words(value);
  std::string word;
  size_t status = 0;
  if (!(words >> word) || !ReadNumber(word, &status)) return false;
  reply->status = static_cast<int>(status);
  while (words >> word) {
    if (word == "HEAD") {
      reply->to_head = true;
    } else if (word != "x" || !(words >> word) || !ReadNumber(word, &reply->count)) {
      return false;
    }
  }
  return status >= 100 && status < 600 && reply->count > 0;
}

bool IsRegex(const std::string& text) {
  try {
    std::regex regex(text);
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

class Parser {
 public:
  explicit Parser(Table* table) : table_(*table) {}

  std::string Parse(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      ++number_;
      if (line.empty() || line[0] == '#') continue;
      if (std::string wrong = TakeLine(line); !wrong.empty()) return At(number_, wrong);
    }
    if (table_.cases.empty()) return At(number_, "no cases");
    if (table_.about.empty()) return At(number_, "no about:");
    std::string wrong = EndCase();
    return wrong.empty() ? "" : At(number_, wrong);
  }

 private:
  std::string At(int line, const std::string& wrong) const {
    return table_.path + ":" + std::to_string(line) + ": " + wrong;
  }

  std::string TakeLine(const std::string& line) {
    if (line.starts_with("== ")) {
      if (std::string wrong = EndCase(); !wrong.empty()) return wrong;
      table_.cases.emplace_back();
      table_.cases.back().name = line.substr(3);
      table_.cases.back().line = number_;
      if (!names_.insert(TestName(line.substr(3))).second) return "a second case of this name";
      return "";
    }
    std::string value = line, key;
    if (line[0] != '>' && !TakeBefore(&value, ":", &key)) return "neither a case nor key: value";
    value.erase(0, value.find_first_not_of(' '));
    if (table_.cases.empty()) return TakeOfTable(key, value);
    Case& c = table_.cases.back();
    if (line[0] == '>') {
      c.request += line.substr(std::min<size_t>(2, line.size()));
      return c.replies.empty() ? "" : "bytes after a reply";
    }
    return TakeOfCase(c, key, value);
  }

  std::string TakeOfTable(const std::string& key, const std::string& value) {
    if (key == "about") {
      table_.about = value;
    } else if (key == "flags") {
      std::istringstream words(value);
      for (std::string word; words >> word;) table_.flags.push_back(word);
    } else {
      return "unknown key before the first case: " + key;
    }
    return "";
  }

  std::string TakeOfCase(Case& c, const std::string& key, std::string value) {
    if (key == "rfc") {
      c.rfc = value;
      return IsCitation(value) ? "" : "not an RFC and a section: " + value;
    }
    if (key == "client") return (c.client_ends = value == "ends") ? "" : "client: is only ends";
    if (key == "cut") return (c.cut_everywhere = value == "everywhere") ? "" : "cut: everywhere";
    if (key == "then") {
      c.open = value == "open";
      return value == "open" || value == "closed" ? "" : "then: open or closed";
    }
    if (key == "choice") {
      c.choice = value;
      return "";
    }
    if (key == "nginx") {
      if (!TakeBefore(&value, " -- ", &c.nginx) || value.empty()) return "nginx: without a reason";
      c.nginx_reason = value;
      return "";
    }
    if (key == "reply") {
      c.replies.emplace_back();
      return ReadReply(value, &c.replies.back()) ? "" : "not a reply: " + value;
    }
    if (c.replies.empty()) return "unknown key, or one of a reply before any: " + key;
    return TakeOfReply(c.replies.back(), key, value);
  }

  static std::string TakeOfReply(ReplyCheck& reply, const std::string& key, std::string value) {
    std::string name;
    if (key == "has") {
      bool any = !TakeBefore(&value, ": ", &name);
      reply.fields.push_back(any ? FieldCheck{FieldCheck::Kind::kPresent, value, ""}
                                 : FieldCheck{FieldCheck::Kind::kEquals, name, value});
    } else if (key == "match") {
      if (!TakeBefore(&value, ": ", &name) || !IsRegex(value))
        return "match: without an expression";
      reply.fields.push_back({FieldCheck::Kind::kMatches, name, value});
    } else if (key == "no") {
      reply.fields.push_back({FieldCheck::Kind::kAbsent, value, ""});
    } else if (key == "body") {
      reply.body = Unescape(value, [](const std::string&) { return std::string(); });
      return reply.body.has_value() ? "" : "a malformed escape";
    } else if (key == "parts") {
      reply.parts = value;
    } else if (key == "like") {
      reply.like_get = value == "GET" && reply.to_head;
      return reply.like_get ? "" : "like: is only GET, of a reply to HEAD";
    } else {
      return "unknown key: " + key;
    }
    return "";
  }

  std::string EndCase() const {
    if (table_.cases.empty()) return "";
    const Case& c = table_.cases.back();
    if (c.rfc.empty()) return "the case before has no rfc:";
    if (!c.open.has_value()) return "the case before has no then:";
    if (c.client_ends && *c.open) return "the case before ends, and so is not open";
    if (!Unescape(c.request, [](const std::string&) { return std::string(); })) {
      return "the case before has a malformed escape";
    }
    return "";
  }

  Table& table_;
  std::set<std::string> names_;
  int number_ = 0;
};

int HexDigit(char c) {
  const std::string kDigits = "0123456789abcdef";
  size_t at = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
  return at == std::string::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string ParseTable(const std::string& text, Table* table) { return Parser(table).Parse(text); }

std::string ReadTables(const std::string& directory, std::vector<Table>* tables) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".cases") continue;
    Table table;
    table.topic = entry.path().stem();
    table.path = entry.path();
    tables->push_back(table);
  }
  if (tables->empty()) return "no tables in " + directory;
  std::sort(tables->begin(), tables->end(),
            [](const Table& a, const Table& b) { return a.topic < b.topic; });
  for (Table& table : *tables) {
    std::ostringstream text;
    text << std::ifstream(table.path, std::ios::binary).rdbuf();
    if (std::string wrong = ParseTable(text.str(), &table); !wrong.empty()) return wrong;
  }
  return "";
}

std::optional<std::string> Unescape(const std::string& text,
                                    const std::function<std::string(const std::string&)>& tag_of) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case 'r':
        out += '\r';
        break;
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case '0':
        out += '\0';
        break;
      case '\\':
        out += '\\';
        break;
      case 'x': {
        int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
        int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
        break;
      }
      case '(': {
        size_t star = text.find('*', i), end = text.find(')', i);
        size_t count = 0;
        if (end == std::string::npos || star > end) return std::nullopt;
        if (!ReadNumber(text.substr(i + 1, star - i - 1), &count)) return std::nullopt;
        auto part = Unescape(text.substr(star + 1, end - star - 1), tag_of);
        if (!part) return std::nullopt;
        while (count-- > 0) out += *part;
        i = end;
        break;
      }
      case '{': {
        size_t end = text.find('}', i);
        if (end == std::string::npos || text.compare(i, 6, "{etag ") != 0) return std::nullopt;
        out += tag_of(text.substr(i + 6, end - i - 6));
        i = end;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return out;
}

std::string TestName(const std::string& case_name) {
  std::string name = case_name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

std::string VerdictOf(const std::vector<int>& statuses, bool open) {
  std::string verdict;
  for (size_t i = 0; i < statuses.size();) {
    size_t end = i;
    while (end < statuses.size() && statuses[end] == statuses[i]) ++end;
    verdict += std::to_string(statuses[i]) + " ";
    if (end - i > 1) verdict += "x " + std::to_string(end - i) + " ";
    i = end;
  }
  return (verdict.empty() ? "none " : verdict) + (open ? "open" : "closed");
}

std::string ExpectedVerdict(const Case& c) {
  std::vector<int> statuses;
  for (const ReplyCheck& reply : c.replies) {
    statuses.insert(statuses.end(), reply.count, reply.status);
  }
  return VerdictOf(statuses, *c.open);
}

}  // namespace knot::test
