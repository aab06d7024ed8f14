#include "wrappers/launcher/executable.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace launcher {
namespace {

constexpr char kShell[] = "/bin/sh";

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }

  std::string Read(off_t offset, size_t size) const {
    std::string text(size, '\0');
    size_t done = 0;
    while (done < size) {
      ssize_t count = pread(fd_, &text[done], size - done, offset + static_cast<off_t>(done));
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    text.resize(done);
    return text;
  }

 private:
  int fd_;
};

std::string BaseName(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool IsGlibcLoader(const std::string& path) {
  return BaseName(path).compare(0, 16, "ld-linux-x86-64.") == 0;
}

// As execve(2) would answer, without executing. Returns: 0 or an errno value.
int Executability(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EACCES;
  return faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

std::string SearchPath() {
  const char* path = getenv("PATH");
  if (path != nullptr) return path;
  std::string standard(confstr(_CS_PATH, nullptr, 0), '\0');
  confstr(_CS_PATH, standard.data(), standard.size());
  standard.pop_back();
  return standard;
}

// Source: execvp(3): what may not be executed is passed over, and told of where nothing else is
// found.
int Find(const std::string& name, std::string* path) {
  *path = name;
  if (name.empty()) return ENOENT;
  if (name.find('/') != std::string::npos) return Executability(name);
  bool denied = false;
  const std::string places = SearchPath();
  for (size_t begin = 0; begin <= places.size();) {
    size_t end = std::min(places.find(':', begin), places.size());
    std::string place = places.substr(begin, end - begin);
    begin = end + 1;
    *path = place.empty() ? name : place + "/" + name;
    int error = Executability(*path);
    if (error == 0) return 0;
    denied = denied || error == EACCES;
  }
  *path = name;
  return denied ? EACCES : ENOENT;
}

// Source: execve(2), "Interpreter scripts".
bool ReadScript(const std::string& head, std::string* interpreter, std::string* argument) {
  if (head.compare(0, 2, "#!") != 0) return false;
  constexpr char kBlank[] = " \t";
  std::string line = head.substr(2, head.find('\n') - 2);
  size_t begin = line.find_first_not_of(kBlank);
  if (begin == std::string::npos) return false;
  size_t end = std::min(line.find_first_of(kBlank, begin), line.size());
  *interpreter = line.substr(begin, end - begin);
  size_t rest = line.find_first_not_of(kBlank, end);
  *argument = rest == std::string::npos ? "" : line.substr(rest);
  argument->erase(argument->find_last_not_of(kBlank) + 1);
  return true;
}

// The kernel runs it with another user's or group's rights, or with capabilities of the file's:
// then the loader leaves LD_PRELOAD aside. Source: execve(2), capabilities(7).
bool IsPrivileged(const std::string& path) {
  struct stat status;
  struct statvfs mount;
  if (stat(path.c_str(), &status) != 0 || statvfs(path.c_str(), &mount) != 0) return false;
  uid_t user = geteuid();
  gid_t group = getegid();
  bool may_change = (mount.f_flag & ST_NOSUID) == 0;
  if (may_change && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) {
    if ((status.st_mode & S_ISUID) != 0) user = status.st_uid;
    constexpr mode_t kSetGroup = S_ISGID | S_IXGRP;
    if ((status.st_mode & kSetGroup) == kSetGroup) group = status.st_gid;
  }
  if (user != getuid() || group != getgid()) return true;
  return may_change && getuid() != 0 &&
         getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

// Returns: the loader that the program asks for, "" for none.
std::string LoaderOf(const File& file, const Elf64_Ehdr& header) {
  for (int i = 0; i < header.e_phnum; ++i) {
    off_t offset = static_cast<off_t>(header.e_phoff) + i * off_t{header.e_phentsize};
    std::string bytes = file.Read(offset, sizeof(Elf64_Phdr));
    if (bytes.size() != sizeof(Elf64_Phdr)) break;
    Elf64_Phdr segment;
    memcpy(&segment, bytes.data(), sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    std::string loader = file.Read(static_cast<off_t>(segment.p_offset),
                                   std::min<size_t>(segment.p_filesz, PATH_MAX));
    return loader.substr(0, loader.find('\0'));
  }
  return "";
}

std::string ElfObstacle(const File& file, const std::string& path) {
  std::string bytes = file.Read(0, sizeof(Elf64_Ehdr));
  Elf64_Ehdr header = {};
  memcpy(&header, bytes.data(), bytes.size());
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    return "is not a 64-bit x86 program";
  }
  std::string loader = LoaderOf(file, header);
  if (loader.empty()) {
    // The loader may be named as the program: it loads its first argument, and what is preloaded.
    char* real = realpath(path.c_str(), nullptr);
    bool is_loader = real != nullptr && IsGlibcLoader(real);
    free(real);
    if (!is_loader) return "is statically linked";
  } else if (!IsGlibcLoader(loader)) {
    return "is not a program of glibc (its loader is " + loader + ")";
  }
  if (IsPrivileged(path)) return "is setuid, setgid or has capabilities";
  return "";
}

// Source: env(1). Options and assignments are left to it.
bool IsPlainEnv(const std::string& interpreter, const std::string& argument) {
  return BaseName(interpreter) == "env" && !argument.empty() && argument[0] != '-' &&
         argument.find('=') == std::string::npos;
}

}  // namespace

Executable FindExecutable(const std::vector<std::string>& command) {
  Executable result;
  result.arguments = command;
  result.error = Find(command[0], &result.path);
  result.loaded = result.path;
  // Source: execve(2): more than five interpreters of interpreters are refused.
  for (int level = 0; level < 6 && result.error == 0; ++level) {
    File file(result.loaded);
    if (!file.is_open()) return result;
    std::string head = file.Read(0, 256);
    if (head.compare(0, SELFMAG, ELFMAG) == 0) {
      result.obstacle = ElfObstacle(file, result.loaded);
      return result;
    }
    std::string interpreter, argument;
    if (!ReadScript(head, &interpreter, &argument)) {
      if (level > 0) return result;
      result.loaded = kShell;
    } else if (result.loaded == result.path && IsPlainEnv(interpreter, argument)) {
      result.arguments[0] = result.path;
      result.arguments.insert(result.arguments.begin(), argument);
      result.error = Find(argument, &result.path);
      result.loaded = result.path;
    } else {
      result.loaded = interpreter;
    }
  }
  return result;
}

int Execute(const Executable& executable) {
  std::vector<char*> arguments;
  for (const std::string& one : executable.arguments)
    arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  execve(executable.path.c_str(), arguments.data(), environ);
  if (errno != ENOEXEC) return errno;
  arguments[0] = const_cast<char*>(executable.path.c_str());
  arguments.insert(arguments.begin(), const_cast<char*>(kShell));
  execve(kShell, arguments.data(), environ);
  return errno;
}

}  // namespace launcher
