// Says something to a server, and hears it out.
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_EXCHANGE_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_EXCHANGE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace knot::test {

// Connects to a server. Returns: a socket that the caller closes, or -1.
using Connector = std::function<int()>;

Connector ToPort(uint16_t port);  // of 127.0.0.1
Connector ToUnixSocket(std::string path);

struct Exchanged {
  std::string received;
  bool ended = false;  // false: the server neither answered nor closed for a minute
};

// Sends the pieces, with a moment between two, so that the server receives them apart; with `ends`
// then ends its side. Receives all there is until the server closes.
Exchanged Exchange(const Connector& connect, const std::vector<std::string>& pieces, bool ends);

// Cuts bytes into single ones; of what is long, only the beginning and the end, since the middle
// would take long and is all alike.
std::vector<std::string> ByteByByte(const std::string& bytes);

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_EXCHANGE_H_
