#include "knot/compress.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <new>

namespace knot {
namespace {

constexpr int kGzipLevel = 6;
constexpr int kBrotliQuality = 5;
constexpr int kZstdLevel = 6;

// Each returns the size of what it wrote to `to`, or 0.

size_t Gzip(absl::string_view from, char* to, size_t room) {
  constexpr int kWindowBits = 15 + 16;  // 16: with a header of gzip
  constexpr int kMemoryLevel = 8;
  z_stream stream{};
  if (deflateInit2(&stream, kGzipLevel, Z_DEFLATED, kWindowBits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return 0;
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(to);
  stream.avail_out = static_cast<uInt>(room);
  bool ended = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  size_t size = stream.total_out;
  deflateEnd(&stream);
  return ended ? size : 0;
}

size_t Brotli(absl::string_view from, char* to, size_t room) {
  size_t size = room;
  bool done = BrotliEncoderCompress(kBrotliQuality, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT,
                                    from.size(), reinterpret_cast<const uint8_t*>(from.data()),
                                    &size, reinterpret_cast<uint8_t*>(to)) == BROTLI_TRUE;
  return done ? size : 0;
}

size_t Zstd(absl::string_view from, char* to, size_t room) {
  size_t size = ZSTD_compress(to, room, from.data(), from.size(), kZstdLevel);
  return ZSTD_isError(size) ? 0 : size;
}

}  // namespace

bool Compress(Coding coding, absl::string_view contents, std::string* out) {
  const size_t before = out->size();
  // Room for what cannot be made smaller, by any of them.
  const size_t room = contents.size() + contents.size() / 8 + 1024;
  try {
    out->resize(before + room);
  } catch (const std::bad_alloc&) {
    return false;
  }
  char* to = &(*out)[before];
  size_t size = coding == Coding::kGzip     ? Gzip(contents, to, room)
                : coding == Coding::kBrotli ? Brotli(contents, to, room)
                                            : Zstd(contents, to, room);
  out->resize(before + size);
  return size > 0;
}

}  // namespace knot
