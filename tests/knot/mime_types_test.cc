#include "knot/mime_types.h"

#include <gtest/gtest.h>

#include <string>

namespace knot {
namespace {

TEST(MimeTypes, KnowsCommonTypesWithoutATable) {
  MimeTypes types;
  EXPECT_EQ(types.TypeOf("index.html"), "text/html; charset=utf-8");
  EXPECT_EQ(types.TypeOf("a/b.c/photo.jpeg"), "image/jpeg");
  EXPECT_EQ(types.TypeOf("data.json"), "application/json");
}

TEST(MimeTypes, TakesTheTableBeforeWhatIsBuiltIn) {
  MimeTypes types("# comment\napplication/x-thing\tthing thg # more\nimage/other png\ntext/none\n");
  EXPECT_EQ(types.TypeOf("a.thing"), "application/x-thing");
  EXPECT_EQ(types.TypeOf("a.thg"), "application/x-thing");
  EXPECT_EQ(types.TypeOf("a.more"), "application/octet-stream");
  EXPECT_EQ(types.TypeOf("a.png"), "image/other");
}

TEST(MimeTypes, NameTheCharacterSetTheyAreTold) {
  const char* table = "text/x-thing thing\n";
  EXPECT_EQ(MimeTypes(table, "koi8-r").TypeOf("a.thing"), "text/x-thing; charset=koi8-r");
  EXPECT_EQ(MimeTypes(table, "koi8-r").TypeOf("a.html"), "text/html; charset=koi8-r");
  EXPECT_EQ(MimeTypes(table, "koi8-r").TypeOf("a.png"), "image/png");
  EXPECT_EQ(MimeTypes(table, "none").TypeOf("a.thing"), "text/x-thing");
  EXPECT_EQ(MimeTypes(table, "none").TypeOf("a.html"), "text/html");
}

TEST(MimeTypes, TakeNoTypeThatIsNone) {
  for (const char* type : {"text", "/html", "text/", "text/html;x", "te\x01xt/html", "text/h\xe9",
                           "text/html/x", "\"a\"/b"}) {
    EXPECT_EQ(MimeTypes(std::string(type) + " thing").TypeOf("a.thing"), "application/octet-stream")
        << type;
  }
}

TEST(MimeTypes, IgnoresCaseOfTheExtension) {
  EXPECT_EQ(MimeTypes().TypeOf("README.TXT"), "text/plain; charset=utf-8");
}

TEST(MimeTypes, TakesOnlyTheLastExtensionOfTheName) {
  MimeTypes types;
  EXPECT_EQ(types.TypeOf("page.html.gz"), "application/gzip");
  EXPECT_EQ(types.TypeOf("dir.html/file"), "application/octet-stream");
}

TEST(MimeTypes, GivesUnknownNamesTheNeutralType) {
  MimeTypes types;
  for (const char* name : {"", "file", ".html", "dir/.css", "name.", "a.unheard-of"}) {
    EXPECT_EQ(types.TypeOf(name), "application/octet-stream") << name;
  }
}

}  // namespace
}  // namespace knot
