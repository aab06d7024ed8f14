// Owns a file descriptor.
#ifndef KNOT_DESCRIPTOR_H_
#define KNOT_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace knot {

// Closes what it owns at its end, however that comes about. -1 is none.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  ~Descriptor() { Reset(); }

  int get() const { return value_; }

  // Closes what it owns and owns `value` instead.
  void Reset(int value = -1) {
    if (value_ >= 0) close(value_);
    value_ = value;
  }

  // Leaves closing it to the caller.
  int Release() { return std::exchange(value_, -1); }

 private:
  int value_ = -1;
};

}  // namespace knot

#endif  // KNOT_DESCRIPTOR_H_
