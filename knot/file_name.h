// Names of files.
#ifndef KNOT_FILE_NAME_H_
#define KNOT_FILE_NAME_H_

#include <string>

namespace knot {

// Returns: the directory that `file` is in, as its name says.
inline std::string DirectoryOf(const std::string& file) {
  size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

}  // namespace knot

#endif  // KNOT_FILE_NAME_H_
