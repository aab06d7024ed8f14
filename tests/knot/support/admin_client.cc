#include "tests/knot/support/admin_client.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace knot::test {

uint16_t AdminPort(const std::string& line) {
  size_t at = line.find(" admin=http://");
  if (at == std::string::npos) return 0;
  return static_cast<uint16_t>(std::atoi(&line[line.rfind(':', line.find("/\n", at)) + 1]));
}

Reply AskAdmin(uint16_t port, const std::string& path) {
  Client client(port);
  client.Send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return client.Read();
}

std::map<std::string, double> AdminMetrics(uint16_t port) {
  std::map<std::string, double> metrics;
  std::istringstream text(AskAdmin(port, "/metrics").body);
  for (std::string line; std::getline(text, line);) {
    size_t space = line.rfind(' ');
    if (line[0] != '#') metrics[line.substr(0, space)] = std::strtod(&line[space], nullptr);
  }
  return metrics;
}

std::map<std::string, double> WaitForAdminMetrics(
    uint16_t port, const std::function<bool(std::map<std::string, double>&)>& wanted) {
  std::map<std::string, double> metrics;
  for (int i = 0; i < 600; ++i) {
    metrics = AdminMetrics(port);
    if (wanted(metrics)) break;
    usleep(100'000);
  }
  return metrics;
}

std::string WhatFell(const std::map<std::string, double>& before,
                     const std::map<std::string, double>& after) {
  for (const auto& [name, value] : before) {
    bool total =
        name.find("_total") != std::string::npos || name.find("_seconds_") != std::string::npos;
    auto now = after.find(name);
    if (total && (now == after.end() || now->second < value)) return name;
  }
  return "";
}

}  // namespace knot::test
