#include "knot/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace knot {
namespace {

int NewSocket(int flags) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0); }

// Removes the socket at `name` where nobody listens. Returns: false where it stays.
bool RemoveStale(const sockaddr_un& name) {
  struct stat before, now;
  if (lstat(name.sun_path, &before) != 0) return errno == ENOENT;
  if (!S_ISSOCK(before.st_mode)) return false;
  int probe = NewSocket(SOCK_NONBLOCK);
  if (probe < 0) return false;
  int result = connect(probe, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  bool stale = result != 0 && errno == ECONNREFUSED;
  close(probe);
  if (!stale || lstat(name.sun_path, &now) != 0) return false;
  // Another server may have had the same thought.
  if (before.st_dev != now.st_dev || before.st_ino != now.st_ino) return false;
  return unlink(name.sun_path) == 0;
}

}  // namespace

int BindUnix(ListenAddress* address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (address->path.size() >= sizeof name.sun_path) return -ENAMETOOLONG;
  std::memcpy(name.sun_path, address->path.data(), address->path.size());
  int descriptor = NewSocket(0);
  if (descriptor < 0) return -errno;
  const auto* any = reinterpret_cast<const sockaddr*>(&name);
  int result = bind(descriptor, any, sizeof name);
  if (result != 0 && errno == EADDRINUSE) {
    if (RemoveStale(name)) {
      result = bind(descriptor, any, sizeof name);
    } else {
      errno = EADDRINUSE;
    }
  }
  if (result != 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  struct stat made;
  // Nobody can connect before it listens, so its mode may come after its file.
  if (chmod(name.sun_path, address->mode) != 0 || lstat(name.sun_path, &made) != 0) {
    int error = errno;
    unlink(name.sun_path);
    close(descriptor);
    return -error;
  }
  address->device = made.st_dev;
  address->inode = made.st_ino;
  return descriptor;
}

void AdoptUnixFile(ListenAddress* address) {
  struct stat now;
  if (lstat(address->path.c_str(), &now) != 0 || !S_ISSOCK(now.st_mode)) return;
  address->device = now.st_dev;
  address->inode = now.st_ino;
  address->adopted = true;
}

void DisownUnixFile(ListenAddress* address) {
  if (address->adopted) address->inode = 0;
}

void RemoveUnixFile(ListenAddress* address) {
  if (address->inode == 0) return;
  struct stat now;
  bool same = lstat(address->path.c_str(), &now) == 0 && now.st_dev == address->device &&
              now.st_ino == address->inode;
  if (same) unlink(address->path.c_str());
  address->inode = 0;
}

}  // namespace knot
