#include "knot/clock.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>

#include "knot/threads.h"

namespace knot {
namespace {

constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// A text whose bytes may be read while they are written: what is read then is told apart by `turn`.
template <class T>
class SharedText {
 public:
  void Write(const T& text) {
    uint64_t words[kWords];
    std::memcpy(words, &text, sizeof words);
    for (int i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_release);
  }

  T Read() const {
    uint64_t words[kWords];
    for (int i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_acquire);
    T text;
    std::memcpy(&text, words, sizeof words);
    return text;
  }

 private:
  static constexpr int kWords = sizeof(T) / sizeof(uint64_t);
  static_assert(sizeof(T) % sizeof(uint64_t) == 0);

  std::atomic<uint64_t> words_[kWords];
};

struct Slot {
  SharedText<ReplyStart> reply_start;
  SharedText<LogDate> log_date;
};

Slot slots[2];
std::atomic<uint32_t> turn{0};  // slots[turn % 2] is published; the other may be being written
std::atomic<uint32_t> seconds{0};

// A slot is written again only after the turn has passed from it. So a reader that sees a word of
// the next but one second sees a later turn, too.
template <class T>
T Current(SharedText<T> Slot::*text) {
  for (;;) {
    const uint32_t before = turn.load(std::memory_order_acquire);
    T copy = (slots[before % 2].*text).Read();
    if (turn.load(std::memory_order_relaxed) == before) return copy;
  }
}

void PutTwoDigits(char* out, int number) {
  out[0] = static_cast<char>('0' + number / 10);
  out[1] = static_cast<char>('0' + number % 10);
}

// Names are written from tables rather than by strftime because a locale must not reach the wire.
void Publish(uint32_t number) {
  const uint32_t next = turn.load(std::memory_order_relaxed) + 1;
  // Not time(2): it may be a tick behind, and so still in the second that has just ended.
  timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  const time_t now = precise.tv_sec;
  char date[30];
  FormatHttpDate(now, date);
  ReplyStart start{};
  std::snprintf(start.bytes, sizeof start.bytes, "HTTP/1.1 200 OK\r\nDate: %s\r\n", date);
  tm parts;
  gmtime_r(&now, &parts);
  LogDate log_date{};
  std::snprintf(log_date.bytes, sizeof log_date.bytes, "[%02d/%s/%04d:%02d:%02d:%02d +0000]",
                parts.tm_mday, kMonths[parts.tm_mon], (parts.tm_year + 1900) % 10000, parts.tm_hour,
                parts.tm_min, parts.tm_sec);
  Slot& slot = slots[next % 2];
  slot.reply_start.Write(start);
  slot.log_date.Write(log_date);
  turn.store(next, std::memory_order_release);
  seconds.store(number, std::memory_order_release);  // last: whoever sees it finds its texts
}

void* Tick(void*) {
  for (uint32_t number = 2;; ++number) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    timespec rest{now.tv_nsec == 0 ? 1 : 0, now.tv_nsec == 0 ? 0 : 1'000'000'000 - now.tv_nsec};
    nanosleep(&rest, nullptr);
    Publish(number);
  }
}

}  // namespace

void FormatHttpDate(int64_t time, char out[30]) {
  // A file may carry any time; the format has years of four digits only.
  constexpr int64_t kEndOf9999 = 253402300799;
  time_t seconds_since_epoch = std::clamp(time, int64_t{0}, kEndOf9999);
  tm parts;
  gmtime_r(&seconds_since_epoch, &parts);
  // Not snprintf: a file is loaded on the stack of any connection, of which it would bring a page
  // more into use.
  std::memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", 30);
  std::memcpy(out, kDays[parts.tm_wday], 3);
  std::memcpy(out + 8, kMonths[parts.tm_mon], 3);
  PutTwoDigits(out + 5, parts.tm_mday);
  PutTwoDigits(out + 12, (parts.tm_year + 1900) / 100);
  PutTwoDigits(out + 14, parts.tm_year % 100);
  PutTwoDigits(out + 17, parts.tm_hour);
  PutTwoDigits(out + 20, parts.tm_min);
  PutTwoDigits(out + 23, parts.tm_sec);
}

absl::Status StartClock() {
  Publish(1);
  return StartThread(kServiceStackBytes, Tick, nullptr);
}

int PublishSecond() {
  static uint32_t number = 0;
  static int64_t start = 0;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (number == 0) start = now.tv_sec;
  // The caller may have been late; a number is never used twice.
  number = std::max(number + 1, static_cast<uint32_t>(now.tv_sec - start));
  Publish(number);
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int>((1'000'000'000 - now.tv_nsec) / 1'000'000) + 1;
}

uint32_t SecondsNow() { return seconds.load(std::memory_order_acquire); }

ReplyStart ReplyStartNow() { return Current(&Slot::reply_start); }

LogDate LogDateNow() { return Current(&Slot::log_date); }

}  // namespace knot
