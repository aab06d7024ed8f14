#include "knot/cidr.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

namespace knot {
namespace {

PeerAddress Address(const std::string& text) {
  PeerAddress address{};
  if (text == "unix") {
    address.any.sa_family = AF_UNIX;
  } else {
    EXPECT_TRUE(ParseAddress(text, &address)) << text;
  }
  return address;
}

TEST(AddressSet, ContainsWhatItsEntriesSay) {
  struct Case {
    const char* entries;
    const char* address;
    bool contains;
  };
  for (const Case& c : std::vector<Case>{
           {"10.0.0.0/8", "10.255.1.2", true},
           {"10.0.0.0/8", "11.0.0.0", false},
           {"10.0.0.0/8", "::a00:1", false},
           {"192.0.2.7", "192.0.2.7", true},
           {"192.0.2.7", "192.0.2.6", false},
           {"192.0.2.128/25", "192.0.2.129", true},
           {"192.0.2.128/25", "192.0.2.127", false},
           {"192.0.2.4/30", "192.0.2.7", true},
           {"192.0.2.4/30", "192.0.2.8", false},
           {"0.0.0.0/0", "203.0.113.1", true},
           {"0.0.0.0/0", "2001:db8::1", false},
           {"::/0", "2001:db8::1", true},
           {"::/0", "203.0.113.1", false},
           {"2001:db8::/33", "2001:db8:7fff::", true},
           {"2001:db8::/33", "2001:db8:8000::", false},
           {"::1", "::1", true},
           {"::1", "::2", false},
           {"10.0.0.0/8", "::ffff:10.1.2.3", true},
           {"::/0", "::ffff:10.1.2.3", false},
           {"::ffff:10.0.0.0/104", "10.1.2.3", true},
           {"::ffff:10.0.0.0/104", "11.1.2.3", false},
           {"192.0.2.1,::1,10.0.0.0/8", "10.0.0.9", true},
           {"192.0.2.1,::1", "unix", false},
           {"unix", "unix", true},
           {"unix", "127.0.0.1", false},
           {"", "127.0.0.1", false},
       }) {
    AddressSet set;
    std::string error;
    ASSERT_TRUE(AbslParseFlag(c.entries, &set, &error)) << error;
    EXPECT_EQ(set.Contains(Address(c.address)), c.contains) << c.entries << " " << c.address;
    EXPECT_EQ(AbslUnparseFlag(set), c.entries);
    EXPECT_EQ(set.empty(), std::string(c.entries).empty());
  }
}

TEST(AddressSet, DoesNotContainAnAddressOfAnUnknownFamily) {
  AddressSet set;
  std::string error;
  ASSERT_TRUE(AbslParseFlag("0.0.0.0/0,::/0,unix", &set, &error));
  EXPECT_FALSE(set.Contains(PeerAddress{}));
}

TEST(AddressSet, RefusesWhatIsNotClear) {
  for (const char* entries :
       {"localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/ 8",
        "10.0.0.1/8", "2001:db8::1/32", "::/129", "10.0.0", "010.0.0.1", "10.0.0.1,", ",", "[::1]",
        "fe80::1%lo", "10.0.0.1:80", " 10.0.0.1", "::ffff:10.0.0.0/90", "10.0.0.0/+8"}) {
    AddressSet set;
    std::string error;
    EXPECT_FALSE(AbslParseFlag(entries, &set, &error)) << entries;
    EXPECT_NE(error, "") << entries;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(AddressSet, HasALimit) {
  std::string entries = "10.0.0.1", error;
  for (size_t i = 1; i < AddressSet::kMost; ++i) entries += ",10.0.0.1";
  AddressSet set;
  EXPECT_TRUE(AbslParseFlag(entries, &set, &error));
  EXPECT_FALSE(AbslParseFlag(entries + ",10.0.0.1", &set, &error));
}

}  // namespace
}  // namespace knot
