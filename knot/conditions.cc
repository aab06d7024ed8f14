#include "knot/conditions.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace knot {
namespace {

enum class Compare : uint8_t { kStrong, kWeak };  // 8.8.3.2

// Of a field that may stand only once and does not, or has no value: no date, tag or range.
constexpr absl::string_view kInvalid = ",";

bool IsWeak(absl::string_view tag) { return absl::StartsWith(tag, "W/"); }

absl::string_view OpaquePart(absl::string_view tag) { return absl::StripPrefix(tag, "W/"); }

bool Matches(absl::string_view a, absl::string_view b, Compare how) {
  if (how == Compare::kStrong && (IsWeak(a) || IsWeak(b))) return false;
  return OpaquePart(a) == OpaquePart(b);
}

// Takes an entity tag off the front. Returns: empty where there is none.
absl::string_view TakeTag(absl::string_view* list) {
  size_t quote = IsWeak(*list) ? 2 : 0;
  if (quote >= list->size() || (*list)[quote] != '"') return {};
  size_t end = list->find('"', quote + 1);
  if (end == absl::string_view::npos) return {};
  absl::string_view tag = list->substr(0, end + 1);
  list->remove_prefix(end + 1);
  return tag;
}

// What follows something that is no tag counts for nothing.
bool LineNames(absl::string_view line, absl::string_view etag, Compare how) {
  for (;;) {
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t' || line.front() == ',')) {
      line.remove_prefix(1);
    }
    absl::string_view tag = TakeTag(&line);
    if (tag.empty()) return false;
    if (Matches(tag, etag, how)) return true;
  }
}

bool ListNames(const FieldLines& list, absl::string_view etag, Compare how) {
  for (size_t i = 0; i < list.count; ++i) {
    if (list.lines[i] == "*" || LineNames(list.lines[i], etag, how)) return true;
  }
  return false;
}

}  // namespace

bool Conditions::Note(boost::beast::http::field name, absl::string_view value) {
  using boost::beast::http::field;
  any = true;
  absl::string_view* single = nullptr;
  switch (name) {
    case field::if_match:
      return if_match.Add(value);
    case field::if_none_match:
      return if_none_match.Add(value);
    case field::if_modified_since:
      single = &if_modified_since;
      break;
    case field::if_unmodified_since:
      single = &if_unmodified_since;
      break;
    case field::if_range:
      single = &if_range;
      break;
    default:
      single = &range;
  }
  *single = single->empty() && !value.empty() ? value : kInvalid;
  return true;
}

Verdict Evaluate(const Conditions& conditions, const Validators& file, int64_t now) {
  int64_t date;
  if (conditions.if_match.count > 0) {
    if (!ListNames(conditions.if_match, file.etag, Compare::kStrong)) {
      return Verdict::kPreconditionFailed;
    }
  } else if (!conditions.if_unmodified_since.empty() &&
             ParseHttpDate(conditions.if_unmodified_since, now, &date) && file.modified > date) {
    return Verdict::kPreconditionFailed;
  }
  if (conditions.if_none_match.count > 0) {
    return ListNames(conditions.if_none_match, file.etag, Compare::kWeak) ? Verdict::kNotModified
                                                                          : Verdict::kSend;
  }
  if (conditions.if_modified_since.empty()) return Verdict::kSend;
  // What nearly all clients send is what they were sent.
  bool unmodified =
      conditions.if_modified_since == file.last_modified ||
      (ParseHttpDate(conditions.if_modified_since, now, &date) && file.modified <= date);
  return unmodified ? Verdict::kNotModified : Verdict::kSend;
}

bool RangeCounts(const Conditions& conditions, const Validators& file) {
  absl::string_view validator = conditions.if_range;
  if (validator.empty()) return true;
  bool is_tag = validator.front() == '"' || IsWeak(validator);
  if (is_tag) return Matches(validator, file.etag, Compare::kStrong);
  return file.date_is_strong && validator == file.last_modified;
}

bool ParseHttpDate(absl::string_view text, int64_t now, int64_t* seconds) {
  // IMF-fixdate, and the two that are obsolete: RFC 850's, asctime's.
  constexpr absl::string_view kForms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %e %H:%M:%S %Y"};
  // None has anything else around it; absl would skip white space.
  if (text.empty() || text.size() > 40 || text.front() == ' ' || text.back() == ' ') return false;
  for (absl::string_view form : kForms) {
    absl::Time time;
    if (!absl::ParseTime(form, text, &time, nullptr)) continue;
    if (absl::StrContains(form, "%y")) {
      absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
      absl::CivilSecond latest =
          absl::ToCivilSecond(absl::FromUnixSeconds(now), absl::UTCTimeZone());
      int year = static_cast<int>(latest.year()) / 100 * 100 + static_cast<int>(civil.year() % 100);
      while (year > latest.year() + 50) year -= 100;
      while (year + 100 <= latest.year() + 50) year += 100;
      time = absl::FromCivil(absl::CivilSecond(year, civil.month(), civil.day(), civil.hour(),
                                               civil.minute(), civil.second()),
                             absl::UTCTimeZone());
    }
    *seconds = absl::ToUnixSeconds(time);
    return true;
  }
  return false;
}

}  // namespace knot
