// Files in other codings, over real connections: which is sent to whom, and that a coded file is
// one of its own for caches, conditions and ranges (RFC 9110, 8.4, 12.5.3, 12.5.5, 13, 14).

#include <brotli/decode.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <string>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

// Returns: "undecodable" where it is not in the coding.
std::string Decode(const std::string& coding, const std::string& bytes) {
  std::string out(1 << 20, '\0');
  size_t size = out.size();
  bool good = false;
  if (coding.empty()) return bytes;
  if (coding == "br") {
    good = BrotliDecoderDecompress(bytes.size(), reinterpret_cast<const uint8_t*>(bytes.data()),
                                   &size, reinterpret_cast<uint8_t*>(out.data())) ==
           BROTLI_DECODER_RESULT_SUCCESS;
  } else if (coding == "zstd") {
    size = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
    good = ZSTD_isError(size) == 0;
  } else if (coding == "gzip") {
    z_stream stream{};
    inflateInit2(&stream, 15 + 16);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    good = inflate(&stream, Z_FINISH) == Z_STREAM_END;
    size = stream.total_out;
    inflateEnd(&stream);
  }
  return good ? out.substr(0, size) : "undecodable";
}

class Coded : public KnotTest {
 protected:
  void SetUp() override {
    for (int i = 0; i < 500; ++i) text_ += "line " + std::to_string(i) + " of a text\n";
    WriteFile(root_ / "text.txt", text_);
    WriteFile(root_ / "small.txt", "short");
    WriteFile(root_ / "noise.txt", Pattern(4000));
    WriteFile(root_ / "photo.png", text_);
  }

  // Asks until `coding` comes: while one thread makes it, others get the file as it is, and so may
  // a client until a changed file is seen.
  Reply AskUntil(const std::string& coding, const std::string& fields,
                 const std::string& target = "/text.txt") {
    Reply reply;
    for (int i = 0; i < 2000; ++i, usleep(10'000)) {
      reply = Ask(fields, "GET", target);
      if (reply.fields["content-encoding"] == coding) break;
    }
    EXPECT_EQ(reply.fields["content-encoding"], coding) << fields;
    return reply;
  }

  Reply Ask(const std::string& fields, const std::string& method = "GET",
            const std::string& target = "/text.txt") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(reply.failure, "");
    EXPECT_EQ(client.Get("/small.txt").body, "short") << "not kept, or out of step";
    return reply;
  }

  static void LetAge(const std::string& path, time_t seconds = 784111777) {
    const timespec times[2] = {{seconds, 123}, {seconds, 123}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  std::string text_;
};

struct Choice {
  const char* field;
  const char* coding;  // empty: the file as it is
};

// With br, zstd and gzip to be had.
constexpr Choice kChoices[] = {
    {"", ""},
    {"Accept-Encoding:\r\n", ""},
    {"Accept-Encoding: gzip\r\n", "gzip"},
    {"Accept-Encoding: x-gzip\r\n", "gzip"},
    {"Accept-Encoding: GZIP\r\n", "gzip"},
    {"Accept-Encoding: zstd\r\n", "zstd"},
    {"Accept-Encoding: br\r\n", "br"},
    {"Accept-Encoding: deflate\r\n", ""},
    {"Accept-Encoding: gzip, deflate, br, zstd\r\n", "br"},
    {"Accept-Encoding: gzip, zstd\r\n", "zstd"},
    {"Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", "br"},
    {"Accept-Encoding: br;q=0.5, gzip\r\n", "gzip"},
    {"Accept-Encoding: br;q=0.1, gzip;q=0.2, zstd;q=0.15\r\n", "gzip"},
    {"Accept-Encoding: br;q=0.001\r\n", "br"},
    {"Accept-Encoding: br;q=0\r\n", ""},
    {"Accept-Encoding: br;q=0, gzip;q=0.000\r\n", ""},
    {"Accept-Encoding: br;q=0, *\r\n", "zstd"},
    {"Accept-Encoding: *\r\n", "br"},
    {"Accept-Encoding: *;q=0\r\n", ""},  // nothing is: the file as it is, rather than 406
    {"Accept-Encoding: identity;q=0\r\n", ""},
    {"Accept-Encoding: identity;q=0, gzip;q=0.1\r\n", "gzip"},
    {"Accept-Encoding: *;q=0, gzip\r\n", "gzip"},
    {"Accept-Encoding: identity, gzip;q=0.5\r\n", ""},
    {"Accept-Encoding: identity;q=0.5, gzip\r\n", "gzip"},
    {"Accept-Encoding: gzip ; q=1 , br ; q=0.9\r\n", "gzip"},
    {"Accept-Encoding: gzip;q=2, br;q=0.5\r\n", "br"},  // what is malformed counts for nothing
    {"Accept-Encoding: gzip;q=x\r\n", ""},
};

TEST_P(Coded, IsOffUnlessAskedFor) {
  WriteFile(root_ / "text.txt.gz", "compressed");
  Start({"--threads=4"});
  Reply reply = Ask("Accept-Encoding: gzip, br\r\n");
  EXPECT_TRUE(reply.body == text_);
  EXPECT_EQ(reply.fields.count("content-encoding") + reply.fields.count("vary"), 0u);
}

TEST_P(Coded, IsMadeForWhoAcceptsIt) {
  Start({"--threads=4", "--compress=br,zstd,gzip"});
  for (const char* coding : {"br", "zstd", "gzip"}) {
    AskUntil(coding, std::string("Accept-Encoding: ") + coding + "\r\n");
  }
  for (const Choice& c : kChoices) {
    SCOPED_TRACE(c.field);
    Reply reply = AskUntil(c.coding, c.field);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.fields["vary"], "Accept-Encoding");
    EXPECT_EQ(reply.fields["content-type"], "text/plain; charset=utf-8");
    EXPECT_TRUE(Decode(c.coding, reply.body) == text_);
    EXPECT_LE(reply.body.size(), *c.coding == '\0' ? text_.size() : text_.size() / 2);
    Reply head = Ask(c.field, "HEAD");
    for (const char* field : {"content-encoding", "content-length", "vary"}) {
      EXPECT_EQ(head.fields[field], reply.fields[field]) << field;
    }
  }
}

TEST_P(Coded, IsOnlyWhatIsAllowedAndPays) {
  Start({"--threads=4", "--compress=gzip"});
  const std::string all = "Accept-Encoding: br, zstd, gzip\r\n";
  AskUntil("gzip", all);
  for (const char* target : {"/small.txt", "/photo.png"}) {
    Reply reply = Ask(all, "GET", target);
    EXPECT_EQ(reply.fields.count("content-encoding") + reply.fields.count("vary"), 0u) << target;
  }
  for (int i = 0; i < 3; ++i) {
    Reply reply = Ask(all, "GET", "/noise.txt");
    EXPECT_EQ(reply.fields.count("content-encoding"), 0u) << "it would not become smaller";
    EXPECT_TRUE(reply.body == Pattern(4000));
  }
}

TEST_P(Coded, IsAFileOfItsOwnForConditions) {
  LetAge(root_ / "text.txt");
  Start({"--threads=4", "--compress=br,gzip"});
  const std::string gzip = "Accept-Encoding: gzip\r\n", br = "Accept-Encoding: br\r\n";
  std::string coded = AskUntil("gzip", gzip).fields["etag"];
  std::string other = AskUntil("br", br).fields["etag"];
  std::string plain = Ask("").fields["etag"];
  EXPECT_NE(coded, plain);
  EXPECT_NE(coded, other);
  for (const char* method : {"GET", "HEAD"}) {
    Reply same = Ask(gzip + "If-None-Match: " + coded + "\r\n", method);
    EXPECT_EQ(same.status, 304);
    EXPECT_EQ(same.fields["etag"], coded);
    EXPECT_EQ(same.fields["vary"], "Accept-Encoding");
    EXPECT_EQ(same.fields.count("content-encoding"), 0u);
    EXPECT_EQ(Ask(gzip + "If-None-Match: " + plain + "\r\n", method).status, 200);
    EXPECT_EQ(Ask(br + "If-None-Match: " + coded + "\r\n", method).status, 200);
    EXPECT_EQ(Ask("If-None-Match: " + coded + "\r\n", method).status, 200);
    EXPECT_EQ(Ask(br + "If-None-Match: " + coded + ", " + other + "\r\n", method).status, 304);
  }
}

TEST_P(Coded, HasRangesOfItsOwn) {
  Start({"--threads=4", "--compress=gzip"});
  const std::string gzip = "Accept-Encoding: gzip\r\n";
  Reply whole = AskUntil("gzip", gzip);
  const std::string size = std::to_string(whole.body.size());
  Reply part = Ask(gzip + "Range: bytes=10-19\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.fields["content-encoding"], "gzip");
  EXPECT_EQ(part.fields["content-range"], "bytes 10-19/" + size);
  EXPECT_EQ(part.fields["vary"], "Accept-Encoding");
  EXPECT_TRUE(part.body == whole.body.substr(10, 10));
  Reply plain = Ask("Range: bytes=10-19\r\n");
  EXPECT_EQ(plain.fields["content-range"], "bytes 10-19/" + std::to_string(text_.size()));
  EXPECT_EQ(plain.fields.count("content-encoding"), 0u);
  EXPECT_TRUE(plain.body == text_.substr(10, 10));
  Reply beyond = Ask(gzip + "Range: bytes=" + size + "-\r\n");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.fields["content-range"], "bytes */" + size);
  EXPECT_EQ(Ask(gzip + "Range: bytes=0-0\r\nIf-Range: " + whole.fields["etag"] + "\r\n").status,
            200)
      << "made here, its tag is weak";
}

TEST_P(Coded, IsTakenFromBesideTheFile) {
  WriteFile(root_ / "text.txt.br", "as br");
  WriteFile(root_ / "text.txt.gz", "as gzip");
  WriteFile(root_ / "text.txt.zst", "as zstd");
  WriteFile(root_ / "big.txt", Pattern(300'000));
  WriteFile(root_ / "big.txt.gz", Pattern(200'000));
  for (const char* policy : {"auto", "cache", "inline"}) {
    SCOPED_TRACE(policy);
    Start({"--threads=4", "--precompressed=br,zstd,gzip", std::string("--send=") + policy});
    for (const Choice& c : kChoices) {
      SCOPED_TRACE(c.field);
      Reply reply = Ask(c.field);
      EXPECT_EQ(reply.fields["content-encoding"], c.coding);
      EXPECT_EQ(reply.fields["vary"], "Accept-Encoding");
      EXPECT_EQ(reply.fields["content-type"], "text/plain; charset=utf-8");
      EXPECT_EQ(reply.body, *c.coding == '\0' ? text_ : std::string("as ") + c.coding);
    }
    Reply big = Ask("Accept-Encoding: gzip\r\n", "GET", "/big.txt");
    EXPECT_TRUE(big.body == Pattern(200'000));
    Reply part = Ask("Accept-Encoding: gzip\r\nRange: bytes=-5\r\n", "GET", "/big.txt");
    EXPECT_EQ(part.fields["content-range"], "bytes 199995-199999/200000");
    EXPECT_EQ(part.fields["content-encoding"], "gzip");
    EXPECT_TRUE(part.body == Pattern(200'000).substr(199'995));
    Reply direct = Ask("", "GET", "/text.txt.gz");
    EXPECT_EQ(direct.body, "as gzip");
    EXPECT_EQ(direct.fields["content-type"], "application/gzip");
    EXPECT_EQ(direct.fields.count("content-encoding"), 0u);
  }
}

TEST_P(Coded, IsNotTakenFromBesideWhereItIsNoneOfTheFile) {
  WriteFile(root_ / "text.txt.gz", "too old");
  LetAge(root_ / "text.txt.gz");
  std::filesystem::create_directories(root_ / "text.txt.br");
  std::filesystem::create_symlink("/etc/passwd", root_ / "text.txt.zst");
  WriteFile(root_ / "none.txt.gz", "alone");
  Start({"--threads=4", "--precompressed=br,zstd,gzip"});
  Reply reply = Ask("Accept-Encoding: gzip, br, zstd\r\n");
  EXPECT_TRUE(reply.body == text_);
  EXPECT_EQ(reply.fields.count("content-encoding") + reply.fields.count("vary"), 0u);
  EXPECT_EQ(Ask("Accept-Encoding: gzip\r\n", "GET", "/none.txt").status, 404);
}

// Tools that compress give their file the time of the original, or only its seconds.
TEST_P(Coded, FromBesideIsTakenByTheFractionOfASecond) {
  struct {
    int file_ns, coded_ns;
    bool taken;
  } cases[] = {{500'000'000, 500'000'000, true},
               {500'000'000, 400'000'000, false},
               {500'000'000, 0, true},
               {500'000'123, 500'000'000, true},
               {500'000'123, 499'999'000, false}};
  Start({"--threads=4", "--precompressed=gzip"});
  for (size_t i = 0; i < std::size(cases); ++i) {
    const std::string name = "/" + std::to_string(i) + ".txt";
    WriteFile(root_ / name.substr(1), "plain");
    WriteFile(root_ / (name.substr(1) + ".gz"), "coded");
    auto date = [&](const std::string& path, int ns) {
      const timespec times[2] = {{784111777, ns}, {784111777, ns}};
      ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    };
    date(root_ / name.substr(1), cases[i].file_ns);
    date(root_ / (name.substr(1) + ".gz"), cases[i].coded_ns);
    EXPECT_EQ(Ask("Accept-Encoding: gzip\r\n", "GET", name).body,
              cases[i].taken ? "coded" : "plain")
        << i;
  }
}

TEST_P(Coded, FromBesideHasAStrongTagOfItsOwn) {
  WriteFile(root_ / "text.txt.gz", "as gzip");
  LetAge(root_ / "text.txt");
  LetAge(root_ / "text.txt.gz");
  Start({"--threads=4", "--precompressed=gzip"});
  const std::string gzip = "Accept-Encoding: gzip\r\n";
  std::string etag;
  for (int i = 0; i < 1000 && etag.compare(0, 1, "\"") != 0; ++i, usleep(10'000)) {
    etag = Ask(gzip).fields["etag"];
  }
  EXPECT_NE(Ask("").fields["etag"], etag);
  EXPECT_EQ(Ask(gzip + "If-None-Match: " + etag + "\r\n").status, 304);
  EXPECT_EQ(Ask(gzip + "If-Match: " + etag + "\r\n").status, 200);
  EXPECT_EQ(Ask("If-Match: " + etag + "\r\n").status, 412);
  EXPECT_EQ(Ask(gzip + "Range: bytes=0-1\r\nIf-Range: " + etag + "\r\n").body, "as");
  EXPECT_EQ(Ask("Range: bytes=0-1\r\nIf-Range: " + etag + "\r\n").status, 200);
}

TEST_P(Coded, FollowsAChangeOfTheFile) {
  Start({"--threads=4", "--compress=gzip"});
  const std::string gzip = "Accept-Encoding: gzip\r\n";
  AskUntil("gzip", gzip);
  const std::string changed = text_ + text_;
  WriteFile(root_ / "new", changed);
  std::filesystem::rename(root_ / "new", root_ / "text.txt");
  std::string got;
  for (int i = 0; i < 2000 && got != changed; ++i, usleep(10'000)) {
    Reply reply = Ask(gzip);
    got = Decode(reply.fields["content-encoding"], reply.body);
    ASSERT_TRUE(got == text_ || got == changed);
  }
  EXPECT_TRUE(got == changed);
}

INSTANTIATE_FOR_BINARIES(Coded);

}  // namespace
}  // namespace knot::test
