// Understands which parts of a file a request wants.
//
// Source: RFC 9110, 14.1.1, 14.1.2, 14.2, 15.5.17.
#ifndef KNOT_RANGES_H_
#define KNOT_RANGES_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace knot {

struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;  // not before `first`

  uint64_t size() const { return last - first + 1; }
};

// What a Range field asks for. No more than kMost ranges are sent, and no byte twice: ranges that
// overlap, or lie closer together than two parts of a reply cost, are joined. So a reply is never
// much larger than the file, whatever the field says.
class Ranges {
 public:
  static constexpr size_t kMost = 16;

  enum class Kind : uint8_t {
    kIgnored,        // none, of another unit, malformed, or of too many parts: send the whole
    kSome,           // send these
    kUnsatisfiable,  // 416: all lie behind the end
  };

  // Reads the field's value for a file of `size` bytes. An empty file is always sent whole, since a
  // reply could not say of which range it is.
  Ranges(absl::string_view value, uint64_t size);

  Kind kind() const { return kind_; }
  size_t count() const { return count_; }
  const ByteRange& operator[](size_t i) const { return list_[i]; }

 private:
  bool Add(absl::string_view spec, uint64_t size);
  bool Join(ByteRange added);

  Kind kind_ = Kind::kIgnored;
  size_t count_ = 0;
  ByteRange list_[kMost];  // in the order asked for
};

}  // namespace knot

#endif  // KNOT_RANGES_H_
