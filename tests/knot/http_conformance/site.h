// The documents that the cases ask for, and the servers that serve them.
//
// Documents, all of Sun, 06 Nov 1994 08:49:37 GMT:
//   index.html, file.txt ("contents"), empty.txt, probe.txt, sub/index.html, sub/file.txt, and the
//   directory bare/ without an index
//   digits.txt  "0123456789", 100 times; large.txt the same 20,000 times, more than Knot keeps in
//               memory by default
//   page.html   text that can be compressed; tiny.css text that is too small for it; image.png
//   style.css   with .br, .zst and .gz beside it; old.css with a .gz that is older
//   future.txt  of the year 2100
//   names       "a b.txt", "%41.txt", "caf\xc3\xa9.txt", "back\\slash.txt", "semi;colon.txt",
//   "...",
//               and the directories "\\evil", "evil.example"
//   no_files    fifo; the links absolute, relative, escape, out of the root; inside, a link within
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_SITE_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_SITE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/http_conformance/exchange.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {

// A running server.
class Target {
 public:
  Target(Connector connect, std::string root)
      : connect_(std::move(connect)), root_(std::move(root)) {}

  const Connector& connect() const { return connect_; }

  // Asks, the first time, for an entity tag: "/file.txt", "/style.css gzip".
  std::string TagOf(const std::string& what);

  std::string Contents(const std::string& file) const { return ReadFile(root_ + "/" + file); }

 private:
  Connector connect_;
  std::string root_;
  std::map<std::string, std::string> tags_;
};

// Starts servers when they are first asked for, and stops them in the end.
class Site {
 public:
  // Makes the documents.
  Site();
  ~Site();

  // Starts a binary with these flags. Returns: null where it does not start, after a failure.
  Target* Knot(const std::string& binary, const std::vector<std::string>& flags);

  // Starts nginx with a configuration that asks for what Knot does. Returns: as Knot.
  Target* Nginx();

 private:
  struct Running {
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<Target> target;
  };

  void LetSettle() const;

  TempDirectory directory_;
  std::string root_;
  long made_;  // when the last document was
  std::map<std::string, Running> running_;
};

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_SITE_H_
