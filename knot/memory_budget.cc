#include "knot/memory_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "knot/buffer_pool.h"
#include "knot/client_limits.h"
#include "knot/compress.h"
#include "knot/file_cache.h"
#include "knot/listing.h"
#include "knot/tuning.h"

namespace knot {
namespace {

constexpr int64_t kMiB = 1 << 20;

// The program, its libraries and what they allocate at start.
constexpr int64_t kProcessBytes = 24 * kMiB;
// What libc and the runtime keep for a thread beside its stack.
constexpr int64_t kThreadBytes = 4096;
// The texts of a reply while it is sent: the longest are the redirect of a target that is all
// escapes, three bytes for each of its 4 KiB, in three stages, and the log's line of such a
// request.
constexpr int64_t kReplyBytes = 64 * 1024;
// Those that are being sent, and one that is made, with what it is made from.
constexpr int64_t kListingsBytes = ListingMemory::kMost + 3 * kListingBytes;
// Two buffers of the access log; each may have been doubled when it was nearly full.
constexpr int64_t kLogBytes = 4 * kMiB;
// What is known of a client, with its places in a list and a table.
constexpr int64_t kClientBytes = 192;
// Users and hashes, and what the hungriest common hash, yescrypt, takes while it is computed.
constexpr int64_t kAuthBytes = 24 * kMiB;

// What OpenSSL keeps of a connection: most of it while a record is received or sent.
constexpr int64_t kTlsBytes = 64 * 1024;

bool HasTls(const Options& options) {
  return std::any_of(options.listen.begin(), options.listen.end(),
                     [](const ListenAddress& address) { return address.tls; });
}

int64_t CompressingShare(const Options& options, int64_t groups) {
  if (options.compress.empty()) return 0;
  int64_t cache = options.cache_mb * kMiB / options.processes / groups;
  int64_t largest = options.send == Send::kCache ? cache / 4 : 0;
  return std::max(FileCache::kWorkingBytes, CompressingBytes(largest));
}

}  // namespace

std::vector<MemoryShare> MemoryShares(const Options& options) {
  const int64_t processes = options.processes;
  const int64_t threads = options.threads;
  const int64_t groups = tuning::ExpectedGroups(options.tuning);
  const PolicyOptions& policy = options.policy;
  bool limits = policy.client_connections > 0 || policy.client_rate > 0;
  std::vector<MemoryShare> shares = {
      {"stacks", threads * (options.stack_kb * int64_t{1024} + kThreadBytes)},
      {"request buffers", threads * static_cast<int64_t>(sizeof(RequestBuffer))},
      {"replies", threads * kReplyBytes},
      // The allocator does not give back every gap that files leave behind.
      {"cache", options.cache_mb * kMiB / 4 * 5},
      {"compressing", processes * groups * CompressingShare(options, groups)},
      {"TLS", HasTls(options) ? threads * kTlsBytes : 0},
      {"listings", options.site.listing ? processes * groups * kListingsBytes : 0},
      {"log", options.access_log == "off" ? 0 : processes * kLogBytes},
      {"clients",
       limits ? processes * static_cast<int64_t>(ClientLimits::kMostIdle) * kClientBytes : 0},
      {"passwords", policy.auth.empty() ? 0 : processes * kAuthBytes},
      {"processes", processes * kProcessBytes},
  };
  shares.erase(std::remove_if(shares.begin(), shares.end(),
                              [](const MemoryShare& share) { return share.bytes == 0; }),
               shares.end());
  return shares;
}

absl::Status CheckMemory(const Options& options) {
  if (options.policy.memory_mb == 0) return absl::OkStatus();
  int64_t bytes = 0;
  std::string list;
  for (const MemoryShare& share : MemoryShares(options)) {
    bytes += share.bytes;
    absl::StrAppend(&list, list.empty() ? "" : ", ", share.what, " ",
                    (share.bytes + kMiB - 1) / kMiB);
  }
  if (bytes <= options.policy.memory_mb * kMiB) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--memory_mb=", options.policy.memory_mb, ": these options can need ",
      (bytes + kMiB - 1) / kMiB, " MiB (", list, "); lower --threads, --stack_kb or --cache_mb"));
}

}  // namespace knot
