// Writes text to a descriptor in pieces, without libc and without allocating: for reports that may
// be asked for anywhere. Source: write(2).
#ifndef BOBBIN_RUNTIME_TEXT_H_
#define BOBBIN_RUNTIME_TEXT_H_

#include <cstddef>
#include <cstdint>

#include "runtime/raw_syscall.h"

namespace bobbin {

class Text {
 public:
  explicit Text(int fd) : fd_(fd) {}

  Text& Put(const char* text) {
    for (; *text != '\0'; ++text) Add(*text);
    return *this;
  }
  Text& Number(uint64_t value) { return InBase(value, 10); }
  Text& Hex(uint64_t value) { return InBase(value, 16); }

  // `part` of `whole` with two decimals; of nothing: 0.00%.
  Text& Percent(uint64_t part, uint64_t whole) {
    uint64_t share =
        whole == 0 ? 0
                   : static_cast<uint64_t>(static_cast<unsigned __int128>(part) * 10000 / whole);
    Number(share / 100).Put(".");
    if (share % 100 < 10) Put("0");
    return Number(share % 100).Put("%");
  }

  // Returns: 0, or the errno value of the first write that failed.
  int Flush() {
    size_t done = 0;
    while (done < size_ && error_ == 0) {
      long result = RawSyscall(SYS_write, fd_, buffer_ + done, size_ - done);
      if (result < 0) error_ = static_cast<int>(-result);
      if (result > 0) done += static_cast<size_t>(result);
    }
    size_ = 0;
    return error_;
  }

 private:
  void Add(char c) {
    if (size_ == sizeof buffer_) Flush();
    buffer_[size_++] = c;
  }
  Text& InBase(uint64_t value, unsigned base) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (count > 0) Add(digits[--count]);
    return *this;
  }

  int fd_;
  int error_ = 0;
  size_t size_ = 0;
  char buffer_[1024];
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_TEXT_H_
