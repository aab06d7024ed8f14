// Asks a Knot at its --admin address.
#ifndef TESTS_KNOT_SUPPORT_ADMIN_CLIENT_H_
#define TESTS_KNOT_SUPPORT_ADMIN_CLIENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "tests/knot/support/client.h"

namespace knot::test {

// Returns: the port of --admin in the line printed at start, or 0.
uint16_t AdminPort(const std::string& line);

// Asks for `path`. Each reply is the last of its connection.
Reply AskAdmin(uint16_t port, const std::string& path);

// Returns: what /metrics says: by line, without the value, the value.
std::map<std::string, double> AdminMetrics(uint16_t port);

// Waits until the metrics are as `wanted`: a reply is counted once it was sent, and read ten times
// a second at most. Returns: the last.
std::map<std::string, double> WaitForAdminMetrics(
    uint16_t port, const std::function<bool(std::map<std::string, double>&)>& wanted);

// Returns: the first total of `before` that is less in `after`, or none.
std::string WhatFell(const std::map<std::string, double>& before,
                     const std::map<std::string, double>& after);

}  // namespace knot::test

#endif  // TESTS_KNOT_SUPPORT_ADMIN_CLIENT_H_
