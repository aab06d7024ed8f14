#include "knot/request.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "knot/buffer_pool.h"

namespace knot {
namespace {

namespace http = boost::beast::http;

absl::string_view ToAbsl(boost::beast::string_view view) { return {view.data(), view.size()}; }

// RFC 9110, 7.2: uri-host [ ":" port ]; the characters are checked, not the grammar, because Knot
// serves every host alike. What is kept out is what could make a proxy before it see another host
// or another request.
constexpr std::array<bool, 256> kHostCharacters = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (unsigned char c : absl::string_view("-._~!$&'()*+,;=:[]%")) table[c] = true;
  return table;
}();

bool IsPlausibleHost(absl::string_view host) {
  for (unsigned char c : host) {
    if (!kHostCharacters[c]) return false;
  }
  return true;
}

// Tells whether a field goes on in a second line. Beast takes the line break for white space before
// the value, or joins the parts in a buffer of its own; either way the value does not stand where
// the white space behind the colon ends.
bool IsFolded(boost::beast::string_view name, boost::beast::string_view value) {
  const char* start = name.data() + name.size() + 1;
  while (*start == ' ' || *start == '\t') ++start;
  return start != value.data();
}

// Tells an honest request of another HTTP version from a request line that is no such thing.
bool NamesOtherVersion(absl::string_view head) {
  absl::string_view line = head.substr(0, head.find('\r'));
  size_t space = line.rfind(' ');
  if (space == absl::string_view::npos) return false;
  absl::string_view version = line.substr(space + 1);
  return version.size() == 8 && absl::StartsWith(version, "HTTP/") &&
         absl::ascii_isdigit(version[5]) && version[6] == '.' && absl::ascii_isdigit(version[7]) &&
         version != "HTTP/1.0" && version != "HTTP/1.1";
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decodes into `out`, which has room for path.size() bytes. Returns: 0, 400 or 404.
int PercentDecode(absl::string_view path, char* out, size_t* size) {
  char* end = out;
  for (size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      int high = i + 2 < path.size() ? HexDigit(path[i + 1]) : -1;
      int low = i + 2 < path.size() ? HexDigit(path[i + 2]) : -1;
      if (high < 0 || low < 0) return 400;
      c = static_cast<char>(high * 16 + low);
      if (c == '\0') return 400;
      if (c == '/')
        return 404;  // a name cannot contain it, and a separator would have been sent as one
      i += 2;
    }
    *end++ = c;
  }
  *size = end - out;
  return 0;
}

}  // namespace

RequestParser::RequestParser() {
  header_limit(kMaxHeadBytes +
               1);  // never reached: whoever fills the buffer decides between 414 and 431
  body_limit(kMaxBodyBytes);
}

int RequestParser::ParseHead(absl::string_view bytes, size_t* used) {
  bytes_ = bytes;
  Error error;
  *used = put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error == http::error::need_more) return kPartial;
  // Beast returns from the start line to its caller only on errors, so here the head is whole or
  // refused.
  return error ? Refusal(error) : kComplete;
}

int RequestParser::ParseBody(absl::string_view bytes, size_t* used) {
  *used = 0;
  while (!is_done()) {
    Error error;
    size_t n = put(boost::asio::const_buffer(bytes.data() + *used, bytes.size() - *used), error);
    *used += n;
    if (error == http::error::need_more) return kComplete;
    if (error) return Refusal(error);
    if (n == 0 && *used == bytes.size()) return kComplete;
  }
  return kComplete;
}

int RequestParser::Refusal(const Error& error) const {
  if (refusal_ != 0) return refusal_;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::bad_version && NamesOtherVersion(bytes_)) return 505;
  return 400;
}

void RequestParser::on_request_impl(http::verb verb, View, View target, int version, Error& error) {
  constexpr size_t kVersionSize = 9;  // " HTTP/1.1"
  request_.line = bytes_.substr(0, target.data() + target.size() - bytes_.data() + kVersionSize);
  switch (verb) {
    case http::verb::get:
      request_.method = Method::kGet;
      break;
    case http::verb::head:
      request_.method = Method::kHead;
      break;
    case http::verb::unknown:
      request_.method = Method::kUnknown;
      break;
    case http::verb::options:
      request_.method = Method::kOptions;
      break;
    default:
      request_.method = Method::kOther;
  }
  request_.target = ToAbsl(target);
  request_.http11 = version >= 11;
  if (target.size() > kMaxTargetBytes) {
    refusal_ = 414;
    error = http::error::bad_target;
  }
}

void RequestParser::on_field_impl(http::field field, View name, View value, Error& error) {
  if (IsFolded(name, value)) {
    error = http::error::bad_value;
    return;
  }
  if (is_header_done()) return;  // a trailer
  absl::string_view text = ToAbsl(value);
  switch (field) {
    case http::field::host:
      if (++request_.hosts > 1 || !IsPlausibleHost(text)) error = http::error::bad_value;
      break;
    case http::field::content_length:
      // Beast accepts a repeated length if all agree; RFC 9112, 6.3 allows to refuse it.
      for (char c : text) {
        if (!absl::ascii_isdigit(c)) error = http::error::bad_content_length;
      }
      if (request_.content_length_seen) error = http::error::bad_content_length;
      request_.content_length_seen = true;
      break;
    case http::field::transfer_encoding:
      if (!request_.http11 || request_.transfer_encoding) {
        error = http::error::bad_transfer_encoding;
      } else if (!absl::EqualsIgnoreCase(text, "chunked")) {
        refusal_ = 501;
        error = http::error::bad_transfer_encoding;
      }
      request_.transfer_encoding = true;
      break;
    case http::field::expect:
      request_.expects_continue = true;
      break;
    case http::field::accept_encoding:
      request_.accepts_codings = true;
      request_.codings.Note(text);
      break;
    case http::field::if_match:
    case http::field::if_none_match:
    case http::field::if_modified_since:
    case http::field::if_unmodified_since:
    case http::field::if_range:
    case http::field::range:
      if (!request_.conditions.Note(field, text)) error = http::error::bad_value;
      break;
    case http::field::referer:
      request_.referer = text;
      break;
    case http::field::user_agent:
      request_.user_agent = text;
      break;
    default:
      break;
  }
}

void RequestParser::on_header_impl(Error& error) {
  if (request_.http11 && request_.hosts == 0) error = http::error::bad_field;
}

size_t FindHeadEnd(absl::string_view bytes, size_t from) {
  size_t end = bytes.find("\r\n\r\n", from);
  return end == absl::string_view::npos ? end : end + 4;
}

bool IsHopelessHead(absl::string_view bytes) {
  for (size_t i = bytes.find('\n'); i != absl::string_view::npos; i = bytes.find('\n', i + 1)) {
    if (i == 0 || bytes[i - 1] != '\r') return true;
  }
  return false;
}

Target ParseTarget(absl::string_view target, char* scratch) {
  Target result;
  if (target[0] != '/') {  // absolute form: http://host/path
    size_t scheme = absl::StartsWithIgnoreCase(target, "http://")    ? 7
                    : absl::StartsWithIgnoreCase(target, "https://") ? 8
                                                                     : 0;
    if (scheme == 0) {
      result.status = 400;
      return result;
    }
    target.remove_prefix(scheme);
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
  }
  bool encoded = false;
  for (size_t i = 0; i < target.size(); ++i) {
    encoded |= target[i] == '%';
    if (target[i] == '#') {  // a fragment is the client's own affair and never sent
      result.status = 400;
      return result;
    }
    if (target[i] == '?') {
      result.query = target.substr(i);
      target = target.substr(0, i);
    }
  }
  if (encoded) {
    size_t size;
    result.status = PercentDecode(target, scratch, &size);
    if (result.status != 0) return result;
    target = absl::string_view(scratch, size);
  }
  while (!target.empty() && target.front() == '/') target.remove_prefix(1);
  result.path = target;
  return result;
}

}  // namespace knot
