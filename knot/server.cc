#include "knot/server.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "knot/clock.h"
#include "knot/confinement.h"
#include "knot/descriptor_limit.h"
#include "knot/policy.h"
#include "knot/privileges.h"
#include "knot/threads.h"
#include "knot/transport.h"
#include "knot/tuning.h"
#include "knot/unix_socket.h"

namespace knot {
namespace {

constexpr std::chrono::seconds kLogPatience{5};  // for the disk, or whoever reads the pipe
constexpr size_t kMostReplaced = 16;             // configurations that a connection may still use

// Names what may be the reason that a log cannot be opened.
absl::Status WithSandbox(const absl::Status& status, const Options& options) {
  bool may_be = absl::IsPermissionDenied(status) && options.operate.sandbox != Sandbox::kOff;
  if (!may_be) return status;
  return absl::PermissionDeniedError(
      absl::StrCat(status.message(), " (--sandbox lets a log be where it was at the start)"));
}

void Warn(const std::string& warning) {
  if (!warning.empty()) std::fprintf(stderr, "knot: warning: %s\n", warning.c_str());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, const Part& part) {
  std::unique_ptr<Server> server(new Server(options, part));
  server->FitDescriptors();
  absl::Status status = server->OpenConfiguration();
  if (status.ok()) status = StartClock();
  if (status.ok()) status = server->OpenLog(options);
  if (status.ok()) status = server->LoadCertificates();
  if (status.ok()) status = server->OpenDoors();
  if (status.ok()) status = server->StartAdmin();
  if (status.ok()) status = Confine(options);
  if (status.ok()) status = server->MakeThreads();
  if (status.ok()) status = server->KeepRoom();
  if (status.ok()) return server;
  server->Abandon();
  if (!server->Stopped()) server.release();  // threads made before the failure still look at it
  return status;
}

absl::StatusOr<std::string> Server::Check(const Options& options) {
  absl::StatusOr<std::shared_ptr<const Configuration>> read = Configuration::Read(options, nullptr);
  absl::Status status = read.status();
  status.Update(CheckPlaces(options.operate));
  status.Update(tuning::Check(options.tuning));
  const TlsSettings& tls = options.transport.tls;
  if (status.ok() && !tls.files.empty()) status = TlsContext::Load(tls).status();
  if (options.access_log != "off") status.Update(AccessLog::Check(options.access_log));
  int doors = tuning::ExpectedGroups(options.tuning) * options.processes *
              static_cast<int>(options.listen.size());
  status.Update(CheckDoors(options.threads, doors));
  if (!status.ok()) return status;
  return (*read)->warning;
}

Server::~Server() {
  room_keeper_.reset();
  admin_.reset();  // it reads the counters
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

absl::Status Server::OpenConfiguration() {
  absl::StatusOr<std::shared_ptr<const Configuration>> opened =
      Configuration::Open(options_, nullptr);
  if (!opened.ok()) return opened.status();
  configuration_ = *std::move(opened);
  options_.root = configuration_->sites->first().directory;
  AddWarning(configuration_->warning);
  return absl::OkStatus();
}

void Server::AddWarning(const std::string& warning) {
  if (!warning.empty()) absl::StrAppend(&warning_, warning_.empty() ? "" : "; ", warning);
}

// Opens the log, or opens it anew.
absl::Status Server::OpenLog(const Options& options) {
  bool on = options.access_log != "off";
  if (log_ != nullptr) {
    // Where it is off now, its file must not be kept from whoever wants to remove it.
    absl::Status status =
        log_->Reopen(on ? options.access_log : "/dev/null", options.operate.log_format);
    if (on && !status.ok()) return WithSandbox(status, options);
  } else if (on) {
    absl::StatusOr<std::unique_ptr<AccessLog>> log =
        AccessLog::Open(options.access_log, options.operate.log_format);
    if (!log.ok()) return WithSandbox(log.status(), options);
    log_ = *std::move(log);
    if (!options.operate.user.empty()) {  // who will open it anew, when it is no longer root
      absl::StatusOr<Identity> user = FindIdentity(options.operate.user);
      if (user.ok()) log_->GiveTo(user->user, user->group);
    }
  }
  return absl::OkStatus();
}

absl::Status Server::LoadCertificates() {
  if (options_.transport.tls.files.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TlsContext>> loaded = TlsContext::Load(options_.transport.tls);
  if (!loaded.ok()) return loaded.status();
  tls_ = *std::move(loaded);
  AddWarning(tls_->Current()->warning());
  return absl::OkStatus();
}

std::shared_ptr<Group> Server::MakeGroup(Traffic& traffic, const Options& options) const {
  const TransportOptions& transport = options.transport;
  auto group = std::make_shared<Group>(
      traffic, configuration_,
      CacheLimits(options, *configuration_, descriptor_limit_, tuning::Groups()));
  group->log = options.access_log == "off" ? nullptr : log_.get();
  group->timed = group->metrics != nullptr ||
                 (group->log != nullptr && options.operate.log_format == LogFormat::kJson);
  group->header_timeout_ms = options.header_timeout * 1000;
  group->idle_timeout_ms = options.idle_timeout * 1000;
  group->least_sent = LeastRate(transport.min_send_rate, options.send_timeout);
  group->least_body = LeastRate(transport.min_body_rate, options.header_timeout);
  group->turn_seconds = options.room.make_room_after;
  return group;
}

bool Server::WantsPeers(const Options& options) const {
  return options.access_log != "off" || !options.transport.proxy_protocol.empty() ||
         !options.transport.trusted_proxies.empty() ||
         (configuration_->policy != nullptr && configuration_->policy->NeedsPeers());
}

absl::Status Server::Reload(const Options& options) {
  Options next = AfterReload(options_, options);
  for (const auto& lane : lanes_) {
    if (lane->group->InUse() < kMostReplaced) continue;
    return absl::ResourceExhaustedError(absl::StrCat("requests or connections that wait still use ",
                                                     kMostReplaced, " earlier configurations"));
  }
  absl::StatusOr<std::shared_ptr<const Configuration>> opened =
      Configuration::Open(next, configuration_.get());
  if (!opened.ok()) return opened.status();
  absl::StatusOr<std::shared_ptr<const TlsCertificates>> certificates = nullptr;
  if (tls_ != nullptr && !next.transport.tls.files.empty()) {
    certificates = tls_->Read(next.transport.tls);
    if (!certificates.ok()) return certificates.status();
  }
  absl::Status status = OpenLog(next);
  if (!status.ok()) return status;
  configuration_ = *std::move(opened);
  entrance_.wants_peers.store(WantsPeers(next));
  for (const auto& lane : lanes_) {
    std::shared_ptr<Group> before = lane->group->Get();
    lane->group->Replace(MakeGroup(lane->traffic, next));
    FileCache::Counts past = before->files.GetCounts();
    lane->traffic.counters.past_loads.Add(past.loads);
    lane->traffic.counters.past_checks.Add(past.checks);
  }
  for (const auto& door : doors_) door->SetSendTimeout(next.send_timeout);
  Warn(configuration_->warning);
  if (*certificates != nullptr) {
    Warn((*certificates)->warning());
    tls_->Use(*std::move(certificates));
  }
  options_.root = configuration_->sites->first().directory;
  return absl::OkStatus();
}

absl::Status Server::OpenDoors() {
  int groups = tuning::Groups();
  for (int i = 0; i < groups; ++i) {
    lanes_.push_back(std::make_unique<Lane>());
    Lane& lane = *lanes_.back();
    if (options_.admin.on) lane.traffic.metrics = std::make_unique<RequestMetrics>();
    lane.group = std::make_unique<GroupSlot>(MakeGroup(lane.traffic, options_));
  }
  entrance_.wants_peers.store(WantsPeers(options_));
  size_t each = part_.sockets.empty() ? groups : part_.sockets[0].size();
  int doors = static_cast<int>(each * options_.listen.size());
  absl::Status enough = CheckDoors(options_.threads, doors);
  if (!enough.ok()) return enough;
  for (size_t address = 0; address < options_.listen.size(); ++address) {
    std::string name = AddressText(options_.listen[address]);  // before its port is known
    absl::StatusOr<std::vector<int>> sockets = SocketsOf(address, groups);
    if (!sockets.ok()) return sockets.status();
    listening_.push_back(ToHandOver(name, options_.listen[address], *sockets));
    absl::Status added = AddDoors(address, *sockets, doors);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

// Makes a door of each socket of an address, of `doors` in all.
absl::Status Server::AddDoors(size_t address, const std::vector<int>& sockets, int doors) {
  Transport begins;
  const AddressSet& proxies = options_.transport.proxy_protocol;
  if (!proxies.empty()) begins.proxies = &proxies;
  if (options_.listen[address].tls) begins.tls = tls_.get();
  for (size_t i = 0; i < sockets.size(); ++i) {
    // Whoever opened them may have expected another number of groups: none goes without threads.
    int group = static_cast<int>(i) % static_cast<int>(lanes_.size());
    int number = static_cast<int>(doors_.size());
    int share = (options_.threads + doors - 1 - number) / doors;
    Lane& lane = *lanes_[group];
    lane.traffic.open.Reserve(share);
    doors_.push_back(std::make_unique<Door>(*this, entrance_, lane.traffic, *lane.group,
                                            Door::Place{number, group, share}, sockets[i], begins));
    if (!options_.listen[address].Shared()) continue;
    absl::Status shared = doors_.back()->Share(options_.send_timeout);
    if (!shared.ok()) return shared;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> Server::SocketsOf(size_t address, int groups) {
  if (!part_.sockets.empty()) return part_.sockets[address];
  return ListenOrTake(options_.predecessor.get(), &options_.listen[address], groups,
                      options_.send_timeout);
}

absl::Status Server::StartAdmin() {
  if (!options_.admin.on) return absl::OkStatus();
  const bool alone = part_.number == 0;
  absl::StatusOr<std::vector<int>> sockets;
  if (alone) {
    std::string name = Admin::NameOf(options_.admin);  // before its port is known
    sockets = Admin::Listen(options_.predecessor.get(), &options_.admin, 1);
    if (!sockets.ok()) return sockets.status();
    listening_.push_back({std::move(name), *sockets});
  } else {
    sockets = part_.sockets.back();
  }
  std::shared_ptr<Board> board = alone ? Board::Make(1) : part_.board;
  if (board == nullptr) return absl::ResourceExhaustedError("no memory for --admin");
  Admin::Source source{[this](Statistics* statistics) {
                         *statistics = TakeStatistics();
                         ReadProcess(statistics);
                       },
                       [this] { return entrance_.closed.load() && !left_.load(); }};
  absl::StatusOr<std::unique_ptr<Admin>> admin =
      Admin::Start(options_.admin, (*sockets)[0], {board, part_.seat, alone}, std::move(source));
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
  const int64_t silence_ms = int64_t{1000} * options_.room.make_room_after;
  std::vector<RoomKeeper::Place> places;
  for (const auto& door : doors_) {
    places.push_back({door->socket, door->place.number, door->place.threads, door->serving,
                      door->traffic, SlowWatch(options_.room.crowded_rate, silence_ms)});
  }
  auto keeper = RoomKeeper::Start(std::move(places), silence_ms);
  if (keeper.ok()) room_keeper_ = *std::move(keeper);
  return keeper.status();
}

absl::Status Server::MakeThread(Door& door, void* (*body)(void*), void* argument) {
  threads_.fetch_add(1);
  tuning::PlaceNextThread(door.place.group_index);
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
  server.entrance_.threads.Enter();
  for (int socket; (socket = door.Accept(&peer)) >= 0;) server.Serve(door, socket, peer);
  server.entrance_.threads.Leave();
  server.threads_.fetch_sub(1);
  return nullptr;
}

void* Server::AcceptAndSpawn(void* argument) {
  Door& door = *static_cast<Door*>(argument);
  Server& server = door.server;
  server.entrance_.threads.Enter();
  server.ServeOnDemand(door);
  server.entrance_.threads.Leave();
  server.threads_.fetch_sub(1);
  return nullptr;
}

void Server::ServeOnDemand(Door& door) {
  for (;;) {
    door.permits.acquire();
    PeerAddress peer{};
    int socket = door.Accept(&peer);
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

void Server::Serve(Door& door, int socket, const PeerAddress& peer) {
  Traffic& traffic = door.traffic;
  traffic.counters.connections.Add();
  traffic.open.Add(socket, door.place.number);
  door.serving.fetch_add(1, std::memory_order_relaxed);
  try {
    if (door.transport.plain()) [[likely]] {
      ServePlain(door.groups, socket, peer);
    } else {
      ServeBy(door.transport, door.groups, socket, peer);
    }
  } catch (const std::bad_alloc&) {  // it costs this connection, not the server
    traffic.counters.cut_short.Add();
  }
  door.serving.fetch_sub(1, std::memory_order_relaxed);
  traffic.open.Remove(socket);
  close(socket);
}

void Server::Stop() {
  entrance_.closed.store(true);
  for (const auto& lane : lanes_) lane->traffic.stopping.store(true);
  for (const auto& door : doors_) door->Close();
  if (part_.sockets.empty() && !left_) {  // else whoever opened them sees to it
    for (ListenAddress& address : options_.listen) RemoveUnixFile(&address);
  }
  if (admin_ != nullptr && entrance_.shared.load()) admin_->Close();
  Remind();
  for (const auto& lane : lanes_) lane->traffic.open.EndAll();
}

void Server::Abandon() {
  for (ListenAddress& address : options_.listen) DisownUnixFile(&address);
  Stop();
}

void Server::Leave() {
  left_.store(true);
  entrance_.shared.store(true);
  entrance_.closed.store(true);
  for (const auto& lane : lanes_) {
    lane->traffic.left.store(true);
    lane->traffic.stopping.store(true);
  }
  for (const auto& door : doors_) door->Close();
  if (admin_ != nullptr) admin_->Close();
  Remind();
}

void Server::Remind() {
  if (entrance_.shared.load()) entrance_.threads.Interrupt();
}

bool Server::CloseLog() {
  if (log_ == nullptr) return true;
  bool closed = log_->Close(kLogPatience);
  if (!closed) std::fputs("knot: the access log takes no more, its last lines are lost\n", stderr);
  if (uint64_t dropped = log_->dropped()) {
    std::fprintf(stderr, "knot: the access log is short of %llu lines, which were dropped\n",
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
  if (pipe2(ends, O_CLOEXEC) == 0) {
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
  for (const auto& lane : lanes_) {
    const Traffic& traffic = lane->traffic;
    const Counters& counters = traffic.counters;
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
    if (traffic.metrics != nullptr) traffic.metrics->AddTo(&totals.counts);
    levels.open += traffic.open.size();
    // In this order: a reload in between leaves loads out for a moment, and counts none twice.
    totals.cache_loads += counters.past_loads.Get();
    totals.cache_checks += counters.past_checks.Get();
    FileCache::Counts files = lane->group->Get()->files.GetCounts();
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
  size_t others = configuration_->sites->list().size() - 1;
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
