// Replays inputs that were kept: each file given, and each in a directory given, goes through the
// fuzzer once. A claim that does not hold ends the program; the last name printed is the input's.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

std::vector<std::string> FilesOf(const std::string& name) {
  if (!std::filesystem::is_directory(name)) return {name};
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(name)) {
    names.push_back(entry.path());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Replay(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) return false;
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const std::string& name : FilesOf(argv[i])) {
      if (!Replay(name)) {
        std::fprintf(stderr, "replay: cannot read %s\n", name.c_str());
        return 1;
      }
      ++count;
    }
  }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
