#include "knot/options_transport.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "knot/choice.h"
#include "knot/command_line.h"
#include "knot/inherited.h"
#include "knot/repeated.h"

namespace knot {
template <>
struct Names<TlsVersion> {
  static constexpr Name<TlsVersion> kList[] = {{TlsVersion::k12, "1.2"}, {TlsVersion::k13, "1.3"}};
};
}  // namespace knot

ABSL_FLAG(knot::RepeatedText, tls, {},
          "certificate with its chain, and its private key, CERT.pem,KEY.pem, for addresses that "
          "begin with https://; may be given more than once: a client gets the one whose "
          "subjectAltName has the host it names, else the first");
ABSL_FLAG(knot::Choice<knot::TlsVersion>, tls_min, {knot::TlsVersion::k12},
          "oldest version of TLS that is spoken: 1.2 or 1.3");
ABSL_FLAG(bool, kernel_tls, true, "let the kernel encrypt what is sent by TLS, where it can");
ABSL_FLAG(knot::AddressSet, proxy_protocol, {},
          "peers whose connections must begin with a PROXY protocol header, which says who the "
          "client is: ADDR, ADDR/BITS or unix, separated by commas");
ABSL_FLAG(knot::AddressSet, trusted_proxies, {},
          "peers whose X-Forwarded-For is believed, for the log and limits: ADDR, ADDR/BITS or "
          "unix, separated by commas");
ABSL_FLAG(int, min_send_rate, 500,
          "bytes a second that a client must take of a reply it is waited for with, on average "
          "over send_timeout; 0: any");
ABSL_FLAG(int, min_body_rate, 500,
          "bytes a second that a client must send of a request's body, on average over "
          "header_timeout; 0: any");

namespace knot {

absl::StatusOr<TransportOptions> TransportOptionsFromFlags() {
  TransportOptions options;
  for (const std::string& text : absl::GetFlag(FLAGS_tls).values) {
    std::vector<std::string> files = absl::StrSplit(text, ',');
    if (files.size() != 2 || files[0].empty() || files[1].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tls=", text, ": must be two files, CERT.pem,KEY.pem"));
    }
    options.tls.files.push_back({std::move(files[0]), std::move(files[1])});
  }
  options.tls.min = absl::GetFlag(FLAGS_tls_min).value;
  options.tls.kernel = absl::GetFlag(FLAGS_kernel_tls);
  options.proxy_protocol = absl::GetFlag(FLAGS_proxy_protocol);
  options.trusted_proxies = absl::GetFlag(FLAGS_trusted_proxies);
  options.min_send_rate = absl::GetFlag(FLAGS_min_send_rate);
  options.min_body_rate = absl::GetFlag(FLAGS_min_body_rate);
  return options;
}

absl::Status CheckTransport(const TransportOptions& options,
                            const std::vector<ListenAddress>& listen) {
  absl::Status status = CheckRange("min_send_rate", options.min_send_rate, 0, 1 << 30);
  status.Update(CheckRange("min_body_rate", options.min_body_rate, 0, 1 << 30));
  auto by_tls = std::find_if(listen.begin(), listen.end(),
                             [](const ListenAddress& address) { return address.tls; });
  if (by_tls != listen.end() && options.tls.files.empty()) {
    status.Update(absl::InvalidArgumentError(
        absl::StrCat("--listen=", FlagText(*by_tls), ": needs a certificate, --tls=CERT,KEY")));
  }
  if (by_tls == listen.end() && !options.tls.files.empty()) {
    status.Update(absl::InvalidArgumentError(
        "--tls: no address of --listen begins with https://, so that nothing would be encrypted"));
  }
  return status;
}

absl::Status PrepareTransport(const TransportOptions& options, std::vector<ListenAddress>* listen,
                              Predecessor* predecessor) {
  if (!options.tls.files.empty()) MakeTicketKeys();
  return ResolveInherited(listen, predecessor);
}

}  // namespace knot
