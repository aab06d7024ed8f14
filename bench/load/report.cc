#include "bench/load/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/load/verification.h"

namespace load {
namespace {

uint64_t Count(const WindowTally& window, Outcome outcome) {
  return window.outcomes[static_cast<size_t>(outcome)].Get();
}

double PerSecond(double amount, const RunResult& run) {
  return run.seconds > 0 ? amount / run.seconds : 0;
}

double Megabits(const RunResult& run) {
  return PerSecond(static_cast<double>(run.bytes_in_window) * 8 / 1e6, run);
}

double Utilization(const RunResult& run) {
  return PerSecond(run.generator_cpu_seconds, run) / run.processors;
}

bool GeneratorLimited(const RunResult& run, const WindowTally& window) {
  return Utilization(run) > kMaxUtilization ||
         window.arrival_lateness.Quantile(0.99) > kMaxLateness ||
         Count(window, Outcome::kClient) != 0;
}

std::string Milliseconds(const Histogram& times) {
  auto ms = [](double ns) { return absl::StrFormat("%.4f", ns / 1e6); };
  auto quantile = [&](double q) { return ms(static_cast<double>(times.Quantile(q))); };
  return absl::StrCat("{\"mean\": ", ms(times.Mean()), ", \"p50\": ", quantile(0.5),
                      ", \"p99\": ", quantile(0.99), ", \"p99_9\": ", quantile(0.999),
                      ", \"max\": ", ms(static_cast<double>(times.max())), "}");
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

const char* Bool(bool value) { return value ? "true" : "false"; }

std::string Errors(const WindowTally& window) {
  return absl::StrFormat(
      "{\"connect\": %d, \"reset\": %d, \"closed\": %d, \"status\": %d, \"wrong_body\": %d, "
      "\"client\": %d}",
      Count(window, Outcome::kConnect), Count(window, Outcome::kReset),
      Count(window, Outcome::kClosed), Count(window, Outcome::kStatus),
      Count(window, Outcome::kWrongBody), Count(window, Outcome::kClient));
}

std::string PerSize(const WindowTally& window) {
  std::vector<std::string> rows;
  for (uint32_t i = 0; i < kFilesPerDirectory; ++i) {
    rows.push_back(absl::StrFormat(
        "\n    {\"class\": %d, \"file\": %d, \"bytes\": %d, \"requests\": %d, \"timeouts\": %d}",
        i / kFilesPerClass, i % kFilesPerClass + 1, FileSize(i), window.sizes[i].requests.Get(),
        window.sizes[i].timeouts.Get()));
  }
  return absl::StrCat("[", absl::StrJoin(rows, ","), "]");
}

std::string Seconds(const RunResult& run) {
  std::vector<std::string> rows;
  for (const Second& second : run.per_second) {
    rows.push_back(absl::StrFormat(
        "\n    {\"t\": %.3f, \"requests\": %d, \"replies\": %d, \"timeouts\": %d, \"open\": %d}",
        second.t, second.requests, second.replies, second.timeouts, second.open));
  }
  return absl::StrCat("[", absl::StrJoin(rows, ","), "]");
}

std::string VerificationJson(const Verification& verification) {
  auto quote = [](std::string* out, const std::string& why) { out->append(Quoted(why)); };
  return absl::StrCat("{\"passed\": ", Bool(verification.passed),
                      ", \"strict\": ", Bool(verification.strict), ", \"why\": [",
                      absl::StrJoin(verification.why, ", ", quote), "]}");
}

uint64_t Ended(const WindowTally& window) {
  uint64_t ended = 0;
  for (const Counter& outcome : window.outcomes) ended += outcome.Get();
  return ended;
}

}  // namespace

std::string ReportJson(const RunResult& run, const WindowTally& window) {
  std::string json = "{";
  auto add = [&](const char* name, const auto& value) {
    absl::StrAppend(&json, json.size() > 1 ? "," : "", "\n  \"", name, "\": ", value);
  };
  auto real = [](double value) { return absl::StrFormat("%.4f", value); };
  add("offered_rate", real(run.offered_rate));
  add("seconds", real(run.seconds));
  add("complete", Bool(run.complete));
  add("sessions", window.sessions.Get());
  add("connections", window.connections.Get());
  add("connections_peak", run.connections_peak);
  add("connections_mean", real(run.connections_mean));
  add("requests", window.requests.Get());
  add("replies", Count(window, Outcome::kReply));
  add("timeouts", Count(window, Outcome::kTimeout));
  add("errors", Errors(window));
  add("abandoned", window.abandoned.Get());
  add("unfinished", window.requests.Get() - Ended(window));
  add("bytes", run.bytes_in_window);
  add("reply_rate", real(PerSecond(static_cast<double>(run.replies_in_window), run)));
  add("mbps", real(Megabits(run)));
  add("latency_ms", Milliseconds(window.latency));
  add("response_ms", Milliseconds(window.response));
  add("arrival_lateness_ms", Milliseconds(window.arrival_lateness));
  add("request_lateness_ms", Milliseconds(window.request_lateness));
  add("generator_cpu_seconds", real(run.generator_cpu_seconds));
  add("generator_utilization", real(Utilization(run)));
  add("generator_limited", Bool(GeneratorLimited(run, window)));
  add("processes", run.processes);
  add("verification", VerificationJson(Verify(window)));
  add("per_size", PerSize(window));
  add("per_second", Seconds(run));
  return json + "\n}\n";
}

std::string ReportText(const RunResult& run, const WindowTally& window) {
  const Verification verification = Verify(window);
  std::string text = absl::StrFormat(
      "%d requests in %.1f s: %.0f replies/s, %.0f Mbit/s, %d time-outs, %d errors; "
      "latency mean %.2f ms, p99 %.2f ms\n",
      window.requests.Get(), run.seconds,
      PerSecond(static_cast<double>(run.replies_in_window), run), Megabits(run),
      Count(window, Outcome::kTimeout),
      Ended(window) - Count(window, Outcome::kReply) - Count(window, Outcome::kTimeout),
      window.latency.Mean() / 1e6, static_cast<double>(window.latency.Quantile(0.99)) / 1e6);
  if (GeneratorLimited(run, window)) {
    absl::StrAppendFormat(
        &text,
        "limited by the generator: it used %.0f %% of its processors, began 1 %% of the sessions "
        "more than %.1f ms late, and refused %d\n",
        Utilization(run) * 100, static_cast<double>(window.arrival_lateness.Quantile(0.99)) / 1e6,
        Count(window, Outcome::kClient));
  }
  absl::StrAppend(&text, "verification ", verification.passed ? "passed" : "failed", "\n");
  for (const std::string& why : verification.why) absl::StrAppend(&text, "  ", why, "\n");
  if (!run.complete) absl::StrAppend(&text, "incomplete: the run was stopped early\n");
  return text;
}

}  // namespace load
