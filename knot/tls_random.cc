// OpenSSL 3 would rather have a provider, which is a library of its own, than this interface.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "knot/tls_random.h"

#include <errno.h>
#include <openssl/rand.h>
#include <sys/random.h>
#include <sys/types.h>

namespace knot {
namespace {

int FillRandom(unsigned char* bytes, int size) {
  for (int done = 0; done < size;) {
    ssize_t n = getrandom(bytes + done, size - done, 0);
    if (n < 0 && errno != EINTR) return 0;
    if (n > 0) done += static_cast<int>(n);
  }
  return 1;
}

}  // namespace

void UseKernelRandom() {
  static const RAND_METHOD method = {
      nullptr,     // seed: the kernel's
      FillRandom,  // public numbers
      nullptr,     // cleanup
      nullptr,     // add
      FillRandom,  // private ones
      [] { return 1; },
  };
  RAND_set_rand_method(&method);
}

}  // namespace knot
