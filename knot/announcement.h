// What a process says at its start, once: whether it serves.
#ifndef KNOT_ANNOUNCEMENT_H_
#define KNOT_ANNOUNCEMENT_H_

#include <functional>
#include <string>

namespace knot {

struct Announcement {
  bool serves = false;
  std::string errors;  // lines for standard error: warnings, or why it cannot serve
  std::string output;  // lines for standard output
};

// Returns: what it says that is wrong, without the program's name and without an end of line.
std::string ReasonOf(const Announcement& announcement);

// Writes it to this process's standard error and standard output.
void Print(const Announcement& announcement);

// How a process says it.
using Announce = std::function<void(const Announcement&)>;

// Sends it through a pipe or socket to who calls ReceiveAnnouncement. Nobody being there is no
// error. Blocks: while the pipe is full.
void SendAnnouncement(const Announcement& announcement, int to);

// Returns: what was sent until the other end was closed, or shut down for sending; without a word
// where nothing whole was. Blocks: until then.
Announcement ReceiveAnnouncement(int from);

}  // namespace knot

#endif  // KNOT_ANNOUNCEMENT_H_
