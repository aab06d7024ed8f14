// Listings of directories: what is in them, and to whom they are sent in which form.

#include "knot/listing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

using test::WriteFile;

TEST(PrefersJson, WhereItWeighsMoreThanHtml) {
  for (const char* accept :
       {"application/json", "APPLICATION/JSON", "application/*", "application/json, */*;q=0.5",
        "text/html;q=0.5, application/json;q=0.6", "text/*;q=0.1,application/json",
        "text/html;q=0, */*", "application/json;q=0.001", "application/json;charset=utf-8",
        "image/png, application/json", "*/*;q=0.2 , text/html;q=0.1"}) {
    EXPECT_TRUE(PrefersJson(accept)) << accept;
  }
  for (const char* accept :
       {"", "*/*", "text/html", "application/json, text/html", "text/html,application/json;q=0.9",
        "application/json;q=0", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "image/png", "application/json;q=2", "application/json;q=0,*/*", "application/json;v=2",
        "text/*", "application/jsonx", "application", "json", ",,;q=1,", "*"}) {
    EXPECT_FALSE(PrefersJson(accept)) << accept;
  }
}

class ListDirectoryTest : public testing::Test {
 protected:
  ListDirectoryTest() { root_ = open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY); }
  ~ListDirectoryTest() override { close(root_); }

  std::string List(ListingForm form, const std::string& path = "", bool hidden = false) {
    std::string text;
    EXPECT_EQ(ListDirectory(root_, path, hidden, form, &text), 200);
    return text;
  }

  // As if it had changed at 1994-11-06 08:49:37.
  void LetAge(const std::string& name) {
    const timespec times[2] = {{784111777, 123}, {784111777, 123}};
    ASSERT_EQ(utimensat(AT_FDCWD, (directory_ / name).c_str(), times, 0), 0);
  }

  test::TempDirectory directory_;
  int root_;
};

TEST_F(ListDirectoryTest, HasAnArrayForPrograms) {
  WriteFile(directory_ / "b.txt", "contents");
  WriteFile(directory_ / "A", "");
  std::filesystem::create_directories(directory_ / "z");
  for (const char* name : {"A", "b.txt", "z"}) LetAge(name);
  EXPECT_EQ(List(ListingForm::kJson),
            "[\n"
            R"({"name":"z","type":"directory","size":null,"modified":"1994-11-06T08:49:37Z"},)"
            "\n"
            R"({"name":"A","type":"file","size":0,"modified":"1994-11-06T08:49:37Z"},)"
            "\n"
            R"({"name":"b.txt","type":"file","size":8,"modified":"1994-11-06T08:49:37Z"})"
            "\n]\n");
  EXPECT_EQ(List(ListingForm::kJson, "z/"), "[\n]\n");
}

TEST_F(ListDirectoryTest, HasATableForPeople) {
  WriteFile(directory_ / "d/b.txt", "contents");
  std::filesystem::create_directories(directory_ / "d/sub");
  LetAge("d/b.txt");
  std::string text = List(ListingForm::kHtml, "d/");
  for (const char* part :
       {"<title>Index of /d/</title>", "<h1>Index of /d/</h1>", "<a href=\"../\">",
        "<a href=\"./sub/\">sub/</a></td><td></td>",
        "<a href=\"./b.txt\">b.txt</a></td><td>8</td><td>1994-11-06 08:49</td>"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(List(ListingForm::kHtml).find("../"), std::string::npos) << "nothing is above the root";
}

TEST_F(ListDirectoryTest, EscapesWhatANameCouldSayOfItsOwn) {
  const std::string name = "a" + std::string("<b>\"'&\\\n\x01\x7f%3f?#:é");
  WriteFile(directory_ / (name + "/x"), "");
  WriteFile(directory_ / "javascript:alert(1)", "");
  std::string html = List(ListingForm::kHtml);
  EXPECT_NE(
      html.find("<a href=\"./a%3Cb%3E%22%27%26%5C%0A%01%7F%253f%3F%23%3A%C3%A9/\">"
                "a&lt;b&gt;&quot;&#39;&amp;\\\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd%3f?#:é/</a>"),
      std::string::npos)
      << html;
  EXPECT_NE(html.find("href=\"./javascript%3Aalert%281%29\""), std::string::npos) << html;
  EXPECT_NE(List(ListingForm::kHtml, name + "/")
                .find("<title>Index of /a&lt;b&gt;&quot;&#39;&amp;\\\xef\xbf\xbd"),
            std::string::npos);
  EXPECT_NE(List(ListingForm::kJson).find("{\"name\":\"a<b>\\\"'&\\\\\\u000a\\u0001\x7f%3f?#:é\","),
            std::string::npos)
      << List(ListingForm::kJson);
}

TEST_F(ListDirectoryTest, SaysNothingThatIsNotUtf8) {
  const std::string r = "\xef\xbf\xbd";
  const struct {
    std::string name, shown;
  } kCases[] = {
      {"ok-\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "ok-\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"latin-\xe9x", "latin-" + r + "x"},
      {"cut-\xe2\x82", "cut-" + r + r},
      {"long-\xc0\xaf", "long-" + r + r},
      {"long3-\xe0\x80\xaf", "long3-" + r + r + r},
      {"surrogate-\xed\xa0\x80", "surrogate-" + r + r + r},
      {"beyond-\xf4\x90\x80\x80", "beyond-" + r + r + r + r},
      {"alone-\xbf", "alone-" + r},
      {"ff-\xff", "ff-" + r},
  };
  for (const auto& c : kCases) WriteFile(directory_ / c.name, "");
  std::string html = List(ListingForm::kHtml), json = List(ListingForm::kJson);
  for (const auto& c : kCases) {
    EXPECT_NE(html.find("\">" + c.shown + "</a>"), std::string::npos) << c.shown << html;
    EXPECT_NE(json.find("\"name\":\"" + c.shown + "\""), std::string::npos) << c.shown << json;
  }
  EXPECT_NE(html.find("href=\"./latin-%E9x\""), std::string::npos) << "the link is the name";
}

TEST_F(ListDirectoryTest, ShowsWhatWouldBeServed) {
  const std::string outside = directory_.path() + "_outside";
  WriteFile(outside, std::string(12345, 'x'));
  WriteFile(directory_ / "file", "1234567");
  WriteFile(directory_ / "d/inner", "");
  WriteFile(directory_ / ".hidden", "");
  WriteFile(directory_ / ".well-known/a", "");
  WriteFile(directory_ / "d/.well-known/a", "");
  std::filesystem::create_symlink("file", directory_ / "link");
  std::filesystem::create_symlink("d", directory_ / "dirlink");
  std::filesystem::create_symlink("../file", directory_ / "d/up");
  std::filesystem::create_symlink(outside, directory_ / "out");
  std::filesystem::create_symlink("none", directory_ / "dangling");
  std::filesystem::create_symlink("loop", directory_ / "loop");
  ASSERT_EQ(mkfifo((directory_ / "fifo").c_str(), 0600), 0);

  std::string json = List(ListingForm::kJson);
  EXPECT_NE(json.find(R"("link","type":"file","size":7,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("dirlink","type":"directory","size":null,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"(".well-known","type":"directory")"), std::string::npos) << json;
  for (const char* name : {"out", "12345", "dangling", "loop", "fifo", ".hidden", "\".\"", ".."}) {
    EXPECT_EQ(json.find(name), std::string::npos) << name << json;
  }
  EXPECT_NE(List(ListingForm::kJson, "", true).find(".hidden"), std::string::npos);
  EXPECT_NE(List(ListingForm::kJson, "d/").find(R"("up","type":"file","size":7,)"),
            std::string::npos);
  EXPECT_EQ(List(ListingForm::kJson, "d/").find(".well-known"), std::string::npos);
  std::filesystem::remove(outside);
}

TEST_F(ListDirectoryTest, ListsNothingOutsideTheRoot) {
  std::string text;
  std::filesystem::create_symlink("/etc", directory_ / "etc");
  for (const char* path : {"../", "etc/", "/etc/", "none/"}) {
    EXPECT_EQ(ListDirectory(root_, path, true, ListingForm::kHtml, &text), 403) << path;
  }
  WriteFile(directory_ / "file", "");
  EXPECT_EQ(ListDirectory(root_, "file", true, ListingForm::kHtml, &text), 403);
  EXPECT_EQ(text, "");
}

TEST_F(ListDirectoryTest, HasNoMoreEntriesThanTheLimit) {
  std::filesystem::create_directories(directory_ / "d");
  int d = open((directory_ / "d").c_str(), O_RDONLY | O_DIRECTORY);
  auto make = [d](size_t i) {
    int file = openat(d, std::to_string(i).c_str(), O_CREAT | O_WRONLY, 0600);
    ASSERT_GE(file, 0);
    close(file);
  };
  auto entries = [&] {
    std::string json = List(ListingForm::kJson, "d/");
    size_t count = 0;
    for (size_t at = json.find("\"name\""); at != std::string::npos;
         at = json.find("\"name\"", at + 1)) {
      ++count;
    }
    return count;
  };
  for (size_t i = 0; i < kListingEntries; ++i) make(i);
  EXPECT_EQ(entries(), kListingEntries);
  EXPECT_EQ(List(ListingForm::kHtml, "d/").find("There is more"), std::string::npos);
  make(kListingEntries);
  EXPECT_EQ(entries(), kListingEntries);
  EXPECT_NE(List(ListingForm::kHtml, "d/").find("There is more"), std::string::npos);
  close(d);
}

TEST_F(ListDirectoryTest, HasNoMoreBytesThanTheLimit) {
  // A name of 250 bytes that becomes three times as long in a link, and five times as text.
  for (int i = 0; i < 4000; ++i)
    WriteFile(directory_ / (std::string(245, '&') + std::to_string(10'000 + i)), "");
  std::string html = List(ListingForm::kHtml);
  EXPECT_LE(html.size(), kListingBytes + 200);
  EXPECT_GT(html.size(), kListingBytes - 5000);
  EXPECT_NE(html.find("There is more"), std::string::npos);
  const std::string end = "</html>\n";
  EXPECT_EQ(html.substr(html.size() - end.size()), end);
  EXPECT_NE(html.find("</td></tr>\n</tbody>"), std::string::npos) << "cut in an entry";
}

TEST(ListingMemory, IsBounded) {
  ListingMemory memory;
  EXPECT_TRUE(memory.Hold(ListingMemory::kMost - 1));
  EXPECT_FALSE(memory.Hold(2));
  EXPECT_TRUE(memory.Hold(1));
  EXPECT_FALSE(memory.Hold(1));
  memory.Release(ListingMemory::kMost);
  EXPECT_TRUE(memory.Hold(ListingMemory::kMost));
}

}  // namespace
}  // namespace knot

namespace knot::test {
namespace {

class Listing : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "bare/file.txt", "contents");
    WriteFile(root_ / "bare/.hidden", "");
    WriteFile(root_ / "full/index.html", "index");
  }

  Reply Ask(const std::string& method, const std::string& target, const std::string& fields = "") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(reply.failure, "");
    EXPECT_EQ(client.Get("/full/").body, "index") << "not kept, or out of step";
    return reply;
  }
};

TEST_P(Listing, IsOffUnlessAskedFor) {
  Start({"--threads=4"});
  EXPECT_EQ(Ask("GET", "/bare/").status, 403);
  EXPECT_EQ(Ask("GET", "/").status, 403);
}

TEST_P(Listing, IsSentForADirectoryWithoutAnIndex) {
  Start({"--threads=4", "--listing=on"});
  Reply html = Ask("GET", "/bare/");
  EXPECT_EQ(html.status, 200);
  EXPECT_EQ(html.fields["content-type"], "text/html; charset=utf-8");
  EXPECT_EQ(html.fields["vary"], "Accept");
  EXPECT_EQ(html.fields.count("last-modified") + html.fields.count("etag"), 0u);
  EXPECT_EQ(html.fields["content-length"], std::to_string(html.body.size()));
  EXPECT_NE(html.body.find("<a href=\"./file.txt\">file.txt</a>"), std::string::npos);
  EXPECT_EQ(html.body.find("hidden"), std::string::npos);
  EXPECT_EQ(html.body.find("<script"), std::string::npos);

  Reply json = Ask("GET", "/bare/", "Accept: application/json\r\n");
  EXPECT_EQ(json.fields["content-type"], "application/json");
  EXPECT_EQ(json.fields["vary"], "Accept");
  EXPECT_EQ(json.body.find("[\n{\"name\":\"file.txt\",\"type\":\"file\",\"size\":8,"), 0u);

  Reply head = Ask("HEAD", "/bare/");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.fields["content-length"], html.fields["content-length"]);
  EXPECT_EQ(Ask("OPTIONS", "/bare/").status, 204);
  EXPECT_EQ(Ask("GET", "/bare").status, 301);
  EXPECT_EQ(Ask("GET", "/bare/../bare//?query").body, html.body);
  EXPECT_NE(Ask("GET", "/").body.find("<a href=\"./bare/\">bare/</a>"), std::string::npos);
  EXPECT_EQ(Ask("GET", "/none/").status, 404);
  EXPECT_EQ(Ask("GET", "/bare/file.txt/").status, 404);
  EXPECT_EQ(Ask("GET", "/bare/", "Range: bytes=0-0\r\n").body, html.body) << "it has no ranges";
}

TEST_P(Listing, IsMadeAnewForEachRequest) {
  Start({"--threads=4", "--listing=on"});
  EXPECT_EQ(Ask("GET", "/bare/").body.find("new"), std::string::npos);
  WriteFile(root_ / "bare/new", "");
  EXPECT_NE(Ask("GET", "/bare/").body.find("new"), std::string::npos);
}

TEST_P(Listing, ShowsDotfilesWhereTheyAreServed) {
  Start({"--threads=4", "--listing=on", "--dotfiles"});
  EXPECT_NE(Ask("GET", "/bare/").body.find(".hidden"), std::string::npos);
}

// Clients that read nothing hold listings; what they may hold is bounded, and files are still
// served.
TEST_P(Listing, OfManyClientsIsBoundedInMemory) {
  for (int i = 0; i < 4500; ++i) {
    WriteFile(root_ / ("big/" + std::string(245, '&') + std::to_string(10'000 + i)), "");
  }
  Start({"--threads=16", "--listing=on"});
  std::vector<std::unique_ptr<Client>> clients;
  int sent = 0, refused = 0;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<Client>(port_, 4096));
    clients.back()->Send("GET /big/ HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string status = clients.back()->ReadBytes(12);
    if (status == "HTTP/1.1 200") ++sent;
    if (status == "HTTP/1.1 503") ++refused;
  }
  EXPECT_EQ(sent + refused, 8);
  EXPECT_GE(sent, 1);
  EXPECT_GE(refused, 1);
  EXPECT_EQ(Client(port_).Get("/full/").body, "index");
  clients.clear();
  int status = 503;
  for (int i = 0; i < 1000 && status == 503; ++i, usleep(10'000)) {
    status = Client(port_).Get("/big/").status;
  }
  EXPECT_EQ(status, 200) << "what the others held was not released";
}

INSTANTIATE_FOR_BINARIES(Listing);

}  // namespace
}  // namespace knot::test
