// Compresses file contents that are kept in memory.
#ifndef KNOT_COMPRESS_H_
#define KNOT_COMPRESS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "knot/codings.h"

namespace knot {

// Appends `contents` in `coding` to `out`: gzip by zlib, br by libbrotli, zstd by libzstd, at the
// level of each that is about as fast as gzip's default.
//
// Returns: false where there is no memory for it; then `out` is as it was. Never blocks, but
// computes: a millisecond for some ten kilobytes.
bool Compress(Coding coding, absl::string_view contents, std::string* out);

// Returns: how much memory Compress needs at most for `size` bytes, its result included. Most is
// brotli's, for its window and tables.
constexpr int64_t CompressingBytes(int64_t size) { return (16 << 20) + size + size / 8 + 1024; }

}  // namespace knot

#endif  // KNOT_COMPRESS_H_
