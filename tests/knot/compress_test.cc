#include "knot/compress.h"

#include <brotli/decode.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>

namespace knot {
namespace {

std::string Expand(Coding coding, const std::string& from, size_t size) {
  std::string to(size, '\0');
  if (coding == Coding::kGzip) {
    z_stream stream{};
    EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
    stream.avail_in = from.size();
    stream.next_out = reinterpret_cast<Bytef*>(&to[0]);
    stream.avail_out = size;
    EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
    EXPECT_EQ(stream.total_out, size);
    inflateEnd(&stream);
  } else if (coding == Coding::kBrotli) {
    size_t got = size;
    EXPECT_EQ(BrotliDecoderDecompress(from.size(), reinterpret_cast<const uint8_t*>(from.data()),
                                      &got, reinterpret_cast<uint8_t*>(&to[0])),
              BROTLI_DECODER_RESULT_SUCCESS);
    EXPECT_EQ(got, size);
  } else {
    EXPECT_EQ(ZSTD_decompress(&to[0], size, from.data(), from.size()), size);
  }
  return to;
}

TEST(Compress, WhatComesOutIsWhatWentIn) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i * i) + "\n";
  std::string noise;
  uint32_t state = 1;
  for (int i = 0; i < 50'000; ++i)
    noise += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  for (Coding coding : {Coding::kGzip, Coding::kBrotli, Coding::kZstd}) {
    SCOPED_TRACE(CodingName(coding));
    for (const std::string& contents : {text, noise, std::string("x")}) {
      std::string out = "head";
      ASSERT_TRUE(Compress(coding, contents, &out));
      EXPECT_EQ(out.substr(0, 4), "head");
      EXPECT_TRUE(Expand(coding, out.substr(4), contents.size()) == contents);
    }
    std::string out;
    ASSERT_TRUE(Compress(coding, text, &out));
    EXPECT_LT(out.size(), text.size() / 2);
  }
}

}  // namespace
}  // namespace knot
