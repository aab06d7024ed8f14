// Chooses among the content codings of a file by what a client accepts.
//
// Source: RFC 9110, 8.4.1, 12.4.2, 12.5.3; RFC 7932 (br); RFC 8878 (zstd).
#ifndef KNOT_CODINGS_H_
#define KNOT_CODINGS_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace knot {

// In the order of preference where a client has none.
enum class Coding : uint8_t { kBrotli, kZstd, kGzip, kIdentity };
inline constexpr size_t kCodings = 3;  // without kIdentity

// Returns: the coding's name in HTTP; of kIdentity "identity".
absl::string_view CodingName(Coding coding);

// Returns: what a file's name ends in where it holds another's contents in this coding: ".br",
// ".zst", ".gz".
absl::string_view CodingSuffix(Coding coding);

// Takes what stands before the next `separator`, or everything, off a list; without the white space
// around it.
absl::string_view TakeElement(absl::string_view* list, char separator);

// Reads a qvalue (RFC 9110, 12.4.2): 0 or 1, with up to three decimals, in thousandths. Returns: -1
// where it is none.
int ParseWeight(absl::string_view text);

// A set of codings.
class CodingSet {
 public:
  void Add(Coding coding) { bits_ |= Bit(coding); }
  void Remove(Coding coding) { bits_ &= static_cast<uint8_t>(~Bit(coding)); }
  bool Has(Coding coding) const { return (bits_ & Bit(coding)) != 0; }
  bool empty() const { return bits_ == 0; }

 private:
  static uint8_t Bit(Coding coding) { return static_cast<uint8_t>(1u << static_cast<int>(coding)); }

  uint8_t bits_ = 0;
};

// What a request's Accept-Encoding says: a weight for each coding, 0 to 1000.
//
// Differs: a client that accepts nothing there is, identity neither, is sent the file as it is
// rather than 406; so do other servers, and such clients are tests.
class AcceptedCodings {
 public:
  // Takes a line of the field in. What is malformed counts for nothing.
  void Note(absl::string_view line);

  // Tells whether anything but identity is accepted.
  bool any() const;

  // Returns: the coding of `available`, or kIdentity, with the greatest weight; of several the
  // first by preference.
  Coding Best(CodingSet available) const;

 private:
  static constexpr int16_t kUnset = -1;

  int WeightOf(Coding coding) const;

  int16_t weights_[kCodings + 1] = {kUnset, kUnset, kUnset, kUnset};
  int16_t others_ = kUnset;  // of "*"
};

}  // namespace knot

#endif  // KNOT_CODINGS_H_
