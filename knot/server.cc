#include "knot/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "knot/clock.h"
#include "knot/connection.h"
#include "knot/descriptor_limit.h"
#include "knot/listener.h"
#include "knot/stream.h"
#include "knot/threads.h"
#include "knot/tuning.h"
#include "knot/unix_socket.h"

namespace knot {
namespace {

constexpr uint64_t kSmallFile = 64 * 1024;       // --send=auto keeps files up to this in memory
constexpr std::chrono::seconds kLogPatience{5};  // for the disk, or whoever reads the pipe

// Each host has a directory that stays open.
int64_t HostRoots(const Options& options) {
  return static_cast<int64_t>(options.site.hosts.size());
}

// Each group has its share, so that groups share nothing.
FileCache::Limits CacheLimits(const Options& options, int64_t descriptor_limit, int groups) {
  FileCache::Limits limits;
  limits.bytes = (int64_t{options.cache_mb} << 20) / options.processes / groups;
  limits.valid_seconds = options.cache_valid;
  limits.precompressed = options.precompressed;
  limits.compress = options.compress;
  limits.index = options.site.index;
  limits.descriptors =
      CachedDescriptors(descriptor_limit, options.threads + HostRoots(options)) / groups;
  switch (options.send) {
    case Send::kAuto:
      limits.in_memory = kSmallFile;
      break;
    case Send::kCache:
      limits.in_memory = limits.bytes / 4;  // one file must not sweep out all others
      break;
    default:
      limits.in_memory = 0;
  }
  return limits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, const Part& part) {
  std::unique_ptr<Server> server(new Server(options, part));
  server->FitDescriptors();
  absl::Status status = server->OpenSites();
  if (status.ok()) status = StartClock();
  if (status.ok() && options.access_log != "off") {
    absl::StatusOr<std::unique_ptr<AccessLog>> log = AccessLog::Open(options.access_log);
    if (log.ok()) server->log_ = *std::move(log);
    status = log.status();
  }
  if (status.ok()) status = server->MakeRules();
  if (status.ok()) status = server->LoadCertificates();
  if (status.ok()) status = server->OpenDoors();
  if (status.ok()) status = server->StartAdmin();
  if (status.ok()) status = server->MakeThreads();
  if (status.ok()) status = server->KeepRoom();
  if (status.ok()) return server;
  server->Stop();
  if (!server->Stopped()) server.release();  // threads made before the failure still look at it
  return status;
}

Server::~Server() {
  room_keeper_.reset();
  admin_.reset();  // it reads the counters
  for (const auto& door : doors_) close(door->socket);
}

// A connection without a descriptor left for the file it asks for is of no use, and threads that
// wait in accept(2) may each hold one already: what the limit cannot carry is not started.
void Server::FitDescriptors() {
  int64_t beside = kOtherDescriptors + kFileDescriptors + HostRoots(options_);
  int64_t needed = options_.threads + beside;
  descriptor_limit_ = RaiseDescriptorLimit(needed);
  if (descriptor_limit_ >= needed) return;
  int64_t others = std::max(std::min(beside, descriptor_limit_ / 2), int64_t{1});
  int fitting = static_cast<int>(std::max(descriptor_limit_ - others, int64_t{1}));
  warning_ = absl::StrCat("the limit of ", descriptor_limit_, " open files is below the ", needed,
                          " that ", options_.threads, " connections can need; at most ", fitting,
                          " are served at a time", part_.number > 0 ? " by each process" : "",
                          "; raise it (ulimit -n), lower --threads or raise --processes");
  options_.threads = fitting;
}

absl::Status Server::OpenSites() {
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(options_.root, options_.site);
  if (!sites.ok()) return sites.status();
  sites_ = *std::move(sites);
  options_.root = sites_->first().directory;
  absl::StatusOr<std::string> health = ParsePathFlag("health", options_.site.health);
  if (!health.ok()) return health.status();
  health_ = *std::move(health);
  absl::StatusOr<MimeTypes> types =
      MimeTypes::Load(options_.site.mime_types, options_.site.charset);
  if (types.ok()) types_ = *std::move(types);
  return types.status();
}

absl::Status Server::MakeRules() {
  absl::StatusOr<HeaderRules> headers = HeaderRulesOf(options_.policy);
  if (!headers.ok()) return headers.status();
  headers_ = *std::move(headers);
  absl::StatusOr<std::unique_ptr<Policy>> policy = Policy::Make(options_.policy, options_.root);
  if (!policy.ok()) return policy.status();
  policy_ = *std::move(policy);
  return absl::OkStatus();
}

absl::Status Server::LoadCertificates() {
  wants_peers_ = log_ != nullptr || !options_.transport.proxy_protocol.empty() ||
                 !options_.transport.trusted_proxies.empty() ||
                 (policy_ != nullptr && policy_->NeedsPeers());
  if (options_.transport.tls.files.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TlsContext>> loaded = TlsContext::Load(options_.transport.tls);
  if (!loaded.ok()) return loaded.status();
  tls_ = *std::move(loaded);
  const std::string& warning = tls_->Current()->warning();
  if (!warning.empty()) absl::StrAppend(&warning_, warning_.empty() ? "" : "; ", warning);
  return absl::OkStatus();
}

absl::Status Server::ReloadCertificates() {
  return tls_ == nullptr ? absl::OkStatus() : tls_->Reload();
}

absl::Status Server::OpenDoors() {
  const TransportOptions& transport = options_.transport;
  int groups = tuning::Groups();
  FileCache::Limits limits = CacheLimits(options_, descriptor_limit_, groups);
  limits.headers = &headers_;
  for (int i = 0; i < groups; ++i) {
    groups_.push_back(std::make_unique<Group>(*sites_, types_, limits));
    groups_[i]->health = health_;
    groups_[i]->log = log_.get();
    groups_[i]->policy = policy_.get();
    groups_[i]->fields = headers_.Every();
    if (options_.admin.on) groups_[i]->metrics = std::make_unique<RequestMetrics>();
    groups_[i]->header_timeout_ms = options_.header_timeout * 1000;
    groups_[i]->idle_timeout_ms = options_.idle_timeout * 1000;
    groups_[i]->least_sent = LeastRate(transport.min_send_rate, options_.send_timeout);
    groups_[i]->least_body = LeastRate(transport.min_body_rate, options_.header_timeout);
    if (!transport.trusted_proxies.empty()) {
      groups_[i]->trusted_proxies = &transport.trusted_proxies;
    }
    groups_[i]->turn_seconds = options_.room.make_room_after;
  }
  size_t each = part_.sockets.empty() ? groups : part_.sockets[0].size();
  int doors = static_cast<int>(each * options_.listen.size());
  if (options_.threads < doors) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads=", options_.threads,
                     ": each address and scheduler needs one, so at least ", doors));
  }
  for (size_t address = 0; address < options_.listen.size(); ++address) {
    absl::StatusOr<std::vector<int>> sockets = SocketsOf(address, groups);
    if (!sockets.ok()) return sockets.status();
    for (size_t i = 0; i < sockets->size(); ++i) {
      // Whoever opened them may have expected another number of groups: none goes without threads.
      int group = static_cast<int>(i) % groups;
      int share = (options_.threads + doors - 1 - static_cast<int>(doors_.size())) / doors;
      groups_[group]->open.Reserve(share);
      Transport begins;
      if (!transport.proxy_protocol.empty()) begins.proxies = &transport.proxy_protocol;
      if (options_.listen[address].tls) begins.tls = tls_.get();
      doors_.push_back(std::unique_ptr<Door>(
          new Door{*this, *groups_[group], group, (*sockets)[i], std::counting_semaphore<>(share),
                   begins, nullptr, static_cast<int>(doors_.size()), share}));
      if (!options_.listen[address].Shared()) continue;
      absl::StatusOr<std::unique_ptr<SharedAccept>> shared =
          SharedAccept::Make((*sockets)[i], options_.send_timeout);
      if (!shared.ok()) return shared.status();
      doors_.back()->shared = *std::move(shared);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> Server::SocketsOf(size_t address, int groups) {
  if (!part_.sockets.empty()) return part_.sockets[address];
  return Listen(&options_.listen[address], groups, options_.send_timeout);
}

absl::Status Server::StartAdmin() {
  if (!options_.admin.on) return absl::OkStatus();
  const bool alone = part_.number == 0;
  absl::StatusOr<std::vector<int>> sockets;
  if (alone) {
    sockets = Admin::Listen(&options_.admin, 1);
    if (!sockets.ok()) return sockets.status();
  } else {
    sockets = part_.sockets.back();
  }
  std::shared_ptr<Board> board = alone ? Board::Make(1) : part_.board;
  if (board == nullptr) return absl::ResourceExhaustedError("no memory for --admin");
  Admin::Source source{[this](Statistics* statistics) {
                         *statistics = TakeStatistics();
                         ReadProcess(statistics);
                       },
                       [this] { return stopping_.load(); }};
  absl::StatusOr<std::unique_ptr<Admin>> admin =
      Admin::Start(options_.admin, (*sockets)[0], {board, alone ? 0 : part_.number - 1, alone},
                   std::move(source));
  if (admin.ok()) admin_ = *std::move(admin);
  return admin.status();
}

absl::Status Server::MakeThreads() {
  bool prefork = options_.spawn == Spawn::kPrefork;
  int count = prefork ? options_.threads : static_cast<int>(doors_.size());
  for (int i = 0; i < count; ++i) {
    Door& door = *doors_[i % doors_.size()];
    absl::Status status = MakeThread(door, prefork ? AcceptAndServe : AcceptAndSpawn, &door);
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat(status.message(), " (", i, " of ", count,
                                                      " made; see --threads and --stack_kb)"));
    }
  }
  return absl::OkStatus();
}

absl::Status Server::KeepRoom() {
  if (options_.room.make_room_after == 0) return absl::OkStatus();
  std::vector<RoomKeeper::Place> places;
  for (const auto& door : doors_) {
    places.push_back({door->socket, door->number, door->threads, door->serving, door->group});
  }
  auto keeper = RoomKeeper::Start(std::move(places), options_.room.make_room_after * 1000);
  if (keeper.ok()) room_keeper_ = *std::move(keeper);
  return keeper.status();
}

absl::Status Server::MakeThread(Door& door, void* (*body)(void*), void* argument) {
  threads_.fetch_add(1);
  tuning::PlaceNextThread(door.group_index);
  try {
    absl::Status status = StartThread(size_t{1024} * options_.stack_kb, body, argument);
    if (!status.ok()) threads_.fetch_sub(1);
    return status;
  } catch (const std::bad_alloc&) {  // for the reason why it could not
    threads_.fetch_sub(1);
    throw;
  }
}

void* Server::AcceptAndServe(void* argument) {
  Door& door = *static_cast<Door*>(argument);
  Server& server = door.server;
  PeerAddress peer{};
  for (int socket; (socket = server.Accept(door, &peer)) >= 0;) server.Serve(door, socket, peer);
  server.threads_.fetch_sub(1);
  return nullptr;
}

void* Server::AcceptAndSpawn(void* argument) {
  Door& door = *static_cast<Door*>(argument);
  Server& server = door.server;
  server.ServeOnDemand(door);
  server.threads_.fetch_sub(1);
  return nullptr;
}

void Server::ServeOnDemand(Door& door) {
  for (;;) {
    door.permits.acquire();
    PeerAddress peer{};
    int socket = Accept(door, &peer);
    if (socket < 0) return;
    // For want of memory or threads, as with descriptors, it is served here: so no more is accepted
    // meanwhile.
    if (!ServeByThread(door, socket, peer)) {
      Serve(door, socket, peer);
      door.permits.release();
    }
  }
}

// Returns: false where no thread can be made for the connection.
bool Server::ServeByThread(Door& door, int socket, const PeerAddress& peer) {
  try {
    auto accepted = std::make_unique<Accepted>(Accepted{door, socket, peer});
    if (!MakeThread(door, ServeAccepted, accepted.get()).ok()) return false;
    accepted.release();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void* Server::ServeAccepted(void* argument) {
  std::unique_ptr<Accepted> accepted(static_cast<Accepted*>(argument));
  Door& door = accepted->door;
  Server& server = door.server;
  server.Serve(door, accepted->socket, accepted->peer);
  accepted.reset();
  door.permits.release();
  server.threads_.fetch_sub(1);
  return nullptr;
}

// Returns: a connection, or -1 where the server is stopping.
int Server::Accept(Door& door, PeerAddress* peer) {
  for (;;) {
    socklen_t size = sizeof *peer;
    bool wanted = wants_peers_;
    int socket = door.shared != nullptr ? door.shared->Accept(wanted ? peer : nullptr)
                                        : accept4(door.socket, wanted ? &peer->any : nullptr,
                                                  wanted ? &size : nullptr, SOCK_CLOEXEC);
    if (socket >= 0) {
      door.group.back_off.Succeeded();
      return socket;
    }
    int error = errno;
    if (stopping_.load()) return -1;
    // The others, accept(2) says, are of the connection that was to be accepted, not of the server.
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) continue;
    if (!said_accept_fails_.test_and_set()) {
      std::fprintf(stderr, "knot: cannot accept: %s; will accept again when it can\n",
                   std::strerror(error));
    }
    door.group.back_off.Wait(stopping_);
  }
}

void Server::Serve(Door& door, int socket, const PeerAddress& peer) {
  Group& group = door.group;
  group.counters.connections.Add();
  group.open.Add(socket, door.number);
  door.serving.fetch_add(1, std::memory_order_relaxed);
  try {
    if (door.transport.plain()) [[likely]] {
      ServePlain(group, socket, peer);
    } else {
      ServeBy(door.transport, group, socket, peer);
    }
  } catch (const std::bad_alloc&) {  // it costs this connection, not the server
    group.counters.cut_short.Add();
  }
  door.serving.fetch_sub(1, std::memory_order_relaxed);
  group.open.Remove(socket);
  close(socket);
}

void Server::Stop() {
  stopping_.store(true);
  for (const auto& group : groups_) group->stopping.store(true);
  for (const auto& door : doors_) {
    if (door->shared != nullptr) {
      door->shared->Stop();
    } else {
      shutdown(door->socket, SHUT_RD);  // ends accept(2) in every thread
    }
    door->permits.release();
  }
  if (part_.sockets.empty()) {  // else whoever opened them sees to it
    for (ListenAddress& address : options_.listen) RemoveUnixFile(&address);
  }
  for (const auto& group : groups_) group->open.EndAll();
}

bool Server::CloseLog() {
  if (log_ == nullptr) return true;
  bool closed = log_->Close(kLogPatience);
  if (!closed) std::fputs("knot: the access log takes no more, its last lines are lost\n", stderr);
  if (uint64_t dropped = log_->dropped()) {
    std::fprintf(stderr, "knot: the access log is short of %llu lines dropped under load\n",
                 static_cast<unsigned long long>(dropped));
  }
  return closed;
}

void Server::WriteStatistics(int fd) const {
  std::string text = StatisticsText(TakeStatistics());
  if (part_.number == 0) {
    if (write(fd, text.data(), text.size()) >= 0) tuning::WriteStatistics(fd);
    return;
  }
  // In one piece, since the others write theirs at the same time.
  text = absl::StrCat("knot: process ", part_.number, " of ", options_.processes, " (", getpid(),
                      ")\n", text);
  int ends[2];
  if (pipe(ends) == 0) {
    tuning::WriteStatistics(ends[1]);
    close(ends[1]);
    char part[4096];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, n);
    close(ends[0]);
  }
  if (write(fd, text.data(), text.size()) < 0) return;
}

Statistics Server::TakeStatistics() const {
  Statistics statistics;
  auto& [totals, levels] = statistics;
  for (const auto& group : groups_) {
    const Counters& counters = group->counters;
    totals.connections += counters.connections.Get();
    totals.idle_closed += counters.idle_closed.Get();
    totals.turned_away += counters.turned_away.Get();
    totals.room_made += counters.room_made.Get();
    totals.health += counters.health.Get();
    totals.tls_handshakes += counters.tls_handshakes.Get();
    totals.tls_resumed += counters.tls_resumed.Get();
    totals.tls_failures += counters.tls_failures.Get();
    totals.proxy_refusals += counters.proxy_refusals.Get();
    totals.requests += counters.requests.Get();
    totals.body_bytes += counters.body_bytes.Get();
    totals.refusals += counters.refusals.Get();
    totals.cut_short += counters.cut_short.Get();
    if (group->metrics != nullptr) group->metrics->AddTo(&totals.counts);
    levels.open += group->open.size();
    FileCache::Counts files = group->files.GetCounts();
    totals.cache_loads += files.loads;
    totals.cache_checks += files.checks;
    levels.cache_entries += files.entries;
    levels.cache_bytes += files.bytes;
    levels.cache_descriptors += files.descriptors;
  }
  totals.log_dropped = log_ != nullptr ? log_->dropped() : 0;
  levels.threads = static_cast<uint64_t>(threads_.load());
  return statistics;
}

std::string Server::Summary() const {
  tuning::Effective effective = tuning::Describe();
  std::string addresses =
      absl::StrJoin(options_.listen, " ", [](std::string* out, const ListenAddress& address) {
        absl::StrAppend(out, AddressUrl(address));
      });
  size_t others = sites_->list().size() - 1;
  std::string hosts = others == 0 ? "" : absl::StrCat(" and ", others, " by host");
  return absl::StrCat(
      "knot: ", addresses, " serves ", options_.root, hosts, "; ",
      part_.number > 0 ? absl::StrCat("processes=", options_.processes, ", each: ") : "",
      "threads=", options_.threads, options_.spawn == Spawn::kOnDemand ? " on demand (" : " (",
      effective.threads, absl::StrCat(", schedulers=", tuning::Groups()),
      ") workers=", effective.workers, " poller=", effective.poller,
      " send=", SendName(options_.send),
      options_.admin.on ? absl::StrCat(" admin=http://", AddressText(options_.admin.address), "/")
                        : "");
}

}  // namespace knot
