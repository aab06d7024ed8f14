// The header of the PROXY protocol, whole and cut anywhere.

#include "knot/proxy_header.h"

#include <algorithm>
#include <cstring>

#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

using Outcome = ProxyHeader::Outcome;

bool SameSource(const PeerAddress& a, const PeerAddress& b) {
  if (a.any.sa_family != b.any.sa_family) return false;
  if (a.any.sa_family == AF_INET) {
    return a.v4.sin_port == b.v4.sin_port && a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
  }
  return a.v6.sin6_port == b.v6.sin6_port &&
         std::memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, sizeof a.v6.sin6_addr) == 0;
}

bool IsSame(const ProxyHeader& a, const ProxyHeader& b) {
  return a.size == b.size && a.has_source == b.has_source &&
         (!a.has_source || SameSource(a.source, b.source));
}

void CheckCut(const ProxyHeader& whole, absl::string_view start) {
  const ProxyHeader cut = ParseProxyHeader(Copy(start).view());
  switch (cut.outcome) {
    case Outcome::kPartial:
      Claim(whole.outcome != Outcome::kComplete || start.size() < whole.size,
            "a whole header is not waited for");
      break;
    case Outcome::kComplete:
      Claim(whole.outcome == Outcome::kComplete && IsSame(cut, whole),
            "what follows a header does not change it");
      break;
    case Outcome::kMalformed:
      Claim(whole.outcome == Outcome::kMalformed, "how a header is cut does not make it bad");
  }
}

void Check(absl::string_view bytes) {
  const ProxyHeader whole = ParseProxyHeader(Copy(bytes).view());
  if (whole.outcome == Outcome::kComplete) {
    Claim(whole.size > 0 && whole.size <= bytes.size(), "a header is made of what came");
    Claim(whole.size <= kMaxProxyHeader, "a header is not longer than the limit");
    if (whole.has_source) {
      int family = whole.source.any.sa_family;
      Claim(family == AF_INET || family == AF_INET6, "a source is an address of IPv4 or IPv6");
    }
  }
  Claim(whole.outcome != Outcome::kPartial || bytes.size() < kMaxProxyHeader,
        "no more is waited for than the limit");
  const size_t step = std::max<size_t>(1, bytes.size() / 64);
  for (size_t cut = 0; cut < bytes.size(); cut += step) CheckCut(whole, bytes.substr(0, cut));
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 2 * knot::kMaxProxyHeader) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
