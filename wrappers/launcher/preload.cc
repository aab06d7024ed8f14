#include "wrappers/launcher/preload.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace launcher {
namespace {

std::string DirectoryOfThisProgram() {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return "";
  std::string text(path, static_cast<size_t>(size));
  return text.substr(0, text.rfind('/'));
}

std::string RealPath(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string text = real == nullptr ? "" : real;
  free(real);
  return text;
}

}  // namespace

std::string FindLibrary(std::string* error) {
  std::string directory = DirectoryOfThisProgram();
  for (const char* way : {BOBBIN_LIBRARY_FROM_PROGRAM, "../lib", "../lib64"}) {
    // The name stays: the loader sees by it that a program linked with libbobbin has it already.
    std::string place = RealPath(directory + "/" + way);
    std::string path = place + "/" BOBBIN_LIBRARY_NAME;
    if (place.empty() || access(path.c_str(), R_OK) != 0) continue;
    if (path.find_first_of(" :") == std::string::npos) return path;
    *error = path + " cannot be preloaded: there is a space or a colon in its path";
    return "";
  }
  *error = "no " BOBBIN_LIBRARY_NAME " in " + directory + "/" BOBBIN_LIBRARY_FROM_PROGRAM;
  return "";
}

void SetEnvironment(const std::string& library,
                    const std::map<std::string, std::string>& variables) {
  const char* before = getenv("LD_PRELOAD");
  std::string preload = library;
  std::string rest = before == nullptr ? "" : before;
  // Source: ld.so(8): entries are separated by spaces or colons.
  for (size_t begin = 0; begin < rest.size();) {
    size_t end = std::min(rest.find_first_of(" :", begin), rest.size());
    std::string entry = rest.substr(begin, end - begin);
    if (!entry.empty() && entry != library) preload += ":" + entry;
    begin = end + 1;
  }
  setenv("LD_PRELOAD", preload.c_str(), 1);
  setenv("BOBBIN_PRELOAD", library.c_str(), 1);
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
}

}  // namespace launcher
