// Where TLS gets its random numbers.
#ifndef KNOT_TLS_RANDOM_H_
#define KNOT_TLS_RANDOM_H_

namespace knot {

// Makes OpenSSL take all random numbers from getrandom(2). It would else keep two generators for
// each thread that has done a handshake: 5 KiB for each of thousands, and a twentieth of the
// handshake to set them up anew were they given back.
//
// Requires: called before OpenSSL is asked for any.
void UseKernelRandom();

}  // namespace knot

#endif  // KNOT_TLS_RANDOM_H_
