#include "knot/request.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "knot/buffer_pool.h"
#include "knot/forwarded.h"
#include "knot/header_rules.h"
#include "knot/host.h"
#include "knot/path.h"

namespace knot {
namespace {

namespace http = boost::beast::http;

absl::string_view ToAbsl(boost::beast::string_view view) { return {view.data(), view.size()}; }

// Tells whether a field goes on in a second line. Beast takes the line break for white space before
// the value, or joins the parts in a buffer of its own; either way the value does not stand where
// the white space behind the colon ends.
bool IsFolded(boost::beast::string_view name, boost::beast::string_view value) {
  const char* start = name.data() + name.size() + 1;
  while (*start == ' ' || *start == '\t') ++start;
  return start != value.data();
}

// Tells whether a Transfer-Encoding is one by which the body's end can be found, if only the other
// codings were understood. RFC 9112, 6.1: that is 501; 6.3: anything else is 400.
bool IsCodingsThenChunked(absl::string_view text) {
  std::vector<absl::string_view> codings = absl::StrSplit(text, ',');
  for (absl::string_view& coding : codings) coding = absl::StripAsciiWhitespace(coding);
  if (!absl::EqualsIgnoreCase(codings.back(), "chunked")) return false;
  codings.pop_back();
  return std::all_of(codings.begin(), codings.end(), [](absl::string_view coding) {
    return IsToken(coding) && !absl::EqualsIgnoreCase(coding, "chunked");
  });
}

// Tells an honest request of another HTTP version from a request line that is no such thing. What
// follows the version does not count: it may not have come yet.
bool NamesOtherVersion(absl::string_view head) {
  size_t target = head.find(' ') + 1;
  size_t space = target > 0 ? head.find(' ', target) : absl::string_view::npos;
  if (space == absl::string_view::npos) return false;
  absl::string_view version = head.substr(space + 1, 8);
  return version.size() == 8 && absl::StartsWith(version, "HTTP/") &&
         absl::ascii_isdigit(version[5]) && version[6] == '.' && absl::ascii_isdigit(version[7]) &&
         version != "HTTP/1.0" && version != "HTTP/1.1";
}

// Tells whether the bytes may be the beginning of "0\r\n\r\n". The parser asserts that it has five
// bytes when it looks at a last chunk for the second time; before that it need not look.
bool MayBeCutEnd(absl::string_view bytes) {
  constexpr size_t kShortestEnd = 5;
  return bytes.size() < kShortestEnd && absl::StartsWith(bytes, "0");
}

// Tells whether the size line of a chunk, with more than one byte, has ended. Where the parser
// wants more of such a line, a quote in it is open: it would go on in what is data to others.
bool HasWholeSizeLine(absl::string_view bytes) {
  absl::ConsumePrefix(&bytes, "\r\n");  // the end of the chunk before
  size_t end = bytes.find("\r\n");
  size_t digit = bytes.find_first_not_of('0');
  return end != absl::string_view::npos && digit < end && absl::ascii_isxdigit(bytes[digit]);
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
    absl::string_view left = bytes.substr(*used);
    if (request_.transfer_encoding && MayBeCutEnd(left)) return kComplete;
    Error error;
    size_t n = put(boost::asio::const_buffer(left.data(), left.size()), error);
    *used += n;
    body_received_ += n;
    if (body_received_ > kMaxBodyReceived) return 413;
    if (error == http::error::need_more) {
      bool decided = request_.transfer_encoding && HasWholeSizeLine(bytes.substr(*used));
      return decided ? 400 : kComplete;
    }
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
    case http::field::connection:
      if (text == "keep-alive") {  // what nearly all send
        request_.keeps = true;
      } else {
        NoteConnection(text);
      }
      break;
    case http::field::host:
      if (++request_.hosts > 1 || !IsHostField(text)) error = http::error::bad_value;
      request_.host = text;
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
        if (IsCodingsThenChunked(text)) refusal_ = 501;
        error = http::error::bad_transfer_encoding;
      }
      request_.transfer_encoding = true;
      break;
    case http::field::expect:
      if (!request_.http11 || text.empty()) break;  // RFC 9110, 10.1.1: in 1.0 it means nothing
      if (!absl::EqualsIgnoreCase(text, "100-continue")) {
        refusal_ = 417;
        error = http::error::bad_value;
      }
      request_.expects_continue = true;
      break;
    case http::field::accept:
      request_.accept = text;
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
    case http::field::authorization:
      if (request_.authorization.data() != nullptr) error = http::error::bad_value;
      request_.authorization = text;
      break;
    case http::field::origin:
      if (request_.origin.data() != nullptr) error = http::error::bad_value;
      request_.origin = text;
      break;
    case http::field::access_control_request_method:
      request_.preflight = true;
      break;
    case http::field::unknown:
      if (name.size() == kForwardedFor.size()) NoteForwarded(ToAbsl(name), text);
      break;
    default:
      break;
  }
}

// The parser takes any byte within a quoted value. A line feed there ends the line for a server
// that takes bare ones for line ends, so that what follows is another request to it.
void RequestParser::on_chunk_header_impl(uint64_t, View extensions, Error& error) {
  for (char c : extensions) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') {
      error = http::error::bad_chunk_extension;
    }
  }
}

[[gnu::noinline]] void RequestParser::NoteForwarded(absl::string_view name,
                                                    absl::string_view value) {
  if (!absl::EqualsIgnoreCase(name, kForwardedFor)) return;
  const char* first =
      request_.forwarded_for.data() != nullptr ? request_.forwarded_for.data() : value.data();
  request_.forwarded_for = absl::string_view(first, value.data() + value.size() - first);
}

[[gnu::noinline]] void RequestParser::NoteConnection(absl::string_view value) {
  for (absl::string_view option : absl::StrSplit(value, ',')) {
    option = absl::StripAsciiWhitespace(option);
    if (absl::EqualsIgnoreCase(option, "close")) request_.closes = true;
    if (absl::EqualsIgnoreCase(option, "keep-alive")) request_.keeps = true;
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
  if (!absl::StartsWith(target, "/")) {  // absolute form: http://host/path
    size_t scheme = absl::StartsWithIgnoreCase(target, "http://")    ? 7
                    : absl::StartsWithIgnoreCase(target, "https://") ? 8
                                                                     : 0;
    target.remove_prefix(scheme);
    absl::string_view authority = target.substr(0, target.find_first_of("/?"));
    if (scheme == 0 || !ParseAuthority(authority, &result.host)) {
      result.status = 400;
      return result;
    }
    target.remove_prefix(authority.size());
    result.server = target.empty();
  }
  bool canonical = true;
  for (size_t i = 0; i < target.size(); ++i) {
    switch (target[i]) {
      case '%':
        canonical = false;
        break;
      case '/':
        if (i + 1 < target.size() && (target[i + 1] == '/' || target[i + 1] == '.')) {
          canonical = false;
        }
        break;
      case '?':
        result.query = target.substr(i);
        target = target.substr(0, i);
        break;
      case '#':  // a fragment is the client's own affair and never sent
        result.status = 400;
        return result;
      default:
        break;
    }
  }
  if (!result.query.empty() && absl::StrContains(result.query, '#')) {
    result.status = 400;
    return result;
  }
  if (canonical) {
    result.path = absl::StripPrefix(target, "/");
    return result;
  }
  size_t size;
  result.status = CanonicalPath(target, scratch, &size);
  if (result.status != 0) return result;
  result.path = absl::string_view(scratch, size);
  result.hidden = HasHiddenSegment(result.path);
  return result;
}

}  // namespace knot
