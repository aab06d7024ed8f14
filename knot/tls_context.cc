#include "knot/tls_context.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/tls_random.h"

namespace knot {
namespace {

// Forward secrecy and authenticated encryption only. The order is the client's choice: it knows
// what its processor is good at.
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char kGroups[] = "X25519:P-256:P-384";

constexpr absl::string_view kProtocol = "http/1.1";  // RFC 7301, 6
constexpr size_t kMostHost = 255;

constexpr size_t kTicketKeysSize = 80;  // of OpenSSL: a name, a key to encrypt, a key to sign
unsigned char ticket_keys[kTicketKeysSize];
bool ticket_keys_made = false;

// Returns: what OpenSSL says went wrong first, and forgets all it said.
std::string FirstError() {
  unsigned long error = ERR_peek_error();
  const char* reason = ERR_SYSTEM_ERROR(error) ? std::strerror(ERR_GET_REASON(error))
                                               : ERR_reason_error_string(error);
  std::string text = reason != nullptr ? reason : "unknown error";
  ERR_clear_error();
  return text;
}

absl::Status FileError(const std::string& file) {
  return absl::InvalidArgumentError(absl::StrCat("--tls: cannot use ", file, ": ", FirstError()));
}

// A key that asks for a password is refused rather than the terminal asked.
int NoPassword(char*, int, int, void*) { return -1; }

// Returns: the host that the client names, or "". Of an extension that is not well formed, too,
// which OpenSSL refuses when it comes to it (RFC 6066, 3).
absl::string_view HostOf(SSL* ssl) {
  const unsigned char* bytes;
  size_t size;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1) return "";
  // The size of the list, and of its entries the only one: its type and its size.
  constexpr size_t kFront = 5;
  if (size < kFront) return "";
  const size_t list = bytes[0] * size_t{256} + bytes[1];
  const size_t name = bytes[3] * size_t{256} + bytes[4];
  if (list != size - 2 || bytes[2] != TLSEXT_NAMETYPE_host_name || name != size - kFront) return "";
  return {reinterpret_cast<const char*>(bytes) + kFront, name};
}

// X4. Has the session of another host taken for none, which leads to a full handshake. A name that
// fits stands for itself: OpenSSL takes longer to find its digest than to compute it.
bool BindSessions(SSL* ssl, absl::string_view host) {
  static_assert(SHA256_DIGEST_LENGTH <= SSL_MAX_SID_CTX_LENGTH);
  const std::string name = absl::AsciiStrToLower(host);
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  if (name.size() < SSL_MAX_SID_CTX_LENGTH) {
    // One without a name has a context, too: OpenSSL takes an empty one for a mistake.
    const unsigned char none = 0;
    return SSL_set_session_id_context(ssl, name.empty() ? &none : bytes,
                                      name.empty() ? 1 : name.size()) == 1;
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  return SHA256(bytes, name.size(), digest) != nullptr &&
         SSL_set_session_id_context(ssl, digest, sizeof digest) == 1;
}

// Called with each ClientHello, before a session is looked for.
int ChooseCertificate(SSL* ssl, int* alert, void* certificates) {
  const absl::string_view host = HostOf(ssl);
  SSL_CTX* chosen = static_cast<const TlsCertificates*>(certificates)->For(host);
  if (SSL_set_SSL_CTX(ssl, chosen) == chosen && BindSessions(ssl, host)) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

// Tells the client that its host counted, whichever it was.
int AcknowledgeHost(SSL* ssl, int*, void*) {
  const char* host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  return host == nullptr ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

// RFC 7301, 3.2: a client that offers protocols, of which this is none, is told so.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  for (unsigned int at = 0; at < offered_size; at += 1u + offered[at]) {
    unsigned char size = offered[at];
    if (at + 1u + size > offered_size) break;
    absl::string_view name(reinterpret_cast<const char*>(offered) + at + 1, size);
    if (name != kProtocol) continue;
    *chosen = offered + at + 1;
    *chosen_size = size;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool Configure(SSL_CTX* context, const TlsSettings& settings) {
  int least = settings.min == TlsVersion::k13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  // Renegotiation, which TLS 1.2 still has, would let a client make the server do the costly half
  // again and again; compression gives away secrets.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // An end without a close_notify, as our own stop makes it, is not to be answered by an alert.
  // TlsSession knows the one from the other.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (settings.kernel) SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(context, 1);  // a record by one system call rather than two
  // Sessions are kept by the clients, in tickets: here they would take memory.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, NoPassword);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, AcknowledgeHost);
  return SSL_CTX_set_min_proto_version(context, least) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
         SSL_CTX_set1_groups_list(context, kGroups) == 1 &&
         (!ticket_keys_made ||
          SSL_CTX_set_tlsext_ticket_keys(context, ticket_keys, sizeof ticket_keys) == 1);
}

std::string ValidityWarning(const X509* certificate, const std::string& file) {
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return absl::StrCat("the certificate in ", file, " has expired");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return absl::StrCat("the certificate in ", file, " is not valid yet");
  }
  return "";
}

// Asked once, of a socket that is not connected: OpenSSL would ask with each connection, and the
// kernel, where it has no TLS, might look for a module to load each time.
bool KernelHasTls() {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  constexpr char kName[] = "tls";
  int result = setsockopt(descriptor, IPPROTO_TCP, TCP_ULP, kName, sizeof kName);
  bool has = result == 0 || errno == ENOTCONN;
  close(descriptor);
  return has;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsCertificates>> TlsCertificates::Load(
    const TlsSettings& settings) {
  std::shared_ptr<TlsCertificates> loaded(new TlsCertificates);
  for (const TlsFiles& files : settings.files) {
    absl::Status status = loaded->Add(files, settings);
    if (!status.ok()) return status;
  }
  // Of each, since after a HelloRetryRequest the chosen one is asked.
  for (SSL_CTX* context : loaded->contexts_) {
    SSL_CTX_set_client_hello_cb(context, ChooseCertificate, loaded.get());
  }
  return std::shared_ptr<const TlsCertificates>(std::move(loaded));
}

TlsCertificates::~TlsCertificates() {
  for (SSL_CTX* context : contexts_) SSL_CTX_free(context);
}

absl::Status TlsCertificates::Add(const TlsFiles& files, const TlsSettings& settings) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot set up TLS: ", FirstError()));
  }
  contexts_.push_back(context);
  if (!Configure(context, settings)) {
    return absl::InternalError(absl::StrCat("cannot set up TLS: ", FirstError()));
  }
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return FileError(files.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return FileError(files.key);
  }
  const X509* certificate = SSL_CTX_get0_certificate(context);
  std::string warning = ValidityWarning(certificate, files.certificate);
  if (warning_.empty()) warning_ = std::move(warning);
  size_t names = by_name_.size();
  AddNames(certificate, context);
  if (contexts_.size() > 1 && by_name_.size() == names) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls: cannot use ", files.certificate,
        ": each host that it names has a certificate already, so that nobody would be shown it"));
  }
  return absl::OkStatus();
}

void TlsCertificates::AddNames(const X509* certificate, SSL_CTX* context) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS) continue;
    absl::string_view host(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                           ASN1_STRING_length(name->d.dNSName));
    if (!host.empty() && host.size() <= kMostHost) {
      by_name_.emplace(absl::AsciiStrToLower(host), context);
    }
  }
  GENERAL_NAMES_free(names);
}

SSL_CTX* TlsCertificates::For(absl::string_view host) const {
  if (host.size() > kMostHost) return Default();
  char lower[kMostHost + 1];
  for (size_t i = 0; i < host.size(); ++i) lower[i] = absl::ascii_tolower(host[i]);
  auto found = by_name_.find(absl::string_view(lower, host.size()));
  size_t dot = host.find('.');
  if (found == by_name_.end() && dot != absl::string_view::npos && dot > 0) {
    lower[dot - 1] = '*';
    found = by_name_.find(absl::string_view(lower + dot - 1, host.size() - dot + 1));
  }
  return found == by_name_.end() ? Default() : found->second;
}

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(const TlsSettings& settings) {
  // At exit threads may still be about to end, and would find OpenSSL's state of theirs cleaned up.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
  UseKernelRandom();
  std::unique_ptr<TlsContext> context(new TlsContext(settings.kernel && KernelHasTls()));
  absl::StatusOr<std::shared_ptr<const TlsCertificates>> read = context->Read(settings);
  if (!read.ok()) return read.status();
  context->Use(*std::move(read));
  return context;
}

absl::StatusOr<std::shared_ptr<const TlsCertificates>> TlsContext::Read(
    const TlsSettings& settings) const {
  TlsSettings possible = settings;
  possible.kernel = kernel_;
  return TlsCertificates::Load(possible);
}

void TlsContext::Use(std::shared_ptr<const TlsCertificates> certificates) {
  std::lock_guard<std::mutex> lock(mutex_);
  current_.swap(certificates);  // the old ones end, if at all, when the lock is free again
}

std::shared_ptr<const TlsCertificates> TlsContext::Current() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

void MakeTicketKeys() {
  for (size_t done = 0; done < sizeof ticket_keys;) {
    ssize_t n = getrandom(ticket_keys + done, sizeof ticket_keys - done, 0);
    if (n > 0) done += n;
  }
  ticket_keys_made = true;
}

}  // namespace knot
