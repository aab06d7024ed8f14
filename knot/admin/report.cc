#include "knot/admin/report.h"

#include <cstddef>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "knot/admin/exposition.h"
#include "knot/request_metrics.h"

namespace knot {
namespace {

// A number of the statistics. Rows of one metric follow each other and differ by its label.
template <typename Part>
struct Row {
  const char* key;  // in JSON
  uint64_t Part::*value;
  const char* metric;  // null: it is written otherwise
  const char* help;
  const char* label = nullptr;
  const char* label_value = nullptr;
  bool nanoseconds = false;  // told in seconds
};

constexpr char kCpuHelp[] = "CPU time of the processes that serve.";
constexpr Row<Totals> kTotals[] = {
    {"connections", &Totals::connections, "knot_connections_total", "Connections accepted."},
    {"idle_closed", &Totals::idle_closed, "knot_connections_idle_closed_total",
     "Connections closed because they asked nothing for --idle_timeout."},
    {"turned_away", &Totals::turned_away, "knot_connections_turned_away_total",
     "Connections closed because their client had as many as it may."},
    {"room_made", &Totals::room_made, "knot_connections_room_made_total",
     "Connections told to end, or cut off, so that others could be served."},
    {"tls_handshakes", &Totals::tls_handshakes, "knot_tls_handshakes_total",
     "TLS handshakes done."},
    {"tls_resumed", &Totals::tls_resumed, "knot_tls_resumed_total",
     "TLS handshakes that resumed a session."},
    {"tls_failures", &Totals::tls_failures, "knot_tls_failures_total",
     "Connections that did not come through their TLS handshake."},
    {"proxy_refusals", &Totals::proxy_refusals, "knot_proxy_refusals_total",
     "Connections without the PROXY header they had to begin with."},
    {"requests", &Totals::requests, nullptr, nullptr},
    {"health", &Totals::health, "knot_health_answers_total",
     "Answers to --health, which are in none of the others."},
    {"body_bytes", &Totals::body_bytes, "knot_reply_body_bytes_total",
     "Bytes of replies' bodies, as far as they were sent."},
    {"refusals", &Totals::refusals, "knot_refusals_total", "Replies of status 400 and above."},
    {"cut_short", &Totals::cut_short, "knot_replies_cut_short_total",
     "Replies that could not be sent whole."},
    {"cache_loads", &Totals::cache_loads, "knot_cache_loads_total",
     "Files opened because they were not cached or had changed."},
    {"cache_checks", &Totals::cache_checks, "knot_cache_checks_total",
     "Look-ups that asked the file system whether a cached file had changed."},
    {"log_dropped", &Totals::log_dropped, "knot_access_log_dropped_lines_total",
     "Lines that the access log had no room for."},
    {"cpu_user", &Totals::user_ns, "knot_cpu_seconds_total", kCpuHelp, "mode", "user", true},
    {"cpu_system", &Totals::system_ns, "knot_cpu_seconds_total", kCpuHelp, "mode", "system", true},
};

constexpr Row<Levels> kLevels[] = {
    {"processes", &Levels::processes, "knot_processes", "Processes that serve."},
    {"open", &Levels::open, "knot_connections_open", "Connections open."},
    {"threads", &Levels::threads, "knot_threads", "Threads that accept or serve connections."},
    {"cache_entries", &Levels::cache_entries, "knot_cache_entries", "Paths cached."},
    {"cache_bytes", &Levels::cache_bytes, "knot_cache_bytes", "Memory of cached files."},
    {"cache_descriptors", &Levels::cache_descriptors, "knot_cache_descriptors",
     "Descriptors of cached files."},
};

// These are known on user threads only.
constexpr char kSecondsHelp[] =
    "Time of the kernel threads that run user threads, by what it went into.";
constexpr Row<Totals> kThreadingTotals[] = {
    {"application", &Totals::application_ns, "knot_scheduler_seconds_total", kSecondsHelp, "share",
     "application", true},
    {"threading", &Totals::threading_ns, "knot_scheduler_seconds_total", kSecondsHelp, "share",
     "threading", true},
    {"event", &Totals::event_ns, "knot_scheduler_seconds_total", kSecondsHelp, "share", "event",
     true},
    {"idle", &Totals::idle_ns, "knot_scheduler_seconds_total", kSecondsHelp, "share", "idle", true},
    {"switches", &Totals::switches, "knot_switches_total", "Switches between user threads."},
    {"polls", &Totals::polls, "knot_polls_total",
     "Calls that asked the kernel which descriptors are ready."},
    {"poll_events", &Totals::poll_events, "knot_poll_events_total", "Events they returned."},
    {"worker_calls", &Totals::worker_calls, "knot_worker_calls_total",
     "System calls handed to workers."},
};

constexpr char kStatesHelp[] = "User threads by what they do or wait for.";
constexpr char kWorkersHelp[] = "Kernel threads for system calls that block.";
constexpr Row<Levels> kThreadingLevels[] = {
    {"running", &Levels::running, "knot_user_threads", kStatesHelp, "state", "running"},
    {"ready", &Levels::ready, "knot_user_threads", kStatesHelp, "state", "ready"},
    {"readable", &Levels::readable, "knot_user_threads", kStatesHelp, "state", "readable"},
    {"writable", &Levels::writable, "knot_user_threads", kStatesHelp, "state", "writable"},
    {"poll", &Levels::poll, "knot_user_threads", kStatesHelp, "state", "poll"},
    {"accept", &Levels::accept, "knot_user_threads", kStatesHelp, "state", "accept"},
    {"lock", &Levels::lock, "knot_user_threads", kStatesHelp, "state", "lock"},
    {"worker", &Levels::worker, "knot_user_threads", kStatesHelp, "state", "worker"},
    {"disk", &Levels::disk, "knot_user_threads", kStatesHelp, "state", "disk"},
    {"time", &Levels::time, "knot_user_threads", kStatesHelp, "state", "time"},
    {"signal", &Levels::signal, "knot_user_threads", kStatesHelp, "state", "signal"},
    {"other", &Levels::other, "knot_user_threads", kStatesHelp, "state", "other"},
    {"workers_busy", &Levels::workers_busy, "knot_workers", kWorkersHelp, "state", "busy"},
    {"workers_idle", &Levels::workers_idle, "knot_workers", kWorkersHelp, "state", "idle"},
    {"worker_queue", &Levels::worker_queue, "knot_worker_queue",
     "System calls that wait for a worker."},
    {"poll_set", &Levels::poll_set, "knot_poll_set",
     "Descriptors whose readiness is watched for user threads."},
};

template <typename Part>
std::string ValueOf(const Row<Part>& row, const Part& part) {
  return row.nanoseconds ? SecondsText(part.*row.value) : absl::StrCat(part.*row.value);
}

template <typename Part, size_t count>
void AddMetrics(const Row<Part> (&rows)[count], const Part& part, Exposition* out) {
  absl::string_view begun;
  for (const Row<Part>& row : rows) {
    if (row.metric == nullptr) continue;
    if (begun != row.metric) {
      out->Begin(row.metric, std::is_same_v<Part, Totals> ? "counter" : "gauge", row.help);
    }
    begun = row.metric;
    if (row.label == nullptr) {
      out->Line(ValueOf(row, part));
    } else {
      out->Line(ValueOf(row, part), {{row.label, row.label_value}});
    }
  }
}

void AddRequests(const RequestMetrics::Counts& counts, Exposition* out) {
  out->Begin("knot_requests_total", "counter", "Requests answered, by the status of the reply.");
  for (size_t i = 0; i < RequestMetrics::kStatuses; ++i) {
    // The most usual is there from the start, so that whoever waits for the first sees the others.
    size_t status = i + RequestMetrics::kFirstStatus;
    if (counts.by_status[i] == 0 && status != 200) continue;
    out->Line(absl::StrCat(counts.by_status[i]), {{"code", absl::StrCat(status)}});
  }
  out->Begin("knot_request_seconds", "histogram",
             "From the first byte of a request to the last of its reply, as it was handed to the "
             "kernel.");
  uint64_t sum = 0;
  for (size_t i = 0; i < RequestMetrics::kBuckets; ++i) {
    sum += counts.by_time[i];
    bool last = i == RequestMetrics::kBuckets - 1;
    out->Line(absl::StrCat(sum),
              {{"le", last ? "+Inf" : SecondsText(RequestMetrics::UpperBound(i))}}, "_bucket");
  }
  out->Line(SecondsText(counts.nanoseconds), {}, "_sum");
  out->Line(absl::StrCat(sum), {}, "_count");
}

// Appends `"key":`, after a comma where it is not the first of its object.
void AppendKey(absl::string_view key, std::string* out) {
  if (out->back() != '{') out->push_back(',');
  absl::StrAppend(out, "\"", key, "\":");
}

void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->append({'\\', c});
    } else if (byte < 0x20) {
      absl::StrAppend(out, "\\u", absl::Hex(byte, absl::kZeroPad4));
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

void AppendText(absl::string_view key, absl::string_view text, std::string* out) {
  AppendKey(key, out);
  AppendJsonString(text, out);
}

template <typename Part, size_t count>
void AppendNumbers(const Row<Part> (&rows)[count], const Part& part, std::string* out) {
  for (const Row<Part>& row : rows) {
    AppendKey(row.key, out);
    out->append(ValueOf(row, part));
  }
}

void AppendRequests(const RequestMetrics::Counts& counts, std::string* out) {
  AppendKey("codes", out);
  out->push_back('{');
  for (size_t i = 0; i < RequestMetrics::kStatuses; ++i) {
    if (counts.by_status[i] == 0) continue;
    AppendKey(absl::StrCat(i + RequestMetrics::kFirstStatus), out);
    absl::StrAppend(out, counts.by_status[i]);
  }
  out->push_back('}');
  AppendKey("seconds", out);
  const char* before = "{\"bounds\":[";
  for (size_t i = 0; i + 1 < RequestMetrics::kBuckets; ++i) {
    absl::StrAppend(out, before, SecondsText(RequestMetrics::UpperBound(i)));
    before = ",";
  }
  before = "],\"counts\":[";
  for (uint64_t number : counts.by_time) {
    absl::StrAppend(out, before, number);
    before = ",";
  }
  absl::StrAppend(out, "],\"sum\":", SecondsText(counts.nanoseconds), "}");
}

}  // namespace

std::string MetricsText(const Report& report) {
  const auto& [totals, levels] = report.statistics;
  Exposition out;
  out.Begin("knot_info", "gauge", "Always 1; its labels say what serves.");
  out.Line("1", {{"version", KNOT_VERSION},
                 {"threads", report.threading.threads},
                 {"workers", report.threading.workers},
                 {"poller", report.threading.poller}});
  out.Begin("knot_start_time_seconds", "gauge", "When it began to serve, as Unix time.");
  out.Line(absl::StrCat(report.start_seconds));
  AddRequests(totals.counts, &out);
  AddMetrics(kTotals, totals, &out);
  AddMetrics(kLevels, levels, &out);
  if (levels.on_user_threads > 0) {
    AddMetrics(kThreadingTotals, totals, &out);
    AddMetrics(kThreadingLevels, levels, &out);
  }
  return out.text();
}

std::string StatusJson(const Report& report) {
  const auto& [totals, levels] = report.statistics;
  std::string out = "{";
  AppendText("version", KNOT_VERSION, &out);
  AppendText("threading", report.threading.threads, &out);
  AppendText("workers", report.threading.workers, &out);
  AppendText("poller", report.threading.poller, &out);
  AppendKey("start", &out);
  absl::StrAppend(&out, report.start_seconds);
  AppendKey("uptime", &out);
  absl::StrAppend(&out, SecondsText(static_cast<uint64_t>(report.uptime_ns)));
  AppendKey("totals", &out);
  out.push_back('{');
  AppendNumbers(kTotals, totals, &out);
  if (levels.on_user_threads > 0) AppendNumbers(kThreadingTotals, totals, &out);
  AppendRequests(totals.counts, &out);
  out.push_back('}');
  AppendKey("levels", &out);
  out.push_back('{');
  AppendNumbers(kLevels, levels, &out);
  if (levels.on_user_threads > 0) AppendNumbers(kThreadingLevels, levels, &out);
  absl::StrAppend(&out, "}}\n");
  return out;
}

}  // namespace knot
