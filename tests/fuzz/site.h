// A small directory to serve, with a file beside it that nobody may be served.
#ifndef TESTS_FUZZ_SITE_H_
#define TESTS_FUZZ_SITE_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {

class Site {
 public:
  Site() {
    std::string base = std::filesystem::temp_directory_path() / "knot_fuzz_XXXXXX";
    Claim(mkdtemp(base.data()) != nullptr, "there is a place for files");
    base_ = std::filesystem::canonical(base);
    root_ = base_ + "/root";
    std::filesystem::create_directories(root_ + "/d/e");
    Write("/secret", "secret");
    for (const char* name : {"/root/index.html", "/root/a.txt", "/root/d/index.html"}) {
      std::string text;
      while (text.size() < 600) text += "a line of text\n";
      Write(name, text);
    }
    std::filesystem::create_symlink("../secret", root_ + "/out");
    std::filesystem::create_symlink(base_, root_ + "/up");
    std::filesystem::create_symlink("a.txt", root_ + "/in");
    descriptor_ = open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Claim(descriptor_ >= 0, "the root can be opened");
  }
  ~Site() {
    close(descriptor_);
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  int descriptor() const { return descriptor_; }
  const std::string& root() const { return root_; }

  // Tells whether what is open at `descriptor` is the root or lies beneath it.
  bool Holds(int descriptor) const {
    std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    std::string path = std::filesystem::read_symlink(link);
    return path == root_ || path.starts_with(root_ + "/");
  }

 private:
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(base_ + name) << text;
  }

  std::string base_, root_;
  int descriptor_ = -1;
};

}  // namespace knot::fuzz

#endif  // TESTS_FUZZ_SITE_H_
