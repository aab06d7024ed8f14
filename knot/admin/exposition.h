// Writes metrics in Prometheus's text exposition format 0.0.4.
//
// Source: prometheus.io/docs/instrumenting/exposition_formats.
#ifndef KNOT_ADMIN_EXPOSITION_H_
#define KNOT_ADMIN_EXPOSITION_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace knot {

class Exposition {
 public:
  using Label = std::pair<absl::string_view, absl::string_view>;

  // The media type of the text.
  static constexpr char kType[] = "text/plain; version=0.0.4; charset=utf-8";

  // Begins a metric: its lines HELP and TYPE. `type` is counter, gauge or histogram.
  // Requires: the metric was not begun before.
  void Begin(absl::string_view name, absl::string_view type, absl::string_view help);

  // Adds a line of the metric begun last. `suffix` is of a histogram's lines; `value` is a number.
  void Line(absl::string_view value, std::initializer_list<Label> labels = {},
            absl::string_view suffix = {});

  // Returns: the text of all metrics.
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string name_;
};

// Returns: nanoseconds as a decimal number of seconds, exactly, without needless digits.
std::string SecondsText(uint64_t nanoseconds);

}  // namespace knot

#endif  // KNOT_ADMIN_EXPOSITION_H_
