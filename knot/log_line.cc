#include "knot/log_line.h"

#include <arpa/inet.h>

#include <cstddef>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace knot {
namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";
constexpr char kLowerHex[] = "0123456789abcdef";
constexpr uint32_t kReplacement = 0xfffd;

struct AddressText {
  char text[INET6_ADDRSTRLEN] = "";
};

AddressText TextOf(const PeerAddress& peer) {
  AddressText result;
  if (peer.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &peer.v4.sin_addr, result.text, sizeof result.text);
  } else if (peer.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &peer.v6.sin6_addr, result.text, sizeof result.text);
  }
  return result;
}

void AppendEscapedByte(unsigned char byte, std::string* out) {
  out->append({'\\', 'x', kUpperHex[byte >> 4], kUpperHex[byte & 15]});
}

// The parts of a request line; one that is none is all target.
struct RequestLine {
  absl::string_view method, target, protocol;
};

RequestLine Split(absl::string_view line) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == absl::string_view::npos || first == last) return {{}, line, {}};
  return {line.substr(0, first), line.substr(first + 1, last - first - 1), line.substr(last + 1)};
}

// Takes a character of more than one byte off the front of `text`. Returns: its code point, or
// kReplacement for one byte that begins none.
uint32_t TakeCharacter(absl::string_view* text) {
  auto byte = [text](size_t i) -> uint32_t {
    return i < text->size() ? static_cast<unsigned char>((*text)[i]) : 0;
  };
  uint32_t lead = byte(0);
  size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  uint32_t code = lead & (0xffu >> (size + 1));
  bool valid = lead >= 0xc2 && lead <= 0xf4;
  for (size_t i = 1; i < size; ++i) {
    valid = valid && (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3f);
  }
  // Neither longer than it need be, nor half of a pair of UTF-16, nor beyond Unicode.
  constexpr uint32_t kLeast[] = {0x80, 0x800, 0x10000};
  valid = valid && code >= kLeast[size - 2] && (code < 0xd800 || code > 0xdfff) && code <= 0x10ffff;
  text->remove_prefix(valid ? size : 1);
  return valid ? code : kReplacement;
}

void AppendUnit(uint32_t unit, std::string* out) {
  out->append({'\\', 'u', kLowerHex[unit >> 12 & 15], kLowerHex[unit >> 8 & 15],
               kLowerHex[unit >> 4 & 15], kLowerHex[unit & 15]});
}

void AppendCodePoint(uint32_t code, std::string* out) {
  if (code < 0x10000) return AppendUnit(code, out);
  AppendUnit(0xd800 + ((code - 0x10000) >> 10), out);
  AppendUnit(0xdc00 + ((code - 0x10000) & 0x3ff), out);
}

void AppendMember(absl::string_view name, absl::string_view value, std::string* out) {
  absl::StrAppend(out, ",\"", name, "\":");
  AppendJsonString(value, out);
}

}  // namespace

void AppendEscaped(absl::string_view text, std::string* out) {
  if (text.empty()) out->push_back('-');
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out->push_back(c);
    } else {
      AppendEscapedByte(byte, out);
    }
  }
}

void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    unsigned char byte = static_cast<unsigned char>(text[0]);
    if (byte >= 0x80) {
      AppendCodePoint(TakeCharacter(&text), out);
      continue;
    }
    text.remove_prefix(1);
    if (byte == '"' || byte == '\\') {
      out->append({'\\', static_cast<char>(byte)});
    } else if (byte >= 0x20 && byte < 0x7f) {
      out->push_back(static_cast<char>(byte));
    } else {
      AppendUnit(byte, out);
    }
  }
  out->push_back('"');
}

void AppendCombined(const LogLine& line, absl::string_view date, std::string* out) {
  AddressText address = TextOf(line.peer);
  absl::StrAppend(out, address.text[0] == '\0' ? "-" : address.text, " - ");
  std::string user;
  AppendEscaped(line.user, &user);
  for (char c : user) {  // it stands without quotes, so that a space would end it
    c == ' ' ? AppendEscapedByte(' ', out) : out->push_back(c);
  }
  absl::StrAppend(out, " ", date, " \"");
  AppendEscaped(line.request, out);
  absl::StrAppend(out, "\" ", line.status, " ", line.bytes, " \"");
  AppendEscaped(line.referer, out);
  out->append("\" \"");
  AppendEscaped(line.user_agent, out);
  out->append("\"\n");
}

void AppendJson(const LogLine& line, const timespec& now, std::string* out) {
  tm parts;
  gmtime_r(&now.tv_sec, &parts);
  char time[64];
  std::snprintf(time, sizeof time, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                (parts.tm_year + 1900) % 10000, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                parts.tm_min, parts.tm_sec, static_cast<int>(now.tv_nsec / 1'000'000));
  absl::StrAppend(out, "{\"time\":\"", time, "\"");
  AppendMember("client", TextOf(line.peer).text, out);
  AppendMember("user", line.user, out);
  RequestLine request = Split(line.request);
  AppendMember("method", request.method, out);
  AppendMember("target", request.target, out);
  AppendMember("protocol", request.protocol, out);
  absl::StrAppend(out, ",\"status\":", line.status, ",\"bytes\":", line.bytes,
                  ",\"duration_us\":", line.duration_us);
  AppendMember("referer", line.referer, out);
  AppendMember("user_agent", line.user_agent, out);
  AppendMember("host", line.host, out);
  AppendMember("tls", line.tls, out);
  out->append("}\n");
}

}  // namespace knot
