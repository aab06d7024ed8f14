#include "knot/announcement.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

// A socket that keeps messages apart loses what the reader has no room for.
constexpr size_t kPieceBytes = 4096;

}  // namespace

std::string ReasonOf(const Announcement& announcement) {
  absl::string_view line = absl::StripSuffix(announcement.errors, "\n");
  absl::ConsumePrefix(&line, "knot: ");
  return std::string(line);
}

void Print(const Announcement& announcement) {
  std::fputs(announcement.errors.c_str(), stderr);
  std::fputs(announcement.output.c_str(), stdout);
  std::fflush(stdout);
}

void SendAnnouncement(const Announcement& announcement, int to) {
  std::string text = absl::StrCat(announcement.serves ? "+" : "-", announcement.errors);
  text.push_back('\0');
  text += announcement.output;
  for (size_t done = 0; done < text.size();) {
    ssize_t count = write(to, text.data() + done, std::min(text.size() - done, kPieceBytes));
    if (count < 0 && errno != EINTR) return;  // nobody is left to be told
    if (count > 0) done += count;
  }
}

Announcement ReceiveAnnouncement(int from) {
  std::string text;
  char part[kPieceBytes];
  for (ssize_t count; (count = read(from, part, sizeof part)) != 0;) {
    if (count > 0) {
      text.append(part, count);
    } else if (errno != EINTR) {
      break;
    }
  }
  Announcement result;
  size_t end = text.find('\0');
  if (end == std::string::npos) return result;
  result.serves = text[0] == '+';
  result.errors = text.substr(1, end - 1);
  result.output = text.substr(end + 1);
  return result;
}

}  // namespace knot
