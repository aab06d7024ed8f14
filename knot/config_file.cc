#include "knot/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t'; }

bool HasControls(absl::string_view text) {
  for (char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') return true;
  }
  return false;
}

// Returns: where in `text` the comment begins, or its size.
size_t CommentStart(absl::string_view text) {
  for (size_t i = text.find('#'); i != absl::string_view::npos; i = text.find('#', i + 1)) {
    if (i == 0 || IsSpace(text[i - 1])) return i;
  }
  return text.size();
}

// Reads a value from its opening quote on. Returns: "" or what is wrong.
absl::string_view ReadQuoted(absl::string_view text, std::string* value) {
  size_t i = 1;
  for (; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && (++i == text.size() || (text[i] != '"' && text[i] != '\\'))) {
      return "in quotes a backslash stands before a quote or a backslash only";
    }
    value->push_back(text[i]);
  }
  if (i >= text.size()) return "the quote is not closed";
  absl::string_view rest = absl::StripAsciiWhitespace(text.substr(i + 1));
  if (!rest.empty() && rest[0] != '#') return "there is text behind the closing quote";
  return "";
}

// Returns: "" or what is wrong. Leaves the name empty where the line says nothing.
absl::string_view ReadLine(absl::string_view text, ConfigLine* line) {
  if (HasControls(text)) return "there is a control character";
  text = absl::StripAsciiWhitespace(text);
  if (text.empty() || text[0] == '#') return "";
  size_t equals = text.find('=');
  if (equals == absl::string_view::npos) return "must be NAME = VALUE";
  absl::string_view name = absl::StripAsciiWhitespace(text.substr(0, equals));
  if (name.empty()) return "there is no name before the '='";
  for (char c : name) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) return "no flag has such a name";
  }
  // From here on the name tells that the line says something.
  line->name = std::string(name);
  absl::string_view value = text.substr(equals + 1);
  absl::string_view stripped = absl::StripAsciiWhitespace(value);
  if (!stripped.empty() && stripped[0] == '"') return ReadQuoted(stripped, &line->value);
  line->value = std::string(absl::StripAsciiWhitespace(value.substr(0, CommentStart(value))));
  return "";
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return false;
  return IsSpace(value.front()) || IsSpace(value.back()) || value.front() == '"' ||
         CommentStart(value) != value.size();
}

// Returns: what was read, at most kMaxConfigBytes + 1, or an empty text and errno.
std::string ReadAll(int descriptor, bool* failed) {
  std::string text;
  char part[4096];
  *failed = false;
  while (text.size() <= kMaxConfigBytes) {
    ssize_t n = read(descriptor, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    *failed = n < 0;
    if (n <= 0) break;
    text.append(part, n);
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<ConfigLine>> ParseConfig(absl::string_view text) {
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");  // a byte order mark, as some editors put it first
  std::vector<ConfigLine> lines;
  int number = 0;
  for (absl::string_view piece : absl::StrSplit(text, '\n')) {
    if (!piece.empty() && piece.back() == '\r') piece.remove_suffix(1);
    ConfigLine line;
    line.number = ++number;
    absl::string_view wrong = ReadLine(piece, &line);
    if (!wrong.empty()) return absl::InvalidArgumentError(absl::StrCat(number, ": ", wrong));
    if (!line.name.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& name) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  int descriptor = open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read the config file ", name));
  }
  struct stat stat;
  bool regular = fstat(descriptor, &stat) == 0 && S_ISREG(stat.st_mode);
  bool failed = false;
  std::string text = regular ? ReadAll(descriptor, &failed) : "";
  int error = errno;
  close(descriptor);
  if (!regular) {
    return absl::InvalidArgumentError(absl::StrCat("the config file ", name, " is no file"));
  }
  if (failed) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot read the config file ", name));
  }
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the config file ", name, " is longer than ", kMaxConfigBytes, " bytes"));
  }
  return text;
}

std::string FormatConfigLine(absl::string_view name, absl::string_view value) {
  if (!NeedsQuotes(value)) {
    return absl::StrCat(name, value.empty() ? " =" : " = ", value, "\n");
  }
  std::string line = absl::StrCat(name, " = \"");
  for (char c : value) {
    if (c == '"' || c == '\\') line.push_back('\\');
    line.push_back(c);
  }
  return line + "\"\n";
}

}  // namespace knot
