// Conditional requests and parts of files, over real connections, from memory and by sendfile.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class Partial : public KnotTest {
 protected:
  void SetUp() override {
    contents_ = Pattern(300'000);
    WriteFile(root_ / "file.txt", contents_);
    WriteFile(root_ / "empty.txt", "");
    for (const char* name : {"file.txt", "empty.txt"}) LetAge(root_ / name);
  }

  // As if it had changed long ago, so that its validators are strong.
  static void LetAge(const std::string& path) {
    const timespec times[2] = {{784111777, 123}, {784111777, 123}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  // The entity tag is strong once the file is known not to have changed for a while, change of its
  // status included.
  void StartAndSettle(const std::string& policy) {
    Start({"--send=" + policy, "--threads=8"});
    Client client(port_);
    for (int i = 0; i < 1000; ++i) {
      Reply reply = client.Get("/file.txt");
      etag_ = reply.fields["etag"];
      if (!etag_.empty() && etag_[0] == '"') break;
      usleep(10'000);
    }
    ASSERT_EQ(etag_.substr(0, 1), "\"") << "the tag never became strong";
  }

  Reply Ask(const std::string& fields, const std::string& method = "GET",
            const std::string& target = "/file.txt") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(client.Get("/empty.txt").status, 200) << "not kept, or out of step: " << reply.head;
    return reply;
  }

  std::string contents_, etag_;
};

// Takes a multipart/byteranges body apart. Returns: its parts' bodies, and checks their heads.
std::vector<std::string> PartsOf(const Reply& reply, size_t size) {
  const std::string type = reply.fields.at("content-type");
  const std::string kStart = "multipart/byteranges; boundary=";
  EXPECT_EQ(type.substr(0, kStart.size()), kStart);
  const std::string line = "--" + type.substr(kStart.size());
  std::vector<std::string> parts;
  std::string rest = reply.body;
  EXPECT_EQ(rest.substr(0, line.size() + 2), line + "\r\n");
  rest.erase(0, line.size() + 2);
  for (;;) {
    size_t head = rest.find("\r\n\r\n");
    size_t end = rest.find("\r\n" + line);
    if (head == std::string::npos || end == std::string::npos) {
      ADD_FAILURE() << "a part without an end";
      return parts;
    }
    unsigned long first = 0, last = 0, whole = 0;
    EXPECT_EQ(std::sscanf(rest.c_str(),
                          "Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes "
                          "%lu-%lu/%lu\r\n",
                          &first, &last, &whole),
              3)
        << rest.substr(0, head);
    parts.push_back(rest.substr(head + 4, end - head - 4));
    EXPECT_EQ(parts.back().size(), last - first + 1);
    EXPECT_EQ(whole, size);
    rest.erase(0, end + 2 + line.size());
    if (rest == "--\r\n") return parts;
    EXPECT_EQ(rest.substr(0, 2), "\r\n");
    rest.erase(0, 2);
  }
}

TEST_P(Partial, ValidatorsAreSentWithEveryFile) {
  StartAndSettle("auto");
  for (const char* method : {"GET", "HEAD"}) {
    Reply reply = Ask("", method);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.fields["etag"], etag_);
    EXPECT_EQ(reply.fields["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(reply.fields["accept-ranges"], "bytes");
  }
}

TEST_P(Partial, WhatTheClientHasIsNotSentAgain) {
  StartAndSettle("auto");
  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
  for (const char* method : {"GET", "HEAD"}) {
    for (const std::string& fields :
         {"If-None-Match: " + etag_, "If-None-Match: W/" + etag_, std::string("If-None-Match: *"),
          "If-Modified-Since: " + date, "If-None-Match: " + etag_ + "\r\nRange: bytes=0-0"}) {
      SCOPED_TRACE(fields);
      Reply reply = Ask(fields + "\r\n", method);
      EXPECT_EQ(reply.status, 304);
      EXPECT_EQ(reply.fields["etag"], etag_);
      EXPECT_EQ(reply.fields["last-modified"], date);
      EXPECT_EQ(reply.fields.count("content-length"), 0u);
      EXPECT_EQ(reply.fields.count("content-type"), 0u);
    }
    for (const std::string& fields : {std::string("If-Match: \"other\""), "If-Match: W/" + etag_,
                                      std::string("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 "
                                                  "GMT")}) {
      EXPECT_EQ(Ask(fields + "\r\n", method).status, 412) << fields;
    }
    EXPECT_EQ(Ask("If-Match: " + etag_ + "\r\n", method).status, 200);
    EXPECT_EQ(Ask("If-None-Match: \"other\"\r\n", method).status, 200);
  }
  EXPECT_EQ(Ask("If-None-Match: *\r\n", "GET", "/none").status, 404) << "there is no such file";
}

TEST_P(Partial, OneRangeIsSentAsItIs) {
  for (const char* policy : {"auto", "cache", "inline"}) {
    SCOPED_TRACE(policy);
    StartAndSettle(policy);
    const struct {
      const char* range;
      size_t first, last;
    } kCases[] = {{"bytes=0-0", 0, 0},
                  {"bytes=0-", 0, 299'999},
                  {"bytes=100000-199999", 100'000, 199'999},
                  {"bytes=-5", 299'995, 299'999},
                  {"bytes=299999-400000", 299'999, 299'999},
                  {"bytes=-400000", 0, 299'999}};
    for (const auto& c : kCases) {
      SCOPED_TRACE(c.range);
      Reply reply = Ask(std::string("Range: ") + c.range + "\r\n");
      EXPECT_EQ(reply.status, 206);
      EXPECT_TRUE(reply.body == contents_.substr(c.first, c.last - c.first + 1));
      EXPECT_EQ(reply.fields["content-range"],
                "bytes " + std::to_string(c.first) + "-" + std::to_string(c.last) + "/300000");
      EXPECT_EQ(reply.fields["content-type"], "text/plain; charset=utf-8");
      EXPECT_EQ(reply.fields["etag"], etag_);
    }
  }
}

TEST_P(Partial, SeveralRangesAreSentInParts) {
  for (const char* policy : {"auto", "cache", "inline"}) {
    SCOPED_TRACE(policy);
    StartAndSettle(policy);
    Reply reply = Ask("Range: bytes=200000-250000,0-1,-10\r\n");
    EXPECT_EQ(reply.status, 206);
    EXPECT_EQ(reply.failure, "");
    EXPECT_EQ(reply.fields.count("content-range"), 0u);
    std::vector<std::string> parts = PartsOf(reply, contents_.size());
    ASSERT_EQ(parts.size(), 3u);
    EXPECT_TRUE(parts[0] == contents_.substr(200'000, 50'001));
    EXPECT_TRUE(parts[1] == contents_.substr(0, 2));
    EXPECT_TRUE(parts[2] == contents_.substr(299'990));
  }
}

TEST_P(Partial, WhatCannotBeSentInPartsIsSentWholeOrRefused) {
  StartAndSettle("auto");
  Reply beyond = Ask("Range: bytes=300000-\r\n");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.fields["content-range"], "bytes */300000");
  for (const std::string& fields :
       {std::string("Range: bytes=5-4"), std::string("Range: lines=0-1"),
        std::string("Range: bytes=0-0\r\nIf-Range: \"other\""),
        "Range: bytes=0-0\r\nIf-Range: W/" + etag_,
        std::string("Range: bytes=0-0\r\nRange: bytes=1-1")}) {
    SCOPED_TRACE(fields);
    Reply reply = Ask(fields + "\r\n");
    EXPECT_EQ(reply.status, 200);
    EXPECT_TRUE(reply.body == contents_);
  }
  EXPECT_EQ(Ask("Range: bytes=0-0\r\nIf-Range: " + etag_ + "\r\n").status, 206);
  EXPECT_EQ(Ask("Range: bytes=0-0\r\n", "HEAD").status, 200) << "it is defined for GET alone";
  Reply empty = Ask("Range: bytes=0-0\r\n", "GET", "/empty.txt");
  EXPECT_EQ(empty.status, 200);
}

TEST_P(Partial, ManyOverlappingRangesCostNoMoreThanTheFile) {
  StartAndSettle("auto");
  std::string value = "bytes=0-";
  for (int i = 1; i < 1000; ++i) value += ",-" + std::to_string(i);
  Reply reply = Ask("Range: " + value + "\r\n");
  EXPECT_EQ(reply.status, 206);
  EXPECT_EQ(reply.body.size(), contents_.size());
}

TEST_P(Partial, AFileThatJustChangedHasAWeakTag) {
  WriteFile(root_ / "new.txt", "new");
  Start({"--threads=8"});
  Client client(port_);
  Reply reply = client.Get("/new.txt");
  EXPECT_EQ(reply.fields["etag"].substr(0, 3), "W/\"");
  EXPECT_EQ(Ask("If-None-Match: " + reply.fields["etag"] + "\r\n", "GET", "/new.txt").status, 304);
  EXPECT_EQ(Ask("If-Match: " + reply.fields["etag"] + "\r\n", "GET", "/new.txt").status, 412);
}

TEST_P(Partial, AChangedFileHasAnotherTag) {
  StartAndSettle("auto");
  WriteFile(root_ / "file.txt", "other");
  for (int i = 0; i < 1000; ++i) {
    Reply reply = Ask("If-None-Match: " + etag_ + "\r\n");
    if (reply.status == 200) {
      EXPECT_EQ(reply.body, "other");
      EXPECT_NE(reply.fields["etag"], etag_);
      return;
    }
    EXPECT_EQ(reply.status, 304);
    usleep(10'000);
  }
  FAIL() << "the change was never seen";
}

INSTANTIATE_FOR_BINARIES(Partial);

}  // namespace
}  // namespace knot::test
