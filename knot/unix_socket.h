// The files of unix sockets.
#ifndef KNOT_UNIX_SOCKET_H_
#define KNOT_UNIX_SOCKET_H_

#include "knot/listen_address.h"

namespace knot {

// Binds a socket to address->path and gives its file address->mode; sets device and inode. A socket
// at which nobody listens any more is replaced; anything else there is not.
//
// Returns: the socket, which does not listen yet, or -errno: -EADDRINUSE where somebody listens, or
// there is something else.
int BindUnix(ListenAddress* address);

// Takes the file at address->path for the one that belongs to the socket; sets device and inode.
void AdoptUnixFile(ListenAddress* address);

// Leaves the file alone from now on, where it was adopted.
void DisownUnixFile(ListenAddress* address);

// Removes the file that BindUnix made, or that was adopted, unless another has taken its place, or
// none was made, or it was removed already. Requires: the socket is still open, so that no other
// file can have its number.
void RemoveUnixFile(ListenAddress* address);

}  // namespace knot

#endif  // KNOT_UNIX_SOCKET_H_
